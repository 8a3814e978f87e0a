"""A bounded number of scored rows: what models whose cost grows with the evaluations learn from."""

import numpy as np
from numpy.typing import NDArray

from gcnas.strategy.base import StrategyState
from gcnas.strategy.tokens import Rows


class Observations:
    """The best and the newest scored rows.

    Everything is kept until there are half as many again as wanted; then half of the number wanted stays for its
    score, and as much for being new.

    Args:
        width: Number of columns of a row.
        most: How many are kept.
    """

    def __init__(self, width: int, most: int) -> None:
        self._most = most
        self._rows: list[Rows] = []
        self._scores: list[float] = []
        self._width = width
        self.total = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> Rows:
        """``(N, width)``, oldest first."""
        return np.array(self._rows, np.int16).reshape(len(self), self._width)

    @property
    def scores(self) -> NDArray[np.float64]:
        """``(N,)``."""
        return np.array(self._scores, np.float64)

    def add(self, row: Rows, score: float) -> None:
        """Add a row; others may be dropped."""
        self._rows.append(row)
        self._scores.append(score)
        self.total += 1
        if len(self) > self._most + self._most // 2:
            self._keep(self._most)

    def best(self, count: int) -> Rows:
        """The rows of the highest scores, ``(count, width)`` or fewer."""
        return self.rows[np.argsort(-self.scores, kind="stable")[:count]]

    def _keep(self, most: int) -> None:
        newest = range(len(self) - most // 2, len(self))
        older = np.argsort(-self.scores[: newest.start], kind="stable")[: most - len(newest)]
        kept = [*sorted(older.tolist()), *newest]
        self._rows = [self._rows[index] for index in kept]
        self._scores = [self._scores[index] for index in kept]

    def state_dict(self) -> StrategyState:
        """Rows and scores, and how many were ever added."""
        return StrategyState({"total": self.total}, {"rows": self.rows, "scores": self.scores})

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state."""
        self.total = int(state.values["total"])
        self._rows = list(state.tensors["rows"].astype(np.int16))
        self._scores = state.tensors["scores"].tolist()
