"""Spaces with awkward types, and decisions drawn without regard to any mask."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from gcnas.records import Cost, HyperparameterValue, LayerAction
from gcnas.space import Choice, Growth, InputShape, LayerType, SearchSpace, Shape, Values
from gcnas.space.presets import CNN


class Plain(LayerType):
    """A pointwise convolution: its filters alone decide its cost."""

    filters = Choice(2, 4, 8, 16)

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape.strided(values["filters"])

    def cost(self, shape: Shape, values: Values) -> Cost:
        weights = shape.channels * values["filters"]
        return Cost(weights, weights * shape.height * shape.width)


class Dense(Plain):
    """Always concatenates."""

    merge = Choice("concat")


class Halve(LayerType):
    """Halves every size, down to a single row."""

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape.strided(shape.channels, 2)

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost()


class Perhaps(Plain):
    """Vanishes by one of its own options, whatever the size."""

    effect = Choice("none", "some")

    def canonical(self, shape: Shape, values: Values) -> dict[str, HyperparameterValue] | None:
        return None if values["effect"] == "none" else super().canonical(shape, values)


AWKWARD = SearchSpace("awkward", (Plain(), Dense(), Halve(), Perhaps()), min_depth=1, max_depth=7, window=3)
NARROW = SearchSpace("narrow", CNN.layer_types, max_depth=6, window=1)
SPACES = (
    CNN.fit(InputShape(1, 8, 8, 10)),
    CNN.fit(InputShape(3, 13, 27, 3)),
    CNN.fit(InputShape(3, 200, 120, 2)),
    CNN.fit(InputShape(1, 1, 1, 1)),
    NARROW.fit(InputShape(3, 16, 16, 10)),
    AWKWARD.fit(InputShape(1, 3, 20, 4)),
    AWKWARD.fit(InputShape(3, 9, 1, 4)),
)


def actions(space: SearchSpace, only: int | None = None) -> st.SearchStrategy[LayerAction]:
    """Any decisions for one layer, of a certain type or of all, also those that every mask would forbid."""
    connections = st.tuples(*[st.integers(0, 1)] * (space.window - 1))
    return st.one_of(
        [
            st.builds(
                LayerAction,
                st.just(code),
                st.tuples(*(st.integers(0, len(choice) - 1) for choice in layer_type.choices)),
                connections,
            )
            for code, layer_type in enumerate(space.layer_types)
            if only in {None, code}
        ]
    )


def grow(space: SearchSpace, decisions: list[LayerAction]) -> Growth:
    """The network that decisions lead to."""
    growth = space.start()
    for action in decisions:
        growth = growth.add(action)
    return growth


@st.composite
def growths(draw: st.DrawFn, spaces: tuple[SearchSpace, ...] = SPACES, spare: int = 0) -> Growth:
    """A network under construction, with room for some more layers."""
    space = draw(st.sampled_from(spaces))
    return grow(space, draw(st.lists(actions(space), max_size=space.max_depth - spare)))


def without_connections(action: LayerAction) -> LayerAction:
    """The same decisions, but for connections beside the one to the newest node."""
    return LayerAction(action.type, action.hyperparameters, (0,) * len(action.connections))


def action(space: SearchSpace, name: str, *distances: int, **values: Any) -> LayerAction:
    """Decisions in words: the first options but for some, and connections to nodes at some distances."""
    layer = space.layer(name, **values)
    chosen = space.encode_layer(layer, 1)
    return replace(chosen, connections=tuple(int(d in distances) for d in range(2, space.window + 1)))
