"""The three splits, and that the test split opens in one way only."""

import ast
import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest

import gcnas
from gcnas.data import Dataset, Split, load

NOTHING_LOGGED = str.strip  # a log that does nothing


@pytest.fixture
def dataset(arrays) -> Dataset:
    return load(arrays)


def test_splits_cover_everything_once(dataset: Dataset, arrays) -> None:
    parts = [dataset.train(), dataset.validation(), dataset.open_test("the test", NOTHING_LOGGED)]
    assert [len(part) for part in parts] == [36, 12, 12]
    assert dataset.size_test == 12
    found = {(image.tobytes(), int(label)) for part in parts for image, label in
             zip(part.images, part.labels, strict=True)}  # fmt: skip
    expected = {(image.tobytes(), int(label)) for image, label in zip(*arrays, strict=True)}
    assert found == expected


def test_views_and_shapes(dataset: Dataset) -> None:
    assert dataset.image_shape == (1, 8, 8)
    assert dataset.classes == 3
    assert dataset.labels.dtype == dataset.train_index.dtype == dataset.validation_index.dtype == np.int64
    for split, index in (
        (dataset.train(), dataset.train_index),
        (dataset.validation(), dataset.validation_index),
    ):
        assert (split.images == dataset.images[index]).all()
        assert (split.labels == dataset.labels[index]).all()
        assert np.shares_memory(split.images, dataset.images)
    assert len(dataset.train_and_validation()) == len(dataset.train()) + len(dataset.validation())


def test_opening_is_logged_before_anything_is_returned(dataset: Dataset) -> None:
    log: list[str] = []
    assert isinstance(dataset.open_test("final result", log.append), Split)
    assert log == ["final result"]

    def refuse(purpose: str) -> None:
        raise OSError(purpose)

    with pytest.raises(OSError, match="no room"):
        dataset.open_test("no room", refuse)


def reachable(value: object, depth: int = 4) -> list[np.ndarray]:
    """Arrays that public attributes and calls without arguments lead to."""
    if isinstance(value, np.ndarray):
        return [value, *([value.base] if isinstance(value.base, np.ndarray) else [])]
    if (
        depth == 0
        or isinstance(value, str | int | float | type)
        or not type(value).__module__.startswith("gcnas")
    ):
        return []
    found = []
    for name in dir(value):
        if name.startswith("_"):
            continue
        member = getattr(value, name)
        if inspect.ismethod(member):
            needed = [p for p in inspect.signature(member).parameters.values() if p.default is p.empty]
            if needed:
                continue
            member = member()
        found += reachable(member, depth - 1)
    return found


def test_nothing_else_leads_to_the_test_split(dataset: Dataset) -> None:
    test = dataset.open_test("to compare", NOTHING_LOGGED)
    hidden = {image.tobytes() for image in test.images}
    arrays = reachable(dataset)
    assert len(arrays) >= 6
    for array in arrays:
        assert not np.shares_memory(array, test.images)
        assert not np.shares_memory(array, test.labels)
        if array.ndim == 4:
            assert not hidden & {np.ascontiguousarray(image).tobytes() for image in array}
    assert "_test" not in repr(dataset)


def test_no_other_code_touches_the_private_field() -> None:
    package = Path(gcnas.__file__).parent
    touched = []
    for path in sorted(package.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                touched += [
                    f"{path.relative_to(package).as_posix()}:{function.name}"
                    for node in ast.walk(function)
                    if isinstance(node, ast.Attribute) and node.attr == "_test"
                ]
    assert set(touched) == {
        "data/dataset.py:size_test",
        "data/dataset.py:open_test",
        "data/dataset.py:__getstate__",
    }


def test_pickle_round_trip(dataset: Dataset) -> None:
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own
    assert (again.images == dataset.images).all()
    assert (
        again.open_test("a", NOTHING_LOGGED).labels.tolist()
        == dataset.open_test("b", NOTHING_LOGGED).labels.tolist()
    )
    assert again.preprocessing == dataset.preprocessing
