"""Which candidates are worth a training, given what two kinds of models believe."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from gcnas.strategy.learned_kernel import Belief

Floats = NDArray[np.float64]


def mixture(members: Floats, process: Belief | None) -> Belief:
    """One belief from an ensemble's predictions (E, n) and a Gaussian process, each with half of the weight.

    The variance is that of the mixture of both: it grows where the two disagree. Either may be missing: no members,
    or no process.
    """
    if process is None:
        return Belief(members.mean(0), members.std(0))
    if not len(members):
        return process
    mean, variance = members.mean(0), members.var(0)
    both = (variance + process.deviation**2) / 2 + (mean - process.mean) ** 2 / 4
    return Belief((mean + process.mean) / 2, np.sqrt(both))


def expected_improvement(belief: Belief, best: float) -> Floats:
    """Expected improvement over the best target, (n)."""
    deviation = np.maximum(belief.deviation, 1e-12)
    z = (belief.mean - best) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    improvement: Floats = deviation * (z * ndtr(z) + density)
    return improvement


def thompson(members: Floats, process: Belief | None, random: np.random.Generator) -> Floats:
    """One plausible set of targets, (n): a member of the ensemble, or a draw from the process, each equally often."""
    member = int(random.integers(len(members) + (process is not None)))
    if process is None or member < len(members):
        drawn: Floats = members[member].copy()
        return drawn
    return process.mean + process.deviation * random.standard_normal(len(process.mean))
