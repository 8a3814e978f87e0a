"""Which strategies differ: paired Wilcoxon tests with Holm's correction."""

import warnings
from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from gcnas.bench.curves import Array, Group
from gcnas.bench.summary import Cell

COLUMNS = (
    "metric", "space", "strategy", "rival", "pairs", "mean_difference", "better", "worse", "equal", "p", "p_holm",
)  # fmt: skip


def compare(groups: Sequence[Group], against: str | None = None) -> list[dict[str, Cell]]:
    """Tests of all pairs of strategies on each space.

    The metrics are the area under the regret curve and the queries to the optimum, with Q + 1 where it was not
    found; lower is better. Seeds that both strategies have are paired. Holm's correction is over all tests of a
    metric.

    Args:
        groups: The runs.
        against: If given, only pairs with this strategy are tested.
    """
    rows: list[dict[str, Cell]] = []
    for metric in ("auc_regret", "queries"):
        tests = [_test(metric, first, second) for first, second in _pairs(groups, against)]
        tests = [test for test in tests if test["pairs"]]
        corrected = holm([float(test["p"]) for test in tests])  # type: ignore[arg-type]
        rows += [test | {"p_holm": p} for test, p in zip(tests, corrected, strict=True)]
    return rows


def _pairs(groups: Sequence[Group], against: str | None) -> list[tuple[Group, Group]]:
    spaces = dict.fromkeys(group.space for group in groups)
    here = [[group for group in groups if group.space == space] for space in spaces]
    if against is None:
        return [pair for members in here for pair in combinations(members, 2)]
    return [
        (first, second)
        for members in here
        for first, second in product(members, members)
        if first.strategy == against != second.strategy
    ]


def _test(metric: str, first: Group, second: Group) -> dict[str, Cell]:
    seeds = [seed for seed in first.seeds if seed in second.seeds]
    names = {"metric": metric, "space": first.space, "strategy": first.strategy, "rival": second.strategy}
    difference = _values(metric, first, seeds) - _values(metric, second, seeds)
    return {**names, **paired(difference, below="better", above="worse")}


def paired(differences: Array, below: str, above: str) -> dict[str, Cell]:
    """The cells of a paired test.

    Args:
        differences: One for each pair; those that differ from 0 by rounding alone are 0.
        below: Name of the number of those below 0.
        above: Name of the number of those above.
    """
    differences = np.round(differences, 9)
    return {
        "pairs": len(differences),
        "mean_difference": float(differences.mean()) if len(differences) else 0.0,
        below: int((differences < 0).sum()),
        above: int((differences > 0).sum()),
        "equal": int((differences == 0).sum()),
        "p": wilcoxon(differences),
        "p_holm": None,
    }


def _values(metric: str, group: Group, seeds: Sequence[int]) -> Array:
    values = group.auc if metric == "auc_regret" else group.censored
    return values[[group.seeds.index(seed) for seed in seeds]]


def wilcoxon(differences: Array) -> float:
    """Two-sided p of the signed-rank test, of the pairs that differ; 1 where nothing does."""
    # Imported here: scipy.stats takes most of a second.
    from scipy.stats import wilcoxon as signed_rank

    # Areas that differ by rounding alone are equal.
    differences = np.round(differences, 9)
    # Told how few are left, the test counts all their signs, in place of taking them for a normal distribution.
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    with warnings.catch_warnings():
        # Ties and few pairs make the p approximate, which some versions say in a warning.
        warnings.simplefilter("ignore")
        return float(signed_rank(differences).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down correction of p-values."""
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    stepped: NDArray[np.float64] = np.minimum(np.maximum.accumulate(np.array(values)[order] * factors), 1.0)
    corrected = np.empty(len(values))
    corrected[order] = stepped
    return [float(value) for value in corrected]
