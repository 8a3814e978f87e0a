from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from tests.bench.made import Listed

from gcnas.bench import TableReference
from gcnas.bench.search import search_table, signals_of
from gcnas.errors import BenchError, ConfigurationError
from gcnas.records import EvaluationState
from gcnas.strategy import STRATEGIES
from gcnas.tabular import Table

MakeListed = Callable[[Sequence[str]], list[Listed]]


@pytest.fixture
def table(tiny_reference: TableReference) -> Table:
    return tiny_reference.load()


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> MakeListed:
    """Registers a strategy "listed" that proposes these keys; what is made of it comes into the list."""

    def register(keys: Sequence[str]) -> list[Listed]:
        made: list[Listed] = []

        def create(space: object, seed: int) -> Listed:
            made.append(Listed(space, keys))
            return made[-1]

        monkeypatch.setitem(STRATEGIES, "listed", create)
        return made

    return register


def test_repeats_and_missing_networks_cost_no_query(table: Table, listed: MakeListed) -> None:
    # i1 and i2 are the same nothing; c2p2 is missing.
    made = listed(["c1i1", "i2c1", "c2p2", "p1p1", "c1i1", "p1c1"])
    run = search_table(table, "listed", 0, 3)
    assert [query.key for query in run.queries] == [
        table.space.key(table.space.from_key(key)) for key in ("c1i1", "p1p1", "p1c1")
    ]
    assert [(query.duplicates, query.infeasible) for query in run.queries] == [(0, 0), (1, 1), (1, 0)]
    states = [evaluation.state for evaluation in made[0].told]
    complete, duplicate, infeasible = (
        EvaluationState.COMPLETE,
        EvaluationState.DUPLICATE,
        EvaluationState.INFEASIBLE,
    )
    assert states == [complete, duplicate, infeasible, complete, duplicate, complete]
    assert made[0].told[1].score == made[0].told[0].score == run.queries[0].score
    assert made[0].told[2].score is None


def test_the_strategy_never_sees_the_test_column(table: Table, listed: MakeListed) -> None:
    made = listed(["c1i1", "p1p1"])
    run = search_table(table, "listed", 0, 2)
    for query, evaluation in zip(run.queries, made[0].told, strict=False):
        assert query.test == table.test(evaluation.proposal.architecture)
        assert query.test not in (evaluation.score, *evaluation.metrics.values())


def test_a_strategy_that_only_repeats_ends(table: Table, listed: MakeListed) -> None:
    made = listed(["c1i1", "p1p1"])
    run = search_table(table, "listed", 0, 50)
    assert len(run.queries) == 2
    assert len(made[0].told) == 2 + 1_000
    assert run.repeats_after == 1_000
    assert run.overhead_after > 0
    assert run.overhead == run.overhead_after + sum(query.overhead for query in run.queries)
    assert sum(query.duplicates for query in run.queries) == 0


def test_repeats_and_missing_networks_end_a_run_together(table: Table, listed: MakeListed) -> None:
    """Each repeat comes after 99 networks that the table lacks; what brings nothing new counts either way."""
    made = listed(["c1i1", "p1p1", *(["c2p2"] * 99 + ["c1i1"]) * 50])
    run = search_table(table, "listed", 0, 50)
    assert len(run.queries) == 2
    assert len(made[0].told) == 2 + 1_000
    assert run.repeats_after == 10


def test_a_strategy_that_finds_nothing_fails(table: Table, listed: MakeListed) -> None:
    made = listed(["c2p2"])
    with pytest.raises(BenchError, match="listed"):
        search_table(table, "listed", 0, 50)
    assert len(made[0].told) == 1_000


def test_the_run_stops_at_the_optimum(table: Table, listed: MakeListed) -> None:
    best = next(key for key, row in table.rows.items() if table.levels[10].rewards[row] == table.best)
    listed(["c1i1", best, "p1p1"])
    run = search_table(table, "listed", 0, 50)
    assert [query.score for query in run.queries][-1] == run.optimum == table.best
    assert len(run.queries) == 2


def test_a_batch_runs_on_as_many_simulated_workers(table: Table, listed: MakeListed) -> None:
    keys = ["c1i1", "p1p1", "p1c1", "c1c1", "p2c1"]
    made = listed(keys)
    run = search_table(table, "listed", 0, 5, batch=2)
    assert made[0].asked[:3] == [2, 2, 1]
    seconds = {}
    for key in keys:
        entry = table.entry(table.space.from_key(key))
        assert entry is not None
        seconds[key] = entry.seconds
    first, second, third = (max(seconds[k] for k in part) for part in (keys[:2], keys[2:4], keys[4:]))
    clocks = [query.clock for query in run.queries]
    assert clocks == sorted(clocks)
    assert (clocks[1], clocks[3], clocks[4]) == (first, first + second, first + second + third)


def test_equal_seeds_give_equal_runs(table: Table) -> None:
    def keys(seed: int) -> list[str]:
        return [query.key for query in search_table(table, "random", seed, 12).queries]

    assert keys(3) == keys(3) != keys(4)


def test_unknown_strategies(table: Table) -> None:
    with pytest.raises(ConfigurationError, match="nobody"):
        search_table(table, "nobody", 0, 5)


def test_an_arm_that_reads_the_signals_of_a_table(table: Table) -> None:
    assert signals_of(table) is None
    with pytest.raises(ConfigurationError, match="signals: "):
        search_table(table, "gcnas:signals", 0, 5)
    # What a table would tell without training: here the seconds, with nothing for networks without a score.
    measured = replace(table, measured={"s": table.levels[10].seconds})
    source = signals_of(measured)
    assert source is not None
    assert source.names == ("s",)
    assert source.measure(table.space.from_key("c1c1")) == {"s": table.levels[10].seconds[table.rows["c1c1"]]}

    def keys(problem: Table, arm: str) -> list[str]:
        return [query.key for query in search_table(problem, arm, 1, 10).queries]

    assert keys(measured, "gcnas:signals") != keys(measured, "gcnas") == keys(table, "gcnas")
