"""What trained weights add on few images of another kind: one network, with and without those of another run.

For each seed a short search on 5,000 images of MNIST; its network then goes to ``--images`` images of Fashion-MNIST in
three ways, each with the same seed and the same number of epochs: ``cold`` (new weights, the run's learning rate),
``warm`` (``gcnas transfer RUN DATA``) and ``frozen`` (``gcnas transfer RUN DATA --freeze 5``, whose five epochs are
among those counted). Test accuracy is on all 10,000 test images.

``OMP_NUM_THREADS=1 python benchmarks/transfer.py --seeds 0 1 2`` writes ``benchmarks/results/transfer.csv``; seeds that
stand in the file are not repeated. ``GCNAS_DATA`` names the folder of the data.
"""

import argparse
import csv
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from distillation import DATA, subset

import gcnas
from gcnas.space.presets import CNN

RESULTS = Path(__file__).resolve().parent / "results" / "transfer.csv"
COLUMNS = ("seed", "arm", "images", "epochs", "test_accuracy", "parameters", "multiply_adds")
SOURCE_IMAGES, SOURCE_EPOCHS, FROZEN = 5_000, 8, 5
ARMS = ("cold", "warm", "frozen")


def compare(seed: int, images: int, epochs: int) -> list[dict[str, object]]:
    """All arms of a seed."""
    fashion = subset(DATA, images, seed)
    common = {"threads": 1, "seed": seed, "onnx": False, "epochs": 1}
    with tempfile.TemporaryDirectory() as folder:
        source = gcnas.search(
            subset(DATA.with_name("mnist.npz"), SOURCE_IMAGES, seed),
            out=Path(folder) / "source",
            budget=3,
            fidelity="full",
            max_macs="1.5M",
            final_epochs=SOURCE_EPOCHS,
            **common,
        )
        architecture = source.model.architecture
        same = replace(CNN, references={"the same network": lambda _: architecture})
        results = {
            "cold": gcnas.search(
                fashion,
                out=Path(folder) / "cold",
                space=same,
                budget=1,
                fidelity="full",
                final_epochs=epochs,
                **common,
            ),
            "warm": gcnas.transfer(
                source.run, fashion, out=Path(folder) / "warm", final_epochs=epochs, **common
            ),
            "frozen": gcnas.transfer(
                source.run,
                fashion,
                out=Path(folder) / "frozen",
                freeze=FROZEN,
                final_epochs=epochs - FROZEN,
                **common,
            ),
        }
        names = ("test_accuracy", "parameters", "multiply_adds")
        return [
            {"seed": seed, "arm": arm, "images": images, "epochs": epochs}
            | {name: result.metrics[name] for name in names}
            for arm, result in results.items()
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    if RESULTS.exists():
        with RESULTS.open(newline="") as file:
            rows = list(csv.DictReader(file))
    for seed in arguments.seeds:
        if str(seed) not in {str(row["seed"]) for row in rows}:
            rows += compare(seed, arguments.images, arguments.epochs)
            with RESULTS.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    scores = {arm: [100 * float(str(r["test_accuracy"])) for r in rows if r["arm"] == arm] for arm in ARMS}
    for arm, found in scores.items():
        gains = [b - a for a, b in zip(scores["cold"], found, strict=True)]
        spread = f", deviation {stdev(gains):.2f}" if len(gains) > 1 else ""
        print(f"{arm}: {mean(found):.2f} % over {len(found)} seeds; gain {mean(gains):+.2f} points{spread}")


if __name__ == "__main__":
    main()
