"""Timing calls: warm-up, repetitions, percentiles, and the name of the processor."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROUNDS = 3
"""Each of several calls is timed so often, with the others between: what disturbs one moment does not disturb all."""

SECONDS = 0.3
"""What all rounds of a call take, where its fewest and most repetitions allow it."""

REPETITIONS = (5, 200)
"""Fewest and most calls of a round."""

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


def time_undisturbed(calls: Sequence[Callable[[], object]], *, seconds: float = SECONDS) -> list[Timing]:
    """Time each of several calls in rounds, and keep the round with the lowest median of each.

    Args:
        calls: What to time.
        seconds: For each call.
    """
    best: list[Timing | None] = [None] * len(calls)
    for _ in range(ROUNDS):
        for index, call in enumerate(calls):
            usual = time_calls(call, 3, warm_up=3).milliseconds(50) / 1000
            repetitions = int(np.clip(seconds / ROUNDS / max(usual, 1e-9), *REPETITIONS))
            timing, known = time_calls(call, repetitions, warm_up=2), best[index]
            if known is None or timing.milliseconds(50) < known.milliseconds(50):
                best[index] = timing
    return [timing for timing in best if timing is not None]


def processor_name() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return _called(lines) or platform.processor() or platform.machine() or "unknown processor"


def _called(lines: Sequence[str]) -> str:
    """The processor in the lines of ``/proc/cpuinfo``; on ARM they have numbers, and often the board, and no name."""
    facts: dict[str, str] = {}
    for line in lines:
        name, _, fact = line.partition(":")
        facts.setdefault(name.strip(), fact.strip())
    if "model name" in facts:
        return facts["model name"]
    return ", ".join(
        facts[name] for name in ("Model", "Hardware", "CPU implementer", "CPU part") if name in facts
    )
