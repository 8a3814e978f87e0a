"""The tests of the conformance kit, and which of them `make test` leaves to `make test-all`."""

from collections.abc import Iterable

import pytest

from gcnas.testing.strategy import StrategyTestCase

LONG = "test_ten_thousand_evaluations"
KIT = [name for name in dir(StrategyTestCase) if name.startswith("test_")]

ALWAYS = {
    "test_proposals_are_points_of_the_space",
    "test_a_state_leads_to_the_same_proposals",
    "test_results_in_any_order",
}
"""Those that `make test` runs for slow strategies too."""


def cases_of_a_slow_strategy(always: Iterable[str] = ALWAYS) -> list[object]:
    """The kit without its longest test as parameters, the others than these marked slow."""
    kept = set(always)
    marks = {name: [] if name in kept else [pytest.mark.slow] for name in KIT if name != LONG}
    return [pytest.param(name, marks=each) for name, each in marks.items()]
