"""Resolution and channels that are chosen when the user does not."""

import numpy as np
import pytest

from gcnas.data.source import Survey
from gcnas.data.survey import infer_channels, infer_resolution


def survey(*sizes: tuple[int, int], grey: bool = False) -> Survey:
    return Survey(np.array(sizes), ("RGB",) * len(sizes), {}, grey)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)] * 3, (28, 28)),
        ([(20, 30)] * 3, (30, 20)),
        ([(28, 28), (0, 0)], (28, 28)),
        ([*[(28, 28)] * 9, (60, 20)], (28, 28)),
        ([(60, 20), *[(28, 28)] * 8], (24, 24)),
        ([(65, 65)], (64, 64)),
        ([(100, 50)], (48, 48)),
        ([(500, 400), (300, 200)], (64, 64)),
        ([(30, 30), (31, 50), (45, 33)], (24, 24)),
        ([(6, 5), (5, 5)], (8, 8)),
    ],
)
def test_resolution(sizes, expected: tuple[int, int]) -> None:
    assert infer_resolution(survey(*sizes)) == expected


def test_channels() -> None:
    assert infer_channels(survey((8, 8), grey=True)) == 1
    assert infer_channels(survey((8, 8))) == 3
