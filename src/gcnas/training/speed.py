"""How fast a network trains here."""

import time

from torch import nn

from gcnas.training.batches import ImageBatches
from gcnas.training.loop import train
from gcnas.training.platform import Platform
from gcnas.training.recipe import Recipe, TimedSchedule

WARM_UP_SECONDS = 0.2
MEASURED_SECONDS = 0.8


def images_per_second(network: nn.Module, batches: ImageBatches, recipe: Recipe, platform: Platform) -> float:
    """Training speed of a network, measured for about a second; its weights are spoilt.

    Args:
        network: On the platform.
        batches: Training images.
        recipe: Batch size and augmentation.
        platform: Device.
    """
    recipe.optimizer(
        network
    )  # the first one of a process makes PyTorch import its compiler, which takes seconds
    train(network, batches, recipe, TimedSchedule(WARM_UP_SECONDS, 1_000), platform, seed=0)
    start = time.monotonic()
    log = train(network, batches, recipe, TimedSchedule(MEASURED_SECONDS, 1_000_000), platform, seed=0)
    return log.epochs * len(batches) / (time.monotonic() - start)
