"""What a warm start gains where every query is a training: digits, then Fashion-MNIST, then flowers.

For each seed: a search on scikit-learn's digits; on images of Fashion-MNIST one search that knows nothing (``cold``)
and one that starts from that of the digits (``warm``, ``--warm-start``); on the flowers (32x32 pixels) a ``cold`` one
and one that starts from the digits and the warm Fashion-MNIST run. Both arms of a data set have the same seed, images,
training and limits; the seeds of the three data sets are s, s + 100 and s + 200, so that no first design comes twice.
20 candidates of 3 epochs on 360 digits, 800 images of Fashion-MNIST, 1,080 flowers (1,078, 1,200 and 2,158 others give
the reward), at most 50,000 parameters and 2 M multiply-adds, no designs by people, one thread.

``OMP_NUM_THREADS=1 python benchmarks/warm_start.py`` writes ``benchmarks/results/warm_start.csv``, one row a candidate;
searches that stand there, or whose run folder is whole, are not repeated. ``--summary`` prints the figures alone.
``GCNAS_DATA`` names the folder of the data.
"""

import argparse
import os
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from jobs import append_rows, rows

import gcnas

ROOT = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GCNAS_DATA") or ROOT.parent.parent / "shared" / "data") / "images"
RESULTS = ROOT / "results" / "warm_start.csv"
COLUMNS = "seed data arm trial source validation best_so_far depth parameters multiply_adds".split()
IMAGES, TEST_IMAGES = 2_000, 500
MARKS = (8, 10, 15, 20)
OPTIONS: dict[str, Any] = {
    "budget": 20,
    "max_params": "50k",
    "max_macs": "2M",
    "references": False,
    "epochs": 3,
    "final_epochs": 1,
    "batch_size": 32,
    "validation_fraction": 0.6,
    "fidelity": "full",
    "workers": 1,
    "threads": 1,
    "onnx": False,
}
STAGES: dict[str, dict[str, Any]] = {
    "digits": {"arms": {"cold": ()}, "options": {}},
    "fashion": {"arms": {"cold": (), "warm": ("digits-cold",)}, "options": {}},
    "flowers": {
        "arms": {"cold": (), "warm": ("digits-cold", "fashion-warm")},
        "options": {"resolution": 32, "validation_fraction": 0.5, "test_fraction": 0.25},
    },
}
"""Data sets in order, the runs that each arm starts from, and what is special about the data."""


def images(name: str) -> Any:
    """What a search of a data set is given."""
    if name == "digits":
        return "digits"
    if name == "flowers":
        return str(DATA / "flowers")
    with np.load(DATA / "fashion_mnist.npz") as arrays:
        chosen = np.random.default_rng(0).permutation(len(arrays["train_images"]))[:IMAGES]
        return {
            "train_images": arrays["train_images"][chosen],
            "train_labels": arrays["train_labels"][chosen],
            "test_images": arrays["test_images"][:TEST_IMAGES],
            "test_labels": arrays["test_labels"][:TEST_IMAGES],
        }


def search(name: str, arm: str, seed: int, folder: Path) -> list[dict[str, Any]]:
    """One search: its candidates in order."""
    stage = STAGES[name]
    out, data = folder / f"{name}-{arm}", images(name)
    if (out / "run.db").is_file():
        result = gcnas.resume(out, data=data)
    else:
        past = [str(folder / run) for run in stage["arms"][arm]]
        shifted = seed + 100 * list(STAGES).index(name)
        result = gcnas.search(data, out=out, seed=shifted, warm_start=past, **(OPTIONS | stage["options"]))
    found, best = [], 0.0
    for trial in result.trials:
        best = max(best, trial.score) if trial.complete else best
        found.append(
            {
                "seed": seed,
                "data": name,
                "arm": arm,
                "trial": trial.number,
                "source": trial.proposal.source,
                "validation": round(trial.score, 5) if trial.complete else "",
                "best_so_far": round(best, 5),
                "depth": trial.proposal.architecture.depth,
                "parameters": trial.cost.parameters,
                "multiply_adds": trial.cost.multiply_adds,
            }
        )
    return found


def summarise(found: list[dict[str, str]]) -> None:
    """Best validation accuracy after some candidates: each seed's, and the mean gain."""
    best: dict[tuple[str, str, str], dict[int, float]] = defaultdict(dict)
    for row in found:
        best[row["data"], row["seed"], row["arm"]][int(row["trial"])] = 100 * float(row["best_so_far"])
    for name in ("fashion", "flowers"):
        seeds = [s for data, s, arm in best if (data, arm) == (name, "warm") and (name, s, "cold") in best]
        for mark in MARKS if seeds else ():
            curves = [[best[name, s, arm] for arm in ("cold", "warm")] for s in seeds]
            # A search that had nothing new to propose any more stays where it is.
            pairs = [(cold[min(mark, max(cold))], warm[min(mark, max(warm))]) for cold, warm in curves]
            gains = [warm - cold for cold, warm in pairs]
            listed = ", ".join(f"{cold:.1f} -> {warm:.1f}" for cold, warm in pairs)
            print(f"{name}, after {mark}: {listed}; mean gain {statistics.fmean(gains):+.2f} points")


def main() -> None:
    """Run what is missing and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--runs", type=Path, default=Path("runs/warm_start"), help="where the run folders lie")
    parser.add_argument("--summary", action="store_true", help="run nothing")
    options = parser.parse_args()
    for seed in [] if options.summary else options.seeds:
        kept = rows(options.out, COLUMNS)
        done = {(row["data"], row["arm"]) for row in kept if row["seed"] == str(seed)}
        for name, stage in STAGES.items():
            for arm in stage["arms"]:
                if (name, arm) not in done:
                    append_rows(options.out, COLUMNS, search(name, arm, seed, options.runs / str(seed)))
                    print(seed, name, arm, "done", flush=True)
    summarise(rows(options.out))


if __name__ == "__main__":
    main()
