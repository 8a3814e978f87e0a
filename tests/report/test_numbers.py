import math

import pytest

from gcnas.report.numbers import (
    counted,
    duration,
    figure,
    interval,
    percent,
    points,
    short,
    signed,
    unbroken,
    whole,
    worded,
)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.989, "98.9 %"),
        (1.0, "100.0 %"),
        (0.99961, "99.96 %"),
        (0.0, "0.0 %"),
        (None, "\u2013"),
        (-math.inf, "\u2013"),
    ],
)
def test_percent(share: float | None, text: str) -> None:
    assert percent(share) == text
    assert worded(share, soft=False) == text


def test_soft_rewards() -> None:
    assert [worded(score, soft=True) for score in (1.0241, -math.inf, None)] == ["1.024", "\u2013", "\u2013"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (9_800, "9,800"),
        (45_400, "45 k"),
        (580_000, "0.58 M"),
        (9_300_000, "9.3 M"),
        (120_400_000, "120 M"),
        (1_230_000_000, "1.2 G"),
        (None, "\u2013"),
    ],
)
def test_short(number: int | None, text: str) -> None:
    assert short(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (42.4, "42 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3840, "1 h 04 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_words() -> None:
    assert whole(47_050) == "47,050"
    assert points(0.004) == "+0.4 points"
    assert points(-0.0125) == "-1.2 points"
    assert counted(1, "trial") == "1 trial"
    assert counted(2_000, "trial") == "2,000 trials"
    assert unbroken("98.9 % with 0.58 M in 3 min 20 s, 5 Months") == (
        "98.9\u00a0% with 0.58\u00a0M in 3\u00a0min 20\u00a0s, 5 Months"
    )


def test_interval() -> None:
    # Wilson's interval, computed by hand for 8 of 10.
    assert interval(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    low, high = interval(1.0, 50)
    assert 0.9 < low < 1.0
    assert high == 1.0


def test_medians_and_changes() -> None:
    assert [figure(number) for number in (0.333, 24.0, 1.5, 45_678.2)] == ["0.33", "24", "1.5", "46 k"]
    assert [signed(share) for share in (0.0, 0.123, -0.034, -0.7)] == ["same", "+12 %", "-3.4 %", "-70 %"]
