"""The recipe that trains one network: optimiser, schedule, regularisation."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gcnas.errors import ConfigurationError
from gcnas.records import DECAY
from gcnas.training.batches import Augmentation

WARM_UP = 0.15
"""Share of the training in which the rate rises to its peak."""

FINAL_RATE = 0.002
"""Rate at the end, as a share of the peak."""


@dataclass(frozen=True)
class Recipe:
    """How networks are trained; one recipe for all candidates of a run.

    Attributes:
        batch_size: Images a step.
        learning_rate: Peak of the one-cycle schedule.
        momentum: Nesterov momentum.
        weight_decay: Decay of convolution and linear weights.
        label_smoothing: Share of the target spread over all classes.
        gradient_norm: Gradients longer than this are shortened to it, so that odd candidates train too.
        augmentation: What is done to the images.
        mixed_from: Images are mixed (:class:`~gcnas.training.mixing.Mixer`) in trainings of so many passes and more;
            None for none.
        stages: Whether candidates are trained in stages (:class:`StagedSchedule`), so that a later one can go on.
    """

    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 2e-3
    label_smoothing: float = 0.1
    gradient_norm: float = 5.0
    augmentation: Augmentation = Augmentation()
    stages: bool = False
    mixed_from: float | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise ConfigurationError(
                f"Batch normalisation needs batches of two images and more, but got batch_size={self.batch_size}."
            )

    def mixes(self, epochs: float, progress: float) -> bool:
        """Whether images are mixed from here on.

        Args:
            epochs: Passes behind.
            progress: The share of the training that they are: under a wall clock nobody knows its passes before.
        """
        return self.mixed_from is not None and epochs >= self.mixed_from * progress - 1e-9 and progress > 0

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """SGD with Nesterov momentum; biases and normalisation are not decayed."""
        plain = {
            id(parameter)
            for module in network.modules()
            for name, parameter in module.named_parameters(recurse=False)
            if parameter.ndim <= 1 or name == "bias" or isinstance(module, nn.LayerNorm)
        }
        weights = [p for p in network.parameters() if id(p) not in plain]
        others = [p for p in network.parameters() if id(p) in plain]
        groups: list[dict[str, Any]] = [
            {"params": weights, "weight_decay": self.weight_decay},
            {"params": others},
        ]
        return torch.optim.SGD(groups, lr=self.learning_rate, momentum=self.momentum, nesterov=True)


def one_cycle(progress: float) -> float:
    """Learning rate as a share of its peak: up along a line, then down along half a cosine.

    Args:
        progress: Share of the training that is done, from 0 to 1.
    """
    if progress < WARM_UP:
        return 0.1 + 0.9 * progress / WARM_UP
    return _half_cosine((progress - WARM_UP) / (1 - WARM_UP))


def _half_cosine(done: float) -> float:
    """From the peak down to :data:`FINAL_RATE`."""
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class Schedule(ABC):
    """How far a training is, and so when it ends."""

    @abstractmethod
    def progress(self, step: int, steps_per_epoch: int) -> float:
        """Share done after ``step`` optimiser steps; 1 or more ends the training."""

    def rate(self, progress: float) -> float:
        """Learning rate as a share of its peak when this share is done; :func:`one_cycle` by default."""
        return one_cycle(progress)


class EpochSchedule(Schedule):
    """A fixed number of passes over the data."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def progress(self, step: int, steps_per_epoch: int) -> float:
        """Share of the steps."""
        return step / (self.epochs * steps_per_epoch)


class StagedSchedule(Schedule):
    """Some passes over the data, the first of which an earlier training may have done.

    The rate rises to its peak, stays there, and falls in the last :data:`DECAY` of all passes along half a cosine.
    Weights stored before it falls can be trained on, since a longer training would have begun the same way. Compared
    with a new one-cycle for each stage in ``benchmarks/rung_schedule.py``.

    Args:
        epochs: Passes in all.
        done: Passes behind the weights; the rate then starts at its peak.
    """

    def __init__(self, epochs: int, done: float = 0.0) -> None:
        self.epochs, self.done = epochs, done

    def progress(self, step: int, steps_per_epoch: int) -> float:
        """Share of all steps, those done earlier included."""
        return (step / steps_per_epoch + self.done) / self.epochs

    def rate(self, progress: float) -> float:
        """Up along a line (only from new weights), the peak, down along half a cosine."""
        rising = WARM_UP * (1 - DECAY)
        if not self.done and progress < rising:
            return 0.1 + 0.9 * progress / rising
        return _half_cosine(max(0.0, progress - (1 - DECAY)) / DECAY)


class TimedSchedule(Schedule):
    """As many passes as fit a wall clock, at most some number; the rate follows the clock.

    Args:
        seconds: Wall clock from now on.
        max_epochs: Most passes.
        clock: Monotonic clock in seconds.
    """

    def __init__(self, seconds: float, max_epochs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._start, self._seconds, self._clock = clock(), max(seconds, 1e-3), clock
        self.max_epochs = max_epochs

    def progress(self, step: int, steps_per_epoch: int) -> float:
        """The larger of the share of the time and the share of the steps."""
        by_clock = (self._clock() - self._start) / self._seconds
        return max(by_clock, step / (self.max_epochs * steps_per_epoch))
