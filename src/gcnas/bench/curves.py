"""Runs of one strategy on one space as curves, and bootstrap intervals over their seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcnas.bench.search import Run
from gcnas.errors import DataError

RESAMPLES = 2_000
AT_ONCE = 2_000
"""Queries whose intervals are computed at once."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """All runs of one strategy on one space.

    Attributes:
        space: Name of the space.
        strategy: Name of the strategy.
        seeds: Their seeds.
        regret: (seeds, Q) validation regret of the best so far after each query. A run that ended early stays at
            its last value: it had found the optimum, or proposed nothing new any more.
        queries: (seeds) queries to the optimum, infinite where it was not found.
        tests: (seeds) test score of the network with the best validation score; NaN if there is none.
        exhausted: Share of runs that ended because nothing new was proposed.
        overhead: Seconds of processor time per query, over all runs.
        repeats: Proposals that repeated a network, for each query.
    """

    space: str
    strategy: str
    seeds: tuple[int, ...]
    regret: Array
    queries: Array
    tests: Array
    exhausted: float
    overhead: float
    repeats: float

    @property
    def budget(self) -> int:
        """Q."""
        return int(self.regret.shape[1])

    @property
    def auc(self) -> Array:
        """(seeds) mean regret over queries 1 to Q."""
        return np.asarray(self.regret.mean(1))

    @property
    def censored(self) -> Array:
        """(seeds) queries to the optimum, Q + 1 where it was not found."""
        return np.minimum(self.queries, self.budget + 1)


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Runs by space and strategy, in the order in which these come.

    Raises:
        DataError: If runs that are compared had different budgets or optima.
    """
    members: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        members.setdefault((run.space, run.strategy), []).append(run)
    for space in dict.fromkeys(run.space for run in runs):
        given = {(run.budget, round(run.optimum, 8)) for run in runs if run.space == space}
        if len(given) > 1:
            raise DataError(
                f"Runs on {space} have different budgets and optima, and cannot be compared: {given}."
            )
    return [_group(sorted(group, key=lambda run: run.seed)) for group in members.values()]


def _group(runs: Sequence[Run]) -> Group:
    regret = np.array([_regret(run) for run in runs])
    found = [np.flatnonzero(curve <= 0) for curve in regret]
    counts = sum(len(run.queries) for run in runs)
    return Group(
        space=runs[0].space,
        strategy=runs[0].strategy,
        seeds=tuple(run.seed for run in runs),
        regret=regret,
        queries=np.array([places[0] + 1.0 if len(places) else np.inf for places in found]),
        tests=np.array([_test(run) for run in runs]),
        exhausted=float(np.mean([_is_exhausted(run) for run in runs])),
        overhead=sum(query.overhead for run in runs for query in run.queries) / counts,
        repeats=sum(query.duplicates for run in runs for query in run.queries) / counts,
    )


def _regret(run: Run) -> Array:
    regret = _left(run, np.maximum.accumulate([query.score for query in run.queries]))
    return np.append(regret, np.full(run.budget - len(regret), regret[-1]))


def _left(run: Run, best: Array) -> Array:
    """How far scores are from the optimum; sums of decimals differ in their last binary digits."""
    return np.round(run.optimum - best, 9)


def _is_exhausted(run: Run) -> bool:
    best = np.asarray(max(query.score for query in run.queries))
    return len(run.queries) < run.budget and bool(_left(run, best) > 0)


def _test(run: Run) -> float:
    best = max(run.queries, key=lambda query: query.score)
    return float("nan") if best.test is None else best.test


def censored_median(values: Array) -> Array:
    """Median over the last axis of values of which some are infinite.

    With an even number of values and the upper middle one infinite it is the lower one: half of the runs have then
    finished, as in a Kaplan-Meier curve.
    """
    ordered, half = np.sort(values, -1), values.shape[-1] // 2
    upper, lower = ordered[..., half], ordered[..., (values.shape[-1] - 1) // 2]
    return np.where(np.isfinite(upper), (np.where(np.isfinite(upper), upper, 0) + lower) / 2, lower)


def mean_interval(values: Array) -> tuple[Array, Array]:
    """95 % bootstrap interval of the mean over the first axis."""
    counts = np.apply_along_axis(np.bincount, 1, _resamples(len(values)), minlength=len(values))
    if values.ndim > 1 and values.shape[1] > AT_ONCE:  # of a million queries all at once would take gigabytes
        parts = [mean_interval(values[:, at : at + AT_ONCE]) for at in range(0, values.shape[1], AT_ONCE)]
        lows, highs = zip(*parts, strict=True)
        return np.concatenate(lows), np.concatenate(highs)
    means = counts @ values / len(values)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high


def interval(values: Array, statistic: Callable[[Array], Array]) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic over the last axis; infinite ends stay infinite."""
    found = np.sort(statistic(values[_resamples(len(values))]))
    return float(found[int(0.025 * RESAMPLES)]), float(found[int(0.975 * RESAMPLES)])


def _resamples(count: int) -> NDArray[np.int64]:
    """The same resamples for every group of a size, so that a report comes out the same each time."""
    return np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
