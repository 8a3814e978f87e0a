import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gcnas.bench import TableReference
from gcnas.bench.landscape import GROWN_SMALL, Landscape
from gcnas.bench.measures import depth_shares, measure, thirds, threshold, top_depth_shares
from gcnas.bench.search import Query, Run

SMALL = GROWN_SMALL.load()


def _run(keys: Sequence[str], scores: Sequence[float], duplicates: int = 0, budget: int = 6) -> Run:
    pairs = zip(keys, scores, strict=True)
    queries = tuple(Query(key, score, None, "made", duplicates, 0, 0.5, 0.0) for key, score in pairs)
    return Run("grown-small", "arm", 0, budget, 1.0, queries)


def test_measures_of_a_run() -> None:
    top = SMALL.quantile(0.95)
    keys = ["2:00", "2:00.2:00", "2:00.2:00", "2:00.2:00.2:00", "2:00.2:00", "2:00.2:00.2:00"]
    scores = [0.1, 0.2, top, top - 0.01, top + 0.01, 0.3]
    (row,) = measure([_run(keys, scores, duplicates=2)], SMALL)
    best = np.maximum.accumulate(scores)
    assert row["auc_regret"] == pytest.approx(1 - best.mean())
    assert row["regret_end"] == pytest.approx(1 - max(scores))
    assert row["found"] == 0.0
    assert row["unique_share"] == pytest.approx(6 / 18)
    assert [row[f"top5_{name}"] for name in ("first", "middle", "last")] == [0.0, 0.5, 0.5]
    shares = np.array([1, 3, 2]) / 6
    assert row["depth_entropy"] == pytest.approx(-(shares * np.log(shares)).sum())
    assert row["depth_last"] == 2.5
    scores_of_all, depths = SMALL.population
    best_depths = depths[scores_of_all >= SMALL.quantile(0.99)]
    wanted = [(best_depths == depth).mean() for depth in range(5)]
    gap = sum(abs(x - y) for x, y in zip([0, 0, 0.5, 0.5, 0], wanted, strict=True)) / 2
    assert row["depth_gap"] == pytest.approx(gap)
    assert row["seconds"] == 3.0


def test_repeats_that_ended_a_run_count() -> None:
    run = replace(_run(["2:00", "2:00.2:00"], [0.1, 0.2], duplicates=1), repeats_after=1_000)
    run = replace(run, overhead_after=2.5)
    (row,) = measure([run], SMALL)
    assert row["seconds"] == pytest.approx(2.5 + sum(query.overhead for query in run.queries))
    assert row["unique_share"] == pytest.approx(2 / 1_004)


def test_a_run_that_ended_at_the_optimum_is_cut_in_three_all_the_same() -> None:
    keys = ["2:00", "2:00.2:00"]
    (row,) = measure([_run(keys, [0.2, 1.0])], SMALL)
    assert (row["found"], row["regret_end"]) == (1.0, 0.0)
    assert row["top5_first"] is None
    assert (row["top5_middle"], row["top5_last"], row["depth_last"]) == (0.0, 1.0, 2.0)


def test_thirds_and_depths() -> None:
    run = _run(["2:00"] * 2 + ["2:00.2:00"] * 2, [0.1] * 4, budget=5)
    assert [len(part) for part in thirds(run)] == [1, 1, 2]
    assert depth_shares(run.queries, SMALL).tolist() == [0, 0.5, 0.5, 0, 0]
    assert top_depth_shares(SMALL).sum() == pytest.approx(1)


def test_the_top_of_a_table_is_that_of_its_networks(tiny_reference: TableReference) -> None:
    table = tiny_reference.load()
    networks = {key for key in table.rows if key not in table.space.representatives}
    rewards = [float(table.levels[10].rewards[table.rows[key]]) for key in networks]
    known = sorted(reward for reward in rewards if not math.isnan(reward))
    assert threshold(table, 0.95) == pytest.approx(np.quantile(known, 0.95))
    landscape: Landscape = SMALL
    assert threshold(landscape, 0.95) == SMALL.quantile(0.95)
    (row,) = measure([Run("tiny", "arm", 0, 2, table.best, _run(["c1c1"], [known[-1]]).queries)], table)
    assert (row["depth_entropy"], row["found"]) == (None, 1.0)
