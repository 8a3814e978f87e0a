"""Limits on what may be delivered, and what a network costs."""

from dataclasses import dataclass, fields
from types import MappingProxyType

METRICS = MappingProxyType(
    {
        "params": "parameters",
        "macs": "multiply_adds",
        "activations": "activations",
        "size": "size",
        "latency": "latency",
    }
)
"""What a network costs, as users name it, and the fields of :class:`Cost` and :class:`Limits` that hold it."""

BYTES = 4
"""Of one parameter in the file of weights."""


@dataclass(frozen=True)
class Cost:
    """What a network costs, for one image.

    Attributes:
        parameters: Trainable numbers.
        multiply_adds: Multiplications with addition in convolutions and linear layers.
        activations: Most numbers alive at once between layers, in a forward pass layer by layer.
        size: Bytes of the file of weights; None where nobody asked.
        latency: Predicted milliseconds of one image on this device; None where nobody asked.
    """

    parameters: int = 0
    multiply_adds: int = 0
    activations: int = 0
    size: int | None = None
    latency: float | None = None


@dataclass(frozen=True)
class Limits:
    """Upper bounds (inclusive) on the :class:`Cost` of a network; ``None`` is no bound.

    Attributes:
        parameters: Most trainable numbers.
        multiply_adds: Most multiplications with addition, for one image.
        activations: Most numbers alive at once, for one image.
        size: Most bytes of the file of weights.
        latency: Most milliseconds of one image.
    """

    parameters: int | None = None
    multiply_adds: int | None = None
    activations: int | None = None
    size: int | None = None
    latency: float | None = None

    def bound(self, metric: str) -> float | None:
        """The bound on a metric that other limits imply as well: a file holds four bytes a parameter."""
        own: float | None = getattr(self, metric)
        if metric != "parameters" or self.size is None:
            return own
        implied = self.size // BYTES
        return implied if own is None else min(own, implied)

    def violation(self, cost: Cost) -> str | None:
        """Name of the first limit that the cost exceeds, with both figures, or None.

        What a cost leaves open breaks no limit, except that a file is never smaller than its parameters.
        """
        for field in fields(self):
            limit, value = getattr(self, field.name), getattr(cost, field.name)
            if field.name == "size" and value is None:
                value = BYTES * cost.parameters
            if limit is not None and value is not None and value > limit:
                return f"{field.name} {_figure(value)} > {_figure(limit)}"
        return None

    def within(self, other: "Limits") -> "Limits":
        """The tighter of two bounds on each metric."""
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        return Limits(
            **{name: min((b for b in pair if b is not None), default=None) for name, pair in pairs.items()}
        )


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
