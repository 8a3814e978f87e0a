"""What the experiments measure of a run."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gcnas.bench.curves import group_runs
from gcnas.bench.landscape import Landscape, depth_of_key
from gcnas.bench.problem import Problem
from gcnas.bench.search import Query, Run
from gcnas.bench.summary import Cell
from gcnas.tabular import Table

Floats = NDArray[np.float64]

TOP, BEST = 0.95, 0.99
"""Shares of all networks that are worse than the top 5 % and the top 1 %."""

MEASURES = (
    "auc_regret", "regret_end", "found", "unique_share", "top5_first", "top5_middle", "top5_last", "depth_entropy",
    "depth_last", "depth_gap", "seconds",
)  # fmt: skip
"""Of each run:

- ``auc_regret``, ``regret_end``: regret of the best so far, over all queries and at the end; lower is better
- ``found``: whether the optimum was found
- ``unique_share``: queries by proposals that the problem knows; the others repeated one, also after the last query
- ``top5_first``, ``top5_middle``, ``top5_last``: share of the top 5 % of all networks among each third of the queries
- ``depth_entropy``: of the depths of all queries, in nats
- ``depth_last``: mean depth of the queries of the last third
- ``depth_gap``: total variation between the depths of the last third and those of the top 1 % of all networks
- ``seconds``: processor time of the strategy, that spent on the repeats that ended a run included (runs that were
  kept before it was counted are without that)
"""


def measure(runs: Sequence[Run], problem: Problem) -> list[dict[str, Cell]]:
    """One row for each run on a problem; a measure that a run lacks is None."""
    top = threshold(problem, TOP)
    rows: list[dict[str, Cell]] = []
    known = {(run.strategy, run.seed): run for run in runs}
    for group in group_runs(runs):
        for index, seed in enumerate(group.seeds):
            run = known[group.strategy, seed]
            row: dict[str, Cell] = {"space": run.space, "arm": run.strategy, "seed": seed}
            row |= {"queries": len(run.queries), "budget": run.budget}
            row |= {"auc_regret": float(group.auc[index]), "regret_end": float(group.regret[index, -1])}
            row |= {"found": float(np.isfinite(group.queries[index]))}
            rows.append(row | _proposals(run, top) | _depths(run, problem))
    return rows


def _proposals(run: Run, top: float) -> dict[str, Cell]:
    repeats = sum(query.duplicates for query in run.queries) + run.repeats_after
    shares = {
        f"top5_{name}": _mean([query.score >= top for query in part])
        for name, part in zip(("first", "middle", "last"), thirds(run), strict=True)
    }
    unique = len(run.queries) / (len(run.queries) + repeats)
    return {"unique_share": unique, **shares, "seconds": run.overhead}


def _depths(run: Run, problem: Problem) -> dict[str, Cell]:
    if not isinstance(problem, Landscape):
        return {"depth_entropy": None, "depth_last": None, "depth_gap": None}
    everything, last = depth_shares(run.queries, problem), depth_shares(thirds(run)[2], problem)
    present = everything[everything > 0]
    return {
        "depth_entropy": float(-(present * np.log(present)).sum()),
        "depth_last": float(last @ np.arange(len(last))),
        "depth_gap": float(np.abs(last - top_depth_shares(problem)).sum() / 2),
    }


def thirds(run: Run) -> tuple[Sequence[Query], Sequence[Query], Sequence[Query]]:
    """The queries in three parts; a run may have ended before its budget."""
    first, second = len(run.queries) // 3, 2 * len(run.queries) // 3
    return run.queries[:first], run.queries[first:second], run.queries[second:]


def depth_shares(queries: Sequence[Query], problem: Landscape) -> Floats:
    """(D + 1) share of each depth among queries."""
    depths = [depth_of_key(query.key) for query in queries]
    return np.bincount(depths, minlength=problem.space.max_depth + 1) / max(len(depths), 1)


def top_depth_shares(problem: Landscape) -> Floats:
    """(D + 1) share of each depth in the top 1 % of all networks, or of random ones."""
    scores, depths = problem.population
    top = depths[scores >= problem.quantile(BEST)]
    return np.bincount(top, minlength=problem.space.max_depth + 1) / len(top)


def threshold(problem: Problem, share: float) -> float:
    """The score that this share of all networks does not exceed."""
    if isinstance(problem, Landscape):
        return problem.quantile(share)
    if not isinstance(problem, Table):
        raise TypeError(f"the networks of {type(problem).__name__} are not known")
    rewards = problem.levels[problem.fidelity.epochs].rewards
    rows = [row for key, row in problem.rows.items() if key not in problem.space.representatives]
    return float(np.nanquantile(rewards[rows], share))


def _mean(values: Sequence[bool]) -> float | None:
    return float(np.mean(values)) if values else None
