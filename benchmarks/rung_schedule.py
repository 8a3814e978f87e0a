"""How a network that was trained on a lower rung is best trained on: accuracy at the full number of epochs R.

Arms, each on Fashion-MNIST (2,000 images drawn with seed 0, split by the tool; the validation accuracy counts, on its
share of the 2,000 and on 2,000 further images):

- ``whole``: one uninterrupted one-cycle training of R epochs.
- ``restart``: R/9 epochs, then from those weights to R/3, then to R; each rung is a one-cycle of its own over the
  further epochs, up to the full peak again.
- ``decay``: warm-up, then a constant rate; each rung leaves its weights before the rate decays (the last quarter of the
  rung's epochs), and the next rung goes on from there. The decays of the lower rungs are spent beside the R epochs.

Networks: the reference ResNet-8, the VGG-like one (the rows kept have ``plain`` in its place, a reference of then), and
a network drawn at random (seed 2) with separable convolutions.

``OMP_NUM_THREADS=1 python benchmarks/rung_schedule.py`` writes ``benchmarks/results/rung_schedule.csv``,
about 6 minutes on one core; a row that stands there is not run again. Rows do not say of how many images they are, so
another number needs a file of its own (``--out``). The data are read from the folder in GCNAS_DATA or
``../shared/data``.
"""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from jobs import append, rows
from torch import nn

from gcnas.config import RunConfig
from gcnas.data import Dataset, load
from gcnas.records import Architecture
from gcnas.run.amounts import Amounts
from gcnas.run.context import Context, fit_space
from gcnas.run.folder import RunFolder
from gcnas.space import SearchSpace
from gcnas.space.presets.cnn import CNN, resnet8, vgg
from gcnas.strategy import create_strategy
from gcnas.training import EpochSchedule, ImageBatches, Platform, Recipe, measure, train
from gcnas.training.candidate import build_seeded, weights_of
from gcnas.training.recipe import FINAL_RATE, WARM_UP

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GCNAS_DATA") or ROOT.parent / "shared" / "data") / "images"
RESULTS = ROOT / "benchmarks" / "results" / "rung_schedule.csv"
COLUMNS = "network arm seed epochs spent validation_accuracy held_out_accuracy seconds".split()
ETA, RUNGS, DECAY = 3, 3, 1 / 4
LEAST_EPOCHS = 2 * ETA ** (RUNGS - 1)
SEEDS, IMAGES = (0, 1), 2_000


class Bench:
    """Data, space and recipe of the tool, and one network's training in the pieces of an arm."""

    def __init__(self, folder: Path, images: int) -> None:
        self.data, self.held_out = _data(folder, images)
        config = RunConfig.create(data="fashion", threads=1)
        self.platform = Platform.probe(threads=1, precision="float32")
        self.space: SearchSpace = fit_space(CNN, self.data, config)
        context = Context(config, RunFolder(folder), self.data, self.space, self.platform, Amounts(1, 1))
        self.recipe: Recipe = context.recipe
        self.batches = ImageBatches(self.data.train(), self.platform, self.recipe.augmentation)
        self.validation = ImageBatches(self.data.validation(), self.platform)

    def networks(self) -> dict[str, Architecture]:
        """The three networks."""
        drawn = (proposal.architecture for proposal in create_strategy("random", self.space, 2).ask(200))
        separable = next(a for a in drawn if _is_separable(a) and self.space.cost(a).multiply_adds < 3e6)
        return {"resnet8": resnet8(self.space), "vgg": vgg(self.space), "separable": separable}

    def train(
        self, network: nn.Module, epochs: int, seed: int, rate: Callable[[float], float] | None = None
    ) -> None:
        """Some epochs with a learning rate of its own; one-cycle by default."""
        if rate is None:
            train(network, self.batches, self.recipe, EpochSchedule(epochs), self.platform, seed=seed)
            return
        with patch("gcnas.training.recipe.one_cycle", rate):
            train(network, self.batches, self.recipe, EpochSchedule(epochs), self.platform, seed=seed)

    def measure(self, network: nn.Module) -> tuple[float, float]:
        """Accuracy on the validation split and on the images that no training sees."""
        splits = self.validation, self.held_out_batches()
        found = [measure(network, split, self.data.classes).accuracy for split in splits]
        return found[0], found[1]

    def held_out_batches(self) -> ImageBatches:
        """The further images."""
        return ImageBatches(self.held_out, self.platform)


def _data(folder: Path, images: int) -> tuple[Dataset, Any]:
    arrays = np.load(DATA / "fashion_mnist.npz")
    chosen = np.random.RandomState(0).permutation(60_000)[: images + 2_000]
    pictures, labels = arrays["train_images"][chosen], arrays["train_labels"][chosen]
    path = folder / "fashion.npz"
    np.savez(
        path,
        train_images=pictures[:images],
        train_labels=labels[:images],
        test_images=pictures[images:],
        test_labels=labels[images:],
    )
    dataset = load(str(path), cache=folder)
    return dataset, dataset.open_test("the further images of this benchmark", lambda _: None)


def _is_separable(architecture: Architecture) -> bool:
    names = [layer.type for layer in architecture.layers]
    return names.count("separable_conv2d") >= 2 and 4 <= architecture.depth <= 8


def whole(bench: Bench, network: nn.Module, rungs: list[int], seed: int) -> int:
    """One training; gives the epochs spent."""
    bench.train(network, rungs[-1], seed)
    return rungs[-1]


def restart(bench: Bench, network: nn.Module, rungs: list[int], seed: int) -> int:
    """A one-cycle for each rung."""
    for before, epochs in zip([0, *rungs], rungs, strict=False):
        bench.train(network, epochs - before, seed + 1_000 * before)
    return rungs[-1]


def decay(bench: Bench, network: nn.Module, rungs: list[int], seed: int) -> int:
    """A trunk at a constant rate, and a decay at the end of each rung; only the last one's network is measured."""
    spent, trunk = 0, 0
    for epochs in rungs:
        last = max(1, round(DECAY * epochs))
        further = epochs - last - trunk
        warm = trunk == 0
        bench.train(network, further, seed + 1_000 * trunk, _rising if warm else _constant)
        spent, trunk = spent + further + last, trunk + further
        if epochs == rungs[-1]:
            bench.train(network, last, seed + 1_000 * trunk, _falling)
        else:
            # The network of this rung, for its cost alone: the next rung goes on from before the decay.
            kept = weights_of(network)
            bench.train(network, last, seed + 1_000 * trunk, _falling)
            network.load_state_dict(kept)
    return spent


def _rising(progress: float) -> float:
    return min(1.0, 0.1 + 0.9 * progress / WARM_UP)


def _constant(progress: float) -> float:  # noqa: ARG001
    return 1.0


def _falling(progress: float) -> float:
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


ARMS = {"whole": whole, "restart": restart, "decay": decay}


def main() -> None:
    """Run what is not in the result file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=27, help="R")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.epochs < LEAST_EPOCHS:
        parser.error(
            f"the first of three rungs is a ninth of --epochs, and has two of them at least: {LEAST_EPOCHS}"
        )
    if arguments.images != IMAGES and arguments.out == RESULTS:
        parser.error(f"{RESULTS.name} has rows of {IMAGES} images alone; name another file with --out")
    full: int = arguments.epochs
    rungs = [max(1, full // ETA**power) for power in range(RUNGS - 1, -1, -1)]
    kept = rows(arguments.out, COLUMNS)
    done = {(row["network"], row["arm"], int(row["seed"]), int(row["epochs"])) for row in kept}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.images)
        for name, architecture in bench.networks().items():
            for seed in SEEDS:
                for arm, train_arm in ARMS.items():
                    if (name, arm, seed, full) in done:
                        continue
                    start = time.monotonic()
                    network = build_seeded(bench.space, architecture, bench.data, bench.platform, seed)
                    spent = train_arm(bench, network, rungs, seed)
                    seconds = time.monotonic() - start
                    accuracies = bench.measure(network)
                    facts = (name, arm, seed, full, spent)
                    figures = (*(round(a, 4) for a in accuracies), round(seconds, 1))
                    append(arguments.out, COLUMNS, (*facts, *figures))


if __name__ == "__main__":
    main()
