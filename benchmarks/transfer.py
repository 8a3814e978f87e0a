"""What trained weights add on few images of another kind: one network, with and without those of another run.

For each seed and pair of sets a short search on the source; its network then goes to ``--images`` images of the target
in three ways, each with the same seed and the same number of epochs: ``cold`` (new weights, the run's learning rate),
``warm`` (``gcnas transfer RUN DATA``) and ``frozen`` (``gcnas transfer RUN DATA --freeze 5``, whose five epochs are
among those counted). All compute in single precision and mix no images, as in the rows kept, which are from before
there was either. Pairs:

- ``cifar-flowers``: from 8,000 images of CIFAR-10 to flowers, both in colour and of 32x32 pixels; the source's network
  has at most 12.6 M multiply-adds (in which ResNet-8 fits) and 30 epochs, all other flowers are the test.
- ``mnist-fashion``: from 5,000 digits to clothes, which have nothing in common with them but the format; 1.5 M
  multiply-adds, 8 epochs, all 10,000 test images.

``OMP_NUM_THREADS=1 python benchmarks/transfer.py --seeds 0 1 2`` writes ``benchmarks/results/transfer.csv``; what
stands in the file is not repeated. ``--summary`` prints what is there. ``GCNAS_DATA`` names the folder of the data.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from jobs import append_rows, rows
from product import DATA, prepare

import gcnas
from gcnas.data import load
from gcnas.space.presets import CNN

RESULTS = Path(__file__).resolve().parent / "results" / "transfer.csv"
COLUMNS = "pair seed arm images epochs test_accuracy parameters multiply_adds".split()
FROZEN = 5
ARMS = ("cold", "warm", "frozen")

Arrays = dict[str, np.ndarray]


def npz(name: str, images: int, seed: int) -> Arrays:
    """So many training images of an npz file, and all its test images."""
    with np.load(DATA / name) as arrays:
        chosen = np.random.default_rng(seed).permutation(len(arrays["train_images"]))[:images]
        return {
            "train_images": arrays["train_images"][chosen],
            "train_labels": arrays["train_labels"][chosen],
            "test_images": arrays["test_images"],
            "test_labels": arrays["test_labels"],
        }


def flowers(images: int, seed: int) -> Arrays:
    """So many training images of 32x32 pixels; all others are the test."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = load(str(DATA / "flowers"), resolution=32, seed=0, cache=Path(folder))
        parts = dataset.train_and_validation(), dataset.open_test("benchmark", lambda _: None)
        pixels, labels = (
            np.concatenate([getattr(part, kind) for part in parts]) for kind in ("images", "labels")
        )
    order = np.random.default_rng(seed).permutation(len(pixels))
    return {
        f"{part}_{kind}": values[rows]
        for part, rows in (("train", order[:images]), ("test", order[images:]))
        for kind, values in (("images", pixels), ("labels", labels))
    }


def cifar() -> str | Arrays:
    """8,000 images of CIFAR-10 with their test."""
    with tempfile.TemporaryDirectory() as folder:
        path, _ = prepare("cifar8000", Path(folder))
        with np.load(path) as arrays:
            return dict(arrays)


@dataclass(frozen=True)
class Pair:
    """Where weights come from and where they go."""

    source: Callable[[int], Any]
    target: Callable[[int, int], Arrays]
    limits: dict[str, Any]
    source_epochs: int


PAIRS = {
    "cifar-flowers": Pair(lambda _: cifar(), flowers, {"max_params": "79k", "max_macs": "12.6M"}, 30),
    "mnist-fashion": Pair(
        lambda seed: npz("mnist.npz", 5_000, seed),
        lambda images, seed: npz("fashion_mnist.npz", images, seed),
        {"max_macs": "1.5M"},
        8,
    ),
}


def compare(name: str, seed: int, images: int, epochs: int) -> list[dict[str, object]]:
    """All arms of a pair and a seed."""
    pair = PAIRS[name]
    target = pair.target(images, seed)
    common: dict[str, Any] = {"threads": 1, "seed": seed, "onnx": False, "report": False, "epochs": 1}
    common |= {"mixing": False, "precision": "float32"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        source = gcnas.search(
            pair.source(seed),
            out=out / "source",
            budget=3,
            fidelity="full",
            final_epochs=pair.source_epochs,
            **pair.limits,
            **common,
        )
        architecture = source.model.architecture
        same = replace(CNN, references={"the same network": lambda _: architecture})
        results = {
            "cold": gcnas.search(
                target,
                out=out / "cold",
                space=same,
                budget=1,
                fidelity="full",
                final_epochs=epochs,
                **common,
            ),
            "warm": gcnas.transfer(source.run, target, out=out / "warm", final_epochs=epochs, **common),
            "frozen": gcnas.transfer(
                source.run,
                target,
                out=out / "frozen",
                freeze=FROZEN,
                final_epochs=epochs - FROZEN,
                **common,
            ),
        }
        return [
            {"pair": name, "seed": seed, "arm": arm, "images": images, "epochs": epochs}
            | {key: result.metrics[key] for key in ("test_accuracy", "parameters", "multiply_adds")}
            for arm, result in results.items()
        ]


def summarise(title: str, members: list[dict[str, str]]) -> None:
    """Print the mean of each arm and its gain, whose pairs share a seed."""
    scores: dict[str, dict[str, float]] = {arm: {} for arm in ARMS}
    for row in members:
        scores[row["arm"]][row["seed"]] = 100 * float(row["test_accuracy"])
    for arm, found in scores.items():
        gains = [found[seed] - cold for seed, cold in scores["cold"].items() if seed in found]
        spread = f", deviation {stdev(gains):.2f}" if len(gains) > 1 else ""
        gain = f"; gain {mean(gains):+.2f} points{spread}" if arm != "cold" and gains else ""
        if found:
            print(f"{title}, {arm}: {mean(found.values()):.2f} % over {len(found)} seeds{gain}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, nargs="+", default=[500])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--summary", action="store_true", help="only print what is there")
    arguments = parser.parse_args()
    jobs = [(p, s, i) for p in arguments.pairs for s in arguments.seeds for i in arguments.images]
    for name, seed, images in jobs if not arguments.summary else ():
        kept = rows(RESULTS, COLUMNS)
        done = {(row["pair"], int(row["seed"]), int(row["images"]), int(row["epochs"])) for row in kept}
        if (name, seed, images, arguments.epochs) not in done:
            append_rows(RESULTS, COLUMNS, compare(name, seed, images, arguments.epochs))
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows(RESULTS):
        groups.setdefault(f"{row['pair']}, {row['images']} images, {row['epochs']} epochs", []).append(row)
    for title, members in groups.items():
        summarise(title, members)


if __name__ == "__main__":
    main()
