"""The soft reward of MnasNet: accuracy, weighed by how far a cost is from its target."""

from dataclasses import dataclass
from decimal import Decimal

from gcnas.records.limits import METRICS, Cost

WEIGHT = -0.07
"""MnasNet's weight: twice the cost is worth it for 5 % more accuracy, relatively."""


@dataclass(frozen=True)
class Soft:
    """A target for one cost that may be missed, at a price.

    The reward is ``accuracy * (cost / target) ** weight`` on both sides of the target (Tan et al. 2019, "MnasNet",
    equations 2 and 3 with alpha = beta = weight). With -0.07 a network that costs twice the target must be 5 % more
    accurate, relatively, to be as good: 2 ** 0.07 = 1.05.

    Attributes:
        metric: ``params``, ``macs``, ``activations``, ``size`` or ``latency``.
        target: In parameters, multiply-adds, numbers, bytes or milliseconds.
        weight: Below 0.
    """

    metric: str
    target: float
    weight: float = WEIGHT

    def reward(self, accuracy: float, cost: Cost) -> float:
        """The reward of a network.

        Raises:
            ValueError: If the cost does not hold the metric.
        """
        value = getattr(cost, METRICS[self.metric])
        if value is None:
            raise ValueError(f"The cost of a network does not say its {self.metric}.")
        return float(accuracy * (max(value, 1e-9) / self.target) ** self.weight)

    def __str__(self) -> str:
        return f"{self.metric}={_plain(self.target)}:{_plain(self.weight)}"


def _plain(number: float) -> str:
    """All digits that tell it from its neighbours, without an exponent: what options are read from."""
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
