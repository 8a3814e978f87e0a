from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from gcnas.bench.landscape import (
    GROWN,
    GROWN_SMALL,
    LANDSCAPES,
    NONE,
    Landscape,
    LandscapeReference,
    depth_of_key,
)
from gcnas.records import LayerAction
from gcnas.strategy import RandomStrategy

TINY = LandscapeReference(
    "tiny", (("a", (("size", (1, 2)), ("kernel", (1, 3)))), ("b", ())), 1, 3, window=3, wanted_depth=2, seed=5
)


def _layers(landscape: Landscape, place: int) -> list[LayerAction]:
    """All decisions for a layer at a place."""
    found = []
    for code, kind in enumerate(landscape.space.layer_types):
        mask = landscape.space.layer_masks[place][code]
        for options in product(*(range(len(choice)) for choice in kind.choices)):
            for edges in product(*((0, 1) if flag else (0,) for flag in mask.connections)):
                found.append(LayerAction(code, options, edges))  # noqa: PERF401
    return found


def _everything(landscape: Landscape) -> list[tuple[LayerAction, ...]]:
    space = landscape.space
    places = [_layers(landscape, place) for place in range(space.max_depth)]
    return [
        layers for depth in range(space.min_depth, space.max_depth + 1) for layers in product(*places[:depth])
    ]


@pytest.mark.parametrize("window", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_optimum_is_that_of_all_networks(window: int, seed: int) -> None:
    landscape = Landscape(replace(TINY, window=window, max_depth=3, seed=seed))
    scores = [landscape.score(landscape.space.decode(layers)) for layers in _everything(landscape)]
    best = landscape.space.decode(landscape.optimum)
    assert landscape.score(best) == 1.0 == max(scores)
    assert scores.count(1.0) == 1


def test_connections_count_beyond_the_typed_distance() -> None:
    landscape = Landscape(replace(TINY, window=5, min_depth=5, max_depth=5))
    plain = LayerAction(1, (), (0, 0, 0, 0))
    layers = [plain] * 4
    scores = [
        landscape.score(landscape.space.decode([*layers, LayerAction(1, (), flags)]))
        for flags in ((0, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    ]
    assert len(set(scores)) == 3


def test_the_list_holds_every_network_once() -> None:
    landscape = Landscape(TINY)
    listed = landscape.listed
    assert listed is not None
    everything = _everything(landscape)
    mine = sorted(landscape.score(landscape.space.decode(layers)) for layers in everything)
    assert len(listed[0]) == len(everything)
    np.testing.assert_allclose(np.sort(landscape.population[0]), mine)
    depths = np.bincount([len(layers) for layers in everything])
    np.testing.assert_array_equal(np.bincount(landscape.population[1]), depths)
    assert landscape.quantile(1.0) == 1.0


def test_the_small_landscape_is_listed_and_the_large_one_is_not() -> None:
    small = GROWN_SMALL.load()
    layer = 3 * 2 + 2 + 1
    expected = sum(layer**depth * 2 ** sum([0, 1, 2, 2][:depth]) for depth in range(1, 5))
    assert len(small.population[0]) == expected
    assert small.population[0].max() == 1.0
    large = GROWN.load()
    assert large.listed is None
    assert len(_layers(large, 11)) ** 12 > 1e9
    assert 0.2 < large.quantile(0.95) < large.quantile(0.999) < 0.9


def test_random_networks_are_those_of_random_search() -> None:
    landscape = GROWN.load()
    configurations, flags = landscape.drawn(4_000)
    proposals = RandomStrategy(landscape.space, 0).ask(400)
    depths = (configurations != NONE).sum(1)
    assert set(depths) == set(range(3, 13))
    theirs = [landscape.score(proposal.architecture) for proposal in proposals]
    assert landscape.population[0].mean() == pytest.approx(0, abs=1e-9)
    assert np.mean(theirs) == pytest.approx(0, abs=0.04)
    assert np.std(theirs) == pytest.approx(landscape.population[0].std(), rel=0.15)
    # Nothing is older than the input.
    assert not flags[:, 0].any()
    assert flags[:, 1, 0].any()
    assert not flags[:, 1, 1:].any()


def test_every_kind_of_decision_counts() -> None:
    landscape = GROWN.load()
    changed = landscape.optimum
    alternatives = (
        changed[:-1],
        [replace(changed[0], type=1), *changed[1:]],
        [replace(changed[0], hyperparameters=(0, *changed[0].hyperparameters[1:])), *changed[1:]],
        [*changed[:-1], replace(changed[-1], connections=(1, 0, 0))],
        changed[1:] + changed[:1],
    )
    for layers in alternatives:
        assert layers != changed
        assert landscape.score(landscape.space.decode(layers)) < 1.0


def test_the_recipe_decides() -> None:
    again = Landscape(GROWN)
    network = RandomStrategy(again.space, 3).ask(1)[0].architecture
    assert again.score(network) == GROWN.load().score(network)
    other = replace(GROWN, seed=9)
    assert Landscape(other).score(network) != again.score(network)
    assert other.identity() != GROWN.identity() == replace(GROWN).identity()


def test_keys() -> None:
    landscape = Landscape(TINY)
    network = landscape.space.decode([LayerAction(0, (1, 0), (0, 0)), LayerAction(1, (), (1, 0))])
    assert landscape.space.key(network) == "010:00.1:10"
    assert depth_of_key("010:00.1:10") == network.depth == 2
    keys = {landscape.space.key(landscape.space.decode(layers)) for layers in _everything(landscape)}
    assert len(keys) == len(_everything(landscape))


def test_what_a_bench_asks_for() -> None:
    landscape = Landscape(TINY)
    network = landscape.space.decode(landscape.optimum)
    entry = landscape.entry(network)
    assert (entry.reward, entry.seconds, landscape.test(network)) == (landscape.best, 0.0, None)
    assert all(name == reference.name for name, reference in LANDSCAPES.items())
