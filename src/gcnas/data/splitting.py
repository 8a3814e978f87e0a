"""Stratified splits with a seed, in which exact duplicates stay together."""

from collections.abc import Sequence

import numpy as np

from gcnas.data.source import SPLIT_NAMES, TEST, TRAIN, UNSPLIT, VALIDATION
from gcnas.errors import DataError


def split(
    labels: np.ndarray,
    given: np.ndarray,
    groups: np.ndarray,
    class_names: Sequence[str],
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> np.ndarray:
    """Put every image into a split; those given are kept, missing ones are cut from what has no other place.

    Args:
        labels: (N,) labels in 0..K-1.
        given: (N,) split codes, ``UNSPLIT`` where the source says nothing.
        groups: (N,) integers, equal for images with the same pixels.
        class_names: Names of the K classes, for messages.
        validation_fraction: Share of the images being cut that validation gets, if it is missing.
        test_fraction: Share of the images being cut that test gets, if it is missing; 0 makes no test split.
        seed: Same seed and same order of images, same splits.

    Returns:
        (N,) int8 codes of train, validation and test.

    Raises:
        DataError: A class has too few images for the splits to be made, or none in train.
    """
    codes = np.where(given == UNSPLIT, TRAIN, given).astype(np.int8)
    in_train = np.bincount(labels[codes == TRAIN], minlength=len(class_names))
    if not in_train.all():
        name = class_names[int(in_train.argmin())]
        raise DataError(
            f"Every class has images in train; {name!r} has none there. Add some or remove the class."
        )
    wanted = {VALIDATION: validation_fraction, TEST: test_fraction}
    shares = {code: share for code, share in wanted.items() if share and not (given == code).any()}
    if shares:
        rows = np.flatnonzero(codes == TRAIN)
        codes[rows] = _cut(labels[rows], groups[rows], class_names, shares, seed)
    return codes


def _cut(
    labels: np.ndarray, groups: np.ndarray, class_names: Sequence[str], shares: dict[int, float], seed: int
) -> np.ndarray:
    codes = np.full(len(labels), TRAIN, dtype=np.int8)
    for label, own in enumerate(_groups_by_class(labels, groups, len(class_names))):
        if len(own) <= len(shares):
            made = " and ".join(SPLIT_NAMES[code] for code in sorted(shares))
            raise DataError(
                f"Every class needs at least {len(shares) + 1} different images, so that {made} can be cut "
                f"from train; {class_names[label]!r} has {len(own)}. Add images, or remove the class."
            )
        order = np.random.default_rng([seed, label]).permutation(len(own))
        shuffled = [own[i] for i in order]
        sizes = [int(np.count_nonzero(labels[rows] == label)) for rows in shuffled]
        for group, code in _deal(sizes, shares).items():
            codes[shuffled[group]] = code
    return codes


def _groups_by_class(labels: np.ndarray, groups: np.ndarray, classes: int) -> list[list[np.ndarray]]:
    """Rows of each group, in order, under the rarest of its classes, which has fewest groups to lose."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    counts = np.bincount(labels, minlength=classes)
    own: list[list[np.ndarray]] = [[] for _ in range(classes)]
    for rows in sorted(members, key=lambda rows: int(rows[0])):
        own[min(labels[rows].tolist(), key=lambda label: (counts[label], label))].append(rows)
    return own


def _deal(sizes: Sequence[int], shares: dict[int, float]) -> dict[int, int]:
    """Give each group, largest first, to the split that lacks most images; no split stays empty."""
    total = sum(sizes)
    lacking = {code: max(1, round(total * share)) for code, share in shares.items()}
    lacking = {TRAIN: total - sum(lacking.values()), **lacking}
    empty = set(lacking)
    dealt = {}
    for place, group in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True)):
        open_codes = empty if len(sizes) - place <= len(empty) else lacking
        code = max(open_codes, key=lambda code: (lacking[code], -code))
        lacking[code] -= sizes[group]
        empty.discard(code)
        dealt[group] = code
    return dealt
