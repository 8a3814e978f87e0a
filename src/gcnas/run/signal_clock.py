"""The time that signals take, charged to the trials that they were measured for."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from gcnas.records import Evaluation
from gcnas.records.evaluation import SIGNAL_SECONDS
from gcnas.run.trial import Trial


class SignalClock:
    """Shares seconds among trials.

    Whatever was measured since the last trials were asked for is charged to the next ones, in equal parts. A process
    that dies takes the charges of its pending trials with it.

    Args:
        seconds: Seconds that measuring took so far.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._charged = 0.0
        self._shares: dict[int, float] = {}

    def charge(self, trials: Sequence[Trial]) -> None:
        """Note what was measured before these were asked for."""
        if not trials:
            return
        spent = self._seconds()
        share, self._charged = (spent - self._charged) / len(trials), spent
        if share > 0:
            self._shares.update((trial.number, share) for trial in trials)

    def with_signals(self, number: int, evaluation: Evaluation) -> Evaluation:
        """The evaluation of a trial with its share of the seconds."""
        share = self._shares.pop(number, 0.0)
        if not share:
            return evaluation
        metrics = {**evaluation.metrics, SIGNAL_SECONDS: share}
        return replace(evaluation, metrics=metrics, seconds=evaluation.seconds + share)
