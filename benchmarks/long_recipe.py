"""What changes to the recipe of a long final training are worth, one at a time.

``python benchmarks/long_recipe.py --seeds 0 --epochs 200 --jobs 2`` trains a design of ``designs.py`` on its images
(4,000 of CIFAR-10; 5,000 others measure) for so many passes with the recipe of the final training, as it is and with
each change. ``training_accuracy`` is that on the training images as they are. No benchmark's test image is among them.

Changes: weight decay (0.002 in the recipe), peak of the learning rate (0.1), no label smoothing, no mixed images;
``affine``: images turned by up to 15 degrees, sheared, and up to a fifth larger or smaller; ``colour``: brightness,
contrast and saturation up to 30 % more or less; ``sharpness``: sharpness-aware minimisation (Foret and others 2021)
with a radius of 0.1, which takes two gradients a step; ``branches``: a 1x1 convolution beside each 3x3 one while
training, and an identity where shapes are the same, as in RepVGG (Ding and others 2021), which could be folded into it
afterwards.

A row that stands in the result file is not run again. The data are read from the folder in GCNAS_DATA or
``../shared/data``.
"""

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from designs import DESIGNS, SETS, build, scene
from jobs import append, rows, run_each
from torch import Tensor, nn
from torch.nn import functional

from gcnas import training
from gcnas.network import blocks
from gcnas.training import loop
from gcnas.training.candidate import build_seeded
from gcnas.training.mixing import Batch

RESULTS = Path(__file__).resolve().parent / "results" / "long_recipe.csv"
COLUMNS = "set design change epochs seed loss training_accuracy accuracy".split()
FIELDS: dict[str, dict[str, Any]] = {
    "none": {},
    "decay-0.0005": {"weight_decay": 5e-4},
    "decay-0.001": {"weight_decay": 1e-3},
    "decay-0.004": {"weight_decay": 4e-3},
    "rate-0.05": {"learning_rate": 0.05},
    "rate-0.2": {"learning_rate": 0.2},
    "no-smoothing": {"label_smoothing": 0.0},
    "no-mixing": {"mixed_from": None},
}
CHANGES = (*FIELDS, "affine", "colour", "affine+colour", "sharpness", "branches")
RADIUS = 0.1


class Changed(training.ImageBatches):
    """Training images that are turned and tinted besides."""

    change = ""

    def training(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch."""
        for images, labels in super().training(batch_size, generator):
            if "affine" in self.change:
                images = turned(images, generator)
            if "colour" in self.change:
                images = tinted(images, generator)
            yield images, labels


def turned(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images ``B x C x H x W``, each through an affine map of its own; what is uncovered is black."""
    angle = spread(images, generator, math.radians(15))
    scale, shear = spread(images, generator, 0.2).exp(), spread(images, generator, 0.15)
    aspect, none = spread(images, generator, 0.1).exp(), torch.zeros(len(images))
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    maps = torch.stack([cosine * aspect, shear - sine, none, sine, cosine / aspect, none], 1).reshape(-1, 2, 3)
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, align_corners=False)
    return moved.contiguous(memory_format=torch.channels_last)


def tinted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images ``B x C x H x W``, each of other brightness, contrast and saturation."""
    brighter, harder, fuller = (1 + spread(images, generator, 0.3)[:, None, None, None] for _ in range(3))
    images = images * brighter
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * harder + mean
    grey = images.mean(1, keepdim=True)
    return ((images - grey) * fuller + grey).clamp(0, 1)


def spread(images: Tensor, generator: torch.Generator, most: float) -> Tensor:
    """A number for each image, from minus to plus ``most``."""
    return (2 * torch.rand(len(images), generator=generator) - 1) * most


class Branches(nn.Module):
    """A convolution with its normalisation, and beside it a 1x1 one and, where shapes allow, the identity."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        inputs, filters = conv.in_channels, conv.out_channels
        self.main = nn.Sequential(conv, norm)
        self.others = nn.ModuleList()
        if conv.kernel_size != (1, 1):
            point = nn.Conv2d(inputs, filters, 1, (conv.stride[0], conv.stride[1]), bias=False)
            self.others.append(nn.Sequential(point, nn.BatchNorm2d(filters)))
        if inputs == filters and conv.stride == (1, 1):
            self.others.append(nn.BatchNorm2d(filters))

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        total: Tensor = self.main(x)
        for branch in self.others:
            total = total + branch(x)
        return total


def with_branches(network: nn.Module) -> None:
    """Give each convolution of stem, ``conv2d`` and ``residual_block`` its branches."""
    for module in list(network.modules()):
        if isinstance(module, blocks.ConvBlock | blocks.Stem):
            module.conv, module.norm = Branches(module.conv, module.norm), nn.Identity()  # type: ignore[assignment]
        if isinstance(module, blocks.ResidualBlock):
            module.conv1, module.norm1 = Branches(module.conv1, module.norm1), nn.Identity()  # type: ignore[assignment]
            module.conv2, module.norm2 = Branches(module.conv2, module.norm2), nn.Identity()  # type: ignore[assignment]


def sharpness_aware(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    recipe: training.Recipe,
    platform: training.Platform,
    _distillation: None,
) -> Tensor:
    """A step with the gradient at the worst place within :data:`RADIUS`; in place of that of the training loop."""
    parameters = list(network.parameters())
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]

    def gradients() -> Tensor:
        with platform.computing():
            logits = network(batch.images)
        targets = batch.targets(logits.shape[1])
        loss = functional.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    loss = gradients()
    found = [parameter.grad for parameter in parameters if parameter.grad is not None]
    length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in found]))
    moves = [grad * (RADIUS / (length + 1e-12)) for grad in found]
    with torch.no_grad():
        for parameter, move in zip(parameters, moves, strict=True):
            parameter.add_(move)
    for norm in norms:
        norm.momentum = 0.0  # statistics are those of the first gradient
    gradients()
    for norm in norms:
        norm.momentum = 0.1
    with torch.no_grad():
        for parameter, move in zip(parameters, moves, strict=True):
            parameter.sub_(move)
    nn.utils.clip_grad_norm_(parameters, recipe.gradient_norm)
    optimizer.step()
    return loss


def run_one(images: str, design: str, change: str, epochs: int, seed: int, output: Path) -> None:
    """Train one design by one recipe and append its row."""
    with tempfile.TemporaryDirectory() as folder:
        here = scene(Path(folder), seed, images)
        space, dataset, platform = here.space, here.dataset, here.platform
        network = build_seeded(space, build(space, DESIGNS[design]), dataset, platform, seed)
        if change == "branches":
            torch.manual_seed(seed)
            with_branches(network)
            network = network.to(memory_format=platform.memory_format)  # type: ignore[call-overload]
        batches = Changed(dataset.train_and_validation(), platform, here.recipe.augmentation)
        batches.change = change
        recipe = replace(here.final_recipe, **FIELDS.get(change, {}))
        schedule = training.EpochSchedule(epochs)
        step = sharpness_aware if change == "sharpness" else loop._step  # noqa: SLF001
        with patch.object(loop, "_step", step):
            log = training.train(network, batches, recipe, schedule, platform, seed=seed)
        learnt = training.measure(network, batches, dataset.classes).accuracy
        accuracy = here.test(network)
    row = (images, design, change, epochs, seed, round(log.loss, 4), round(learnt, 4), round(accuracy, 4))
    append(output, COLUMNS, row)


def main() -> None:
    """Read the command line, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=list(SETS), default="cifar")
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=["vgg-half-wide"])
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--here", action="store_true", help="run the first combination in this process")
    given = parser.parse_args()
    if given.here:
        first = (given.set, given.designs[0], given.changes[0], given.epochs, given.seeds[0])
        run_one(*first, output=given.out)
        return
    kept = rows(given.out, COLUMNS)
    done = {(r["set"], r["design"], r["change"], int(r["epochs"]), int(r["seed"])) for r in kept}
    common = ("--set", given.set, "--epochs", given.epochs, "--out", given.out)
    jobs = [
        ("--designs", design, "--changes", change, "--seeds", seed, *common)
        for seed in given.seeds
        for design in given.designs
        for change in given.changes
        if (given.set, design, change, given.epochs, seed) not in done
    ]
    run_each(__file__, jobs, given.jobs)


if __name__ == "__main__":
    main()
