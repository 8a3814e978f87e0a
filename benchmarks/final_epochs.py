"""Whether the final training is worth more passes than a wall clock may bring at most.

``python benchmarks/final_epochs.py --jobs 2`` trains the reference ``vgg`` within the limits of ResNet-8 with the
recipe of the final training for 1.2 (that is the most) and 2.4 million images in all (one thread, no clock): on 8,000
images of CIFAR-10 with 8,000 others as the test, on 4,000 of these, and on 5,000 of Fashion-MNIST with 10,000 others.
All are from the training images of the two, outside those of ``product.py``; no benchmark's test image is among them.
A row that stands in the result file is not run again. The data are read from the folder in GCNAS_DATA or
``../shared/data``.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from jobs import append, rows, run_each
from product import DATA, LIMITS, Scene, build_hand_made, cost, sheet

from gcnas import training

RESULTS = Path(__file__).resolve().parent / "results" / "final_epochs.csv"
COLUMNS = "set seed seen epochs parameters multiply_adds accuracy".split()
MILLIONS = (1.2, 2.4)
SETS = ("cifar8000", "fashion", "cifar4000")


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


def run_one(name: str, seed: int, millions: float, output: Path) -> None:
    """One training, and its row."""
    limits = LIMITS["fashion" if name == "fashion" else "cifar8000"]
    with tempfile.TemporaryDirectory() as folder:
        data = str(prepare(name, Path(folder)))
        here = Scene.set(data, Path(folder), seed=seed, threads=1, max_params=limits[0], max_macs=limits[1])
        network = build_hand_made("vgg", here, limits, seed)
        images = here.dataset.train_and_validation()
        batches = training.ImageBatches(images, here.platform, here.recipe.augmentation)
        epochs = round(millions * 1e6 / len(batches))
        schedule = training.EpochSchedule(epochs)
        training.train(network, batches, here.recipe, schedule, here.platform, seed=seed)
        facts = (name, seed, millions, epochs, *cost(network, here), round(here.test(network), 4))
    append(output, COLUMNS, facts)


def main() -> None:
    """Read the command line, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--millions", nargs="+", type=float, default=MILLIONS, help="of images seen in all")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--here", action="store_true", help="run the first job in this process")
    given = parser.parse_args()
    if given.here:
        run_one(given.sets[0], given.seeds[0], given.millions[0], given.out)
        return
    done = {(row["set"], int(row["seed"]), float(row["seen"])) for row in rows(given.out)}
    jobs = [
        ("--sets", name, "--seeds", seed, "--millions", millions, "--out", given.out)
        for seed in given.seeds
        for millions in sorted(given.millions, reverse=True)
        for name in given.sets
        if (name, seed, millions) not in done
    ]
    run_each(__file__, jobs, given.jobs)


if __name__ == "__main__":
    main()
