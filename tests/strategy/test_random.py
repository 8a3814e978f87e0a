import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from gcnas.errors import ConfigurationError
from gcnas.records import LayerAction, Limits
from gcnas.space import Choice, Cost, InputShape, LayerType, SearchSpace, Shape, Values
from gcnas.space.growth import CONNECTION_RATE
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy, create_strategy

SPACE = CNN.fit(InputShape(1, 16, 16, 10))
LIMITED = CNN.fit(InputShape(1, 16, 16, 10), Limits(20_000, 2_000_000))


class Pointwise(LayerType):
    """One hyper-parameter decides the cost, so that masks alone keep networks within limits."""

    filters = Choice(4, 8, 16)

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape.strided(values["filters"])

    def cost(self, shape: Shape, values: Values) -> Cost:
        weights = shape.channels * values["filters"]
        return Cost(weights, weights * shape.height * shape.width)


class Nothing(LayerType):
    """There is nothing to decide."""

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost()


def depths(space: SearchSpace, n: int) -> list[int]:
    return [len(proposal.trajectory.actions) - 1 for proposal in RandomStrategy(space, 3).ask(n)]


@pytest.mark.parametrize(("least", "most"), [(2, 20), (3, 7), (1, 2), (4, 4)])
def test_depths_are_uniform(least: int, most: int) -> None:
    found = Counter(depths(replace(SPACE, min_depth=least, max_depth=most), 600))
    assert set(found) == set(range(least, most + 1))
    assert most == least or chisquare([found[depth] for depth in range(least, most + 1)]).pvalue > 0.01


def test_types_and_options_are_uniform() -> None:
    space = replace(SPACE, min_depth=1, max_depth=1)
    actions = [proposal.trajectory.actions[0] for proposal in RandomStrategy(space, 0).ask(3_000)]
    types = Counter(action.type for action in actions)
    assert chisquare([types[code] for code in range(6)]).pvalue > 0.01
    filters = Counter(action.hyperparameters[0] for action in actions if action.type == 0)
    assert chisquare([filters[index] for index in range(9)]).pvalue > 0.01


def test_connections_come_at_their_rate() -> None:
    proposals = RandomStrategy(replace(SPACE, min_depth=15), 0).ask(100)
    for distance in range(2, 5):
        bits = [
            action.connections[distance - 2]
            for proposal in proposals
            for action in proposal.trajectory.actions[distance:-1]
        ]
        deviation = (CONNECTION_RATE * (1 - CONNECTION_RATE) / len(bits)) ** 0.5
        assert abs(np.mean(bits) - CONNECTION_RATE) < 4 * deviation


def test_only_what_masks_allow_is_drawn() -> None:
    for proposal in RandomStrategy(LIMITED, 0).ask(100):
        for action, mask in zip(proposal.trajectory.actions, proposal.trajectory.masks, strict=True):
            assert mask.types[action.type]
            chosen = zip(action.hyperparameters, mask.hyperparameters, strict=True)
            assert all(flags[index] for index, flags in chosen)
            assert all(flag or not bit for bit, flag in zip(action.connections, mask.connections, strict=False))


def test_masks_keep_networks_within_limits_where_they_can() -> None:
    space = SearchSpace("s", (Pointwise(),), min_depth=1, window=1)
    space = space.fit(InputShape(1, 8, 8, 5), Limits(600, 30_000))
    costs = [space.cost(proposal.architecture) for proposal in RandomStrategy(space, 0).ask(200)]
    assert all(space.limits.violation(cost) is None for cost in costs)
    assert max(cost.parameters for cost in costs) > 550


def test_networks_stop_early_at_a_limit() -> None:
    space = SearchSpace("s", (Pointwise(),), min_depth=10, window=1)
    space = space.fit(InputShape(1, 8, 8, 5), Limits(600, 30_000))
    early = [
        proposal for proposal in RandomStrategy(space, 0).ask(100) if len(proposal.trajectory.actions) < 11
    ]
    assert early
    for proposal in early:
        assert proposal.trajectory.masks[-1].types == (False, True)


def test_impossible_limits_leave_the_empty_network() -> None:
    space = CNN.fit(InputShape(1, 16, 16, 10), Limits(parameters=5))
    proposals = RandomStrategy(space, 0).ask(3)
    assert [proposal.architecture.depth for proposal in proposals] == [0, 0, 0]


@pytest.mark.parametrize(
    "space",
    [
        replace(SPACE, min_depth=1, max_depth=1),
        replace(SPACE, window=1),
        replace(SPACE, window=40),
        CNN.fit(InputShape(1, 1, 1, 1)),
    ],
    ids=["depth 1", "window 1", "window beyond the depth", "one pixel"],
)
def test_spaces_at_their_bounds(space: SearchSpace) -> None:
    for proposal in RandomStrategy(space, 0).ask(30):
        assert space.min_depth <= len(proposal.trajectory.actions) - 1 <= space.max_depth
        assert space.decode(proposal.trajectory.actions) == proposal.architecture


def test_where_there_is_nothing_to_decide() -> None:
    space = SearchSpace("one", (Nothing(),), min_depth=2, max_depth=2, window=1).fit(InputShape(1, 4, 4, 2))
    first, second = RandomStrategy(space, 0).ask(2)
    assert first == second
    assert first.trajectory.actions[:2] == (LayerAction(0), LayerAction(0))


def test_the_state_is_json_of_a_few_numbers() -> None:
    strategy = RandomStrategy(SPACE, 0)
    state = strategy.state_dict()
    assert not state.tensors
    assert len(json.dumps(state.values, allow_nan=False)) < 500
    before = json.dumps(state.values)
    strategy.ask(3)
    assert json.dumps(state.values) == before


@pytest.mark.parametrize(
    "draw", [random.random, np.random.random, lambda: torch.rand(1).item()], ids=["random", "numpy", "torch"]
)
def test_global_random_states_are_neither_read_nor_written(draw: Callable[[], float]) -> None:
    def seed(number: int) -> None:
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002 - the global state is what must not be touched
        torch.manual_seed(number)

    seed(1)
    expected = [draw(), draw()]
    seed(1)
    first = draw()
    proposals = RandomStrategy(SPACE, 5).ask(3)
    assert [first, draw()] == expected
    seed(99)
    assert RandomStrategy(SPACE, 5).ask(3) == proposals


def test_strategies_by_name() -> None:
    strategy = create_strategy("random", SPACE, 4)
    assert strategy.ask(2) == RandomStrategy(SPACE, 4).ask(2)
    with pytest.raises(
        ConfigurationError, match=r"one of \[.*'random'.*\], or FILE\.py:NAME, but got 'rondom'"
    ):
        create_strategy("rondom", SPACE, 0)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("other = 3", "must define mine as a class of strategies, .* but it is NoneType"),
        ("mine = 3", "but it is int"),
        ("mine = lambda space, seed: 3", "must give a gcnas.strategy.Strategy, but gave int"),
        ("import nothing_of_this_name", "is no strategy. .* raised ModuleNotFoundError"),
    ],
)
def test_files_that_hold_no_strategy(source: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(source)
    with pytest.raises(ConfigurationError, match=message):
        create_strategy(f"{tmp_path / 'own.py'}:mine", SPACE, 0)


def test_a_file_of_a_strategy_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="The file does not exist"):
        create_strategy("nowhere.py:mine", SPACE, 0)
