"""Which results are written into the ledger together."""

import math
from collections.abc import Callable, Iterable, Mapping

from gcnas.run.trial import Rejection, Trial

GROUP_SECONDS = 0.5
"""A result waits for at most so long, together with those that arrive meanwhile."""

GROUP_RESULTS = 1_000
"""So many results are written at once, however fast they arrive."""


class Group:
    """What one transaction will hold: everything since the last one.

    A result that arrives :data:`GROUP_SECONDS` or more after the last transaction is due at once. So evaluations that
    take longer are written one by one, as with a single worker; only where more results arrive do they wait for each
    other. What a killed driver has not written is evaluated again: at most the results of :data:`GROUP_SECONDS`, and at
    most :data:`GROUP_RESULTS` of them, beside what was under way.

    Args:
        now: Seconds of the run.
        alone: Whether every result is due at once.

    Attributes:
        finished: Trials with their evaluations.
        asked: New trials, some of which may be finished already.
        rejections: Proposals that were not evaluated.
        learning: Figures of the strategy's updates, each with the number of trials before it.
    """

    def __init__(self, now: Callable[[], float], *, alone: bool = False) -> None:
        self._now, self._alone = now, alone
        self._last = -math.inf
        self.finished: list[Trial] = []
        self.asked: list[Trial] = []
        self.rejections: list[Rejection] = []
        self.learning: list[tuple[int, Mapping[str, float]]] = []

    def written(self) -> None:
        """Begin the next group: this one is in the ledger."""
        self.finished, self.asked, self.rejections, self.learning = [], [], [], []
        self._last = self._now()

    def add(
        self,
        finished: Iterable[Trial],
        asked: Iterable[Trial],
        rejections: Iterable[Rejection],
        learning: Iterable[tuple[int, Mapping[str, float]]],
    ) -> None:
        """Take more into the group."""
        self.finished += finished
        self.asked += asked
        self.rejections += rejections
        self.learning += learning

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.finished or self.asked or self.rejections or self.learning)

    @property
    def due(self) -> bool:
        """Whether the group must be written now."""
        return self._alone or len(self.finished) >= GROUP_RESULTS or self._left() <= 0

    @property
    def patience(self) -> float | None:
        """Seconds after which the group must be written even if nothing more arrives; None if it is empty."""
        return max(0.0, self._left()) if self else None

    def _left(self) -> float:
        return self._last + GROUP_SECONDS - self._now()
