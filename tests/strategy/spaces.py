"""Small spaces of tokens."""

from gcnas.records import Evaluation, EvaluationState, Fidelity, LayerAction, Proposal
from gcnas.space import Place, SequenceSpace, token

CELL = SequenceSpace(
    "cell",
    tuple(token(name) for name in ("none", "skip", "conv1", "conv3", "pool")),
    min_depth=6,
    max_depth=6,
    window=4,
    places=tuple(Place((True,) * 5, {}, reads) for reads in ((1,), (2,), (2,), (4,), (4,), (4, 3))),
)
"""Edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3 of a cell; each reads those that end where it starts."""

DEEP = SequenceSpace(
    "deep",
    (token("conv", {"width": (8, 16, 32), "kernel": (3, 5)}), token("pool", {"kernel": (2, 3)}), token("norm")),
    min_depth=2,
    max_depth=5,
    window=3,
)
"""Variable depth, hyper-parameters and searched connections."""


def proposal(space: SequenceSpace, *layers: LayerAction, source: str = "test") -> Proposal:
    """A proposal of certain decisions."""
    growth = space.start()
    for layer in layers:
        growth = growth.add(layer)
    return Proposal(growth.architecture, growth.stop(), source)


def complete(proposed: Proposal, score: float, epochs: int = 1) -> Evaluation:
    """A made-up result."""
    return Evaluation(proposed, EvaluationState.COMPLETE, score, Fidelity(epochs))
