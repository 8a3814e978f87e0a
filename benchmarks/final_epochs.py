"""Passes of the final training, and images mixed two and two or not.

``python benchmarks/final_epochs.py --jobs 2`` trains the reference ``vgg`` within the limits of ResNet-8 with the
recipe of the final training (one thread, no clock), with mixed images and without, each for several numbers of passes:
on 8,000 images of CIFAR-10 with 8,000 others as the test (``cifar8000``), on 4,000 of these, and on 5,000 of
Fashion-MNIST with 10,000 others; all from the training images of the two, outside those of ``product.py``. On
``flowers`` and ``xrays`` of ``product.py`` it trains on the search-train split, and the validation split is the test.
So no benchmark's test image is among them.

``--epochs 40 60 100 300 --mixing yes no --sets cifar4000 --seeds 0 1``; a row that stands in the result file is not run
again. The data are read from the folder in GCNAS_DATA or ``../shared/data``.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jobs import append, rows, run_each
from product import DATA, LIMITS, Scene, build_hand_made, cost, sheet
from product import prepare as whole

from gcnas import training

RESULTS = Path(__file__).resolve().parent / "results" / "final_epochs.csv"
COLUMNS = "set seed epochs mixing parameters multiply_adds accuracy seconds".split()
SETS = ("cifar8000", "fashion", "cifar4000", "flowers", "xrays")
OWN = ("flowers", "xrays")


def prepare(name: str, folder: Path) -> Path:
    """The images of a set as a file with splits."""
    if name != "fashion":
        images = np.concatenate([sheet(DATA / "cifar10" / f"train_{number:02d}.webp") for number in range(40)])
        labels = np.load(DATA / "cifar10" / "labels.npz")["train_labels"]
        order = np.random.RandomState(0).permutation(40_000)
        train, test = order[8_000:16_000], order[16_000:24_000]
        train = train[: int(name.removeprefix("cifar"))]
    else:
        arrays = np.load(DATA / "fashion_mnist.npz")
        images, labels = arrays["train_images"], arrays["train_labels"]
        order = np.random.RandomState(0).permutation(60_000)
        train, test = order[5_000:10_000], order[10_000:20_000]
    path = folder / f"{name}.npz"
    arrays = {"train_images": images[train], "train_labels": labels[train]}
    np.savez(path, allow_pickle=False, **arrays, test_images=images[test], test_labels=labels[test])
    return path


def run_one(name: str, seed: int, epochs: int, mixing: str, output: Path) -> None:
    """One training, and its row."""
    limits = LIMITS["cifar8000" if name.startswith("cifar") else name]
    with tempfile.TemporaryDirectory() as folder:
        data, options = whole(name, Path(folder)) if name in OWN else (str(prepare(name, Path(folder))), {})
        options |= {"max_params": limits[0], "max_macs": limits[1]}
        here = Scene.set(data, Path(folder), seed=seed, threads=1, **options)
        network = build_hand_made("vgg", here, limits, seed)
        images = here.dataset.train() if name in OWN else here.dataset.train_and_validation()
        recipe = replace(here.recipe, mixed_from=1.0 if mixing == "yes" else None)
        batches = training.ImageBatches(images, here.platform, recipe.augmentation)
        start = time.monotonic()
        training.train(network, batches, recipe, training.EpochSchedule(epochs), here.platform, seed=seed)
        seconds = round(time.monotonic() - start, 1)
        facts = (
            name,
            seed,
            epochs,
            mixing,
            *cost(network, here),
            round(score(network, here, name), 4),
            seconds,
        )
    append(output, COLUMNS, facts)


def score(network: torch.nn.Module, here: Scene, name: str) -> float:
    """Accuracy on the images that were not trained on."""
    if name not in OWN:
        return here.test(network)
    batches = training.ImageBatches(here.dataset.validation(), here.platform)
    return training.measure(network, batches, here.dataset.classes).accuracy


def main() -> None:
    """Read the command line, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", nargs="+", type=int, default=[40, 60, 100, 300])
    parser.add_argument("--mixing", nargs="+", choices=["yes", "no"], default=["yes", "no"])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--here", action="store_true", help="run the first job in this process")
    given = parser.parse_args()
    if given.here:
        run_one(given.sets[0], given.seeds[0], given.epochs[0], given.mixing[0], given.out)
        return
    kept = rows(given.out, COLUMNS)
    done = {(row["set"], int(row["seed"]), int(row["epochs"]), row["mixing"]) for row in kept}
    jobs = [
        ("--sets", name, "--seeds", seed, "--epochs", epochs, "--mixing", mixing, "--out", given.out)
        for seed in given.seeds
        for epochs in sorted(given.epochs, reverse=True)
        for name in given.sets
        for mixing in given.mixing
        if (name, seed, epochs, mixing) not in done
    ]
    run_each(__file__, jobs, given.jobs)


if __name__ == "__main__":
    main()
