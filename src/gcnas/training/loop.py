"""Training a network, and measuring it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gcnas.errors import NotFiniteError, TimeLimitError
from gcnas.training.batches import ImageBatches
from gcnas.training.distillation import Distillation
from gcnas.training.memory import memory_errors
from gcnas.training.mixing import Batch, Mixer
from gcnas.training.platform import Platform, depthwise_in_single
from gcnas.training.recipe import Recipe, Schedule

FINITE_CHECK_STEPS = 10
"""Every so many steps the loss is looked at; looking at every step would make a GPU wait."""


@dataclass(frozen=True)
class TrainingLog:
    """What a training did.

    Attributes:
        steps: Optimiser steps.
        epochs: Passes over the data, with fractions.
        loss: Training loss (label smoothing included) of the last step.
        mixed: Share of the steps with mixed images.
    """

    steps: int
    epochs: float
    loss: float
    mixed: float = 0.0


def train(
    network: nn.Module,
    batches: ImageBatches,
    recipe: Recipe,
    schedule: Schedule,
    platform: Platform,
    *,
    seed: int,
    deadline: float = math.inf,
    on_step: Callable[[float], None] | None = None,
    distillation: Distillation | None = None,
) -> TrainingLog:
    """Train a network in place.

    Args:
        network: Maps ``B x C x H x W`` in [0, 1] to logits ``B x classes``.
        batches: Training images.
        recipe: Optimiser and regularisation.
        schedule: Length of the training.
        platform: Device and memory format; the network must be on it.
        seed: Seed of order, augmentation and dropout. Dropout draws from torch's global state, which is set.
        deadline: Value of ``time.monotonic()`` after which the training is given up.
        on_step: Called with the progress, from 0 to 1, after each step.
        distillation: The teacher to learn from besides the labels; None for none.

    Raises:
        NotFiniteError: If the loss is not finite.
        TimeLimitError: If the deadline passes.
        OutOfMemoryError: If memory runs out.
    """
    optimizer = recipe.optimizer(network)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    mixer, mixed_steps = Mixer(seed), 0
    steps_per_epoch = max(1, len(batches) // recipe.batch_size + (len(batches) % recipe.batch_size > 1))
    step, progress, loss = 0, schedule.progress(0, steps_per_epoch), torch.zeros(())
    network.train()
    with memory_errors(), depthwise_in_single(network, platform):
        while progress < 1:
            for images, labels in batches.training(recipe.batch_size, generator):
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate * schedule.rate(progress)
                mixes = recipe.mixes(step / steps_per_epoch, progress)
                mixed_steps += mixes
                batch = mixer(images, labels) if mixes else Batch(images, labels)
                loss = _step(network, optimizer, batch, recipe, platform, distillation)
                step += 1
                progress = schedule.progress(step, steps_per_epoch)
                _check(loss, step, progress, deadline)
                if on_step is not None:
                    on_step(min(progress, 1.0))
                if progress >= 1:
                    break
    return TrainingLog(step, step / steps_per_epoch, float(loss), mixed_steps / max(step, 1))


def _step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    recipe: Recipe,
    platform: Platform,
    distillation: Distillation | None,
) -> Tensor:
    with platform.computing():
        logits = network(batch.images)
    logits = logits.float()
    labels = batch.targets(logits.shape[1])
    if distillation is None:
        loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    else:
        loss = distillation.loss(logits, batch.images, labels, recipe.label_smoothing)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_norm)
    optimizer.step()
    return loss.detach()


def _check(loss: Tensor, step: int, progress: float, deadline: float) -> None:
    if (step % FINITE_CHECK_STEPS == 0 or progress >= 1) and not math.isfinite(value := float(loss)):
        raise NotFiniteError(f"The training loss became {value} at step {step}.")
    if progress < 1 and time.monotonic() > deadline:
        raise TimeLimitError(f"The time limit was reached at step {step}, {progress:.0%} of the training.")


@dataclass(frozen=True)
class Measurement:
    """How well a network classifies a split.

    Attributes:
        accuracy: Share of the images classified correctly.
        balanced_accuracy: Mean over the classes present of the share classified correctly.
        loss: Mean cross-entropy in nats.
        confusion: Counts ``classes x classes``; rows are true classes.
    """

    accuracy: float
    balanced_accuracy: float
    loss: float
    confusion: np.ndarray

    def metrics(self) -> dict[str, float]:
        """The scalar figures by name."""
        return {
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "loss": self.loss,
        }


def measure(network: nn.Module, batches: ImageBatches, classes: int) -> Measurement:
    """Classify all images of a split in single precision; on a GPU convolutions may use TF32, as PyTorch lets them.

    Raises:
        NotFiniteError: If the loss is not finite.
        OutOfMemoryError: If memory runs out.
    """
    network.eval()
    confusion = torch.zeros(classes * classes, dtype=torch.int64)
    total = 0.0
    with torch.inference_mode(), memory_errors():
        for images, labels in batches.evaluation():
            logits = network(images)
            total += float(functional.cross_entropy(logits, labels, reduction="sum"))
            cells = (labels * classes + logits.argmax(1)).cpu()
            confusion.index_add_(0, cells, torch.ones_like(cells))
    if not math.isfinite(total):
        raise NotFiniteError(f"The validation loss is {total}.")
    return _measurement(confusion.reshape(classes, classes).numpy(), total / len(batches))


def _measurement(confusion: np.ndarray, loss: float) -> Measurement:
    counts, correct = confusion.sum(1), confusion.diagonal()
    present = counts > 0
    return Measurement(
        accuracy=float(correct.sum() / counts.sum()),
        balanced_accuracy=float((correct[present] / counts[present]).mean()),
        loss=loss,
        confusion=confusion,
    )
