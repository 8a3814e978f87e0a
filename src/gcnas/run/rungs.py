"""The rungs of a search: how much training candidates get at first, and those that do well next."""

from gcnas.records import Fidelity

ETA = 3
"""One candidate of so many goes on, and then has so many times the training behind it."""

RUNGS = 3
"""Most rungs: beyond a ninth of the full training, the order of candidates says too little."""

LEAST_STEPS = 400
"""Optimiser steps below which a training says next to nothing.

Of three designs on Fashion-MNIST, nearly two points apart after 1,700 steps, none could be told from another after 190
(``benchmarks/rung_rank.py``).
"""


def rungs(full: Fidelity, steps_per_epoch: int) -> list[Fidelity]:
    """Fidelities from about a ninth of the full training up to it; fewer where that would be too little training.

    For example 27 epochs of 200 steps: 3, 9, 27; of 60 steps: 9, 27; of 10 steps: 27.

    Args:
        full: The full training.
        steps_per_epoch: Optimiser steps of an epoch.
    """
    epochs = (round(full.epochs / ETA**power) for power in range(1, RUNGS))
    lower = {number for number in epochs if number and number * steps_per_epoch >= LEAST_STEPS} - {full.epochs}
    return [Fidelity(number, full.seed) for number in (*sorted(lower), full.epochs)]
