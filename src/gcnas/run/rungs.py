"""The rungs of a search: how much training candidates get at first, and those that do well next."""

from gcnas.records import Fidelity

ETA = 3
"""One candidate of so many goes on, and then has so many times the training behind it."""

RUNGS = 3
"""Most rungs: beyond a ninth of the full training, the order of candidates says too little."""


def rungs(full: Fidelity) -> list[Fidelity]:
    """Fidelities from about a ninth of the full training up to it; fewer where the epochs are too few to tell apart.

    For example 27 epochs: 3, 9, 27; 4 epochs: 1, 4; 1 epoch: 1.
    """
    epochs = (round(full.epochs / ETA**power) for power in reversed(range(RUNGS)))
    return [Fidelity(number, full.seed) for number in sorted({number for number in epochs if number})]
