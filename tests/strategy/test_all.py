"""What holds for every strategy that comes with the package."""

from functools import partial

import pytest

from gcnas.strategy import STRATEGIES, create_strategy
from gcnas.testing.strategy import StrategyTestCase

CASES = [name for name in dir(StrategyTestCase) if name.startswith("test_")]
LONG = "test_ten_thousand_evaluations"
QUICK_SAMPLERS = {"optuna:tpe", "optuna:nsga2", "optuna:random"}


def case(name: str, test: str) -> object:
    learns_by_gradients = name.startswith("reinforce") or name == "gcnas"
    late = name.startswith("optuna:") and name not in QUICK_SAMPLERS
    marks = [pytest.mark.slow] if late or (test == LONG and learns_by_gradients) else []
    return pytest.param(name, test, marks=marks)


@pytest.mark.parametrize(("name", "test"), [case(name, test) for name in sorted(STRATEGIES) for test in CASES])
def test_the_conformance_kit(name: str, test: str) -> None:
    class Case(StrategyTestCase):
        create = partial(create_strategy, name)

    getattr(Case(), test)()
