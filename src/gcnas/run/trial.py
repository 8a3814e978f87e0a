"""What the ledger holds: trials, rejections and events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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
        attempts: How often its evaluation was started in the process of the driver, which may die of it.
        elapsed: Seconds of the run when it finished.
        continues: Number of the trial of the same network whose training this one goes on with.
    """

    number: int
    proposal: Proposal
    cost: Cost
    fidelity: Fidelity
    evaluation: Evaluation | None = None
    attempts: int = 0
    elapsed: float | None = None
    continues: int | None = None

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

    @property
    def changes(self) -> dict[str, str]:
        """The options that a resume changed, in words, by their names."""
        if self.kind != RESUMED:
            return {}
        parts = (change.partition("=") for change in self.detail.split(", "))
        return {name: value for name, _, value in parts}

    @property
    def options(self) -> set[str]:
        """Names of the options that a resume changed."""
        return set(self.changes)


RESUMED = "resumed"
"""Kind of the event that says which options were changed when a run goes on."""

STOPPED = "stopped"
"""Kind of the event that says which trial was under way when the time of the search was over."""


def changed(options: Mapping[str, Any]) -> str:
    """The detail of a :data:`RESUMED` event."""
    return ", ".join(f"{name}={value}" for name, value in options.items())


ENOUGH = 2
"""Networks that must have got a training before it alone decides."""


def best_trial(trials: Iterable[Trial], limits: Limits) -> Trial | None:
    """The complete trial with the most training, of these the one with the highest score, of equal ones the first.

    Limits may have been tightened since a trial was evaluated, so they are looked at again.
    """
    usable = [trial for trial in trials if trial.complete and limits.violation(trial.cost) is None]
    return max(usable, key=lambda trial: (trial.fidelity.epochs, trial.score), default=None)


def decisive(trials: Iterable[Trial], limits: Limits | None = None) -> list[Trial]:
    """The complete trials within the limits that can be compared: those with the most training.

    That is the most training which :data:`ENOUGH` networks got; if none was given to so many, the most that there is.
    """
    usable = [t for t in trials if t.complete and (limits is None or limits.violation(t.cost) is None)]
    networks: dict[int, set[str]] = {}
    for trial in usable:
        networks.setdefault(trial.fidelity.epochs, set()).add(trial.proposal.fingerprint)
    levels = [epochs for epochs, found in networks.items() if len(found) >= ENOUGH] or list(networks)
    return [trial for trial in usable if trial.fidelity.epochs == max(levels)]
