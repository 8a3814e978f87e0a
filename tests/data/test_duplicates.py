"""Equal pixels are found, whatever the order and the labels."""

import numpy as np

from gcnas.data.duplicates import count_duplicates, digest, group


def test_groups_are_those_of_equal_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    images[[3, 5]] = images[1]
    images[4, 0, 0, 0] ^= 1  # one bit is enough to differ
    groups = group(digest(images))
    assert groups[1] == groups[3] == groups[5]
    assert len(set(groups.tolist())) == 4
    assert (digest(images[::2]) == digest(images)[::2]).all()


def test_no_images_have_no_groups() -> None:
    assert len(group(np.empty((0, 2), dtype=np.uint64))) == 0


def test_counts() -> None:
    groups = np.array([0, 0, 0, 1, 0, 1, 2, 2, 3])
    codes = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
    labels = np.array([0, 0, 1, 1, 0, 1, 0, 0, 1])
    counts = count_duplicates(groups, codes, labels)
    assert counts.within == {"train": 2, "validation": 0, "test": 0}
    assert counts.across == {("train", "validation"): 2, ("train", "test"): 0, ("validation", "test"): 1}
    assert counts.conflicting == 1
