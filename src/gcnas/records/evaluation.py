"""Proposals and their evaluations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from gcnas.records.architecture import Architecture
from gcnas.records.trajectory import Trajectory

TRAINED_EPOCHS = "trained_epochs"
"""Name of the metric that says how many epochs an evaluation itself trained."""

SIGNAL_SECONDS = "signal_seconds"
"""Name of the metric that says how many of an evaluation's seconds measured signals of candidates."""

DECAY = 1 / 4
"""Share of a training that can be gone on with in which the rate falls; before it, weights are stored."""


@dataclass(frozen=True)
class Fidelity:
    """How much training an evaluation gets.

    Attributes:
        epochs: Passes over the search-train split.
        seed: Seed of initial weights, order and augmentation; equal for all candidates of one fidelity, so
            that their comparison is paired.
    """

    epochs: int
    seed: int = 0


@dataclass(frozen=True)
class Proposal:
    """An architecture that a strategy wants evaluated.

    Attributes:
        architecture: Canonical form: what is built.
        trajectory: Raw decisions and masks: what the strategy learns from.
        source: Who proposed it: ``random``, ``reference``, ``policy``, ``edit`` and so on.
        fidelity: The training wanted; None for the one that the run gives every candidate. Rungs overrule it.
    """

    architecture: Architecture
    trajectory: Trajectory
    source: str
    fidelity: Fidelity | None = None

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the architecture."""
        return self.architecture.fingerprint


class EvaluationState(StrEnum):
    """What became of a proposal."""

    COMPLETE = "complete"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Evaluation:
    """What a strategy is told about a proposal.

    Attributes:
        proposal: The proposal.
        state: What became of it. A ``DUPLICATE`` carries the score of the evaluation that it repeats.
        score: Reward on the validation split, higher is better; None unless there is one.
        fidelity: The training behind the score; None where nothing was trained.
        metrics: Further figures by name, such as ``balanced_accuracy`` or ``loss``.
        error_kind: Class of failure (see :mod:`gcnas.errors`) or the limit exceeded.
        error: Message of the failure.
        seconds: Wall clock of the evaluation, its share of measuring signals included.
    """

    proposal: Proposal
    state: EvaluationState
    score: float | None = None
    fidelity: Fidelity | None = None
    metrics: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    error_kind: str | None = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def repeats_unfinished(self) -> bool:
        """Whether it repeats a network of which nothing is known yet, and so says nothing about it."""
        return self.state is EvaluationState.DUPLICATE and self.score is None and self.error_kind is None

    @property
    def trained_epochs(self) -> float:
        """Epochs trained for this evaluation alone: fewer than its fidelity's where it went on from stored weights."""
        return self.metrics.get(TRAINED_EPOCHS, float(self.fidelity.epochs) if self.fidelity else 0.0)

    @property
    def training_seconds(self) -> float:
        """Wall clock without that of signals: what the same training would take again."""
        return self.seconds - self.metrics.get(SIGNAL_SECONDS, 0.0)
