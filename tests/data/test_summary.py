"""What is said about a data set."""

import pytest

from gcnas.data import DuplicateCounts
from gcnas.data.summary import imbalance, notices

NO_COPIES = DuplicateCounts({"train": 0}, {("train", "test"): 0}, 0)


def counts(**sizes: int) -> dict[str, dict[str, int]]:
    return {name: {"train": size, "validation": 1, "test": 1} for name, size in sizes.items()}


def test_nothing_to_say() -> None:
    assert notices(counts(a=10, b=12), NO_COPIES, [], ["test"]) == ()


@pytest.mark.parametrize(("sizes", "said"), [((28, 8), False), ((29, 8), True), ((98, 8), True)])
def test_imbalance(sizes: tuple[int, int], said: bool) -> None:
    of_class = counts(a=sizes[0], b=sizes[1])
    assert imbalance(of_class) == (sizes[0] + 2) / (sizes[1] + 2)
    assert (
        any("--reward balanced-accuracy" in notice for notice in notices(of_class, NO_COPIES, [], [])) is said
    )


def test_an_empty_class_is_infinitely_smaller_and_no_advice() -> None:
    empty = {"a": {"train": 3, "validation": 1, "test": 1}, "b": {"train": 0, "validation": 0, "test": 0}}
    assert imbalance(empty) == float("inf")
    assert not any("balanced" in notice for notice in notices(empty, NO_COPIES, [], []))
    assert any("validation split has no images of b" in notice for notice in notices(empty, NO_COPIES, [], []))


def test_no_split_no_notice() -> None:
    few = {name: {"train": 3, "validation": 1, "test": 0} for name in "abcdefg"}
    assert notices(few, NO_COPIES, [], []) == ()
    few["a"]["test"] = 1
    assert notices(few, NO_COPIES, [], []) == ("The test split has no images of b, c, d, e, f and 1 more.",)


def test_copies_and_broken_files() -> None:
    copies = DuplicateCounts({"train": 2, "test": 1}, {("train", "test"): 1, ("train", "validation"): 4}, 1)
    said = notices(counts(a=9, b=9), copies, [("a/1.jpg", "empty"), ("b/2.jpg", "damaged")], ["test"])
    assert said == (
        "2 images are unreadable and left out, first a/1.jpg (empty).",
        "1 test image is also in train with the same pixels, so the test score flatters.",
        "4 validation images are also in train with the same pixels, so the validation score flatters.",
        "3 images are exact copies of others in the same split and stay in one split.",
        "1 picture has copies under different classes.",
    )
