"""Images a second of the candidate trainer, beside a plain PyTorch loop with a DataLoader, on the same networks.

``python benchmarks/training_loop.py`` trains a small network and ResNet-8 on made-up images of 8x8 (one channel), 28x28
(one channel) and 32x32 (three channels), one thread, batches of 64. In each of five rounds every loop trains for the
same number of steps, one after the other, so that ratios are taken within a round:

- ``gcnas``: ``gcnas.training.train``, with shifted crops and mirroring, gradient norm and finite checks as in a search;
  in bfloat16 where a search would train so (on processors with instructions for it, not on 8x8).
- ``plain``: what a tutorial writes: a ``Dataset`` that crops and mirrors one image at a time, a ``DataLoader`` without
  workers, the same optimiser, feature maps as PyTorch has them by default.
- ``workers``: the same with a DataLoader of two worker processes (kept alive, started before the clock).
- ``kernels``: the steps of ``gcnas`` on one batch that stands ready: forward, backward, update and nothing else. Its
  time as a share of that of ``gcnas`` is the share of the trainer's time in kernels.

``benchmarks/results/training_loop.csv`` has one row a round, and is replaced when all is measured. ``--summary`` prints
the figures.
"""

import argparse
import csv
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jobs import replace_rows
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from gcnas import training
from gcnas.data import Split
from gcnas.network import build
from gcnas.records import Architecture
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets.cnn import CNN, VGG_WIDTHS, resnet8, vgg

RESULTS = Path(__file__).resolve().parent / "results" / "training_loop.csv"
COLUMNS = "images network parameters round loop images_per_second".split()
SHAPES = {
    "8x8": InputShape(1, 8, 8, 10),
    "28x28": InputShape(1, 28, 28, 10),
    "32x32": InputShape(3, 32, 32, 10),
}
Loops: TypeAlias = dict[str, Callable[[], float]]
Loader: TypeAlias = DataLoader[tuple[Tensor, int]]
BATCH, SHIFT, STEPS = 64, 2, {"8x8": 120, "28x28": 40, "32x32": 40}


class Images(Dataset[tuple[Tensor, int]]):
    """Images one by one, cropped and mirrored as a tutorial does it."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._images, self._labels = images, labels

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self._images[index]).permute(2, 0, 1).float() / 255
        height, width = image.shape[1:]
        padded = functional.pad(image, (SHIFT,) * 4)
        top, left = torch.randint(0, 2 * SHIFT + 1, (2,)).tolist()
        image = padded[:, top : top + height, left : left + width]
        if torch.rand(()) < 0.5:
            image = image.flip(2)
        return image, int(self._labels[index])


def made_up(shape: InputShape, steps: int) -> Split:
    """Noise and labels for so many batches."""
    random = np.random.default_rng(0)
    count = steps * BATCH
    images = random.integers(0, 256, (count, shape.height, shape.width, shape.channels), np.uint8)
    return Split(images, random.integers(0, shape.classes, count))


def tutorial(network: nn.Module, loader: Loader, recipe: training.Recipe) -> float:
    """Seconds of an epoch of the plain loop."""
    optimizer = recipe.optimizer(network)
    network.train()
    start = time.perf_counter()
    for images, labels in loader:
        loss = functional.cross_entropy(network(images), labels, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return time.perf_counter() - start


class Ready(training.ImageBatches):
    """The same batch again and again."""

    def training(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of it."""
        batch = next(super().training(batch_size, generator))
        for _ in range(len(self) // batch_size):
            yield batch


def own(
    network: nn.Module, batches: training.ImageBatches, recipe: training.Recipe, platform: training.Platform
) -> float:
    """Seconds of an epoch of the candidate trainer."""
    start = time.perf_counter()
    training.train(network, batches, recipe, training.EpochSchedule(1), platform, seed=0)
    return time.perf_counter() - start


def networks(space: SearchSpace) -> Iterator[tuple[str, Architecture]]:
    """Two designs by people."""
    yield "vgg", vgg(space, VGG_WIDTHS[-1])
    yield "resnet8", resnet8(space)


def loops_of(size: str, space: SearchSpace, platform: training.Platform) -> Callable[[Architecture], Loops]:
    """Makes the loops of a network on made-up images."""
    split, augmentation = made_up(space.fitted, STEPS[size]), training.Augmentation(shift=SHIFT, mirror=True)
    recipe = training.Recipe(augmentation=augmentation, batch_size=BATCH)
    images = Images(split.images, split.labels)
    alone = DataLoader(images, BATCH, shuffle=True, drop_last=True)
    helped = DataLoader(images, BATCH, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)
    batches = training.ImageBatches(split, platform, augmentation)
    ready = Ready(split, platform, augmentation)
    figures = (0.5,) * space.fitted.channels

    def make(design: Architecture) -> Loops:
        usual = build(space, design, figures, figures)
        last = build(space, design, figures, figures)
        last = last.to(memory_format=platform.memory_format)  # type: ignore[call-overload]
        return {
            "gcnas": lambda: own(last, batches, recipe, platform),
            "plain": lambda: tutorial(usual, alone, recipe),
            "workers": lambda: tutorial(usual, helped, recipe),
            "kernels": lambda: own(last, ready, recipe, platform),
        }

    return make


def measure(rounds: int) -> Iterator[dict[str, object]]:
    """Rows of all rounds."""
    torch.set_num_threads(1)
    for size, shape in SHAPES.items():
        platform = training.Platform.probe("cpu", 1, side=min(shape.height, shape.width))
        space = CNN.fit(shape)
        make = loops_of(size, space, platform)
        for name, design in networks(space):
            loops = make(design)
            for warm in loops.values():
                warm()
            for number in range(rounds):
                for loop, run in loops.items():
                    speed = round(STEPS[size] * BATCH / run(), 1)
                    row = (size, name, space.cost(design).parameters, number, loop, speed)
                    yield dict(zip(COLUMNS, row, strict=True))


def summarise(path: Path) -> None:
    """Speeds, and the median and range of the rounds' ratios."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    speeds = {(r["images"], r["network"], r["round"], r["loop"]): float(r["images_per_second"]) for r in rows}
    for size, name in dict.fromkeys((r["images"], r["network"]) for r in rows):
        rounds = sorted({number for s, n, number, _ in speeds if (s, n) == (size, name)})
        print(
            f"{size} {name}: gcnas {statistics.median(speeds[size, name, r, 'gcnas'] for r in rounds):,.0f} images/s"
        )
        for other in ("plain", "workers", "kernels"):
            ratios = [speeds[size, name, r, "gcnas"] / speeds[size, name, r, other] for r in rounds]
            print(f"  times {other}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.summary:
        replace_rows(options.out, COLUMNS, measure(options.rounds))
    summarise(options.out)


if __name__ == "__main__":
    main()
