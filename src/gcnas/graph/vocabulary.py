"""From a space's decisions to numbers: codes of types and heads of hyper-parameters."""

from gcnas.records import HyperparameterValue
from gcnas.space import SearchSpace

FEATURES = 5
"""Numbers that describe the feature map behind a node and what is used up of the limits."""


class Vocabulary:
    """The layer types, hyper-parameters and connections of a space as a policy sees them.

    Hyper-parameters with the same name and options are one head, whatever types they belong to.

    Args:
        space: Fitted space.

    Attributes:
        types: T, number of layer types; T itself is the code of STOP in tensors.
        heads: Name and options of each of the K heads.
        slots: For each type, the head of each of its hyper-parameters, in the type's order.
        options: O, most options of a head.
        window: m, the nodes that a new node may be connected to.
        max_depth: Most layers.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.types = len(space.layer_types)
        found: dict[tuple[str, tuple[HyperparameterValue, ...]], int] = {}
        self.slots = tuple(
            tuple(found.setdefault((choice.name, choice.options), len(found)) for choice in kind.choices)
            for kind in space.layer_types
        )
        self.heads = tuple(found)
        self.options = max((len(options) for _, options in self.heads), default=1)
        self.window = space.window
        self.max_depth = space.max_depth

    @property
    def skips(self) -> int:
        """Connections that are decided for each layer: distances 2 to m."""
        return self.window - 1
