import copy
import json
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.records.arbitrary import JSON

from gcnas.errors import SpaceError
from gcnas.records import Architecture, Layer
from gcnas.records.architecture import MAX_LAYERS


def layer(**changes: Any) -> dict[str, Any]:
    return {"type": "conv2d", "hyperparameters": {"filters": 8, "merge": "add"}, "inputs": [0]} | changes


def read(*layers: Any) -> Architecture:
    return Architecture.from_json({"layers": list(layers)})


def test_what_is_read_is_what_was_written() -> None:
    architecture = Architecture(
        (
            Layer("conv2d", (("dropout", 0.1), ("filters", 8), ("merge", "add")), (0,)),
            Layer("max_pool", (), (1, 0)),
        )
    )
    again = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
    assert again == architecture
    assert hash(again) == hash(architecture)
    assert again.fingerprint == architecture.fingerprint
    assert architecture.depth == 2
    assert architecture.layers[0].values == {"dropout": 0.1, "filters": 8, "merge": "add"}


def test_the_order_of_names_does_not_matter() -> None:
    first = read(layer(hyperparameters={"a": 1, "b": 2}))
    assert read(layer(hyperparameters={"b": 2, "a": 1})) == first


def test_equal_architectures_have_equal_fingerprints() -> None:
    """Other tools write 0.0 as 0 and 8 as 8.0; Python holds them equal."""
    whole = read(layer(hyperparameters={"filters": 8, "dropout": 0}))
    fraction = read(layer(hyperparameters={"filters": 8.0, "dropout": -0.0}))
    assert whole == fraction
    assert whole.fingerprint == fraction.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        layer(type="conv2e"),
        layer(hyperparameters={"filters": 12, "merge": "add"}),
        layer(hyperparameters={"filters": "8", "merge": "add"}),
        layer(hyperparameters={"filter": 8, "merge": "add"}),
        layer(hyperparameters={"filters": 8}),
    ],
)
def test_other_architectures_have_other_fingerprints(other: dict[str, Any]) -> None:
    assert read(other).fingerprint != read(layer()).fingerprint


def test_inputs_and_depth_are_part_of_the_fingerprint() -> None:
    found = {
        Architecture(()).fingerprint,
        read(layer()).fingerprint,
        read(layer(), layer()).fingerprint,
        read(layer(), layer(inputs=[1])).fingerprint,
        read(layer(), layer(inputs=[1, 0])).fingerprint,
    }
    assert len(found) == 5
    assert all(len(fingerprint) == 16 and int(fingerprint, 16) >= 0 for fingerprint in found)


def test_fingerprints_do_not_change_between_versions() -> None:
    """They are stored in ledgers: a new value here makes old runs train their networks again."""
    assert read(layer(), layer(inputs=[1, 0])).fingerprint == "4a4b9ddfde76d326"


def test_architectures_cannot_be_changed_and_can_be_copied() -> None:
    architecture = read(layer())
    with pytest.raises(FrozenInstanceError):
        architecture.layers = ()  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        architecture.layers[0].type = "other"  # type: ignore[misc]
    architecture.layers[0].values["filters"] = 99
    assert architecture.layers[0].values["filters"] == 8
    assert copy.deepcopy(architecture) == pickle.loads(pickle.dumps(architecture)) == architecture  # noqa: S301


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "layers",
        {},
        {"layers": None},
        {"layers": {"0": layer()}},
        {"layers": "conv2d"},
        {"layers": [layer()] * (MAX_LAYERS + 1)},
    ],
    ids=lambda data: str(data)[:20],
)
def test_documents_of_another_form(data: Any) -> None:
    with pytest.raises(SpaceError, match="An architecture"):
        Architecture.from_json(data)


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "conv2d",
        [],
        {},
        {"type": "conv2d", "hyperparameters": {}},
        layer(extra=1),
        layer(type=None),
        layer(type=3),
        layer(type=["conv2d"] * 1000),
        layer(hyperparameters=None),
        layer(hyperparameters=[["filters", 8]]),
        layer(hyperparameters={"filters": None}),
        layer(hyperparameters={"filters": True}),
        layer(hyperparameters={"filters": [8]}),
        layer(hyperparameters={"filters": float("nan")}),
        layer(hyperparameters={"filters": float("inf")}),
        layer(hyperparameters={"filters": -float("inf")}),
        layer(hyperparameters={"filters": 10**400}),
        layer(hyperparameters={8: 8}),
        layer(inputs=None),
        layer(inputs=0),
        layer(inputs="0"),
        layer(inputs={"0": 0}),
        layer(inputs=[]),
        layer(inputs=[1]),
        layer(inputs=[2]),
        layer(inputs=[-1]),
        layer(inputs=[False]),
        layer(inputs=[0.0]),
        layer(inputs=["0"]),
        layer(inputs=[[0]]),
        layer(inputs=[10**30]),
    ],
    ids=lambda bad: str(bad)[:60],
)
def test_layers_of_another_form(bad: Any) -> None:
    with pytest.raises(SpaceError, match=r"[Ll]ayer 1") as caught:
        read(bad)
    assert len(str(caught.value)) < 300


@given(JSON | st.lists(JSON, max_size=4).map(lambda layers: {"layers": layers}))
@example({"layers": []})
def test_arbitrary_json_is_read_or_refused(data: Any) -> None:
    check_read_or_refused(data)


@given(st.data())
def test_damaged_documents_are_read_or_refused(draw: st.DataObject) -> None:
    document: dict[str, Any] = {"layers": [layer(), layer(inputs=[1, 0])]}
    place: Any = document["layers"][draw.draw(st.integers(0, 1))]
    key: Any = draw.draw(st.sampled_from(["type", "hyperparameters", "inputs"]))
    if key == "hyperparameters" and draw.draw(st.booleans()):
        place, key = place[key], "filters"
    elif key == "inputs" and draw.draw(st.booleans()):
        place[key] = list(place[key])
        place, key = place[key], 0
    place[key] = draw.draw(JSON)
    check_read_or_refused(document)


def check_read_or_refused(data: Any) -> None:
    try:
        architecture = Architecture.from_json(data)
    except SpaceError:
        return
    assert len(architecture.fingerprint) == 16
    assert (
        Architecture.from_json(json.loads(json.dumps(architecture.to_json(), allow_nan=False))) == architecture
    )


def test_whole_numbers_are_read_as_such() -> None:
    """Other tools write 8 as 8.0, and a layer cannot have 8.0 filters."""
    (found,) = read(layer(hyperparameters={"filters": 8.0, "rate": 0.5})).layers
    assert [type(value) for value in found.values.values()] == [int, float]
