"""From scores to what models are fitted to."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]


def normal_scores(scores: Floats) -> Floats:
    r"""Normal scores :math:`\Phi^{-1}((r - 1/2) / n)` of the mid-ranks r, (n) to (n).

    Only the order of the scores counts, so accuracies near their ceiling are told apart as well as others.
    """
    from scipy.stats import rankdata  # slow to import, and most commands have no use for it

    quantiles: Floats = ndtri((rankdata(scores) - 0.5) / max(len(scores), 1))
    return quantiles


def normal_scores_by_group(scores: Floats, groups: NDArray[np.int64]) -> Floats:
    """Normal scores within each group: scores of different trainings are not comparable."""
    targets = np.zeros(len(scores))
    for group in np.unique(groups):
        here = groups == group
        targets[here] = normal_scores(scores[here])
    return targets
