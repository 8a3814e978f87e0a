import pytest

from gcnas.records import Fidelity
from gcnas.run.rungs import LEAST_STEPS, rungs


@pytest.mark.parametrize(
    ("full", "expected"),
    [
        (1, [1]),
        (2, [1, 2]),
        (3, [1, 3]),
        (4, [1, 4]),
        (5, [1, 2, 5]),
        (9, [1, 3, 9]),
        (20, [2, 7, 20]),
        (90, [10, 30, 90]),
    ],
)
def test_rungs_are_a_ninth_a_third_and_all(full: int, expected: list[int]) -> None:
    found = rungs(Fidelity(full, 5), LEAST_STEPS)
    assert [fidelity.epochs for fidelity in found] == expected
    assert {fidelity.seed for fidelity in found} == {5}


@pytest.mark.parametrize(("steps", "expected"), [(200, [3, 9, 27]), (60, [9, 27]), (10, [27]), (1, [27])])
def test_little_training_is_no_rung(steps: int, expected: list[int]) -> None:
    assert [fidelity.epochs for fidelity in rungs(Fidelity(27), steps)] == expected
