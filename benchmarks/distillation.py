"""What distillation adds: the same network with the same seeds and epochs, with and without a teacher.

For each seed a short search (four networks of two epochs, the limits below) on 8,000 training images of CIFAR-10
(``cifar8000`` of ``product.py``) or 5,000 of Fashion-MNIST (``fashion``, likewise); then the network that it recommends
gets its final training in four ways, from the same weights and with the same batches:

- ``plain``: the labels alone.
- ``ensemble``: ``gcnas finalize --distill ensemble``, the run's three best networks, which are about as large.
- ``larger``: ``gcnas finalize --distill larger``, the network grown in depth and width, at the same resolution.
- ``phi=2``: ``gcnas scale RUN --phi 2`` (the paper's coefficients, as many epochs on the search-train split), then
  ``gcnas finalize --distill phi=2``: one teacher of about four times the multiply-adds.

Temperature and weight are chosen on validation. ``seconds`` are those of the final training, with the choice and the
trainings of teachers; growing to ``phi=2`` is beside it (``teacher_seconds``). Test accuracy is on all 10,000 test
images. The search is told to compute in single precision and never to mix images, which holds for all later trainings
of its run, so that new rows can stand beside those kept: they are from before there was either.

A teacher costs five to six times the training of the network itself, so what it is worth shows beside a training of
as many more epochs: ``--epochs 30`` with all arms, ``--epochs 180 --arms plain larger``.

``OMP_NUM_THREADS=1 python benchmarks/distillation.py --seeds 0 1 2 …`` writes
``benchmarks/results/distillation.csv``; arms that stand in the file with as many epochs are not repeated.
``--summary`` prints what is there. ``GCNAS_DATA`` names the folder of the data.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from jobs import append_rows, rows
from product import prepare

import gcnas

RESULTS = Path(__file__).resolve().parent / "results" / "distillation.csv"
ARMS = ("plain", "ensemble", "larger", "phi=2")
COLUMNS = (
    "set seed arm epochs teacher temperature weight test_accuracy teacher_validation parameters multiply_adds "
    "teacher_multiply_adds seconds teacher_seconds"
).split()
LIMITS: dict[str, Any] = {"max_params": "25k", "max_macs": "3M"}
COEFFICIENTS: dict[str, Any] = {"alpha": 1.2, "beta": 1.1, "gamma": 1.15}

Row = dict[str, Any]


def compare(name: str, seed: int, epochs: int, arms: list[str]) -> list[Row]:
    """Some arms of a set and a seed."""
    with tempfile.TemporaryDirectory() as folder:
        data, options = prepare(name, Path(folder))
        run = Path(folder) / "run"
        options |= {"final_epochs": epochs, "threads": 1, "onnx": False, "report": False}
        options |= {"mixing": False, "precision": "float32"}
        gcnas.search(data, out=run, budget=4, epochs=2, fidelity="full", seed=seed, **LIMITS, **options)
        return [
            train(run, arm, epochs) | {"set": name, "seed": seed, "arm": arm, "epochs": epochs} for arm in arms
        ]


def train(run: Path, arm: str, epochs: int) -> Row:
    """The final training of an arm."""
    grown: Row = {}
    if arm.startswith("phi="):
        start = time.monotonic()
        *_, row = gcnas.scale(run, int(arm.removeprefix("phi=")), epochs=epochs, threads=1, **COEFFICIENTS)
        grown = {
            "teacher_validation": row.validation_accuracy,
            "teacher_multiply_adds": row.multiply_adds,
            "teacher_seconds": round(time.monotonic() - start, 1),
        }
    teacher = None if arm == "plain" else arm
    metrics = gcnas.finalize(run, final_epochs=epochs, distill=teacher, onnx=False).metrics
    taught = metrics.get("distillation", {})
    figures = {key: metrics[key] for key in ("test_accuracy", "parameters", "multiply_adds", "seconds")}
    return figures | grown | {key: taught.get(key) for key in ("teacher", "temperature", "weight")}


def summarise(name: str, epochs: str, members: list[Row]) -> None:
    """Print the mean of each arm and its gain, whose pairs share a seed."""
    scores: dict[str, dict[str, float]] = {}
    for row in members:
        scores.setdefault(row["arm"], {})[str(row["seed"])] = 100 * float(row["test_accuracy"])
    for arm, found in scores.items():
        plain = scores.get("plain", {})
        gains = [found[seed] - plain[seed] for seed in found if seed in plain]
        spread = f", deviation {stdev(gains):.2f}" if len(gains) > 1 else ""
        known = arm != "plain" and gains
        gain = f"; gain {mean(gains):+.2f} points{spread} over {len(gains)} seeds" if known else ""
        print(f"{name}, {epochs} epochs, {arm}: {mean(found.values()):.2f} %{gain}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["cifar8000"], choices=["cifar8000", "fashion"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--summary", action="store_true", help="only print what is there")
    arguments = parser.parse_args()
    for name in arguments.sets if not arguments.summary else ():
        for seed in arguments.seeds:
            known = {
                row["arm"]
                for row in rows(RESULTS, COLUMNS)
                if (row["set"], int(row["seed"]), int(row["epochs"])) == (name, seed, arguments.epochs)
            }
            if arms := [arm for arm in arguments.arms if arm not in known]:
                append_rows(RESULTS, COLUMNS, compare(name, seed, arguments.epochs, arms))
    found = rows(RESULTS)
    for name, epochs in dict.fromkeys((row["set"], row["epochs"]) for row in found):
        summarise(name, epochs, [row for row in found if (row["set"], row["epochs"]) == (name, epochs)])


if __name__ == "__main__":
    main()
