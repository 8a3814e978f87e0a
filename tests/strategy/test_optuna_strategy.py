import optuna
import pytest
from optuna.samplers import BaseSampler

from gcnas.errors import ConfigurationError
from gcnas.records import Cost, Limits
from gcnas.space import Choice, InputShape, LayerType, SearchSpace, Shape
from gcnas.space.layer_type import Values
from gcnas.space.presets import CNN
from gcnas.space.presets.cnn import Conv2d
from gcnas.strategy import OPTUNA, STRATEGIES, create_strategy
from gcnas.strategy.optuna_strategy import SAMPLERS, UNSUITABLE, _option, optuna_strategy
from gcnas.strategy.tokens import Tokens
from gcnas.testing.strategy import SEARCHED, made_up


def test_the_names() -> None:
    assert set(SAMPLERS) == set(OPTUNA)
    assert {f"optuna:{name}" for name in SAMPLERS} <= set(STRATEGIES)


def test_every_sampler_of_optuna_is_known() -> None:
    made = {type(create(0)) for create in SAMPLERS.values()}
    named = {getattr(optuna.samplers, name) for name in optuna.samplers.__all__ if name.endswith("Sampler")}
    abstract = {optuna.samplers.BaseSampler, optuna.samplers.BaseGASampler}
    assert len(named - made - abstract) == len(UNSUITABLE)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_warns_of_nothing_and_proposes(name: str) -> None:
    assert isinstance(SAMPLERS[name](0), BaseSampler)
    strategy = create_strategy(f"optuna:{name}", SEARCHED, 0)
    fingerprints = set()
    for _ in range(14):
        (proposal,) = strategy.ask(1)
        fingerprints.add(proposal.fingerprint)
        strategy.tell([made_up(proposal)])
    assert len(fingerprints) == 14


@pytest.mark.parametrize("name", UNSUITABLE)
def test_an_unsuitable_sampler_is_an_error_that_says_why(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s)optuna:gp.*optuna:{name}'.*") as caught:
        create_strategy(f"optuna:{name}", SEARCHED, 0)
    assert UNSUITABLE[name] in str(caught.value)


def test_an_unknown_sampler_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(ConfigurationError, match=r"'optuna:nsga3'.*but got 'optuna:magic'"):
        create_strategy("optuna:magic", SEARCHED, 0)


@pytest.mark.parametrize(
    ("kind", "flags", "drawn", "found"),
    [
        ("conv2d", (True, True, True), 2, 1),
        ("conv2d", (True, True, True), 5, 5),
        ("conv2d", (False, True, True), 2, 3),
        ("separable_conv2d", (True, True), 2, 3),
        ("separable_conv2d", (True, True), 1, 3),
        ("max_pool", (True, True), 1, 2),
        ("max_pool", (True, True), 5, 3),
    ],
)
def test_a_size_that_a_type_lacks_becomes_the_nearest_one(
    kind: str, flags: tuple[bool, ...], drawn: int, found: int
) -> None:
    """Types list the sizes that they share in orders of their own."""
    space = CNN.fit(InputShape(3, 32, 32, 10))
    tokens = Tokens(space)
    code = next(code for code, each in enumerate(space.layer_types) if each.name == kind)
    names = [choice.name for choice in space.layer_types[code].choices]
    place = names.index("kernel_size")
    column, values = tokens.slots[code][place]
    assert tokens.names[column - 1] == "kernel_size"
    drawn_value = tokens.options[column - 1].index(drawn)
    index = _option(drawn_value, values, flags, tokens.ranks[column])
    assert space.layer_types[code].choices[place].options[index] == found


class Pool(LayerType):
    """With names that the adapter has for itself."""

    name = "pool"
    type = Choice("max", "avg", "min")
    connection2 = Choice(1, 2)

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost()


def test_hyper_parameters_may_be_called_like_what_the_adapter_decides() -> None:
    space = SearchSpace("own", (Conv2d(), Pool()), max_depth=4).fit(InputShape(3, 16, 16, 4))
    strategy = create_strategy("optuna:tpe", space, 0)
    for _ in range(14):
        (proposal,) = strategy.ask(1)
        strategy.tell([made_up(proposal)])


def test_a_layer_that_breaks_a_limit_ends_the_network() -> None:
    space = CNN.fit(InputShape(3, 32, 32, 10), Limits(parameters=20_000, multiply_adds=2_000_000))
    drawn = create_strategy("optuna:random", space, 0).ask(30)
    assert sum(space.violation(proposal.architecture) is None for proposal in drawn) >= 10


@pytest.mark.parametrize("name", ["nsga2", pytest.param("nsga3", marks=pytest.mark.slow)])
def test_generations_do_not_grow_with_the_evaluations(name: str) -> None:
    """Optuna's genetic samplers recur through all generations when nothing is noted about their parents."""
    strategy = optuna_strategy(name, CNN.fit(InputShape(3, 32, 32, 10)), 0)
    strategy._most_trials = 120
    told = 0
    while told < 400:
        proposals = strategy.ask(5)
        strategy.tell([made_up(proposal) for proposal in proposals])
        told += len(proposals)
    assert len(strategy._trials) < 240
    found = {
        value for record in strategy._trials for key, value in record.attributes.items() if "generation" in key
    }
    assert found <= set(range(6))
    assert max(found) >= 1
    strategy.load_state_dict(strategy.state_dict())
    assert strategy.ask(1)
