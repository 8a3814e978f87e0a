"""Drivers and workers killed at random instants: nothing finished is lost, nothing is evaluated twice."""

from pathlib import Path

import pytest
from tests.run.killing import TOY_TRIALS, Tally, torment_toy
from tests.run.killing_digits import torment_digits


def check(tallies: dict[str, Tally], kills: int) -> None:
    assert sum(sum(tally.kills.values()) for tally in tallies.values()) == kills
    for tally in tallies.values():
        assert (tally.lost, tally.doubled, tally.different or 0) == (0, 0, 0), tallies


def check_toy(tallies: dict[str, Tally], kills: int) -> None:
    check(tallies, kills)
    assert all(tally.trials == tally.runs * TOY_TRIALS for tally in tallies.values())


def test_some_random_kills_on_a_toy_space(tmp_path: Path) -> None:
    """With seeds whose kills wait for a result, and so find a run."""
    check_toy(torment_toy(tmp_path, 2, seed=2, only=("learner", "rungs")), 2)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_random_kills_on_a_toy_space(tmp_path: Path) -> None:
    check_toy(torment_toy(tmp_path, 200), 200)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_random_kills_on_real_training(tmp_path: Path) -> None:
    check(torment_digits(tmp_path, 20), 20)
