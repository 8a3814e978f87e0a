"""Which candidates are worth a training, given what two kinds of models believe."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from gcnas.strategy.learned_kernel import Belief

Floats = NDArray[np.float64]


def beliefs(members: Floats, process: Belief | None) -> list[Belief]:
    """What each kind of model believes: an ensemble with predictions (E, n), E may be 0, and a process, if given."""
    found = [Belief(members.mean(0), members.std(0))] if len(members) else []
    return found if process is None else [*found, process]


def expected_mean(models: Sequence[Belief]) -> Floats:
    """Mean of the equal mixture of some beliefs, (n)."""
    mean: Floats = np.mean([belief.mean for belief in models], 0)
    return mean


def mixed_improvement(models: Sequence[Belief], best: float) -> Floats:
    """Expected improvement under the equal mixture of some beliefs, (n).

    That of a mixture is the mean over its parts. A normal distribution with the mixture's variance would expect most
    where the models merely disagree.
    """
    improvement: Floats = np.mean([expected_improvement(belief, best) for belief in models], 0)
    return improvement


def expected_improvement(belief: Belief, best: float) -> Floats:
    """Expected improvement over the best target, (n)."""
    deviation = np.maximum(belief.deviation, 1e-12)
    z = (belief.mean - best) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    improvement: Floats = deviation * (z * ndtr(z) + density)
    return improvement


def thompson(members: Floats, process: Belief | None, random: np.random.Generator) -> Floats:
    """One plausible target for each, (n): a member of the ensemble, or draws from the process, each equally often.

    Draws from the process are independent, so together they are no draw of one function from it.
    """
    member = int(random.integers(len(members) + (process is not None)))
    if process is None or member < len(members):
        drawn: Floats = members[member].copy()
        return drawn
    return process.mean + process.deviation * random.standard_normal(len(process.mean))
