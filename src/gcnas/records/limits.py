"""Limits on what may be delivered, and what a network costs."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Cost:
    """What a network costs, for one image.

    Attributes:
        parameters: Trainable numbers.
        multiply_adds: Multiplications with addition in convolutions and linear layers.
        activations: Most numbers alive at once between layers, in a forward pass layer by layer.
    """

    parameters: int = 0
    multiply_adds: int = 0
    activations: int = 0


@dataclass(frozen=True)
class Limits:
    """Upper bounds (inclusive) on the :class:`Cost` of a network; ``None`` is no bound."""

    parameters: int | None = None
    multiply_adds: int | None = None
    activations: int | None = None

    def violation(self, cost: Cost) -> str | None:
        """Name of the first limit that the cost exceeds, with both figures, or None."""
        for field in fields(self):
            limit, value = getattr(self, field.name), getattr(cost, field.name)
            if limit is not None and value > limit:
                return f"{field.name} {value:,} > {limit:,}"
        return None
