"""Drawing networks layer by layer so that they end within the limits."""

from collections.abc import Callable, Sequence

import numpy as np

from gcnas.records import LayerAction, Trajectory
from gcnas.space import Growth, SearchSpace

TRIES = 16
"""Draws of a layer before a network ends without it."""


def any_open(flags: Sequence[bool], random: np.random.Generator) -> int:
    """Index of one of the flags that are set, each as likely as the others.

    Raises:
        ValueError: If none is.
    """
    # The draws of ``choice``, at a sixth of its time.
    options = [index for index, flag in enumerate(flags) if flag]
    return options[int(random.integers(len(options)))]


def grow(space: SearchSpace, depth: int, draw: Callable[[Growth], LayerAction]) -> Trajectory:
    """A network of so many layers, or as many as the limits leave room for.

    Masks look at one decision at a time: options that fit alone may not fit together, and connections may need
    convolutions. A layer after which the network breaks a limit is drawn again.

    Args:
        space: Fitted space.
        depth: Layers wanted.
        draw: Draws the next layer among what the masks leave open.
    """
    growth = space.start()
    while growth.depth < depth and any(growth.type_mask()[:-1]):
        longer = growth.add(draw(growth))
        for _ in range(TRIES):
            if longer.affordable:
                break
            longer = growth.add(draw(growth))
        if not longer.affordable and growth.type_mask()[-1]:
            break
        growth = longer
    return growth.stop()
