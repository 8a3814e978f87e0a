import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.records.arbitrary import JSON

from gcnas.errors import SpaceError
from gcnas.records import STOP, Draw, LayerAction, LayerMask, Trajectory

INTEGERS = st.lists(st.integers(-1, 2**40), max_size=5).map(tuple)
FLAGS = st.lists(st.booleans(), max_size=5).map(tuple)
ACTIONS = st.lists(
    st.builds(LayerAction, st.integers(STOP, 9), INTEGERS, INTEGERS), min_size=1, max_size=4
).map(tuple)
FLAG_LISTS = st.lists(FLAGS, max_size=3).map(tuple)
MASKS = st.builds(LayerMask, FLAGS, FLAG_LISTS, FLAGS)
DRAWS = st.lists(st.builds(Draw, INTEGERS, INTEGERS, FLAG_LISTS, FLAGS), max_size=3).map(tuple)
TRAJECTORIES = ACTIONS.flatmap(
    lambda actions: st.builds(
        Trajectory,
        st.just(actions),
        st.lists(MASKS, min_size=len(actions), max_size=len(actions)).map(tuple),
        st.just(()) | st.lists(DRAWS, min_size=len(actions), max_size=len(actions)).map(tuple),
    )
)
VALID = {
    "actions": [[0, [1, 2], [0, 1]], [-1, [], []]],
    "masks": [["011", ["11", "01"], "10"], ["001", [], ""]],
}
DRAWN_AGAIN = VALID | {"overwritten": [[[[0, 1], [1, 1], ["11", "10"], "11"], [[1, 0], [], ["1", ""], ""]], []]}


@given(TRAJECTORIES)
def test_what_is_read_is_what_was_written(trajectory: Trajectory) -> None:
    again = Trajectory.from_json(json.loads(json.dumps(trajectory.to_json())))
    assert again == trajectory
    assert hash(again) == hash(trajectory)


def test_json_form() -> None:
    trajectory = Trajectory.from_json(VALID)
    assert trajectory.to_json() == VALID
    assert trajectory.actions[0] == LayerAction(0, (1, 2), (0, 1))
    assert trajectory.masks[0] == LayerMask((False, True, True), ((True, True), (False, True)), (True, False))
    assert trajectory.actions[1].type == STOP
    assert trajectory.overwritten == ()


def test_json_form_of_overwritten_draws() -> None:
    trajectory = Trajectory.from_json(DRAWN_AGAIN)
    assert trajectory.to_json() == DRAWN_AGAIN
    assert trajectory.actions == Trajectory.from_json(VALID).actions
    first, stop = trajectory.overwritten
    assert first[0] == Draw((0, 1), (1, 1), ((True, True), (True, False)), (True, True))
    assert len(first) == 2
    assert stop == ()


def test_trajectories_cannot_be_changed() -> None:
    trajectory = Trajectory.from_json(VALID)
    for record, name in (
        (trajectory, "actions"),
        (trajectory.actions[0], "type"),
        (trajectory.masks[0], "types"),
    ):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, ())


@pytest.mark.parametrize(
    "changes",
    [
        {"actions": None},
        {"actions": "000"},
        {"actions": {"0": [0, [], []]}},
        {"actions": [None]},
        {"actions": ["000"]},
        {"actions": [[0, []]]},
        {"actions": [[0, [], [], []]]},
        {"actions": [[1.5, [], []]]},
        {"actions": [[True, [], []]]},
        {"actions": [["0", [], []]]},
        {"actions": [[float("nan"), [], []]]},
        {"actions": [[float("inf"), [], []]]},
        {"actions": [[0, "12", []]]},
        {"actions": [[0, [1.0], []]]},
        {"actions": [[0, [], [False]]]},
        {"actions": [[0, {"1": 2}, []]]},
        {"actions": [], "masks": []},
        {"masks": 5},
        {"masks": VALID["masks"][:1]},
        {"masks": VALID["masks"] * 2},
        {"masks": [["01", "01", ""]]},
        {"masks": [["012", [], ""]]},
        {"masks": [[[0, 1], [], ""]]},
        {"masks": [["01", [None], ""]]},
        {"masks": [["01", [], 1]]},
        {"overwritten": None},
        {"overwritten": "00"},
        {"overwritten": {}},
        {"overwritten": [[]]},
        {"overwritten": [[], [], []]},
        {"overwritten": [None, []]},
        {"overwritten": [[None], []]},
        {"overwritten": ["0", []]},
        {"overwritten": ["", []]},
        {"overwritten": [{}, []]},
        {"overwritten": [[[[0], [], ["1"]]], []]},
        {"overwritten": [[[[0], [], ["1"], "", ""]], []]},
        {"overwritten": [[[[0.5], [], ["1"], ""]], []]},
        {"overwritten": [[[[True], [], ["1"], ""]], []]},
        {"overwritten": [[[[0], "1", ["1"], ""]], []]},
        {"overwritten": [[[[0], [], "1", ""]], []]},
        {"overwritten": [[[[0], [], ["2"], ""]], []]},
        {"overwritten": [[[[0], [], ["1"], 1]], []]},
    ],
    ids=str,
)
def test_damaged_trajectories_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match="trajectory"):
        Trajectory.from_json(VALID | changes)


@pytest.mark.parametrize("key", ["actions", "masks"])
def test_missing_parts_are_refused(key: str) -> None:
    with pytest.raises(SpaceError, match=key):
        Trajectory.from_json({name: value for name, value in VALID.items() if name != key})


@given(
    JSON
    | st.fixed_dictionaries({"actions": JSON, "masks": JSON})
    | JSON.map(lambda data: VALID | {"overwritten": data})
    | JSON.map(lambda data: VALID | {"overwritten": [[data], []]})
)
def test_arbitrary_json_is_read_or_refused(data: Any) -> None:
    try:
        trajectory = Trajectory.from_json(data)
    except SpaceError:
        return
    assert Trajectory.from_json(json.loads(json.dumps(trajectory.to_json()))) == trajectory
