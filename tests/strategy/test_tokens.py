import itertools
from dataclasses import replace

import numpy as np
import pytest
from tests.policy.toy import TOY, all_trajectories
from tests.strategy.spaces import CELL, DEEP, proposal

from gcnas.records import LayerAction
from gcnas.space import InputShape, Place, SequenceSpace, token
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy
from gcnas.strategy.tokens import ABSENT, Tokens, all_rows, distances

TYPED = SequenceSpace(
    "typed",
    (token("a", {"x": (1, 2, 3)}), token("b", {"x": (2, 3), "y": (1, 2)}), token("c")),
    min_depth=1,
    max_depth=3,
    window=2,
    places=(
        Place((True, True, False), {}),
        Place((True, False, True), {0: ((True, False, True),)}),
        Place((False, True, True), {}),
    ),
)


def test_equal_values_of_a_name_are_equal_tokens() -> None:
    tokens = Tokens(DEEP)
    assert tokens.names == ("width", "kernel")
    conv = tokens.encode_layer(LayerAction(0, (2, 0), (0, 1)))
    pool = tokens.encode_layer(LayerAction(1, (1,), (1, 0)))
    # Type, width, kernel (3 in both: the first and the second option), connections.
    assert conv == [1, 3, 1, 1, 2]
    assert pool == [2, ABSENT, 1, 2, 1]


def test_what_is_not_there_is_absent() -> None:
    tokens = Tokens(DEEP)
    norm = LayerAction(2, (), (0, 0))
    row = tokens.encode(proposal(DEEP, norm, norm).trajectory.actions)
    assert len(row) == tokens.width == 25
    assert (row[10:] == ABSENT).all()


@pytest.mark.parametrize(
    "space", [CELL, DEEP, TYPED, CNN.fit(InputShape(1, 8, 8, 10))], ids=lambda space: space.name
)
def test_rows_are_read_back(space: SequenceSpace) -> None:
    tokens = Tokens(space)
    for drawn in RandomStrategy(space, 0).ask(50):
        row = tokens.encode(drawn.trajectory.actions)
        assert tokens.decode(row) == drawn.trajectory.actions[:-1]
        assert (row.reshape(-1, tokens.columns) < tokens.sizes).all()


def test_canonical_rows_are_those_of_equal_networks() -> None:
    tokens = Tokens(TOY)
    by_row: dict[bytes, set[str]] = {}
    for trajectory in all_trajectories():
        architecture = TOY.decode(trajectory.actions)
        row = tokens.canonical(architecture)
        by_row.setdefault(row.tobytes(), set()).add(architecture.fingerprint)
    assert all(len(fingerprints) == 1 for fingerprints in by_row.values())
    assert len(by_row) == len(set.union(*by_row.values()))


@pytest.mark.parametrize(
    "space", [replace(DEEP, max_depth=3), TYPED, replace(CELL, window=4)], ids=lambda s: s.name
)
def test_all_rows_are_those_of_all_trajectories(space: SequenceSpace) -> None:
    tokens = Tokens(space)
    rows = all_rows(tokens, 20_000)
    assert rows is not None
    expected = {tokens.encode(trajectory.actions).tobytes() for trajectory in all_trajectories(space)}
    assert {row.tobytes() for row in rows} == expected
    assert len(rows) == len(expected)


def test_a_space_may_have_more_places_than_an_array_has_dimensions() -> None:
    """A table lists its fixed layers too."""
    space = SequenceSpace("long", (token("a"), token("b")), min_depth=70, max_depth=70, window=1)
    fixed = Place((True, False), {}, (1,))
    free = Place((True, True), {}, (1,))
    tokens = Tokens(replace(space, places=(free, *[fixed] * 68, free)))
    rows = all_rows(tokens, 20_000)
    assert rows is not None
    assert rows[:, [0, 1, 68, 69]].tolist() == [[1, 1, 1, 1], [1, 1, 1, 2], [2, 1, 1, 1], [2, 1, 1, 2]]


def test_too_many_points_are_not_listed() -> None:
    tokens = Tokens(CELL)
    assert all_rows(tokens, 5**6 - 1) is None
    rows = all_rows(tokens, 5**6)
    assert rows is not None
    assert len(rows) == 5**6
    huge = Tokens(replace(DEEP, max_depth=40))
    assert all_rows(huge, 20_000) is None


def test_networks_are_not_listed() -> None:
    assert all_rows(Tokens(TOY), 10**9) is None


def test_keys_tell_rows_apart() -> None:
    tokens = Tokens(CELL)
    rows = all_rows(tokens, 20_000)
    assert rows is not None
    keys = tokens.keys(rows)
    assert len(np.unique(keys)) == len(rows)
    assert tokens.keys(rows[7])[0] == keys[7]


def test_distances_count_columns_that_differ() -> None:
    random = np.random.default_rng(0)
    left, right = random.integers(0, 3, (7, 6)).astype(np.int16), random.integers(0, 3, (5, 6)).astype(np.int16)
    left[:, 2] = right[:, 2] = 1
    left[:, 4] = 2
    found = distances(left, right)
    for i, j in itertools.product(range(7), range(5)):
        assert found[i, j] == (left[i] != right[j]).sum()
    assert distances(left[:0], right).shape == (0, 5)
    assert distances(left, right[:0]).shape == (7, 0)


def test_three_or_more_numbers_have_ranks() -> None:
    kinds = (
        token("a", {"width": (16, 4, 8), "kind": ("x", "y", "z")}),
        token("b", {"width": (2, 4), "rate": (1, 2)}),
    )
    tokens = Tokens(SequenceSpace("ranks", kinds, min_depth=1, max_depth=2, window=2))
    assert dict(zip(tokens.names, tokens.ranks[1:], strict=False)) == {
        "width": (3, 1, 2, 0),
        "kind": None,
        "rate": None,
    }
    assert len(tokens.ranks) == len(tokens.sizes)
