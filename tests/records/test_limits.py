from dataclasses import FrozenInstanceError

import pytest

from gcnas.records import Cost, Limits

COST = Cost(parameters=1_000, multiply_adds=20_000, activations=300)


def test_no_limit_is_never_broken() -> None:
    assert Limits().violation(Cost(10**12, 10**12, 10**12)) is None


def test_limits_are_inclusive() -> None:
    assert Limits(1_000, 20_000, 300).violation(COST) is None


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(parameters=999), "parameters 1,000 > 999"),
        (Limits(multiply_adds=19_999), "multiply_adds 20,000 > 19,999"),
        (Limits(activations=299), "activations 300 > 299"),
        (Limits(1_000, 19_999, 299), "multiply_adds 20,000 > 19,999"),
        (Limits(0, 0, 0), "parameters 1,000 > 0"),
    ],
)
def test_the_first_broken_limit_is_named_with_both_figures(limits: Limits, message: str) -> None:
    assert limits.violation(COST) == message


def test_costs_and_limits_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        COST.parameters = 0  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Limits().parameters = 5  # type: ignore[misc]


def test_size_and_latency() -> None:
    cost = Cost(1_000, 0, 0, 4_500, 1.25)
    assert Limits(size=4_500, latency=1.25).violation(cost) is None
    assert Limits(size=4_499).violation(cost) == "size 4,500 > 4,499"
    assert Limits(latency=1.0).violation(cost) == "latency 1.25 > 1"
    # A latency that nobody predicted breaks nothing; a file is at least as large as its parameters.
    assert Limits(latency=1.0).violation(COST) is None
    assert Limits(size=3_999).violation(COST) == "size 4,000 > 3,999"


def test_a_limit_on_size_bounds_parameters() -> None:
    assert Limits(size=4_003).bound("parameters") == 1_000
    assert Limits(parameters=900, size=4_003).bound("parameters") == 900
    assert Limits(multiply_adds=7, size=4_003).bound("multiply_adds") == 7
    assert Limits().bound("parameters") is None


def test_the_tighter_of_two() -> None:
    both = Limits(10, None, 5).within(Limits(20, 30, None, 40, 0.5))
    assert both == Limits(10, 30, 5, 40, 0.5)
