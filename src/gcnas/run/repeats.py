"""Training the most promising networks once more with another seed, before one of them is delivered."""

import math
from collections.abc import Sequence
from dataclasses import replace

from gcnas.records import Fidelity, Limits, Proposal
from gcnas.run.recommendation import REFERENCE
from gcnas.run.trial import Trial

REPEATED = 3
"""Most networks that are trained once more; one of them is the best design by people."""

SHARE = 0.1
"""Share of a budget of trials that this may take."""

TIME_SHARE = 0.2
"""Share of a wall clock that this may take."""


class Repeats:
    """Which networks to train once more: the best at the full training, and the best design by people among them.

    It is chosen from the finished trials alone, so a resumed run chooses as one that was never stopped. A search too
    short for two repeats gets none.

    Args:
        full: The full training, with the seed of the search.
        seed: The other seed.
        limits: Limits on what is delivered.
        trials: Trials of the whole run; None without such a budget.
        seconds: Wall clock of the search; None without one.
    """

    def __init__(
        self, full: Fidelity, seed: int, limits: Limits, trials: int | None, seconds: float | None
    ) -> None:
        self._full, self._fidelity, self._limits = full, Fidelity(full.epochs, seed), limits
        self._most = REPEATED if trials is None else min(REPEATED, int(SHARE * trials))
        self._seconds = math.inf if seconds is None else TIME_SHARE * seconds

    def left(self, trials: Sequence[Trial]) -> list[Proposal]:
        """Proposals of repeats that were not made yet, in the order in which they matter.

        Args:
            trials: All trials, pending ones too.
        """
        chosen = self._chosen(trials)
        made = {t.proposal.fingerprint for t in trials if t.fidelity == self._fidelity}
        return [
            replace(t.proposal, fidelity=self._fidelity) for t in chosen if t.proposal.fingerprint not in made
        ]

    def seconds(self, trials: Sequence[Trial]) -> float:
        """Wall clock that the repeats left will take."""
        left = {proposal.fingerprint for proposal in self.left(trials)}
        return sum(self._cost(t) for t in self._chosen(trials) if t.proposal.fingerprint in left)

    def is_repeat(self, trial: Trial) -> bool:
        """Whether a trial is one: strategies are not told, since it is no news about the space."""
        return trial.fidelity == self._fidelity

    def _chosen(self, trials: Sequence[Trial]) -> list[Trial]:
        full = [
            t
            for t in trials
            if t.complete and t.fidelity == self._full and self._limits.violation(t.cost) is None
        ]
        ranked = sorted(full, key=lambda t: (-t.score, t.number))
        designs = [t for t in ranked if t.proposal.source == REFERENCE][:1]
        first = [*ranked[:1], *designs, *ranked[1:]]
        chosen: list[Trial] = []
        for trial in dict.fromkeys(t.number for t in first):
            candidate = next(t for t in ranked if t.number == trial)
            if len(chosen) < self._most and sum(map(self._cost, [*chosen, candidate])) <= self._seconds:
                chosen.append(candidate)
        return chosen if len(chosen) > 1 else []

    def _cost(self, trial: Trial) -> float:
        """Seconds of a full training, from those of its own last stage."""
        evaluation = trial.evaluation
        if evaluation is None:
            return 0.0
        return evaluation.seconds / max(evaluation.trained_epochs, 1e-9) * self._full.epochs
