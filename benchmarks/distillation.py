"""What distillation adds: the same network with the same seeds and epochs, with and without a teacher.

For each seed a short search on 2,000 images of Fashion-MNIST (limits below); then the network that it recommends gets
its final training twice: ``plain``, and ``ensemble`` (``gcnas finalize --distill ensemble``: the run's three best
networks, trained for as many epochs each, temperature and weight chosen on validation). Both start from the same
weights and see the same batches. The second costs about five times the training of the first: see ``seconds``. Test
accuracy is on all 10,000 test images.

``OMP_NUM_THREADS=1 python benchmarks/distillation.py --seeds 0 1 2`` writes ``benchmarks/results/distillation.csv``;
seeds that stand in the file with as many epochs are not repeated. ``GCNAS_DATA`` names the folder of the data.
"""

import argparse
import csv
import os
import tempfile
from pathlib import Path
from statistics import mean, stdev

import numpy as np

import gcnas

RESULTS = Path(__file__).resolve().parent / "results" / "distillation.csv"
DATA = Path(os.environ.get("GCNAS_DATA", "../shared/data")) / "images" / "fashion_mnist.npz"
ARMS = ("plain", "ensemble")
COLUMNS = "seed arm epochs teacher temperature weight test_accuracy parameters multiply_adds seconds".split()


def subset(path: Path, images: int, seed: int) -> dict[str, np.ndarray]:
    """So many training images, and all test images."""
    with np.load(path) as arrays:
        chosen = np.random.default_rng(seed).permutation(len(arrays["train_images"]))[:images]
        return {
            "train_images": arrays["train_images"][chosen],
            "train_labels": arrays["train_labels"][chosen],
            "test_images": arrays["test_images"],
            "test_labels": arrays["test_labels"],
        }


def compare(seed: int, images: int, epochs: int) -> list[dict[str, object]]:
    """Both arms of a seed."""
    data = subset(DATA, images, seed)
    options = {"data": data, "final_epochs": epochs, "threads": 1}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        gcnas.search(
            **options, out=run, budget=4, epochs=4, fidelity="full", max_macs="1.5M", seed=seed, onnx=False
        )
        rows = []
        for arm, distill in (("plain", None), ("ensemble", "ensemble")):
            metrics = gcnas.finalize(run, **options, distill=distill).metrics
            taught = metrics.get("distillation", {})
            names = ("test_accuracy", "parameters", "multiply_adds", "seconds")
            row = {"seed": seed, "arm": arm, "epochs": epochs} | {name: metrics[name] for name in names}
            rows.append(row | {name: taught.get(name) for name in ("teacher", "temperature", "weight")})
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    if RESULTS.exists():
        with RESULTS.open(newline="") as file:
            rows = list(csv.DictReader(file))
    for seed in arguments.seeds:
        if (str(seed), str(arguments.epochs)) not in {(str(r["seed"]), str(r["epochs"])) for r in rows}:
            rows += compare(seed, arguments.images, arguments.epochs)
            with RESULTS.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    for epochs in dict.fromkeys(str(row["epochs"]) for row in rows):
        summarise(epochs, [row for row in rows if str(row["epochs"]) == epochs])


def summarise(epochs: str, rows: list[dict[str, object]]) -> None:
    """Print the mean of each arm and the gain, whose pairs share a seed."""
    scores = {arm: [100 * float(str(r["test_accuracy"])) for r in rows if r["arm"] == arm] for arm in ARMS}
    gains = [b - a for a, b in zip(*scores.values(), strict=True)]
    means = ", ".join(f"{arm} {mean(found):.2f} %" for arm, found in scores.items())
    spread = f", deviation {stdev(gains):.2f}" if len(gains) > 1 else ""
    each = ", ".join(f"{gain:+.2f}" for gain in gains)
    print(f"{epochs} epochs, {len(gains)} seeds: {means}; gain {mean(gains):+.2f} points ({each}{spread})")


if __name__ == "__main__":
    main()
