"""Designs of the ``cnn`` space within the limits of ResNet-8, in the same time: where its reference ``vgg`` is from.

``python benchmarks/designs.py --jobs 2`` trains each design for the same wall clock (one thread) with the recipe of the
final training on 4,000 CIFAR-10 images and measures it on 5,000 others. All 9,000 are from the first 40,000 of the
training images, outside those of ``product.py``'s set ``cifar8000``; no benchmark's test image is among them. With
``--set fashion`` 5,000 training images of Fashion-MNIST and 10,000 others, outside those of ``product.py``. A row that
stands in the result file is not run again. The data are read from the folder in GCNAS_DATA or ``../shared/data``.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jobs import append, rows, run_each
from product import DATA, LIMITS, Scene, sheet

from gcnas import training
from gcnas.records import Architecture
from gcnas.space import SearchSpace
from gcnas.training.candidate import build_seeded

RESULTS = Path(__file__).resolve().parent / "results" / "designs.csv"
COLUMNS = "set design seed seconds epochs parameters multiply_adds accuracy".split()

Row = tuple[str, dict[str, Any]]


def residual(filters: int, stride: int = 1, **values: Any) -> Row:
    """A residual block."""
    return "residual_block", {"filters": filters, "stride": stride, **values}


def conv(filters: int, stride: int = 1, kernel_size: int = 3, **values: Any) -> Row:
    """A convolution."""
    return "conv2d", {"filters": filters, "stride": stride, "kernel_size": kernel_size, **values}


def bottleneck(filters: int, stride: int = 1, expansion: int = 4, **values: Any) -> Row:
    """An inverted bottleneck."""
    return "inverted_bottleneck", {"filters": filters, "stride": stride, "expansion": expansion, **values}


def separable(filters: int, stride: int = 1, kernel_size: int = 3, **values: Any) -> Row:
    """A separable convolution."""
    return "separable_conv2d", {"filters": filters, "stride": stride, "kernel_size": kernel_size, **values}


POOL: Row = ("max_pool", {})
SWISH: dict[str, Any] = {"activation": "hard_swish"}
SE: dict[str, Any] = {"squeeze_excite": 0.25}

DESIGNS: dict[str, list[Row]] = {
    "resnet8": [residual(16), residual(32, 2), residual(64, 2)],
    "resnet8-swish": [residual(16, **SWISH), residual(32, 2, **SWISH), residual(64, 2, **SWISH)],
    "early": [residual(32, 2), residual(32), residual(48, 2)],
    "early-pool": [POOL, residual(32), residual(32), residual(48, 2)],
    "conv-pool": [conv(24), POOL, residual(32), POOL, residual(48)],
    "resnet9": [conv(16), POOL, residual(24), residual(32), POOL, residual(48)],
    "conv-residual": [conv(24), POOL, conv(32), residual(32), POOL, conv(64)],
    "resnet9-half": [conv(12), POOL, residual(24), POOL, residual(32), POOL, residual(48)],
    "plain": [conv(16), POOL, conv(32), POOL, conv(64)],
    "vgg-thin": [conv(16), POOL, conv(32), conv(32), POOL, conv(64), conv(64, kernel_size=1)],
    "vgg-wide": [conv(24), POOL, conv(48), POOL, conv(64), conv(48)],
    "vgg-wide-swish": [conv(24, **SWISH), POOL, conv(48, **SWISH), POOL, conv(64, **SWISH), conv(48, **SWISH)],
    "vgg-mid": [conv(16), POOL, conv(48), conv(48), POOL, conv(64)],
    "vgg": [conv(24), POOL, conv(48), POOL, conv(64), POOL, conv(48)],
    "vgg-half": [conv(16), POOL, conv(32), POOL, conv(48), POOL, conv(32)],
    "vgg-half-wide": [conv(16), POOL, conv(32), POOL, conv(64), POOL, conv(64)],
    "vgg-half-swish": [
        conv(16, **SWISH), POOL, conv(32, **SWISH), POOL, conv(64, **SWISH), POOL, conv(64, **SWISH),
    ],
    "vgg-half-head": [
        conv(16, **SWISH), POOL, conv(32, **SWISH), POOL, conv(64, **SWISH), POOL, conv(64, **SWISH),
        conv(128, kernel_size=1, **SWISH),
    ],
    "vgg-separable": [
        conv(16), POOL, conv(32), POOL, separable(96), separable(128), POOL, separable(128),
    ],
    "pool-residual": [POOL, residual(32), POOL, conv(64), POOL, conv(64)],
    "pool-vgg": [POOL, conv(48), POOL, conv(64), POOL, conv(64)],
    "pool-vgg-deep": [POOL, conv(24), conv(48), POOL, conv(64), POOL, conv(48)],
    "vgg-first": [conv(32), POOL, conv(48), POOL, conv(64), conv(64, kernel_size=1)],
    "mobile": [
        bottleneck(24, 2, 3, **SE), bottleneck(24, 1, 3, **SE), bottleneck(32, 2, 4, **SE), bottleneck(32, 1, 4, **SE),
        bottleneck(48, 1, 4, **SE), conv(128, kernel_size=1),
    ],
    "residual-mobile": [residual(24, 2), residual(24), bottleneck(48, 2, 4, **SE), bottleneck(48, 1, 4, **SE)],
    "residual-separable": [conv(24), POOL, residual(32), POOL, separable(64), separable(96), separable(128)],
    "thin-deep": [residual(12), residual(24, 2), residual(24), residual(48, 2)],
    "pool-separable": [POOL, residual(32), residual(32), POOL, separable(96), separable(128)],
}  # fmt: skip


def build(space: SearchSpace, design: list[Row]) -> Architecture:
    """The canonical architecture of a design."""
    growth = space.start()
    for index, (kind, values) in enumerate(design):
        growth = growth.add(space.encode_layer(space.layer(kind, after=index, **values), index + 1))
    return growth.architecture


def cifar() -> dict[str, np.ndarray]:
    """Training and other images of CIFAR-10."""
    images = np.concatenate([sheet(DATA / "cifar10" / f"train_{number:02d}.webp") for number in range(40)])
    labels = np.load(DATA / "cifar10" / "labels.npz")["train_labels"]
    order = np.random.RandomState(0).permutation(40_000)
    return split(images, labels, order[8_000:12_000], order[12_000:17_000])


def fashion() -> dict[str, np.ndarray]:
    """Training and other images of Fashion-MNIST."""
    arrays = np.load(DATA / "fashion_mnist.npz")
    order = np.random.RandomState(0).permutation(60_000)
    return split(arrays["train_images"], arrays["train_labels"], order[5_000:10_000], order[10_000:20_000])


def split(images: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    """Some images to train with, and some to measure with."""
    arrays = {"train_images": images[train], "train_labels": labels[train]}
    return arrays | {"test_images": images[test], "test_labels": labels[test]}


SETS = {"cifar": cifar, "fashion": fashion}


def prepare(folder: Path, name: str = "cifar") -> Path:
    """The images as a file with splits."""
    path = folder / f"{name}.npz"
    np.savez(path, allow_pickle=False, **SETS[name]())
    return path


def scene(folder: Path, seed: int, name: str = "cifar") -> Scene:
    """The images, the space within the limits of ResNet-8, one thread."""
    parameters, multiply_adds = LIMITS[name]
    limits = {"max_params": parameters, "max_macs": multiply_adds}
    return Scene.set(str(prepare(folder, name)), folder, seed=seed, threads=1, **limits)


def run_one(images: str, name: str, seed: int, seconds: float, output: Path) -> None:
    """Train one design and append its row."""
    with tempfile.TemporaryDirectory() as folder:
        here = scene(Path(folder), seed, images)
        space, dataset, platform = here.space, here.dataset, here.platform
        architecture = build(space, DESIGNS[name])
        cost = space.cost(architecture)
        if (violation := space.limits.violation(cost)) is not None:
            sys.exit(f"{name}: {violation}")
        network = build_seeded(space, architecture, dataset, platform, seed)
        batches = training.ImageBatches(dataset.train_and_validation(), platform, here.recipe.augmentation)
        schedule = training.TimedSchedule(seconds, 10_000)
        log = training.train(network, batches, here.final_recipe, schedule, platform, seed=seed)
        accuracy = here.test(network)
    facts = (images, name, seed, seconds, round(log.epochs, 1), cost.parameters, cost.multiply_adds)
    append(output, COLUMNS, (*facts, round(accuracy, 4)))


def main() -> None:
    """Read the command line, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=list(SETS), default="cifar")
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--here", action="store_true", help="run the first design in this process")
    given = parser.parse_args()
    if given.here:
        run_one(given.set, given.designs[0], given.seeds[0], given.seconds, given.out)
        return
    kept = rows(given.out, COLUMNS)
    done = {(row["set"], row["design"], int(row["seed"]), float(row["seconds"])) for row in kept}
    jobs = [
        ("--set", given.set, "--designs", name, "--seeds", seed, "--seconds", given.seconds, "--out", given.out)
        for seed in given.seeds
        for name in given.designs
        if (given.set, name, seed, given.seconds) not in done
    ]
    run_each(__file__, jobs, given.jobs)


if __name__ == "__main__":
    main()
