"""What the ledger holds: trials, rejections and events."""

from collections.abc import Iterable
from dataclasses import dataclass

from gcnas.records import Cost, Evaluation, EvaluationState, Fidelity, Limits, Proposal


@dataclass(frozen=True)
class Trial:
    """One numbered proposal of a run and what became of it.

    Attributes:
        number: Counted from 1.
        proposal: What was proposed.
        cost: Its cost.
        fidelity: The training that it gets.
        evaluation: The result; None while pending.
        attempts: How often its evaluation was started.
        elapsed: Seconds of the run when it finished.
    """

    number: int
    proposal: Proposal
    cost: Cost
    fidelity: Fidelity
    evaluation: Evaluation | None = None
    attempts: int = 0
    elapsed: float | None = None

    @property
    def complete(self) -> bool:
        """Whether there is a score."""
        return self.evaluation is not None and self.evaluation.state is EvaluationState.COMPLETE

    @property
    def score(self) -> float:
        """The score; minus infinity where there is none."""
        score = None if self.evaluation is None else self.evaluation.score
        return float("-inf") if score is None else score


@dataclass(frozen=True)
class Rejection:
    """A proposal that was not evaluated.

    Attributes:
        trials_before: Trials of the run before it.
        fingerprint: Of the architecture.
        source: Who proposed it.
        reason: ``duplicate`` or ``limit``.
        detail: The limit broken, with both figures.
    """

    trials_before: int
    fingerprint: str
    source: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Event:
    """Something worth remembering: a resume, a changed budget, an opening of the test split."""

    elapsed: float
    kind: str
    detail: str


def best_trial(trials: Iterable[Trial], limits: Limits) -> Trial | None:
    """The complete trial with the highest score, of equal ones the first.

    Limits may have been tightened since a trial was evaluated, so they are looked at again.
    """
    usable = [trial for trial in trials if trial.complete and limits.violation(trial.cost) is None]
    return max(usable, key=lambda trial: trial.score, default=None)
