"""Splits: stratified, seeded, with duplicates kept together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcnas.data.source import TEST, TRAIN, UNSPLIT, VALIDATION
from gcnas.data.splitting import split
from gcnas.errors import DataError


def splits(labels, given_codes=None, groups=None, seed=0, validation=0.2, test=0.2) -> np.ndarray:
    labels = np.asarray(labels)
    return split(
        labels,
        np.full(len(labels), UNSPLIT, dtype=np.int8) if given_codes is None else np.asarray(given_codes),
        np.arange(len(labels)) if groups is None else np.asarray(groups),
        [f"class {i}" for i in range(labels.max() + 1)],
        validation_fraction=validation,
        test_fraction=test,
        seed=seed,
    )


@st.composite
def images(draw):
    """Labels and groups of duplicates, each class with at least three groups of its own."""
    sizes = draw(st.lists(st.lists(st.integers(1, 4), min_size=3, max_size=25), min_size=2, max_size=5))
    labels = [label for label, groups in enumerate(sizes) for size in groups for _ in range(size)]
    flat = [size for groups in sizes for size in groups]
    groups = np.repeat(np.arange(len(flat)), flat)
    order = np.array(draw(st.permutations(range(len(labels)))))
    return np.array(labels)[order], groups[order]


@given(images(), st.integers(0, 2**32), st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_properties(data, seed: int, validation: float, test: float) -> None:
    labels, groups = data
    codes = splits(labels, groups=groups, seed=seed, validation=validation, test=test)
    assert set(codes.tolist()) <= {TRAIN, VALIDATION, TEST}
    for member in np.unique(groups):
        assert len(set(codes[groups == member].tolist())) == 1
    for label in np.unique(labels):
        here = codes[labels == label]
        largest = max(np.bincount(groups[labels == label]))
        for code, share in ((VALIDATION, validation), (TEST, test)):
            count = np.count_nonzero(here == code)
            assert count >= 1
            assert abs(count - max(1, round(share * len(here)))) <= max(largest, 2)
        assert (here == TRAIN).any()
    assert (codes == splits(labels, groups=groups, seed=seed, validation=validation, test=test)).all()


def test_shares_are_exact_without_duplicates() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    codes = splits(labels)
    for label, (train, validation, test) in enumerate([(30, 10, 10), (18, 6, 6), (12, 4, 4)]):
        assert np.bincount(codes[labels == label]).tolist() == [train, validation, test]


def test_seed_changes_the_splits() -> None:
    labels = np.repeat([0, 1], 50)
    assert (splits(labels, seed=0) != splits(labels, seed=1)).any()


def test_given_splits_are_kept() -> None:
    labels = np.tile([0, 1], 30)
    given_codes = np.repeat([TRAIN, VALIDATION, TEST], 20)
    assert (splits(labels, given_codes) == given_codes).all()


@pytest.mark.parametrize(("missing", "kept"), [(VALIDATION, TEST), (TEST, VALIDATION)])
def test_the_missing_split_is_cut_from_train_alone(missing: int, kept: int) -> None:
    labels = np.tile([0, 1], 40)
    given_codes = np.repeat([TRAIN, kept], [60, 20])
    codes = splits(labels, given_codes)
    assert ((codes == kept) == (given_codes == kept)).all()
    assert np.bincount(codes[:60], minlength=3)[[TRAIN, missing]].tolist() == [48, 12]


def test_pictures_under_two_classes_stay_together() -> None:
    labels = np.concatenate([np.repeat([0, 1], 10), [0, 1] * 10])
    groups = np.concatenate([np.arange(20), 100 + np.repeat(np.arange(10), 2)])
    codes = splits(labels, groups=groups)
    assert (codes[20::2] == codes[21::2]).all()


def test_tiny_classes() -> None:
    assert sorted(splits([0, 0, 0, 1, 1, 1]).tolist()) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(DataError, match=r"at least 3 different images.*'class 1' has 2"):
        splits([0, 0, 0, 1, 1])
    with pytest.raises(DataError, match="'class 1' has 1"):
        splits([0, 0, 0, 1, 1, 1, 1], groups=[0, 1, 2, 3, 3, 3, 3])
    with pytest.raises(DataError, match=r"at least 2 different images.*'class 1' has 1"):
        splits([0, 0, 1, 0, 1], given_codes=[TRAIN, TRAIN, TRAIN, TEST, TEST])


def test_class_missing_from_train_is_refused() -> None:
    with pytest.raises(DataError, match="'class 1' has none"):
        splits([0, 0, 1, 1], given_codes=[TRAIN, TRAIN, VALIDATION, TEST])
    with pytest.raises(DataError, match="'class 0' has none"):
        splits([0, 0, 1, 1], given_codes=[TEST] * 4)
