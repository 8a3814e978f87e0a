"""Cheap signals about networks that are measured, not trained: which there are, and what is known of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from gcnas.records import Architecture

Floats = NDArray[np.float64]

MAX_MEASURED = 50_000
"""Networks whose signals are kept."""


@dataclass(frozen=True)
class SignalSource:
    """Where signals come from.

    Attributes:
        names: K signals.
        measure: Their values for one network; a missing or not finite value counts as unknown.
    """

    names: tuple[str, ...]
    measure: Callable[[Architecture], Mapping[str, float]]


class Signals:
    """Signals of the networks that were measured, each once.

    Only the order of values counts: a signal is seen as its normal score among all that were measured, with a second
    number that says whether it is known.

    Args:
        source: Where they come from; None for no signals.
    """

    def __init__(self, source: SignalSource | None) -> None:
        self._source = source
        self._known: dict[str, Floats] = {}
        self._sorted: list[Floats] | None = None

    @property
    def count(self) -> int:
        """K, number of signals."""
        return 0 if self._source is None else len(self._source.names)

    def measure(self, architectures: Iterable[Architecture]) -> None:
        """Measure networks that were not measured before."""
        if self._source is None:
            return
        for architecture in architectures:
            if architecture.fingerprint not in self._known:
                values = self._source.measure(architecture)
                row = np.array([values.get(name, np.nan) for name in self._source.names], np.float64)
                self._known[architecture.fingerprint] = np.where(np.isfinite(row), row, np.nan)
                self._sorted = None
        if len(self._known) > MAX_MEASURED:
            for fingerprint in list(islice(self._known, len(self._known) - MAX_MEASURED)):
                del self._known[fingerprint]

    def values(self, architectures: Iterable[Architecture]) -> Floats:
        """Values (n, K), NaN where they are unknown; nothing is measured."""
        unknown = np.full(self.count, np.nan)
        rows = [self._known.get(architecture.fingerprint, unknown) for architecture in architectures]
        return np.array(rows, np.float64).reshape(len(rows), self.count)

    def scores(self, values: Floats) -> Floats:
        """Normal scores (n, K) of values (n, K) among all that were measured; NaN where they are unknown."""
        if self._sorted is None:
            known = np.array(list(self._known.values()), np.float64).reshape(-1, self.count)
            self._sorted = [np.sort(column[~np.isnan(column)]) for column in known.T]
        scores = np.full(values.shape, np.nan)
        for index, known in enumerate(self._sorted):
            here = ~np.isnan(values[:, index])
            wanted = values[here, index]
            below = np.searchsorted(known, wanted, "left") + np.searchsorted(known, wanted, "right")
            # Mid-ranks of those that were measured, shrunk a little so that no score is infinite.
            scores[here, index] = ndtri((below / 2 + 0.5) / (len(known) + 1))
        return scores

    def inputs(self, values: Floats) -> Floats:
        """What models see of values (n, K), (n, 2 K): normal scores, 0 where unknown, and 1 where known."""
        known = ~np.isnan(values)
        return np.concatenate([np.where(known, self.scores(values), 0.0), known], 1)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All that is known, by name; nothing where there are no signals."""
        if not self.count:
            return {}
        keys = np.frombuffer(bytes.fromhex("".join(self._known)), np.uint64).copy()
        values = np.array(list(self._known.values()), np.float64).reshape(-1, self.count)
        return {"keys": keys, "values": to_state(values)}

    def load(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Set all that is known."""
        if self.count:
            digits = arrays["keys"].astype(np.uint64).tobytes().hex()
            keys = [digits[start : start + 16] for start in range(0, len(digits), 16)]
            self._known = dict(zip(keys, from_state(np.asarray(arrays["values"], np.float64)), strict=True))
            self._sorted = None


def to_state(values: Floats) -> Floats:
    """A copy with infinity for what is unknown: states are compared, and NaN is not equal to itself."""
    return np.where(np.isnan(values), np.inf, values)


def from_state(values: Floats) -> Floats:
    """A copy with NaN for what is unknown."""
    return np.where(np.isinf(values), np.nan, values)
