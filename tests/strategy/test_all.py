"""What holds for every strategy that comes with the package."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from tests.strategy.test_gcnas import QUICK

from gcnas.space import SearchSpace
from gcnas.strategy import STRATEGIES, Strategy, create_strategy
from gcnas.strategy.gcnas import GCNASStrategy
from gcnas.testing.strategy import StrategyTestCase

CASES = [name for name in dir(StrategyTestCase) if name.startswith("test_")]
LONG = "test_ten_thousand_evaluations"
QUICK_SAMPLERS = {"optuna:tpe", "optuna:nsga2", "optuna:random"}

ALWAYS = {
    "test_proposals_are_points_of_the_space",
    "test_a_state_leads_to_the_same_proposals",
    "test_results_in_any_order",
}
"""Those that `make test` runs for the slowest strategies too: `gcnas` as users have it, and redrawing."""

CREATE: dict[str, Callable[[SearchSpace, int], Strategy]] = {
    **{name: partial(create_strategy, name) for name in sorted(STRATEGIES)},
    "gcnas, rounds of three": partial(GCNASStrategy, settings=QUICK),
    "gcnas, rounds of one": partial(GCNASStrategy, settings=replace(QUICK, together=1)),
}
"""The usual settings of `gcnas` take minutes for the whole kit: `make test` has lighter ones for most of it."""


def case(name: str, test: str) -> object:
    learns_by_gradients = name.startswith(("reinforce", "gcnas"))
    late = name.startswith("optuna:") and name not in QUICK_SAMPLERS
    late = late or (name in ("gcnas", "reinforce-redraw") and test not in ALWAYS)
    marks = [pytest.mark.slow] if late or (test == LONG and learns_by_gradients) else []
    return pytest.param(name, test, marks=marks)


@pytest.mark.parametrize(("name", "test"), [case(name, test) for name in CREATE for test in CASES])
def test_the_conformance_kit(name: str, test: str) -> None:
    class Case(StrategyTestCase):
        create = staticmethod(CREATE[name])

    getattr(Case(), test)()
