"""All that a strategy was told, as arrays."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gcnas.records import Architecture, Evaluation, EvaluationState, LayerAction, Limits, Trajectory
from gcnas.records.signals import FACTS, USUAL_FACTS
from gcnas.space import SearchSpace
from gcnas.strategy.edits import architecture_of
from gcnas.strategy.signals import Signals, from_state, to_state
from gcnas.strategy.targets import normal_scores_by_group
from gcnas.strategy.tokens import Rows, Tokens

Floats = NDArray[np.float64]

MAX_KNOWN = 50_000
"""Networks whose tokens are kept."""


ROWS = ("tokens", "facts", "scores", "epochs", "rejected", "keys")
"""Arrays with a row for each evaluation."""


class Experience:
    """Evaluations in the order in which they were told.

    What failed or broke a limit counts as the worst score seen at its fidelity, so that its likes are avoided, and what
    failed with more training as the worst of all. A network may come again with more training. Rows grow in place.

    Args:
        space: Fitted space.
        tokens: The columns of the space.
        facts: Which of :data:`~gcnas.records.signals.FACTS` models see, where networks cost something.
        signals: What is measured about networks.
    """

    def __init__(
        self,
        space: SearchSpace,
        tokens: Tokens,
        facts: Sequence[str] = USUAL_FACTS,
        signals: Signals | None = None,
    ) -> None:
        self._space, self._columns = space, tokens
        self.signals = signals or Signals(None)
        self._known: dict[str, Rows] = {}
        # Decisions that the masks allow, by key: layers that vanish may be what makes a network deep enough.
        self._decided: dict[int, Rows] = {}
        self._chosen = [index for index, name in enumerate(FACTS) if name in facts and space.sized]
        self._sizes = [index for index in self._chosen if FACTS[index] in USUAL_FACTS]
        self._count = 0
        self._tokens = np.zeros((64, tokens.width), np.int16)
        self._facts = np.zeros((64, 1 + len(self._chosen) + self.signals.count))
        self._scores = np.zeros(64)
        self._epochs = np.zeros(64, np.int64)
        self._rejected = np.zeros(64, np.int8)
        self._keys = np.zeros(64, np.uint64)
        self._targets: Floats | None = None
        self._ranking: NDArray[np.int64] | None = None
        self._limited = space.limits != Limits()
        self._within: dict[int, bool] = {}

    @property
    def width(self) -> int:
        """F, number of facts about a network: epochs, what it costs, two for each signal."""
        return 1 + len(self._chosen) + 2 * self.signals.count

    def __len__(self) -> int:
        return self._count

    @property
    def tokens(self) -> Rows:
        """(n, N, J)."""
        return self._by_place(self._tokens[: self._count])

    @property
    def facts(self) -> Floats:
        """(n, F)."""
        return self._seen(self._facts[: self._count])

    @property
    def epochs(self) -> NDArray[np.int64]:
        """Training behind each evaluation, (n)."""
        return self._epochs[: self._count]

    @property
    def targets(self) -> Floats:
        """Normal scores among the evaluations of the same fidelity, (n).

        Networks with more training were chosen because they are good, so a middling score among them is no middling
        network: as a group they keep the places that they had with less training, and the scores with more decide who
        of them has which.
        """
        if self._targets is None:
            self._targets = self._normal_scores()
        return self._targets

    def _normal_scores(self) -> Floats:
        scores = self._scores[: self._count].copy()
        for epochs in np.unique(self.epochs):
            here = self.epochs == epochs
            known = scores[here & np.isfinite(scores)]
            scores[here & ~np.isfinite(scores)] = known.min() if len(known) else 0.0
        targets = normal_scores_by_group(scores, self.epochs)
        return self._placed(targets, scores) if self._several() else targets

    def _placed(self, targets: Floats, scores: Floats) -> Floats:
        places: dict[int, float] = {}
        failed_later = np.zeros(len(targets), np.bool_)
        for epochs in np.unique(self.epochs):
            rows = np.flatnonzero(self.epochs == epochs)
            keys = self._keys[rows].tolist()
            again = np.array([key in places for key in keys])
            failed_later[rows] = failed = again & ~np.isfinite(self._scores[rows])
            ranked = np.flatnonzero(again & ~failed)
            if len(ranked):
                from scipy.stats import rankdata  # slow to import, and most commands have no use for it

                held = np.sort([places[keys[index]] for index in ranked])
                ranks = rankdata(scores[rows[ranked]]) - 1
                targets[rows[ranked]] = np.interp(ranks, np.arange(len(held)), held)
            places |= dict(zip(keys, targets[rows].tolist(), strict=True))
        targets[failed_later] = targets.min()
        return targets

    def add(self, evaluation: Evaluation) -> None:
        """Remember a result; repeats bring nothing new."""
        if evaluation.state is EvaluationState.DUPLICATE:
            return
        if self._count == len(self._scores):
            self._grow()
        architecture, row = evaluation.proposal.architecture, self._count
        if evaluation.fidelity is not None and not self._lowest():
            self._train(evaluation.fidelity.epochs)
        self._epochs[row] = evaluation.fidelity.epochs if evaluation.fidelity else self._lowest()
        self._tokens[row] = self._row(architecture)
        self._keys[row] = key = _key(self._tokens[row])
        if self._limited:
            self._within[key] = self._space.violation(architecture) is None
        if architecture.depth < self._space.min_depth:
            self._decided[key] = self._columns.encode(evaluation.proposal.trajectory.actions)
        self._facts[row] = self._stored([architecture], int(self._epochs[row]))[0]
        score = evaluation.score if evaluation.state is EvaluationState.COMPLETE else None
        self._scores[row] = score if score is not None and math.isfinite(score) else -math.inf
        self._rejected[row] = evaluation.state is EvaluationState.INFEASIBLE
        self._count += 1
        self._targets = self._ranking = None

    def _train(self, epochs: int) -> None:
        """Failures from before there was any training belong to the first one."""
        rows = ~np.isfinite(self._scores[: self._count])
        self._epochs[: self._count][rows] = epochs
        self._facts[: self._count, 0][rows] = _training_fact(epochs)

    def _grow(self) -> None:
        for name in ROWS:
            array = getattr(self, f"_{name}")
            setattr(self, f"_{name}", np.concatenate([array, np.zeros_like(array)]))

    def forget_rejected(self) -> None:
        """Forget what broke a limit; rows after it move up."""
        kept = np.flatnonzero(self._rejected[: self._count] == 0)
        for name in ROWS:
            array = getattr(self, f"_{name}")
            array[: len(kept)] = array[kept]
        self._count = len(kept)
        self._targets = self._ranking = None

    def _lowest(self) -> int:
        trained = self.epochs[self.epochs > 0]
        return int(trained.min()) if len(trained) else 0

    def _highest(self) -> int:
        return int(self.epochs.max()) if self._count else 0

    def facts_of(
        self, architectures: list[Architecture], epochs: int | None = None, *, measured: bool = False
    ) -> Floats:
        """Facts (n, F) about networks trained for some epochs; for the most epochs seen if not given.

        Args:
            architectures: n networks.
            epochs: Their training.
            measured: Whether signals that are known are among the facts; they count as unknown if not.
        """
        stored = self._stored(architectures, self._highest() if epochs is None else epochs)
        if not measured:
            stored[:, stored.shape[1] - self.signals.count :] = np.nan
        return self._seen(stored)

    def _stored(self, architectures: list[Architecture], epochs: int) -> Floats:
        """Facts with signals as they were measured, NaN where they are unknown."""
        trained = np.full((len(architectures), 1), _training_fact(epochs))
        parts = [trained]
        if self._chosen:
            parts.append(self._costs(architectures)[:, self._chosen])
        return np.concatenate([*parts, self.signals.values(architectures)], 1)

    def _costs(self, architectures: Sequence[Architecture]) -> Floats:
        """:data:`~gcnas.records.signals.FACTS` of n networks, (n, 3)."""
        sizes = np.array([self._space.size(architecture) for architecture in architectures], np.float64)
        depths = np.array([len(architecture.layers) for architecture in architectures], np.float64)
        sizes = np.log10(sizes.reshape(-1, 2) + 1) / 4
        return np.concatenate([sizes, depths[:, None] / self._space.max_depth], 1)

    @property
    def sized(self) -> bool:
        """Whether sizes are among the facts."""
        return bool(self._sizes)

    def sizes_of(self, architectures: Sequence[Architecture]) -> Floats:
        """Those of the facts that are sizes (n, K), growing with the network."""
        return self._costs(architectures)[:, self._sizes]

    def _seen(self, stored: Floats) -> Floats:
        """Facts (n, F) as models see them."""
        if not self.signals.count:
            return stored
        first = stored.shape[1] - self.signals.count
        return np.concatenate([stored[:, :first], self.signals.inputs(stored[:, first:])], 1)

    def tokens_of(self, architectures: list[Architecture]) -> Rows:
        """Tokens (n, N, J) of architectures; equal networks have equal ones."""
        return self._by_place(np.array([self._row(a) for a in architectures]))

    def rows_of(self, decisions: Sequence[Sequence[LayerAction]]) -> Rows:
        """Tokens (n, N, J) of decisions as they are, whatever the masks and the canonical form make of them."""
        return self._by_place(np.array([self._columns.encode(actions) for actions in decisions]))

    def _by_place(self, rows: Rows) -> Rows:
        return rows.reshape(len(rows), self._space.max_depth, self._columns.columns)

    def _row(self, architecture: Architecture) -> Rows:
        row = self._known.get(architecture.fingerprint)
        if row is None:
            row = self._columns.canonical(architecture)
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[architecture.fingerprint] = row
        return row

    def decisions(self, row: int) -> Trajectory:
        """Decisions that lead to the network of a row, with the masks that the space gives."""
        growth = self._space.start()
        for action in self._columns.decode(self._decided.get(int(self._keys[row]), self._tokens[row])):
            growth = growth.add(action)
        return growth.stop()

    def best(self, count: int) -> NDArray[np.int64]:
        """Rows of the best networks, each with its most training, the best first: by training, then by score.

        What failed with its most training is none of them, however good it was with less. Nor is what breaks a limit
        that is tighter than it was, if two others are left.
        """
        if self._ranking is None:
            rows = np.lexsort((-self._scores[: self._count], -self.epochs))
            if self._several():
                _, first = np.unique(self._keys[rows], return_index=True)
                rows = rows[np.sort(first)]
            self._ranking = self._allowed(rows[np.isfinite(self._scores[rows])])
        return self._ranking[:count]

    def _allowed(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some rows whose networks are within the limits; all where fewer than two are."""
        if not self._limited:
            return rows
        within = rows[np.array([self._is_within(row) for row in rows.tolist()], np.bool_)]
        return within if len(within) > 1 else rows

    def _is_within(self, row: int) -> bool:
        key = int(self._keys[row])
        if key not in self._within:
            architecture = architecture_of(self._space, self.decisions(row))
            self._within[key] = self._space.violation(architecture) is None
        return self._within[key]

    def _several(self) -> bool:
        return len(np.unique(self.epochs)) > 1

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Copies of all rows, by name."""
        count = self._count
        signals = {f"signal_{name}": array for name, array in self.signals.arrays().items()}
        return signals | {
            "tokens": self._tokens[:count].copy(),
            "decided_keys": np.array(list(self._decided), np.uint64),
            "decided": np.array(list(self._decided.values()), np.int16).reshape(-1, self._columns.width),
            "facts": to_state(self._facts[:count]),
            "scores": self._scores[:count].copy(),
            "epochs": self._epochs[:count].copy(),
            "rejected": self._rejected[:count].copy(),
        }

    def load(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Set the rows."""
        self._count = len(arrays["scores"])
        # States from before rejections were marked know of none.
        arrays = {"rejected": np.zeros(self._count, np.int8), **arrays}
        found = arrays.get("decided_keys", np.zeros(0, np.uint64)), arrays.get("decided", np.zeros((0, 0)))
        self._decided = {int(key): row.astype(np.int16) for key, row in zip(*found, strict=True)}
        arrays["keys"] = np.array([_key(row) for row in arrays["tokens"]], np.uint64)
        for name in ROWS:
            rows = arrays[name]
            room = np.zeros((max(64, 2 * self._count), *rows.shape[1:]), rows.dtype)
            room[: self._count] = rows
            setattr(self, f"_{name}", room)
        self._facts = from_state(self._facts)
        self.signals.load({n.removeprefix("signal_"): a for n, a in arrays.items() if n.startswith("signal_")})
        self._targets = self._ranking = None


def _key(row: NDArray[np.generic]) -> int:
    """A number for a network's tokens."""
    return int.from_bytes(hashlib.blake2b(row.astype(np.int16).tobytes(), digest_size=8).digest(), "little")


def _training_fact(epochs: int) -> float:
    """Epochs as models see them."""
    return math.log2(1 + epochs) / 8
