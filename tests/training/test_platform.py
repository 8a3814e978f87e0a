"""The device and its settings."""

import itertools
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.training.conftest import CPU, noise

from gcnas.errors import ConfigurationError
from gcnas.training import ImageBatches, Platform, Recipe, speed, train
from gcnas.training.platform import LEAST_SIDE, Precision, _gpu_has_bfloat16, available_cores
from gcnas.training.recipe import TimedSchedule


def test_json_round_trip() -> None:
    platform = Platform("cuda:1", threads=3, channels_last=True, autocast=True)
    assert Platform(**platform.to_json()) == platform


def test_memory_formats() -> None:
    assert CPU.memory_format is torch.contiguous_format
    assert Platform("cpu", 1, channels_last=True).memory_format is torch.channels_last


@pytest.mark.parametrize(("last", "clearly"), [(1.0, True), (1.4, True), (1.6, False)])
def test_the_memory_format_is_the_faster_one(
    monkeypatch: pytest.MonkeyPatch, last: float, clearly: bool
) -> None:
    """Channels come last unless that takes clearly longer."""
    seconds = {torch.channels_last: last, torch.contiguous_format: 1.0}
    monkeypatch.setattr(
        "gcnas.training.platform._step_seconds", lambda _, memory_format: seconds[memory_format]
    )
    assert Platform.probe("cpu", 1).channels_last is clearly


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"new": "150000 100000"}, 2),
        ({"new": "max 100000"}, 8),
        ({"new": "50000 100000"}, 1),
        ({"new": "900000 100000"}, 8),
        ({}, 8),
        ({"quota": "300000", "period": "100000"}, 3),
        ({"quota": "-1", "period": "100000"}, 8),
        ({"quota": "300000"}, 8),
    ],
)
def test_the_cores_of_a_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], cores: int
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(f"{content}\n")
    quotas = ((tmp_path / "new",), (tmp_path / "quota", tmp_path / "period"))
    monkeypatch.setattr("gcnas.training.platform._CPU_QUOTAS", quotas)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert available_cores() == cores


@pytest.mark.usefixtures("timed_machine")
def test_probe_takes_what_is_asked_for() -> None:
    state = torch.get_rng_state()
    platform = Platform.probe("cpu", 1)
    assert (platform.device, platform.threads, platform.autocast) == ("cpu", 1, False)
    assert torch.get_num_threads() == 1
    assert torch.equal(torch.get_rng_state(), state)  # the seed of the run is not disturbed


@pytest.mark.usefixtures("timed_machine")
@pytest.mark.parametrize(
    ("native", "precision", "side", "autocast"),
    [
        (True, "auto", LEAST_SIDE, True),
        (True, "auto", LEAST_SIDE - 1, False),
        (False, "auto", LEAST_SIDE, False),
        (True, "float32", 64, False),
        (False, "bfloat16", 8, True),
    ],
)
def test_bfloat16_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, native: bool, precision: Precision, side: int, autocast: bool
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": native}, raising=False)
    assert Platform.probe("cpu", 1, precision, side).autocast is autocast


@pytest.mark.parametrize(("capability", "units"), [((7, 5), False), ((8, 0), True), ((12, 0), True)])
def test_bfloat16_on_gpus_with_units_for_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], units: bool
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
    assert _gpu_has_bfloat16(torch.device("cuda")) is units
    assert not _gpu_has_bfloat16(torch.device("cpu"))


@pytest.mark.parametrize("device", ["abacus", "cuda:77", "meta:x", "meta", "hpu", "privateuseone"])
def test_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ConfigurationError, match=f"The device '{device}' is not available here"):
        Platform.probe(device, 1)


def test_speed_is_measured_in_about_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock on which each look takes a millisecond, so that the steps are counted and not timed."""
    looks = itertools.count()

    def clock() -> float:
        return next(looks) / 1000

    monkeypatch.setattr(speed, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(speed, "TimedSchedule", partial(TimedSchedule, clock=clock))
    split = noise(40, channels=1)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(54, 40))
    found = speed.images_per_second(network, ImageBatches(split, CPU), Recipe(batch_size=16), CPU)
    assert 1.0 <= clock() < 1.1
    # One look for each step, or a few; three steps see 40 images.
    assert 40 / 3 * 1000 / 4 < found < 40 / 3 * 1000 * 1.1


def test_the_first_optimizer_of_a_process_is_made_before_the_time_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It makes PyTorch import its compiler."""
    now, logs, made = [0.0], [], []

    class Slow(Recipe):
        def optimizer(self, network: torch.nn.Module) -> torch.optim.Optimizer:
            now[0] += 0.001 if made else 3.0
            made.append(network)
            return super().optimizer(network)

    def clock() -> float:
        now[0] += 0.001
        return now[0]

    def spy(*given: Any, **options: Any) -> Any:
        logs.append(train(*given, **options))
        return logs[-1]

    monkeypatch.setattr(speed, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(speed, "TimedSchedule", partial(TimedSchedule, clock=clock))
    monkeypatch.setattr(speed, "train", spy)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(54, 40))
    speed.images_per_second(network, ImageBatches(noise(40, channels=1), CPU), Slow(batch_size=16), CPU)
    assert [log.steps > 50 for log in logs] == [True, True]
