import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.toy import TOY, all_trajectories
from tests.space.drawing import AWKWARD
from tests.strategy.spaces import CELL, DEEP

from gcnas.records import STOP, Draw, LayerAction, LayerMask, Limits, Trajectory
from gcnas.space import InputShape, Place, SearchSpace, SequenceSpace, token
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy
from gcnas.strategy.edits import UNDECIDED, Sketches, architecture_of, legal, mutate, neighbours, regrown

LIMITED = CNN.fit(InputShape(1, 16, 16, 10), Limits(20_000, 2_000_000))
SPACES = {
    "cell": CELL,
    "deep": DEEP,
    "toy": TOY,
    "limited": LIMITED,
    "awkward": AWKWARD.fit(InputShape(1, 9, 20, 4), Limits(parameters=600)),
    "narrow": replace(DEEP, window=1),
    "places": SequenceSpace(
        "places",
        (token("a", {"x": (1, 2, 3)}), token("b", {"x": (2, 3), "y": (1, 2)}), token("c")),
        min_depth=1,
        max_depth=4,
        window=2,
        places=tuple(
            Place((True, place % 2 == 0, place > 0), {0: ((True, place > 1, False),)}, (1,))
            for place in range(4)
        ),
    ),
}
cases = st.tuples(st.sampled_from(sorted(SPACES)), st.integers(0, 10_000))


def drawn(space: SearchSpace, seed: int) -> Trajectory:
    return RandomStrategy(space, seed).ask(1)[0].trajectory


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def grown(space: SearchSpace, *actions: LayerAction) -> Trajectory:
    found = regrown(space, actions, random())
    assert found is not None
    assert found.actions[:-1] == actions
    return found


def assert_legal(space: SearchSpace, trajectory: Trajectory) -> None:
    """Its masks are those of the space, computed anew, and leave every decision open."""
    growth = space.start()
    assert trajectory.actions[-1] == LayerAction(STOP)
    for action, mask in zip(trajectory.actions, trajectory.masks, strict=True):
        assert mask == growth.layer_mask(action.type)
        assert mask.types[action.type]
        assert all(flags[i] for i, flags in zip(action.hyperparameters, mask.hyperparameters, strict=True))
        assert all(
            flag or not chosen for chosen, flag in zip(action.connections, mask.connections, strict=True)
        )
        growth = growth if action.type == STOP else growth.add(action, mask)


def differences(left: LayerAction, right: LayerAction) -> int:
    if left.type != right.type:
        return 1 + (left.connections != right.connections)
    mine, others = (*left.hyperparameters, *left.connections), (*right.hyperparameters, *right.connections)
    return sum(a != b for a, b in zip(mine, others, strict=True))


def distance(left: Trajectory, right: Trajectory) -> int:
    return sum(map(differences, left.actions, right.actions))


@given(cases)
def test_neighbours_are_legal_and_different(case: tuple[str, int]) -> None:
    name, seed = case
    space, start = SPACES[name], drawn(SPACES[name], seed)
    for found in itertools.islice(neighbours(space, start, random(seed)), 25):
        assert_legal(space, found)
        assert found.actions != start.actions
        assert architecture_of(space, found) == space.decode(found.actions)


@given(cases)
def test_sketches_grow_into_legal_networks(case: tuple[str, int]) -> None:
    name, seed = case
    space, start = SPACES[name], drawn(SPACES[name], seed)
    sketches = Sketches(space, start, random(seed), 25)
    for index, actions in enumerate(sketches.actions):
        assert all(UNDECIDED not in action.hyperparameters for action in actions)
        assert actions != start.actions[:-1]
        found = sketches.grown(index)
        if found is not None:
            assert_legal(space, found)
            assert architecture_of(space, found) == space.decode(found.actions)


def test_where_masks_close_nothing_sketches_are_the_networks() -> None:
    sketches = Sketches(DEEP, drawn(DEEP, 3), random(3), 1_000)
    grown = [sketches.grown(index) for index in range(len(sketches.actions))]
    assert [None if t is None else t.actions[:-1] for t in grown] == sketches.actions
    assert len(Sketches(DEEP, drawn(DEEP, 3), random(3), 5).actions) == 5


@given(st.integers(0, 10_000))
def test_neighbours_are_one_edit_away(seed: int) -> None:
    """Where masks close nothing, one decision changes, or one layer comes or goes and the others stay."""
    start = drawn(DEEP, seed)
    mine = [(action.type, action.hyperparameters) for action in start.actions]
    for found in neighbours(DEEP, start, random(seed)):
        others = [(action.type, action.hyperparameters) for action in found.actions]
        if len(others) == len(mine):
            assert distance(start, found) == 1
            continue
        shorter, longer = sorted([mine, others], key=len)
        assert len(longer) == len(shorter) + 1
        assert any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer)))


@pytest.mark.parametrize("seed", range(5))
def test_every_neighbour_once_in_spaces_of_tokens(seed: int) -> None:
    found = list(neighbours(CELL, drawn(CELL, seed), random(seed)))
    assert len(found) == len({trajectory.actions for trajectory in found}) == 6 * (5 - 1)


@pytest.mark.parametrize("seed", range(8))
def test_neighbours_are_exhaustive(seed: int) -> None:
    """Held against all trajectories of a small space that differ in one decision."""
    space = replace(DEEP, max_depth=3)
    start = drawn(space, seed)
    types = [action.type for action in start.actions]
    near = [t for t in all_trajectories(space) if len(t.actions) == len(types) and distance(start, t) == 1]
    found = [t for t in neighbours(space, start, random(seed)) if len(t.actions) == len(types)]
    assert len(found) == len({t.actions for t in found})
    for expected, given_up in ((near, found), (found, near)):
        same = {t.actions for t in expected if [a.type for a in t.actions] == types}
        assert same <= {t.actions for t in given_up}
    # A change of type draws the options that are left open, so there is one neighbour for each of the new types.
    retyped = Counter(tuple(a.type for a in t.actions) for t in found if [a.type for a in t.actions] != types)
    assert set(retyped) == {tuple(a.type for a in t.actions) for t in near} - {tuple(types)}
    assert set(retyped.values()) == {1}


def test_insertions_and_removals_are_exhaustive() -> None:
    space = SequenceSpace("words", tuple(token(name) for name in "abc"), min_depth=1, max_depth=5, window=1)
    start = grown(space, *(LayerAction(code) for code in (0, 0, 1, 0)))
    found = ["".join("abc"[a.type] for a in t.actions[:-1]) for t in neighbours(space, start, random())]
    word = "aaba"
    longer = {word[:i] + new + word[i:] for i in range(5) for new in "abc"}
    shorter = {word[:i] + word[i + 1 :] for i in range(4)}
    changed = {word[:i] + new + word[i + 1 :] for i in range(4) for new in "abc"} - {word}
    assert Counter(found) == Counter(longer | shorter | changed)


def test_a_new_type_keeps_options_of_the_same_name_and_value() -> None:
    start = grown(DEEP, LayerAction(0, (1, 0), (0, 0)), LayerAction(0, (1, 1), (0, 0)))
    found = list(neighbours(DEEP, start, random()))
    pools = [t.actions[0] for t in found if t.actions[0].type == 1 and len(t.actions) == 3]
    # The kernels are 3, 5 in one type and 2, 3 in the other.
    assert [pool.hyperparameters for pool in pools] == [(1,)]


def test_inserted_and_removed_layers_move_connections() -> None:
    space = replace(DEEP, layer_types=(token("a"), token("norm")))
    plain, reading, stop = LayerAction(1, (), (0, 0)), LayerAction(1, (), (1, 1)), LayerAction(STOP)
    # The fourth layer reads node 3, as it must, and nodes 2 and 1.
    start = grown(space, plain, plain, plain, reading)
    found = {t.actions for t in neighbours(space, start, random())}
    new = LayerAction(0, (), (0, 0))
    # Behind a new layer between 2 and 3, node 2 is at distance 3 and node 1 beyond the window.
    assert (plain, plain, new, plain, LayerAction(1, (), (0, 1)), stop) in found
    # Just before the last layer, the new one is read instead of node 3.
    assert (plain, plain, plain, new, LayerAction(1, (), (0, 1)), stop) in found
    # Without any of the first three layers, the last reads the two that are left.
    assert (plain, plain, LayerAction(1, (), (1, 0)), stop) in found
    assert (plain, plain, plain, stop) in found
    assert len([actions for actions in found if len(actions) == 4]) == 2


def test_depth_stays_within_bounds() -> None:
    norm = LayerAction(2, (), (0, 0))
    for depth, near in ((2, {2, 3}), (3, {2, 3, 4}), (5, {4, 5})):
        found = neighbours(DEEP, grown(DEEP, *[norm] * depth), random())
        assert {len(t.actions) - 1 for t in found} == near


def test_forbidden_decisions_are_replaced() -> None:
    space = SPACES["places"]
    # At the second place there is no b, and at the third only the first two options of a.
    asked = [LayerAction(1, (0, 0), (0,)), LayerAction(1, (0, 0), (0,)), LayerAction(0, (2,), (0,))]
    found = regrown(space, asked, random())
    assert found is not None
    assert_legal(space, found)
    assert found.actions[0] == asked[0]
    assert found.actions[1].type in (0, 2)
    assert found.actions[2].hyperparameters in ((0,), (1,))


def test_layers_are_drawn_where_stop_is_closed() -> None:
    found = regrown(DEEP, [], random())
    assert found is not None
    assert_legal(DEEP, found)
    assert len(found.actions) == 3


def test_a_start_against_the_masks_is_mended_first() -> None:
    space = SPACES["places"]
    wrong = LayerAction(1, (0, 0), (0,))
    mask = LayerMask((True, False, True, True), ((True, True), (True, True)), (False,))
    start = Trajectory((wrong, wrong, LayerAction(STOP)), (mask, mask, LayerMask((True, True, True, True))))
    for found in (*neighbours(space, start, random()), mutate(space, start, random())):
        assert_legal(space, found)


def test_a_start_with_draws_taken_back_is_grown_anew() -> None:
    start = drawn(LIMITED, 0)
    again = replace(start, overwritten=((Draw((), (), (), ()),),) + ((),) * (len(start.actions) - 1))
    assert legal(LIMITED, again, random()) == start


@given(st.integers(0, 10_000))
def test_edits_keep_to_tight_limits(seed: int) -> None:
    """A wider layer leaves later ones no room: what is found keeps to the masks, and the rest is left out."""
    tight = CNN.fit(InputShape(1, 16, 16, 10), Limits(parameters=1_500))
    for found in itertools.islice(neighbours(tight, drawn(tight, seed), random()), 25):
        assert_legal(tight, found)


@given(cases, st.integers(0, 3))
def test_mutants_are_legal(case: tuple[str, int], edits: int) -> None:
    name, seed = case
    space, start = SPACES[name], drawn(SPACES[name], seed)
    found = mutate(space, start, random(seed), edits)
    assert_legal(space, found)
    assert edits or found == start


@pytest.mark.parametrize("name", sorted(SPACES))
def test_one_edit_changes_something(name: str) -> None:
    space = SPACES[name]
    for seed in range(20):
        start = drawn(space, seed)
        assert mutate(space, start, random(seed)).actions != start.actions


def test_kinds_of_edits_are_equally_likely() -> None:
    start = drawn(replace(DEEP, min_depth=3, max_depth=3), 1)
    generator, kinds = random(), Counter[str]()
    for _ in range(2_000):
        found = mutate(DEEP, start, generator)
        if len(found.actions) != len(start.actions):
            kinds["longer" if len(found.actions) > len(start.actions) else "shorter"] += 1
        elif [a.type for a in found.actions] != [a.type for a in start.actions]:
            kinds["type"] += 1
        else:
            same = all(
                a.connections == b.connections for a, b in zip(found.actions, start.actions, strict=True)
            )
            kinds["option" if same else "connection"] += 1
    assert set(kinds) == {"longer", "shorter", "type", "option", "connection"}
    assert all(abs(count - 400) < 100 for count in kinds.values())


def test_where_there_is_nothing_to_edit() -> None:
    space = SequenceSpace("one", (token("a"),), min_depth=2, max_depth=2, window=1)
    start = drawn(space, 0)
    assert list(neighbours(space, start, random())) == []
    assert mutate(space, start, random()) == start
