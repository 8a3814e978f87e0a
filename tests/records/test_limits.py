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
