"""What holds for every strategy that comes with the package."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from tests.strategy.kit import ALWAYS, KIT, LONG
from tests.strategy.test_gcnas import QUICK

from gcnas.space import SearchSpace
from gcnas.strategy import STRATEGIES, Strategy, create_strategy
from gcnas.strategy.gcnas import GCNASStrategy
from gcnas.testing.strategy import StrategyTestCase

QUICK_SAMPLERS = {"optuna:tpe", "optuna:nsga2", "optuna:random"}

USUAL = {"test_results_in_any_order"}
"""Those that `make test` runs for the slowest: `gcnas` with the settings that users have takes minutes for the kit."""

FEW = {
    "gcnas": set[str](),
    "gcnas, rounds of three": ALWAYS,
    "gcnas, rounds of one": set[str](),
    "reinforce-redraw": USUAL,
    # Of classes whose whole kit others run: `optuna:random` and `optuna:nsga2`, `reinforce` and `reinforce-rnn`.
    "optuna:tpe": ALWAYS | {"test_nothing_global_is_touched"},
    "reinforce-rnn-tuned": ALWAYS,
    "reinforce-rnn-parallel": ALWAYS,
    "reinforce-skeleton-first": ALWAYS
    | {
        "test_nothing_global_is_touched",
        "test_an_exhausted_space",
        "test_a_small_space_of_failures",
        "test_one_legal_choice",
    },
}

CREATE: dict[str, Callable[[SearchSpace, int], Strategy]] = {
    **{name: partial(create_strategy, name) for name in sorted(STRATEGIES)},
    "gcnas, rounds of three": partial(GCNASStrategy, settings=QUICK),
    "gcnas, rounds of one": partial(GCNASStrategy, settings=replace(QUICK, together=1)),
}
"""By name; lighter settings of `gcnas` beside the usual ones."""


def case(name: str, test: str) -> object:
    slow_in_the_end = name.startswith(("reinforce", "gcnas", "ceim", "optuna:"))
    late = name.startswith("optuna:") and name not in QUICK_SAMPLERS
    late = late or test not in FEW.get(name, KIT)
    marks = [pytest.mark.slow] if late or (test == LONG and slow_in_the_end) else []
    return pytest.param(name, test, marks=marks)


@pytest.mark.parametrize(("name", "test"), [case(name, test) for name in CREATE for test in KIT])
def test_the_conformance_kit(name: str, test: str) -> None:
    class Case(StrategyTestCase):
        create = staticmethod(CREATE[name])
        if name.startswith("gcnas, "):
            told = 12
        if name == "optuna:gp":
            ask_seconds = 8.0  # of all threads: its first ask imports and fits for 4 where others run beside

    getattr(Case(), test)()
