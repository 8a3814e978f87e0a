"""How long a candidate will take, from the run's own evaluations."""

from bisect import insort

import numpy as np

from gcnas.errors import TimeLimitError
from gcnas.records import Architecture, Evaluation, EvaluationState
from gcnas.space import SearchSpace

MIN_OBSERVATIONS = 4
"""Evaluations needed before anything is predicted."""

REFIT = 0.02
"""The model is fitted again after so many more evaluations, as a share of those that it knows: a fit reads them all."""


class RunningMedian:
    """The median of numbers that come one at a time."""

    def __init__(self) -> None:
        self._sorted: list[float] = []

    def add(self, value: float) -> None:
        """Take one more number."""
        insort(self._sorted, value)

    @property
    def value(self) -> float:
        """The median; 0 without numbers."""
        if not self._sorted:
            return 0.0
        middle = len(self._sorted) // 2
        return (self._sorted[middle] + self._sorted[~middle]) / 2


class DurationModel:
    """Seconds of an evaluation as a non-negative linear function of what the network does.

    Multiply-adds alone do not predict the time on a CPU: depthwise layers move much data for few of them. So
    the numbers that all layers write are the second input.

    Args:
        space: Fitted space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._features: list[tuple[float, float, float]] = []
        self._seconds: list[float] = []
        self._weights: np.ndarray | None = None
        self._fitted = 0

    def learn(self, evaluation: Evaluation) -> None:
        """Learn the seconds of an epoch from an evaluation.

        One that was stopped at its time limit takes at least as long as it had for each of its epochs; that is an
        observation where less is predicted.
        """
        architecture, fidelity = evaluation.proposal.architecture, evaluation.fidelity
        if evaluation.state is EvaluationState.COMPLETE and evaluation.trained_epochs > 0:
            self.observe(architecture, evaluation.training_seconds / evaluation.trained_epochs)
        elif evaluation.error_kind == TimeLimitError.kind and fidelity is not None:
            least = evaluation.training_seconds / fidelity.epochs
            if (self.predict(architecture) or 0.0) < least:
                self.observe(architecture, least)

    def observe(self, architecture: Architecture, seconds: float) -> None:
        """Learn from an evaluation."""
        self._features.append(self._describe(architecture))
        self._seconds.append(seconds)

    def predict(self, architecture: Architecture) -> float | None:
        """Seconds, or None while too little is known."""
        if len(self._seconds) < MIN_OBSERVATIONS:
            return None
        if self._weights is None or len(self._seconds) > (1 + REFIT) * self._fitted:
            self._weights, self._fitted = self._fit(), len(self._seconds)
        return float(np.dot(self._describe(architecture), self._weights))

    def _fit(self) -> np.ndarray:
        from scipy.optimize import nnls  # slow to import, and short searches never predict

        features, seconds = np.asarray(self._features), np.asarray(self._seconds)
        # Relative errors count, so each row is divided by its seconds.
        rows = features / seconds[:, None].clip(1e-6)
        scale = rows.max(0).clip(1e-12)
        return np.asarray(nnls(rows / scale, np.ones(len(rows)))[0] / scale)

    def _describe(self, architecture: Architecture) -> tuple[float, float, float]:
        plans = self._space.plan(architecture)
        written = sum(plan.output.numbers + plan.merge.output.numbers + plan.cost.activations for plan in plans)
        return 1.0, float(sum(plan.cost.multiply_adds for plan in plans)), float(written)
