"""How much training candidates get in a wall clock, with one worker and with several."""

import sys
from dataclasses import replace

import pytest

from gcnas.config import RunConfig
from gcnas.run.amounts import GRACE, LEEWAY, choose_amounts, reserve


def unmeasured() -> float:
    raise AssertionError("the speed is only measured where a wall clock rules")


def config(**options: object) -> RunConfig:
    return RunConfig.create(data="digits", **options)


@pytest.mark.parametrize(
    ("fidelity", "images", "epochs"),
    [
        ("full", 4_000, 10),
        ("rungs", 4_000, 30),
        ("full", 100, 30),
        ("rungs", 100, 30),
        ("full", 10**6, 3),
        ("rungs", 10**6, 3),
    ],
)
def test_number_of_trials_leaves_the_epochs_to_the_data(fidelity: str, images: int, epochs: int) -> None:
    assert choose_amounts(config(budget=50, fidelity=fidelity), images, unmeasured).epochs == epochs


def test_wall_clock_holds_several_full_trainings() -> None:
    """Half of 400 s at 2,500 images a second: 500,000 images, a fifth of which a candidate gets on rungs."""
    full = choose_amounts(config(budget="400s", fidelity="full"), 4_000, lambda: 1_000.0)
    rungs = choose_amounts(config(budget="400s"), 4_000, lambda: 2_500.0)
    assert (full.epochs, rungs.epochs) == (6, 25)
    assert full.candidate_seconds == rungs.candidate_seconds == 50.0


def test_too_little_time_for_two_rungs_is_shared_alike() -> None:
    full = choose_amounts(config(budget="400s", fidelity="full"), 4_000, lambda: 1_000.0)
    assert choose_amounts(config(budget="400s"), 4_000, lambda: 1_000.0) == full


def test_what_is_fixed_is_kept() -> None:
    amounts = choose_amounts(config(budget="400s", epochs=5, candidate_seconds=7.0), 4_000, lambda: 100.0)
    assert (amounts.epochs, amounts.candidate_seconds) == (5, 7.0)


@pytest.mark.parametrize("fidelity", ["full", "rungs"])
def test_full_trainings_end_within_a_limit_of_the_users_own(fidelity: str) -> None:
    for seconds in (5.0, 20.0, 1_000.0):
        asked = config(budget="400s", candidate_seconds=seconds, fidelity=fidelity)
        amounts = choose_amounts(asked, 4_000, lambda: 4_000.0)
        assert 1 <= amounts.epochs <= seconds
    free = choose_amounts(config(budget="400s", fidelity=fidelity), 4_000, lambda: 4_000.0)
    assert amounts == replace(free, candidate_seconds=1_000.0)


def test_the_search_has_what_the_final_training_cannot_use() -> None:
    """20 passes over 1,000 images at 1,000 a second are 20 s; half as much again is kept for slower networks.

    There are 3 s for the files, or a fifth of 37.5 s with an ONNX file; the last candidate may end a tenth later.
    """
    for onnx, whole in ((False, 33.0), (True, 37.5)):
        options = config(budget="400s", final_epochs=20, onnx=onnx)
        amounts = choose_amounts(options, 1_000, lambda: 1_000.0)
        assert amounts.final_epochs == 20
        assert amounts.search_seconds == pytest.approx((400 - whole) / 1.1)
        slow = choose_amounts(options, 1_000, lambda: 100.0)
        assert slow.search_seconds == 200.0


@pytest.mark.parametrize("onnx", [True, False])
def test_a_final_training_has_its_time_however_late_the_search_ends(onnx: bool) -> None:
    for budget in (120, 400, 10_000):
        for passes in (1, 2, 7, 20, 60, 110):
            options = config(budget=f"{budget}s", final_epochs=passes, onnx=onnx)
            search = choose_amounts(options, 1_000, lambda: 1_000.0).search_seconds
            assert search is not None
            left = budget - (1 + GRACE) * search
            has = left - reserve(left, onnx=onnx)
            if search > budget / 2:
                assert has == pytest.approx(LEEWAY * passes)
            else:  # it has the share that it was given
                assert budget == 120


@pytest.mark.parametrize(
    ("seconds", "with_onnx", "without"), [(5, 3, 3), (30, 6, 3), (60, 8, 3.6), (600, 36, 36)]
)
def test_time_is_kept_for_the_onnx_file(
    monkeypatch: pytest.MonkeyPatch, seconds: float, with_onnx: float, without: float
) -> None:
    assert reserve(seconds, onnx=True) == pytest.approx(with_onnx)
    assert reserve(seconds, onnx=False) == pytest.approx(without)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert reserve(seconds, onnx=True) == pytest.approx(without)


def test_the_share_of_the_final_training_is_kept() -> None:
    amounts = choose_amounts(config(budget="400s", final_share=0.75), 4_000, lambda: 100.0)
    assert amounts.search_seconds == 100.0


def test_the_final_training_has_all_threads() -> None:
    """30,000 images at 300 a second, and 6 % more than that."""
    options = config(budget="400s", final_epochs=20, onnx=False)
    amounts = choose_amounts(options, 1_000, lambda: 200.0, 2, lambda: 300.0)
    assert (amounts.speed, amounts.final_speed) == (200.0, 300.0)
    assert amounts.search_seconds == pytest.approx((400 - 100 / 0.94) / 1.1)
    # Not even twice as fast could it end before its time, so that is not measured.
    slow = choose_amounts(options, 1_000, lambda: 50.0, 2, unmeasured)
    assert (slow.search_seconds, slow.final_speed) == (200.0, None)


@pytest.mark.parametrize(
    ("fidelity", "workers", "seconds_of_a_training"),
    [
        ("full", 1, 300 / 8),
        ("full", 2, 300 / 6),
        ("full", 64, 300 / 6),
        ("rungs", 1, 300 / 5),
        ("rungs", 2, 300 / 4),
        ("rungs", 64, 300 / 4),
    ],
)
def test_each_worker_gets_its_trainings(fidelity: str, workers: int, seconds_of_a_training: float) -> None:
    speed = {"full": 800.0, "rungs": 1_400.0}[fidelity]
    amounts = choose_amounts(config(budget="600s", fidelity=fidelity), 10_000, lambda: speed, workers)
    assert amounts.epochs == int(seconds_of_a_training * speed / 10_000)
    assert amounts.search_seconds == 300
    assert amounts.candidate_seconds == 75


def test_without_a_clock_workers_change_nothing() -> None:
    options = config(budget=10)
    assert choose_amounts(options, 10_000, lambda: 800.0, 1) == choose_amounts(
        options, 10_000, lambda: 800.0, 4
    )
