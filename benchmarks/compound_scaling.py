"""What compound scaling gives: one small network grown to about twice and four times its multiply-adds in several ways.

Data: 2,000 training images of Fashion-MNIST (drawn with seed 0) and 2,000 others for validation, at 16x16 pixels, so
that the larger resolutions come from the 28x28 originals and nothing is enlarged. Network: the first reference of
the space ``mobile`` within 1,500,000 multiply-adds. Arms: all growth in depth, width or resolution, the paper's
coefficients, and those of the paper at phi 2. Each network is trained by ``gcnas.scale`` with the recipe of the run
and the same number of epochs (10); seeds 0, 1, 2. Growth at phi 1 is about 2, but rounding to whole blocks and
multiples of 4 filters makes a small network grow by other amounts: the table says by how much. About 8 minutes a seed
on one core that other programs use as well.

``OMP_NUM_THREADS=1 python benchmarks/compound_scaling.py`` writes ``benchmarks/results/compound_scaling.csv``. The data
are read from the folder in GCNAS_DATA or ``../shared/data``. A seed that is there with as many epochs and images is not
measured again; rows from before there was a column ``images`` are of 2,000. ``--summary`` prints the means only.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from jobs import append_rows, rows, widen

import gcnas

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GCNAS_DATA") or ROOT.parent / "shared" / "data") / "images"
RESULTS = ROOT / "benchmarks" / "results" / "compound_scaling.csv"
COLUMNS = (
    "arm phi seed epochs pixels layers parameters multiply_adds validation_accuracy seconds images".split()
)
OLD = {"images": "2000"}
"""What holds for rows from before there was this column."""

ARMS = {
    "depth": (2.0, 1.0, 1.0),
    "width": (1.0, 1.41, 1.0),
    "resolution": (1.0, 1.0, 1.41),
    "paper": (1.2, 1.1, 1.15),
}
SIZES = {"depth": (1,), "width": (1,), "resolution": (1,), "paper": (1, 2)}


def data(images: int) -> dict[str, np.ndarray]:
    """Training and validation images, and few for a test split that is never opened here."""
    arrays = np.load(DATA / "fashion_mnist.npz")
    chosen = np.random.RandomState(0).permutation(60_000)[: 2 * images]
    parts = {"train": chosen[:images], "val": chosen[images:]}
    found = {f"{name}_{kind}": arrays[f"train_{kind}"][rows] for name, rows in parts.items() for kind in KINDS}
    return found | {f"test_{kind}": arrays[f"test_{kind}"][:100] for kind in KINDS}


KINDS = ("images", "labels")


def measure(seed: int, epochs: int, images: int, folder: Path) -> list[dict[str, Any]]:
    """All arms of one seed."""
    arrays = data(images)
    run = folder / f"run-{seed}"
    gcnas.search(
        arrays,
        out=run,
        space="mobile",
        resolution=16,
        budget=1,
        fidelity="full",
        epochs=1,  # only makes the run; gcnas.scale trains the network itself like all others
        final_epochs=1,
        max_macs=1_500_000,
        onnx=False,
        threads=1,
        seed=seed,
        mixing=False,
        precision="float32",  # as in the rows kept, which are from before there was another
    )
    measured: dict[tuple[str, int], dict[str, Any]] = {}
    for arm, (alpha, beta, gamma) in ARMS.items():
        for found in gcnas.scale(
            run, SIZES[arm], alpha=alpha, beta=beta, gamma=gamma, trial=1, epochs=epochs, data=arrays, threads=1
        ):
            measured["none" if found.phi == 0 else arm, found.phi] = {
                "arm": "none" if found.phi == 0 else arm,
                "phi": found.phi,
                "seed": seed,
                "epochs": found.epochs,
                "pixels": found.resolution[0],
                "layers": found.depth,
                "parameters": found.parameters,
                "multiply_adds": found.multiply_adds,
                "validation_accuracy": found.validation_accuracy,
                "seconds": found.seconds,
                "images": images,
            }
    return list(measured.values())


def summarize(found: Sequence[dict[str, Any]]) -> None:
    """Mean and deviation over the seeds, by arm and size."""
    print("arm         phi  pixels  parameters  multiply-adds  accuracy (mean +- deviation)  seconds")
    for key in dict.fromkeys((row["arm"], int(row["phi"])) for row in found):
        own = [row for row in found if (row["arm"], int(row["phi"])) == key]
        scores = [float(row["validation_accuracy"]) for row in own]
        spread = stdev(scores) if len(scores) > 1 else 0.0
        print(
            f"{key[0]:<10} {key[1]:>4} {own[0]['pixels']:>7} {int(own[0]['parameters']):>11,} "
            f"{int(own[0]['multiply_adds']):>14,} {mean(scores):>10.4f} +- {spread:.4f} ({len(own)} seeds) "
            f"{mean(float(row['seconds']) for row in own):>10.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true")
    options = parser.parse_args()
    if not options.summary:
        widen(options.results, COLUMNS, OLD)
        kept = rows(options.results, COLUMNS)
        done = {(int(row["seed"]), int(row["epochs"]), int(row["images"])) for row in kept}
        for seed in options.seeds:
            if (seed, options.epochs, options.images) not in done:
                with tempfile.TemporaryDirectory() as folder:
                    measured = measure(seed, options.epochs, options.images, Path(folder))
                append_rows(options.results, COLUMNS, measured)
    found = [OLD | row for row in rows(options.results)]
    for epochs, images in dict.fromkeys((row["epochs"], row["images"]) for row in found):
        print(f"{epochs} epochs, {images} images")
        summarize([row for row in found if (row["epochs"], row["images"]) == (epochs, images)])


if __name__ == "__main__":
    main()
