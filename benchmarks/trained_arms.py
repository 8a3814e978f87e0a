"""The strategy gcnas and its rivals where every query is a training: the `cnn` space, Fashion-MNIST, 80 evaluations.

``python benchmarks/trained_arms.py`` runs, for seeds 0, 1 and 2, ``gcnas``, ``gcnas:no-policy`` (no candidates from
the policy), ``gcnas:policy-alone`` (no others), ``optuna:tpe`` and ``random``: 80 candidates of 3 epochs on 1,600 of
2,000 images drawn with seed 0 (the other 400 give the reward), at most 50,000 parameters and 2 M multiply-adds, no
designs by people, one thread. ``gcnas:references`` is ``gcnas`` told of the designs by people first, which count
among the 80; ``references`` are these alone. In ``--arms gcnas:signals gcnas:references-signals``, of which no rows are
kept, the critics see NASWOT and SynFlow too. The best network of each search is then trained anew with 3 other seeds
for 12 epochs, and measured on the 10,000 test images. ``benchmarks/results/trained_arms.csv`` has one row a candidate,
``trained_arms_retrained.csv`` one for each training of a best network; searches that stand there are not run again, and
one of another number of evaluations needs a file of its own (``--out``). ``--summary`` prints the figures. The data are
read from the folder in GCNAS_DATA or ``../shared/data``.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from jobs import append_rows, rows

import gcnas
from gcnas import training
from gcnas.bench.arms import ARMS
from gcnas.data import load
from gcnas.records import Architecture
from gcnas.space import InputShape
from gcnas.space.presets import CNN
from gcnas.strategy import STRATEGIES
from gcnas.training.candidate import build_seeded

ROOT = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GCNAS_DATA") or ROOT.parent.parent / "shared" / "data") / "images"
RESULTS = ROOT / "results" / "trained_arms.csv"
COLUMNS = "arm seed trial source validation best_so_far depth parameters multiply_adds seconds".split()
RETRAINED = "arm seed retraining source depth parameters multiply_adds validation test".split()
NAMES = (
    "gcnas",
    "gcnas:no-policy",
    "gcnas:policy-alone",
    "gcnas:references",
    "references",
    "optuna:tpe",
    "random",
)
SIGNALS = "params,macs,naswot,synflow"
CHANGES: dict[str, dict[str, Any]] = {
    "gcnas:references": {"strategy": "gcnas", "references": True},
    "gcnas:signals": {"strategy": "gcnas", "signals": SIGNALS},
    "gcnas:references-signals": {"strategy": "gcnas", "references": True, "signals": SIGNALS},
    "references": {"strategy": "random", "references": True, "budget": 3},
}
"""Arms that differ in options and not in the strategy."""

OPTIONS: dict[str, Any] = {
    "max_params": "50k",
    "max_macs": "2M",
    "references": False,
    "epochs": 3,
    "fidelity": "full",
    "workers": 1,
    "threads": 1,
}
FINAL_EPOCHS = 12
SEEDS = (1_001, 1_002, 1_003)


def images(folder: Path) -> dict[str, np.ndarray]:
    """2,000 training images, and all for the test, as the file that a search reads."""
    arrays = np.load(DATA / "fashion_mnist.npz")
    chosen = np.random.RandomState(0).permutation(60_000)[:2_000]
    kept = {
        "train_images": arrays["train_images"][chosen],
        "train_labels": arrays["train_labels"][chosen],
        "test_images": arrays["test_images"],
        "test_labels": arrays["test_labels"],
    }
    np.savez(folder / "fashion_2000.npz", **kept)
    return kept


def search(arm: str, seed: int, evaluations: int, folder: Path) -> tuple[list[dict[str, Any]], Architecture]:
    """One search: its candidates in order, and the best of them."""
    if arm in ARMS:
        STRATEGIES.setdefault(arm, ARMS[arm])
    out = folder / f"{arm.replace(':', '-')}-{seed}"
    options = OPTIONS | {"strategy": arm, "seed": seed, "budget": evaluations, "final_epochs": 1}
    options |= CHANGES.get(arm, {})
    trials = gcnas.search(str(folder / "fashion_2000.npz"), out=out, **options).trials
    found, best = [], 0.0
    for trial in trials:
        best = max(best, trial.score) if trial.complete else best
        found.append(
            {
                "arm": arm,
                "seed": seed,
                "trial": trial.number,
                "source": trial.proposal.source,
                "validation": round(trial.score, 5) if trial.complete else "",
                "best_so_far": round(best, 5),
                "depth": trial.proposal.architecture.depth,
                "parameters": trial.cost.parameters,
                "multiply_adds": trial.cost.multiply_adds,
                "seconds": round(trial.evaluation.seconds, 2) if trial.evaluation else "",
            }
        )
    return found, max((t for t in trials if t.complete), key=lambda t: t.score).proposal.architecture


def retrain(architecture: Architecture, seed: int, folder: Path) -> float:
    """Test accuracy of a network trained anew on all 2,000 images."""
    dataset = load(str(folder / "fashion_2000.npz"), seed=0, cache=folder / "cache")
    platform = training.Platform.probe("cpu", 1)
    space = CNN.fit(InputShape(1, 28, 28, 10))
    recipe = training.Recipe(augmentation=training.Augmentation(shift=2, mirror=dataset.mirror))
    network = build_seeded(space, architecture, dataset, platform, seed)
    batches = training.ImageBatches(dataset.train_and_validation(), platform, recipe.augmentation)
    training.train(network, batches, recipe, training.EpochSchedule(FINAL_EPOCHS), platform, seed=seed)
    test = training.ImageBatches(dataset.open_test("benchmark", lambda _: None), platform)
    return training.measure(network, test, 10).accuracy


def run(arm: str, seed: int, evaluations: int, output: Path, folder: Path) -> None:
    """One search and the trainings of its best network."""
    candidates, best = search(arm, seed, evaluations, folder)
    chosen = max((row for row in candidates if row["validation"] != ""), key=lambda row: row["validation"])
    kept = {name: chosen[name] for name in RETRAINED if name in chosen}
    found = [kept | {"retraining": number, "test": round(retrain(best, number, folder), 5)} for number in SEEDS]
    # Rows of a search that was stopped between the two files stand there already, and are the same.
    names = ("arm", "seed", "retraining")
    there = {tuple(row[name] for name in names) for row in rows(retrained_path(output))}
    missing = [row for row in found if tuple(str(row[name]) for name in names) not in there]
    append_rows(retrained_path(output), RETRAINED, missing)
    append_rows(output, COLUMNS, candidates)
    print(arm, seed, chosen["validation"], chosen["source"], [row["test"] for row in found], flush=True)


def retrained_path(output: Path) -> Path:
    return output.with_name(f"{output.stem}_retrained.csv")


def run_missing(arms: list[str], seeds: list[int], evaluations: int, output: Path) -> None:
    """Run what does not stand in the results yet.

    Raises:
        SystemExit: If a search stands there with another number of evaluations.
    """
    kept = Counter((row["arm"], int(row["seed"])) for row in rows(output, COLUMNS))
    rows(retrained_path(output), RETRAINED)
    # One that had nothing new to propose any more has fewer; an arm with a budget of its own has that.
    usual = {job: count for job, count in kept.items() if "budget" not in CHANGES.get(job[0], {})}
    if (most := max(usual.values(), default=0)) not in (0, evaluations):
        sys.exit(f"{output} has searches of {most} evaluations; name another file with --out.")
    with tempfile.TemporaryDirectory() as name:
        images(Path(name))
        for seed in seeds:
            for arm in arms:
                if (arm, seed) not in kept:
                    run(arm, seed, evaluations, output, Path(name))


def summarise(output: Path) -> None:
    """Best validation after some candidates, test accuracy of the best network, sources of improvements."""
    runs: dict[str, dict[str, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows(output):
        runs[row["arm"]][row["seed"]].append(row)
    tests: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows(retrained_path(output)):
        tests[row["arm"]][row["seed"]].append(float(row["test"]))
    for arm, seeds in runs.items():
        searches = list(seeds.values())
        marks = [max(1, len(searches[0]) // part) for part in (4, 2, 1)]
        after = [[float(each[n - 1]["best_so_far"]) for each in searches] for n in marks]
        # Seeds of one search are no repeats of the search: its mean is one figure.
        means = [statistics.fmean(values) for values in tests[arm].values()]
        print(
            arm,
            len(searches),
            "seeds; best validation after a quarter, half and all:",
            *map(_spread, after),
            end="",
        )
        print("; test of the best:", _spread(means), "; improvements by source:", dict(_improvements(searches)))


def _improvements(searches: list[list[dict[str, str]]]) -> Counter[str]:
    """Sources of the candidates that were better than all before them, those of the first design left out."""
    found: Counter[str] = Counter()
    for candidates in searches:
        best = 0.0
        for row in candidates:
            score = float(row["validation"] or 0)
            if score > best and int(row["trial"]) > 8:
                found[row["source"]] += 1
            best = max(best, score)
    return found


def _spread(values: list[float]) -> str:
    return f"{statistics.fmean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def main() -> None:
    """Run what is missing and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", default=NAMES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--evaluations", type=int, default=80)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true", help="run nothing")
    options = parser.parse_args()
    if not options.summary:
        run_missing(options.arms, options.seeds, options.evaluations, options.out)
    summarise(options.out)


if __name__ == "__main__":
    main()
