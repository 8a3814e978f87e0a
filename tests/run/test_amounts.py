"""How much training candidates get in a wall clock, with one worker and with several."""

import pytest

from gcnas.config import RunConfig
from gcnas.run.amounts import choose_amounts


@pytest.mark.parametrize(
    ("workers", "seconds_of_a_candidate"),
    [(1, 300 / 8), (2, 300 / 6), (64, 300 / 6)],
)
def test_each_worker_gets_its_candidates(workers: int, seconds_of_a_candidate: float) -> None:
    """Below a quarter of the search, which is the time limit of a candidate."""
    config = RunConfig.create(data="digits", budget="600s")
    amounts = choose_amounts(config, 10_000, lambda: 800.0, workers)
    assert amounts.epochs == int(seconds_of_a_candidate * 800 / 10_000)
    assert amounts.search_seconds == 300
    assert amounts.candidate_seconds == 75


def test_without_a_clock_workers_change_nothing() -> None:
    config = RunConfig.create(data="digits", budget=10)
    assert choose_amounts(config, 10_000, lambda: 800.0, 1) == choose_amounts(config, 10_000, lambda: 800.0, 4)
