import itertools
import math

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, create_trial

from gcnas.records import LayerAction
from gcnas.strategy.optuna_space import MOST_CHOICES, Parameter, StudySpace, is_decision
from gcnas.strategy.tokens import Tokens

NUMBERS = [
    FloatDistribution(-1.0, 1.0),
    FloatDistribution(1e-7, 10.0, log=True),
    FloatDistribution(-10.2, 10.2, step=0.1),
    IntDistribution(-3, 3),
    IntDistribution(0, 1_000_000),
    IntDistribution(3, 99, step=3),
    IntDistribution(1, 100, log=True),
]


@pytest.mark.parametrize("distribution", NUMBERS, ids=str)
def test_the_cells_cover_the_range_in_order(distribution: FloatDistribution | IntDistribution) -> None:
    parameter, random = Parameter("x", distribution), np.random.default_rng(0)
    cells = list(itertools.product(*map(range, parameter.sizes)))
    drawn = {cell: [parameter.decode(cell, random) for _ in range(5)] for cell in cells}
    assert all(parameter.encode(v) == parameter.canonical(cell) for cell in cells for v in drawn[cell])
    values = [value for found in drawn.values() for value in found]
    assert all(distribution._contains(distribution.to_internal_repr(value)) for value in values)
    assert all(type(value) is type(distribution.low) for value in values)
    ordered = sorted(cells, key=lambda cell: np.mean(drawn[cell]))
    assert parameter.canonical(ordered[0]) == parameter.encode(distribution.low)
    assert parameter.canonical(ordered[-1]) == parameter.encode(distribution.high)
    if parameter.count is None:
        # Neighbours differ by one in one digit.
        for left, right in itertools.pairwise(ordered):
            assert sum(abs(a - b) for a, b in zip(left, right, strict=True)) == 1


@pytest.mark.parametrize("distribution", NUMBERS, ids=str)
def test_values_are_equally_likely_on_their_scale(distribution: FloatDistribution | IntDistribution) -> None:
    parameter, random = Parameter("x", distribution), np.random.default_rng(0)
    drawn = np.array(
        [
            parameter.decode([int(random.integers(size)) for size in parameter.sizes], random)
            for _ in range(4000)
        ],
        float,
    )
    middle = (distribution.low + distribution.high) / 2
    if distribution.log:
        middle = math.sqrt(distribution.low * distribution.high)
    assert 0.4 < (drawn < middle).mean() + (drawn == middle).mean() / 2 < 0.6


def test_few_values_are_one_decision_each() -> None:
    assert Parameter("x", IntDistribution(2, 6)).sizes == (5,)
    assert Parameter("x", FloatDistribution(0.0, 1.0, step=0.25)).sizes == (5,)
    assert Parameter("x", IntDistribution(1, 10)).sizes == (6, 2)
    assert Parameter("x", FloatDistribution(0.0, 1.0)).sizes == (6, 6, 6)
    assert Parameter("x", CategoricalDistribution([None, True, "a", 2.5])).sizes == (4,)


def test_what_is_no_decision() -> None:
    assert not is_decision(CategoricalDistribution([1]))
    assert not is_decision(IntDistribution(1, 1))
    assert not is_decision(CategoricalDistribution(list(range(201))))
    assert is_decision(CategoricalDistribution(list(range(200))))
    assert is_decision(CategoricalDistribution([None, 1]))


def test_many_categories_take_several_columns() -> None:
    """Tables of distances between the tokens of a column are as large as its number of tokens squared."""
    many = {f"p{index}": CategoricalDistribution(list(range(90))) for index in range(10)}
    space, random = StudySpace(many, []), np.random.default_rng(0)
    tokens = Tokens(space.space)
    assert max(tokens.sizes) <= MOST_CHOICES + 1
    assert tokens.columns < len(many)
    values = {name: 7 * index for index, name in enumerate(many)}
    assert space.decode(space.encode(values, 0), random) == values


SPACE: dict[str, BaseDistribution] = {
    "kind": CategoricalDistribution(["x", "y"]),
    "x": IntDistribution(0, 3),
    "y": CategoricalDistribution([False, True]),
}


def trial_of(number: int, **values: object) -> FrozenTrial:
    distributions = {name: SPACE[name] for name in values}
    trial = create_trial(value=0.0, params=dict(values), distributions=distributions)
    trial.number = number
    return trial


TRIALS = [trial_of(0, kind="x", x=1), trial_of(1, kind="y", y=True), trial_of(2, kind="x", x=2)]


def test_a_trial_and_its_decisions() -> None:
    space, random = StudySpace(SPACE, TRIALS), np.random.default_rng(0)
    for trial in TRIALS:
        trajectory = space.encode(trial.params, trial.number)
        assert trajectory == space.encode(trial.params, trial.number)
        assert space.decode(trajectory, random) == trial.params


def fingerprint(space: StudySpace, **values: object) -> str:
    """The fingerprint of all decisions; for what is not given, the first option."""
    growth = space.space.start()
    for code, parameter in enumerate(space.parameters):
        chosen = (0,) * len(parameter.sizes)
        if parameter.name in values:
            chosen = parameter.encode(values[parameter.name])
        growth = growth.add(LayerAction(code, chosen))
    return space.space.decode(growth.stop().actions).fingerprint


def test_what_makes_no_difference() -> None:
    space = StudySpace(SPACE, TRIALS)
    assert fingerprint(space, kind="x", x=1, y=True) == fingerprint(space, kind="x", x=1, y=False)
    assert fingerprint(space, kind="x", x=1) != fingerprint(space, kind="x", x=2)
    assert fingerprint(space, kind="y", x=1, y=True) == fingerprint(space, kind="y", x=2, y=True)
    assert fingerprint(space, kind="y", x=1, y=True) != fingerprint(space, kind="x", x=1, y=True)


def test_which_trials_are_points() -> None:
    space = StudySpace(SPACE, TRIALS)
    assert space.holds({"kind": "y", "y": False})
    assert not space.holds({"kind": "y"})
    assert not space.holds({"x": 1})
    narrow = StudySpace(SPACE | {"x": IntDistribution(0, 1)}, TRIALS)
    assert [narrow.holds(trial.params) for trial in TRIALS] == [True, True, False]


def test_where_nothing_explains_a_parameter_it_counts() -> None:
    trials = [trial_of(0, kind="x", x=1), trial_of(1, kind="x"), trial_of(2, kind="y", x=2)]
    space = StudySpace({name: SPACE[name] for name in ("kind", "x")}, trials)
    assert all(space.holds(trial.params) for trial in trials)
    assert fingerprint(space, kind="x", x=1) != fingerprint(space, kind="x", x=2)
