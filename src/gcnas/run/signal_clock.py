"""The time that signals take, charged to the trials that they were measured for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from gcnas.records import Architecture, Evaluation
from gcnas.records.evaluation import SIGNAL_SECONDS
from gcnas.run.trial import Trial


class Meter(Protocol):
    """What measures signals."""

    seconds: float
    """Wall clock of all measurements so far."""

    def __call__(self, architecture: Architecture) -> Mapping[str, float]:
        """The signals of a network that could be measured, by name."""

    def close(self) -> None:
        """Free what it holds."""


class SignalClock:
    """Shares seconds among trials.

    Whatever was measured since the last trials were asked for is charged to the next ones, in equal parts. A process
    that dies takes the charges of its pending trials with it.

    Args:
        meter: What measures; its seconds so far are read.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._charged = 0.0
        self._shares: dict[int, float] = {}

    def charge(self, trials: Sequence[Trial]) -> None:
        """Note what was measured before these were asked for."""
        if not trials:
            return
        spent = self._meter.seconds
        share, self._charged = (spent - self._charged) / len(trials), spent
        if share > 0:
            self._shares.update((trial.number, share) for trial in trials)

    def close(self) -> None:
        """Free what the meter holds."""
        self._meter.close()

    def with_signals(self, number: int, evaluation: Evaluation) -> Evaluation:
        """The evaluation of a trial with its share of the seconds."""
        share = self._shares.pop(number, 0.0)
        if not share:
            return evaluation
        metrics = {**evaluation.metrics, SIGNAL_SECONDS: share}
        return replace(evaluation, metrics=metrics, seconds=evaluation.seconds + share)
