"""What a driver must remember of the trials that are finished."""

from collections.abc import Iterable

from gcnas.records import Evaluation, Fidelity, Limits, Proposal
from gcnas.run.duration import RunningMedian
from gcnas.run.trial import Trial


class History:
    """Figures about the finished trials of a run; none of them takes longer to tell after many trials.

    Args:
        limits: A trial beyond them is never the best.
        trials: Finished trials in the order of their numbers.

    Attributes:
        count: Finished trials.
        complete: Those with a score.
        best: As :func:`~gcnas.run.trial.best_trial` of all of them.
        first_failure: Of the trial that failed first.
        trained: Number of the complete trial of a fingerprint and a fidelity.
    """

    def __init__(self, limits: Limits, trials: Iterable[Trial] = ()) -> None:
        self.count = self.complete = 0
        self.best: Trial | None = None
        self.first_failure: Evaluation | None = None
        self.trained: dict[tuple[str, Fidelity], int] = {}
        self._limits = limits
        self._fidelities: set[Fidelity] = set()
        self._least: int | None = None
        self._usual = RunningMedian()
        for trial in trials:
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """Note a finished trial."""
        self.count += 1
        self._note_seconds(trial)
        if not trial.complete:
            self.first_failure = self.first_failure or trial.evaluation
            return
        self.complete += 1
        self.trained[trial.proposal.fingerprint, trial.fidelity] = trial.number
        self._fidelities.add(trial.fidelity)
        if self._limits.violation(trial.cost) is None and (
            self.best is None or _rank(trial) > _rank(self.best)
        ):
            self.best = trial

    def usual_seconds(self, epochs: float | None = None) -> float:
        """Median seconds of the evaluations with the least training; 0 before the first one.

        Args:
            epochs: Another amount of training, for as many times as long.
        """
        return self._usual.value * (1.0 if epochs is None else epochs / max(self._least or 0, 1))

    def shorter(self, proposal: Proposal) -> int | None:
        """Number of the longest shorter training of a network that a proposal can go on from."""
        wanted = proposal.fidelity
        if wanted is None:
            return None
        found = (
            fidelity
            for fidelity in self._fidelities
            if fidelity.seed == wanted.seed
            and fidelity.epochs < wanted.epochs
            and (proposal.fingerprint, fidelity) in self.trained
        )
        longest = max(found, key=lambda fidelity: fidelity.epochs, default=None)
        return None if longest is None else self.trained[proposal.fingerprint, longest]

    def _note_seconds(self, trial: Trial) -> None:
        epochs = trial.fidelity.epochs
        if self._least is None or epochs < self._least:
            self._least, self._usual = epochs, RunningMedian()
        if epochs == self._least and trial.evaluation is not None:
            self._usual.add(trial.evaluation.seconds)


def _rank(trial: Trial) -> tuple[int, float]:
    return trial.fidelity.epochs, trial.score
