from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.conftest import MakeRun

from gcnas.report.curves import MAX_STEPS, best_so_far, expected_best, pareto_front
from gcnas.report.record import read_run


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_expected_best_is_the_mean_over_all_orders(scores: list[float]) -> None:
    orders = list(permutations(scores))
    means = [(n, sum(max(order[:n]) for order in orders) / len(orders)) for n in range(1, len(scores) + 1)]
    curve = expected_best(scores)
    assert [n for n, _ in curve] == [n for n, _ in means]
    assert [y for _, y in curve] == pytest.approx([y for _, y in means])


def test_expected_best_of_many() -> None:
    curve = expected_best([index / 20_000 for index in range(20_000)])
    assert len(curve) <= MAX_STEPS
    assert curve[0] == (1, pytest.approx(0.5, abs=1e-3))
    assert curve[-1] == (20_000, pytest.approx(19_999 / 20_000))
    assert expected_best([]) == ()


SCORES = [0.5, ("crash", "x"), 0.4, 0.7, 0.6, None]


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    return make_run(trials=6, outcome=lambda _, number: SCORES[number - 1])


def test_best_so_far(run: Path) -> None:
    assert best_so_far(read_run(run).trials) == ((1, 0.5), (4, 0.7), (5, 0.7))


def test_pareto_front(run: Path) -> None:
    trials = read_run(run).trials
    front = pareto_front(trials)
    complete = [trial for trial in trials if trial.complete]
    for trial in complete:
        beaten = any(
            other.score >= trial.score
            and other.cost.parameters <= trial.cost.parameters
            and (other.score, -other.cost.parameters) != (trial.score, -trial.cost.parameters)
            for other in complete
        )
        assert (trial in front) == (not beaten)
