"""Signals measured in a process of their own: what a network does there costs its signals only."""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gcnas.execution import Evaluated, Job, ProcessExecutor
from gcnas.execution.processes import TellProgress
from gcnas.execution.worker_process import TIME_SHARE, Bounds
from gcnas.records import Architecture, Fidelity, Proposal, Trajectory
from gcnas.training.signals import SignalMeter

SECONDS = 30.0
"""A network whose signals take longer has none."""


@dataclass(frozen=True)
class MeterSetup:
    """What the process is set up with.

    Attributes:
        meter: What measures there.
    """

    meter: SignalMeter

    def __call__(self, tell: TellProgress) -> Callable[[Job], Evaluated]:  # noqa: ARG002 - it takes moments
        """What measures the networks of jobs."""

        def measure(job: Job) -> Evaluated:
            return 0.0, self.meter(job.proposal.architecture), None

        return measure


class ApartMeter:
    """Measures as a :class:`~gcnas.training.signals.SignalMeter` does, in one other process.

    A network that ends that process, takes too much memory or too long has no signals; the next one gets another
    process.

    Args:
        meter: What to do there; it can be pickled if its space can.
        logs: Folder for what the process prints, ``signals/worker-1.log``.
        threads: CPU threads.
        memory: Bytes that the process may take; None for any.
        limit: Seconds that a network may take.

    Attributes:
        seconds: Wall clock of all measurements so far.
    """

    def __init__(
        self,
        meter: SignalMeter,
        logs: Path,
        *,
        threads: int = 1,
        memory: int | None = None,
        limit: float = SECONDS,
    ) -> None:
        self.seconds, self._limit = 0.0, limit
        self._numbers = itertools.count(1)
        self._executor = ProcessExecutor(
            [MeterSetup(meter)],
            threads=threads,
            logs=logs / "signals",
            bounds=Bounds(memory=memory, grace=0.0),
        )

    def __call__(self, architecture: Architecture) -> Mapping[str, float]:
        """The signals that could be measured, by name.

        Raises:
            WorkerError: If the process cannot be set up.
        """
        start, number = time.monotonic(), next(self._numbers)
        proposal = Proposal(architecture, Trajectory((), ()), "signals")
        self._executor.submit(Job(number, proposal, Fidelity(1), self._limit / TIME_SHARE))
        outcome = None
        while outcome is None:
            # What an interrupt left behind may come first.
            outcome = next((o for o in self._executor.wait() if o.job.trial == number), None)
        self.seconds += time.monotonic() - start
        return outcome.evaluation.metrics if outcome.evaluation.error is None else {}

    def close(self) -> None:
        """End the process."""
        self._executor.close()
