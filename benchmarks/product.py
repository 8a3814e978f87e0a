"""The tool as a product: delivered test accuracy in a fixed time on one core, beside a plain ResNet-8.

Arms, each with the same images, the same recipe, one thread and the same wall clock for everything:

- ``gcnas``: ``gcnas search`` with its defaults and the limits of the set.
- ``resnet8``: ResNet-8 (16-32-64), no search; all the time is its final training on the same images.

Sets: ``fashion`` (5,000 training images of fashion_mnist.npz drawn with seed 0, all 10,000 test images; limits
78,000 parameters and 9.4 M multiply-adds), ``flowers`` (folder, 32x32) and ``cifar`` (cifar10_small.npz), both with
the limits 79,000 parameters and 12.6 M multiply-adds, in which ResNet-8 fits.

All jobs of the closing note: ``python benchmarks/product.py --jobs 2`` (two processes, one thread each). A job that
stands in the result file already is not run again. The data are read from the folder in GCNAS_DATA or
``../shared/data``.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GCNAS_DATA") or ROOT.parent / "shared" / "data") / "images"
RESULTS = ROOT / "benchmarks" / "results" / "product.csv"
COLUMNS = (
    "set arm seed seconds test_accuracy validation_accuracy parameters multiply_adds trials candidate_epochs "
    "final_epochs source best_reference_validation wall_seconds"
).split()
JOBS = [
    *(("fashion", arm, seed) for seed in (0, 1, 2) for arm in ("gcnas", "resnet8")),
    *((name, arm, 0) for name in ("cifar", "flowers") for arm in ("gcnas", "resnet8")),
]
LIMITS = {"fashion": (78_000, 9_400_000), "cifar": (79_000, 12_600_000), "flowers": (79_000, 12_600_000)}


def prepare(name: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """The data argument and its options."""
    if name == "flowers":
        return str(DATA / "flowers"), {"resolution": 32}
    if name == "cifar":
        return str(DATA / "cifar10_small.npz"), {}
    path = folder / "fashion_5000.npz"
    arrays = np.load(DATA / "fashion_mnist.npz")
    chosen = np.random.RandomState(0).permutation(60_000)[:5_000]
    np.savez(
        path,
        train_images=arrays["train_images"][chosen],
        train_labels=arrays["train_labels"][chosen],
        test_images=arrays["test_images"],
        test_labels=arrays["test_labels"],
    )
    return str(path), {}


def run_gcnas(name: str, seed: int, seconds: float, folder: Path) -> dict[str, Any]:
    """The product, with its defaults."""
    import gcnas

    data, options = prepare(name, folder)
    parameters, multiply_adds = LIMITS[name]
    result = gcnas.search(
        data,
        out=folder / "run",
        budget=f"{seconds:g}s",
        max_params=parameters,
        max_macs=multiply_adds,
        seed=seed,
        threads=1,
        **options,
    )
    trials, metrics = result.trials, result.metrics
    epochs = max(trial.fidelity.epochs for trial in trials)
    references = [t.score for t in trials if t.proposal.source == "reference" and t.fidelity.epochs == epochs]
    return {
        **{
            k: metrics[k]
            for k in ("test_accuracy", "validation_accuracy", "parameters", "multiply_adds", "source")
        },
        "trials": len(trials),
        "candidate_epochs": epochs,
        "final_epochs": round(metrics["epochs"], 1),
        "best_reference_validation": max(references, default=float("nan")),
    }


def run_resnet8(name: str, seed: int, seconds: float, folder: Path) -> dict[str, Any]:
    """No search: the same recipe, all the time."""
    start = time.monotonic()
    from gcnas import training
    from gcnas.config import RunConfig
    from gcnas.data import load
    from gcnas.run.amounts import Amounts
    from gcnas.run.context import Context, fit_space
    from gcnas.run.folder import RunFolder
    from gcnas.space.presets.cnn import CNN, resnet8
    from gcnas.training.candidate import build_seeded

    data, options = prepare(name, folder)
    config = RunConfig.create(data=data, seed=seed, threads=1, **options)
    dataset = load(data, resolution=config.resolution, seed=seed, cache=folder)
    platform = training.Platform.probe(threads=1)
    space = fit_space(CNN, dataset, config)
    recipe = Context(config, RunFolder(folder), dataset, space, platform, Amounts(1, 1)).recipe
    architecture = resnet8(space)
    network = build_seeded(space, architecture, dataset, platform, seed)
    batches = training.ImageBatches(dataset.train_and_validation(), platform, recipe.augmentation)
    usable = seconds - (time.monotonic() - start) - 0.06 * seconds
    schedule = training.TimedSchedule(usable, 10_000)
    log = training.train(network, batches, recipe, schedule, platform, seed=seed)
    test = training.ImageBatches(dataset.open_test("benchmark", lambda _: None), platform)
    cost = space.cost(architecture)
    return {
        "test_accuracy": training.measure(network, test, dataset.classes, platform).accuracy,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
        "trials": 0,
        "final_epochs": round(log.epochs, 1),
        "source": "resnet8",
    }


def run_one(name: str, arm: str, seed: int, seconds: float, output: Path) -> None:
    """Run one job and append its row."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        row = (run_gcnas if arm == "gcnas" else run_resnet8)(name, seed, seconds, Path(folder))
    row |= {"set": name, "arm": arm, "seed": seed, "seconds": seconds}
    row["wall_seconds"] = round(time.monotonic() - start, 1)
    fresh = not output.exists()
    with output.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    print(row, flush=True)


def run_all(seconds: float, output: Path, processes: int) -> None:
    """Run the jobs that are not in the result file yet, each in a process of its own."""
    done = set()
    if output.exists():
        with output.open(newline="") as file:
            done = {(row["set"], row["arm"], int(row["seed"])) for row in csv.DictReader(file)}

    def start(job: tuple[str, str, int]) -> int:
        name, arm, seed = job
        command = [sys.executable, __file__, "--set", name, "--arm", arm, "--seed", str(seed)]
        command += ["--seconds", str(seconds), "--out", str(output)]
        return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode

    with ThreadPoolExecutor(processes) as pool:
        codes = list(pool.map(start, [job for job in JOBS if job not in done]))
    if any(codes):
        sys.exit(f"{sum(map(bool, codes))} of {len(codes)} jobs failed")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=sorted(LIMITS))
    parser.add_argument("--arm", choices=["gcnas", "resnet8"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=480.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.set is None:
        run_all(arguments.seconds, arguments.out, arguments.jobs)
    else:
        run_one(arguments.set, arguments.arm, arguments.seed, arguments.seconds, arguments.out)


if __name__ == "__main__":
    main()
