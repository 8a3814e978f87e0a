import numpy as np
import pytest

from gcnas.export import timing
from gcnas.export.timing import Timing, processor_name, time_calls


def test_percentiles_and_throughput() -> None:
    found = Timing(np.array([0.001] * 98 + [0.002, 0.1]))
    assert found.milliseconds(50) == pytest.approx(1)
    assert 1 < found.milliseconds(99) < 100
    assert found.per_second == pytest.approx(100 / 0.2)


def test_warm_up_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = [0.0], []

    def call() -> None:
        calls.append(1)
        now[0] += 5.0 if len(calls) <= 3 else 0.25

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    found = time_calls(call, repetitions=4, warm_up=3)
    assert len(calls) == 7
    assert found.seconds.tolist() == [0.25] * 4


def test_processor_has_a_name() -> None:
    assert processor_name().strip()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Fast 1\n\nprocessor\t: 1\nmodel name\t: Fast 2", "Fast 1"),
        (
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\nCPU part\t: 0xd0b\nModel\t: Raspberry Pi 4",
            "Raspberry Pi 4, 0x41, 0xd08",
        ),
        ("", ""),
    ],
)
def test_processors_of_different_boards_have_different_names(text: str, name: str) -> None:
    assert timing._called(text.splitlines()) == name
