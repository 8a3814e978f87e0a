"""A bounded number of scored rows: what models whose cost grows with the evaluations learn from."""

import numpy as np
from numpy.typing import NDArray

from gcnas.strategy.base import StrategyState
from gcnas.strategy.tokens import Rows


class Observations:
    """The best and the newest scored rows.

    Everything is kept until there are half as many again as wanted; then half of the number wanted stays for its
    score, and as much for being new. What failed counts as the worst of those that are kept.

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
        """``(N,)``; 0 where all have failed."""
        scores = np.array(self._scores, np.float64)
        failed = ~np.isfinite(scores)
        scores[failed] = scores[~failed].min(initial=np.inf) if not failed.all() else 0.0
        return scores

    def add(self, row: Rows, score: float | None) -> None:
        """Add a row, without a score if it failed; others may be dropped."""
        self._rows.append(row)
        self._scores.append(-np.inf if score is None else score)
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
        scores = np.array(self._scores, np.float64)
        return StrategyState({"total": self.total}, {"rows": self.rows, "scores": scores})

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state."""
        self.total = int(state.values["total"])
        self._rows = list(state.tensors["rows"].astype(np.int16))
        self._scores = state.tensors["scores"].tolist()
