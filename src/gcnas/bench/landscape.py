"""Synthetic problems: networks of variable depth with connections, scored by a formula whose optimum is known."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from gcnas.records import Architecture, Fidelity, LayerAction
from gcnas.space import SequenceSpace, token
from gcnas.space.growth import CONNECTION_RATE
from gcnas.strategy.tokens import Tokens, all_rows
from gcnas.tabular.table import Entry

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NONE = -1
"""Stands for a layer that is not there."""

DRAWS = 100_000
"""Random networks by which the distribution of scores is known where a space is too large to be listed."""

LARGEST_LISTED = 300_000
STAGES = 3
TYPED_DISTANCE = 3
"""Up to this distance the worth of a connection depends on the type at its other end."""

WEIGHTS = {"type": 0.7, "layer": 1.0, "types": 0.7, "options": 0.7, "connection": 0.4, "depth": 0.15}
"""Standard deviations of the terms."""


@dataclass(frozen=True)
class LandscapeSpace(SequenceSpace):
    """The space of a landscape; its architectures have keys that a person can read."""

    def key(self, architecture: Architecture) -> str:
        """Layers between dots, each its type's code, the index of each option, and after a colon its connections."""
        layers = enumerate(architecture.layers, start=1)
        return ".".join(_write(self.encode_layer(layer, index)) for index, layer in layers)


def _write(action: LayerAction) -> str:
    return f"{action.type}{''.join(map(str, action.hyperparameters))}:{''.join(map(str, action.connections))}"


def depth_of_key(key: str) -> int:
    """Number of layers of a :class:`LandscapeSpace`'s key."""
    return key.count(".") + 1


@dataclass(frozen=True)
class LandscapeReference:
    """All that a process needs to build a landscape.

    Attributes:
        name: Name of the space.
        types: Name, and name and options of each hyper-parameter, of each layer type.
        min_depth: Fewest layers.
        max_depth: Most layers.
        window: m.
        wanted_depth: Where the term of the depth is highest.
        seed: Of all terms.
    """

    name: str
    types: tuple[tuple[str, tuple[tuple[str, tuple[int, ...]], ...]], ...]
    min_depth: int
    max_depth: int
    window: int
    wanted_depth: int
    seed: int = 0

    def load(self) -> "Landscape":
        """Build it; kept for the next call."""
        return _load(self)

    def identity(self) -> dict[str, str]:
        """What tells this problem from others of its name."""
        text = json.dumps([asdict(self), WEIGHTS], sort_keys=True)
        return {"landscape": hashlib.sha256(text.encode()).hexdigest()}


@lru_cache(maxsize=16)
def _load(reference: LandscapeReference) -> "Landscape":
    return Landscape(reference)


class Landscape:
    r"""Scores of networks of n layers, a sum over neighbours as tables of random numbers have it.

    .. math::
        f = d_n + \frac{1}{n} \sum_{i=1}^{n} \Big( u_{s_i, t_i} + v_{s_i, t_i, o_i} + w_{t_{i-1}, t_i} +
            x_{t_{i-1}, o^1_{i-1}, t_i, o^1_i} + \sum_{\delta=2}^{m} e_{i,\delta} c_{\delta, t_{i-\delta}, t_i} \Big)

    with t the type, o all options, o¹ the first one, e the connections, and s = ⌊3 (i - 1) / n⌋ the stage of a layer:
    what is right at a place depends on the final depth. d is a parabola around the wanted depth, and everything else is
    drawn from normal distributions once and for all. Beyond distance 3 the worth of a connection depends on its
    reader alone. The reported score is linear in f: 0 for the mean of random networks and 1 for the best one.

    The best network is found by dynamic programming over the layers, for each depth: terms reach three layers back.

    Args:
        reference: Space and seed.

    Attributes:
        space: The space.
        fidelity: The one that there is.
        best: 1.
    """

    def __init__(self, reference: LandscapeReference) -> None:
        r = reference
        kinds = tuple(token(name, dict(choices)) for name, choices in r.types)
        self.space = LandscapeSpace(
            r.name, kinds, min_depth=r.min_depth, max_depth=r.max_depth, window=r.window
        )
        self.fidelity = Fidelity(1)
        self.best = 1.0
        self._configurations = [
            (code, tuple(int(index) for index in options))
            for code, kind in enumerate(kinds)
            for options in np.ndindex(*(len(choice) for choice in kind.choices))
        ]
        self._numbers = {known: number for number, known in enumerate(self._configurations)}
        self._types = np.array([code for code, _ in self._configurations])
        self._draw_terms(r, np.random.Generator(np.random.PCG64(r.seed)))

    def _draw_terms(self, r: LandscapeReference, random: np.random.Generator) -> None:
        kinds, count, w = len(r.types), len(self._configurations), WEIGHTS
        self._depth = w["depth"] * random.standard_normal(r.max_depth + 1)
        self._depth -= ((np.arange(r.max_depth + 1) - r.wanted_depth) / 4) ** 2
        own = w["type"] * random.standard_normal((STAGES, kinds))
        # (stages, configurations)
        self._own = own[:, self._types] + w["layer"] * random.standard_normal((STAGES, count))
        short = [(code, options[:1]) for code, options in self._configurations]
        codes = np.array([sorted(set(short)).index(known) for known in short])
        by_type = w["types"] * random.standard_normal((kinds, kinds))
        by_option = w["options"] * random.standard_normal((codes.max() + 1, codes.max() + 1))
        pairs = by_type[self._types[:, None], self._types] + by_option[codes[:, None], codes]
        first = w["types"] * random.standard_normal(kinds)[self._types]
        # (configurations before, with that of the input as the last, configurations)
        self._pairs = np.vstack([pairs, first])
        links = w["connection"] * random.standard_normal((max(r.window - 1, 0), kinds + 1, kinds))
        links[TYPED_DISTANCE - 1 :] = links[TYPED_DISTANCE - 1 :, :1]
        # (distances from 2 on, types at the other end with the input as the last, types)
        self._links = links

    def entry(self, architecture: Architecture, epochs: int | None = None) -> Entry:  # noqa: ARG002
        """Score of an architecture; there is one fidelity, and training takes no time."""
        return Entry(self.score(architecture), 0.0)

    def test(self, architecture: Architecture) -> float | None:  # noqa: ARG002
        """Nothing: there is no test score."""
        return None

    def score(self, architecture: Architecture) -> float:
        """Score of an architecture; 1 for the best one alone."""
        layers = enumerate(architecture.layers, start=1)
        return self._score_actions([self.space.encode_layer(layer, index) for index, layer in layers])

    def _score_actions(self, actions: list[LayerAction]) -> float:
        worth = float(self._worth(*self._arrays(actions))[0])
        mean, best = self._range
        return (worth - mean) / (best - mean)

    def _arrays(self, actions: list[LayerAction]) -> tuple[Integers, Integers]:
        configurations = [self._numbers[action.type, action.hyperparameters] for action in actions]
        flags = [list(action.connections) for action in actions]
        return (
            np.array([configurations]),
            np.array([flags], np.int64).reshape(1, len(actions), self.space.window - 1),
        )

    def _worth(self, configurations: Integers, flags: Integers) -> Floats:
        """Sums of networks: configurations (B, N), those that are not there last, and flags (B, N, m - 1), to (B)."""
        here = configurations != NONE
        depth = here.sum(1)
        stage = STAGES * np.arange(configurations.shape[1]) // depth[:, None]
        before = np.pad(configurations[:, :-1], ((0, 0), (1, 0)), constant_values=len(self._configurations))
        terms = self._own[np.where(here, stage, 0), configurations] + self._pairs[before, configurations]
        types = np.where(here, self._types[configurations], 0)
        for distance in range(2, self.space.window + 1):
            source = self._sources(types, distance)
            terms += flags[:, :, distance - 2] * self._links[distance - 2, source, types]
        worth: Floats = self._depth[depth] + np.where(here, terms, 0.0).sum(1) / depth
        return worth

    def _sources(self, types: Integers, distance: int) -> Integers:
        """Type (B, N) of the node at a distance; that of the input where there is none."""
        kinds = len(self.space.layer_types)
        return np.pad(types, ((0, 0), (distance, 0)), constant_values=kinds)[:, : types.shape[1]]

    @cached_property
    def _range(self) -> tuple[float, float]:
        """Mean of f over random networks, and f of the best one."""
        configurations, flags = self.drawn(DRAWS)
        return float(self._worth(configurations, flags).mean()), float(
            self._worth(*self._arrays(self.optimum))[0]
        )

    def drawn(self, count: int, seed: int = 0) -> tuple[Integers, Integers]:
        """Networks as random search draws them: configurations (B, N) and connections (B, N, m - 1)."""
        space, random = self.space, np.random.Generator(np.random.PCG64(seed))
        places = np.arange(space.max_depth)
        depth = random.integers(space.min_depth, space.max_depth + 1, count)
        types = random.integers(len(space.layer_types), size=(count, space.max_depth))
        sizes = np.bincount(self._types)
        starts = np.cumsum(sizes) - sizes
        chosen = starts[types] + random.integers(np.iinfo(np.int32).max, size=types.shape) % sizes[types]
        distances = np.arange(2, space.window + 1)
        there = distances <= places[:, None] + 1
        flags = (random.random((count, len(places), len(distances))) < CONNECTION_RATE) & there
        return np.where(places < depth[:, None], chosen, NONE), flags.astype(np.int64)

    @cached_property
    def listed(self) -> tuple[Integers, Integers] | None:
        """All networks, as :meth:`drawn` gives them; None if there are too many."""
        tokens = Tokens(self.space)
        rows = all_rows(tokens, LARGEST_LISTED)
        if rows is None:
            return None
        places = rows.reshape(len(rows), self.space.max_depth, tokens.columns)
        layers, inverse = np.unique(places.reshape(-1, tokens.columns), axis=0, return_inverse=True)
        known = [tokens.decode(np.pad(layer, (0, tokens.width - len(layer)))) for layer in layers]
        numbers = [self._numbers[a[0].type, a[0].hyperparameters] if a else NONE for a in known]
        flags = [a[0].connections if a else (0,) * (self.space.window - 1) for a in known]
        shape = places.shape[:2]
        inverse = inverse.reshape(shape)
        return np.array(numbers)[inverse], np.array(flags, np.int64)[inverse]

    @cached_property
    def population(self) -> tuple[Floats, Integers]:
        """Scores and depths of all networks, or of many random ones: what a quantile is told by."""
        configurations, flags = self.listed or self.drawn(DRAWS)
        mean, best = self._range
        scores = (self._worth(configurations, flags) - mean) / (best - mean)
        return scores, (configurations != NONE).sum(1)

    def quantile(self, share: float) -> float:
        """The score that this share of all networks, or of random ones, does not exceed."""
        return float(np.quantile(self.population[0], share))

    @cached_property
    def optimum(self) -> list[LayerAction]:
        """The best network."""
        depths = range(self.space.min_depth, self.space.max_depth + 1)
        found = [self._best_of_depth(depth) for depth in depths]
        return max(found, key=lambda actions: float(self._worth(*self._arrays(actions))[0]))

    def _best_of_depth(self, depth: int) -> list[LayerAction]:
        """Dynamic programming; a state is a layer's configuration and the types of the two layers before it."""
        kinds, count = len(self.space.layer_types), len(self._configurations)
        nowhere = kinds + 1
        value = np.full((count + 1, kinds + 2, kinds + 2), -np.inf)
        value[count, nowhere, nowhere] = 0.0
        type_of = np.append(self._types, kinds)
        back: list[Integers] = []
        for layer in range(depth):
            gain = self._own[STAGES * layer // depth][None] + self._pairs
            total = value[:, :, :, None] + gain[:, None, None, :] + self._link_gains(layer)[None]
            # The type of the layer before becomes the first of the two; the older one of them is forgotten.
            after = np.full((kinds + 2, kinds + 2, count), -np.inf)
            choice = np.zeros(after.shape, np.int64)
            for code in range(kinds + 1):
                members = np.flatnonzero(type_of == code)
                flat = total[members].transpose(1, 0, 2, 3).reshape(kinds + 2, -1, count)
                picked = flat.argmax(1)
                after[code] = np.take_along_axis(flat, picked[:, None], 1)[:, 0]
                choice[code] = members[picked // (kinds + 2)] * (kinds + 2) + picked % (kinds + 2)
            value = np.full((count + 1, kinds + 2, kinds + 2), -np.inf)
            value[:count] = after.transpose(2, 0, 1)
            back.append(choice)
        return self._read_back(value, back)

    def _link_gains(self, layer: int) -> Floats:
        """What the best connections add: (types 2 back, types 3 back, configurations); 0 where there is no node."""
        kinds, m = len(self.space.layer_types), self.space.window
        gains = np.zeros((kinds + 2, kinds + 2, len(self._configurations)))
        positive = np.maximum(self._links, 0.0)[:, :, self._types]
        if m >= 2:
            gains[: kinds + 1] += positive[0][:, None]
        if m >= 3:
            gains[:, : kinds + 1] += positive[1][None]
        for distance in range(TYPED_DISTANCE + 1, min(m, layer + 1) + 1):
            gains += positive[distance - 2, 0]
        return gains

    def _read_back(self, value: Floats, back: list[Integers]) -> list[LayerAction]:
        kinds = len(self.space.layer_types)
        current, second, third = (int(n) for n in np.unravel_index(int(value.argmax()), value.shape))
        chain = [current]
        for choice in reversed(back):
            before = int(choice[second, third, current])
            current, second, third = before // (kinds + 2), third, before % (kinds + 2)
            chain.append(current)
        return self._with_connections(chain[-2::-1])

    def _with_connections(self, chain: list[int]) -> list[LayerAction]:
        """The layers with every connection that adds to f."""
        types = np.array([[self._types[number] for number in chain]])
        actions = []
        for place, number in enumerate(chain):
            code, options = self._configurations[number]
            flags = tuple(
                int(
                    distance <= place + 1
                    and self._links[distance - 2, self._sources(types, distance)[0, place], code] > 0
                )
                for distance in range(2, self.space.window + 1)
            )
            actions.append(LayerAction(code, options, flags))
        return actions


_FILTERS = ("filters", (8, 16, 32, 64))
_KERNEL = ("kernel", (1, 3, 5))
_TYPES = (
    ("convolution", (_FILTERS, _KERNEL)),
    ("separable", (_FILTERS, _KERNEL)),
    ("pooling", (("size", (2, 3)),)),
    ("shuffle", (("groups", (1, 2, 4)),)),
)

GROWN = LandscapeReference("grown", _TYPES, 3, 12, window=4, wanted_depth=8, seed=1)
"""3 to 12 layers, some 4·10²⁶ networks."""

GROWN_WIDE = LandscapeReference("grown-wide", _TYPES, 3, 12, window=8, wanted_depth=8, seed=2)
"""The same with connections up to 8 back, for comparisons of m."""

GROWN_SMALL = LandscapeReference(
    "grown-small",
    (
        ("convolution", (("filters", (8, 16, 32)), ("kernel", (1, 3)))),
        ("pooling", (("size", (2, 3)),)),
        ("gate", ()),
    ),
    1,
    4,
    window=3,
    wanted_depth=3,
    seed=4,
)
"""1 to 4 layers, 216,000 networks, which are all listed."""

GROWN_TUNING = replace(GROWN, name="grown-tuning", seed=100)
"""Another draw of all terms, to choose settings by."""

LANDSCAPES = {reference.name: reference for reference in (GROWN, GROWN_WIDE, GROWN_SMALL, GROWN_TUNING)}
"""By name."""
