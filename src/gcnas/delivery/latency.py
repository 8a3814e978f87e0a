"""Timing calls: warm-up, repetitions, percentiles, and the name of the processor."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WARM_UP = 20
"""Calls that are not timed; the first ones allocate memory and choose kernels."""


@dataclass(frozen=True)
class Timing:
    """What calls took.

    Attributes:
        seconds: Of each call.
    """

    seconds: np.ndarray

    def milliseconds(self, percent: float) -> float:
        """The time that this percentage of the calls stayed within."""
        return float(np.percentile(self.seconds, percent) * 1000)

    @property
    def per_second(self) -> float:
        """Calls a second, over all of them."""
        return float(len(self.seconds) / self.seconds.sum())


def time_calls(call: Callable[[], object], repetitions: int, warm_up: int = WARM_UP) -> Timing:
    """Call something again and again, one call after the other, and time each.

    Args:
        call: What to time.
        repetitions: How many calls are timed.
        warm_up: How many calls come before them.
    """
    for _ in range(warm_up):
        call()
    seconds = np.empty(repetitions)
    for index in range(repetitions):
        start = time.perf_counter()
        call()
        seconds[index] = time.perf_counter() - start
    return Timing(seconds)


def processor_name() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown processor"
