"""The tool as a product: delivered test accuracy in a fixed time, beside what a user would do instead.

Arms, each with the same images, the same wall clock for everything, the same cores and the same limits:

- ``gcnas``, ``optuna:tpe``, ``random``: ``gcnas search --strategy …`` with its defaults, one worker a core.
- ``optuna-pruned``: Optuna with a median pruner on a hand-written space of convolutions, pooling and a hidden layer, as
  its tutorials do it: Adam or SGD, learning rate and dropout searched too, 10 epochs a trial, trials above the limits
  pruned before they train; one training at a time with all threads, in single precision. After two thirds of the time
  the best trial's network is trained anew on all images with its own optimiser for the rest of the time.
- ``resnet8``: ResNet-8 (16-32-64), no search; all the time is its final training with the recipe of gcnas.
- ``resnet14``: the same with two blocks a stage; it is above the limits. ``mobilenet``: MobileNetV2 with four stages,
  the widest of :data:`gcnas.space.presets.mobile.SMALL_WIDTHS` within the limits. ``lenet5``: LeNet-5 with batch
  normalisation, ReLU and maximum pooling. ``vgg``: the reference that ``designs.py`` found. All trained as ``resnet8``.

Sets: ``fashion`` (5,000 training images of fashion_mnist.npz drawn with seed 0, all 10,000 test images; limits
78,000 parameters and 9.4 M multiply-adds), ``flowers`` (folder, 32x32), ``cifar`` (cifar10_small.npz) and ``xrays``
(pneumonia_xray_balanced.npz), with the limits 79,000 parameters and 12.6 M multiply-adds, in which ResNet-8 fits.
``fashion-half`` and so on: the same images with half the multiply-adds as the limit, to which of the arms without a
search only ``mobilenet`` and ``lenet5`` keep.

``python benchmarks/product.py --sets fashion --arms gcnas resnet8 --seeds 0 1 --seconds 480 --cores 1 --jobs 2``
(two processes, one thread each). A job that stands in the result file already is not run again. ``--summary`` prints
for each set and arm the mean of the test accuracies with the least and the most, the same of the differences from
``resnet8`` with the same seed in the same file, how many such pairs there are, and the multiply-adds as shares of its.
The data are read from the folder in GCNAS_DATA or ``../shared/data``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from jobs import append, rows
from PIL import Image

from gcnas import training
from gcnas.config import RunConfig
from gcnas.data import Dataset, load
from gcnas.network import count_multiply_adds, count_parameters
from gcnas.records import Architecture, Limits
from gcnas.run.amounts import Amounts
from gcnas.run.context import Context, fit_space
from gcnas.run.folder import RunFolder
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets.cnn import CNN, resnet8, vgg
from gcnas.space.presets.mobile import MOBILE
from gcnas.training.candidate import build_seeded

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GCNAS_DATA") or ROOT.parent / "shared" / "data") / "images"
RESULTS = ROOT / "benchmarks" / "results" / "product.csv"
COLUMNS = (
    "set arm seed seconds cores test_accuracy validation_accuracy parameters multiply_adds trials candidate_epochs "
    "final_epochs source best_reference_validation wall_seconds"
).split()
LIMITS = {
    "fashion": (78_000, 9_400_000),
    "cifar": (79_000, 12_600_000),
    "cifar8000": (79_000, 12_600_000),
    "flowers": (79_000, 12_600_000),
    "xrays": (78_000, 9_400_000),
}
LIMITS |= {f"{name}-half": (parameters, macs // 2) for name, (parameters, macs) in LIMITS.items()}
HAND_MADE = ("resnet8", "resnet14", "mobilenet", "lenet5", "vgg")
STRATEGIES = ("gcnas", "optuna:tpe", "random")
PRUNED_EPOCHS = 10
SEARCH_SHARE = 2 / 3
"""Of the time of the arm with pruning; the rest is for training the best network anew."""

RESERVE = 0.02
"""Share of the wall clock for loading and for the test, in arms of :data:`RESERVED`; it was 0.06 once.

Rows tell by their ``wall_seconds``, and the two are not put into one file."""

RESERVED = (*HAND_MADE, "optuna-pruned")


@dataclass(frozen=True)
class Job:
    """One arm with one seed on one set, in so many seconds on so many cores."""

    name: str
    arm: str
    seed: int
    seconds: float
    cores: int


def prepare(name: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """The data argument and its options."""
    name = name.removesuffix("-half")
    if name == "flowers":
        return str(DATA / "flowers"), {"resolution": 32}
    if name == "cifar":
        return str(DATA / "cifar10_small.npz"), {}
    if name == "xrays":
        return str(DATA / "pneumonia_xray_balanced.npz"), {}
    path = folder / f"{name}.npz"
    if not path.exists():
        arrays = _cifar8000() if name == "cifar8000" else _fashion()
        np.savez(path, allow_pickle=False, **arrays)
    return str(path), {}


def _fashion() -> dict[str, np.ndarray]:
    arrays = np.load(DATA / "fashion_mnist.npz")
    chosen = np.random.RandomState(0).permutation(60_000)[:5_000]
    return {
        "train_images": arrays["train_images"][chosen],
        "train_labels": arrays["train_labels"][chosen],
        "test_images": arrays["test_images"],
        "test_labels": arrays["test_labels"],
    }


def _cifar8000() -> dict[str, np.ndarray]:
    """8,000 of the first 40,000 training images, drawn with seed 0; the other 10,000 are the test."""
    sheets = [sheet(DATA / "cifar10" / f"train_{number:02d}.webp") for number in range(50)]
    images, labels = np.concatenate(sheets), np.load(DATA / "cifar10" / "labels.npz")["train_labels"]
    chosen = np.random.RandomState(0).permutation(40_000)[:8_000]
    return {
        "train_images": images[chosen],
        "train_labels": labels[chosen],
        "test_images": images[40_000:],
        "test_labels": labels[40_000:],
    }


def sheet(path: Path) -> np.ndarray:
    """The 1,000 images of a sheet of 25 rows of 40."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return pixels.reshape(25, 32, 40, 32, 3).transpose(0, 2, 1, 3, 4).reshape(1_000, 32, 32, 3)


def run_search(job: Job, folder: Path) -> dict[str, Any]:
    """The product, with its defaults, and one worker a core."""
    import gcnas

    data, options = prepare(job.name, folder)
    parameters, multiply_adds = LIMITS[job.name]
    result = gcnas.search(
        data,
        out=folder / "run",
        strategy=job.arm,
        budget=f"{job.seconds:g}s",
        max_params=parameters,
        max_macs=multiply_adds,
        seed=job.seed,
        workers=job.cores,
        threads=job.cores,
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


@dataclass(frozen=True)
class Scene:
    """What the arms without a search of ours need: the images, the space, the recipe and the device."""

    dataset: Dataset
    space: SearchSpace
    recipe: training.Recipe
    final_recipe: training.Recipe
    platform: training.Platform

    @classmethod
    def of(cls, job: Job, folder: Path) -> "Scene":
        """That of a job."""
        data, options = prepare(job.name, folder)
        return cls.set(data, folder, seed=job.seed, threads=job.cores, **options)

    @classmethod
    def set(cls, data: str, folder: Path, *, seed: int, threads: int, **options: Any) -> "Scene":
        """That of images and options of a run."""
        config = RunConfig.create(data=data, seed=seed, threads=threads, **options)
        dataset = load(data, resolution=config.resolution, seed=seed, cache=folder)
        platform = training.Platform.probe(threads=threads, side=min(dataset.image_shape[1:]))
        space = fit_space(CNN, dataset, config)
        context = Context(config, RunFolder(folder), dataset, space, platform, Amounts(1, 1))
        return cls(dataset, space, context.recipe, context.final_recipe, platform)

    def test(self, network: torch.nn.Module) -> float:
        """Test accuracy."""
        batches = training.ImageBatches(self.dataset.open_test("benchmark", lambda _: None), self.platform)
        return training.measure(network, batches, self.dataset.classes).accuracy


def run_hand_made(job: Job, folder: Path) -> dict[str, Any]:
    """No search: the same recipe, all the time."""
    start = time.monotonic()
    scene = Scene.of(job, folder)
    network = build_hand_made(job.arm, scene, LIMITS[job.name], job.seed)
    batches = training.ImageBatches(
        scene.dataset.train_and_validation(), scene.platform, scene.recipe.augmentation
    )
    usable = job.seconds - (time.monotonic() - start) - RESERVE * job.seconds
    schedule = training.TimedSchedule(usable, 10_000)
    log = training.train(network, batches, scene.final_recipe, schedule, scene.platform, seed=job.seed)
    parameters, multiply_adds = cost(network, scene)
    return {
        "test_accuracy": scene.test(network),
        "parameters": parameters,
        "multiply_adds": multiply_adds,
        "trials": 0,
        "final_epochs": round(log.epochs, 1),
        "source": job.arm,
    }


def build_hand_made(arm: str, scene: Scene, limits: tuple[int, int], seed: int) -> torch.nn.Module:
    """The network of an arm without a search."""
    space = scene.space
    if arm == "lenet5":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return lenet5(space.fitted).to(scene.platform.device)
    if arm == "mobilenet":
        space = MOBILE.fit(space.fitted, Limits(parameters=limits[0], multiply_adds=limits[1]))
        architecture = _exists(space.references["mobilenet"](space))
    elif arm == "resnet14":
        growth = space.start()
        for index, (filters, stride) in enumerate([(16, 1), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1)]):
            block = space.layer("residual_block", after=index, filters=filters, stride=stride)
            growth = growth.add(space.encode_layer(block, index + 1))
        architecture = growth.architecture
    else:
        architecture = resnet8(space) if arm == "resnet8" else vgg(space)
    return build_seeded(space, architecture, scene.dataset, scene.platform, seed)


def _exists(architecture: Architecture | None) -> Architecture:
    if architecture is None:
        sys.exit("no network of this kind is within the limits")
    return architecture


def lenet5(shape: InputShape) -> torch.nn.Module:
    """LeNet-5 (6 and 16 filters of 5x5; 120, 84) with batch normalisation, ReLU and maximum pooling."""

    def convolution(channels: int, filters: int, padding: int) -> list[torch.nn.Module]:
        layer = torch.nn.Conv2d(channels, filters, 5, padding=padding, bias=False)
        return [layer, torch.nn.BatchNorm2d(filters), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]

    padding = 2 if shape.height < 32 else 0
    height, width = (((side + 2 * padding - 4) // 2 - 4) // 2 for side in (shape.height, shape.width))
    hidden = [
        torch.nn.Linear(16 * height * width, 120),
        torch.nn.ReLU(),
        torch.nn.Linear(120, 84),
        torch.nn.ReLU(),
    ]
    first = convolution(shape.channels, 6, padding)
    second = convolution(6, 16, 0)
    return torch.nn.Sequential(*first, *second, torch.nn.Flatten(), *hidden, torch.nn.Linear(84, shape.classes))


def run_pruned(job: Job, folder: Path) -> dict[str, Any]:
    """Optuna with a median pruner on a hand-written space, then the best network anew."""
    start = time.monotonic()
    scene = Scene.of(job, folder)
    dataset, device = scene.dataset, scene.platform
    seen = training.ImageBatches(dataset.train(), device, scene.recipe.augmentation)
    held_out = training.ImageBatches(dataset.validation(), device)

    def objective(trial: optuna.Trial) -> float:
        network, optimizer = hand_written(trial, scene)
        if any(spent > limit for spent, limit in zip(cost(network, scene), LIMITS[job.name], strict=True)):
            raise optuna.TrialPruned
        generator = torch.Generator().manual_seed(job.seed)
        accuracy = 0.0
        for epoch in range(PRUNED_EPOCHS):
            _epoch(network, optimizer, seen, generator)
            accuracy = training.measure(network, held_out, dataset.classes).accuracy
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler, pruner = optuna.samplers.TPESampler(seed=job.seed), optuna.pruners.MedianPruner()
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    left = SEARCH_SHARE * job.seconds - (time.monotonic() - start)
    study.optimize(objective, timeout=left)
    if not any(trial.state is optuna.trial.TrialState.COMPLETE for trial in study.trials):
        sys.exit(f"no trial was completed in {job.seconds:g} seconds; give more")
    best = study.best_trial
    network, optimizer = hand_written(optuna.trial.FixedTrial(best.params), scene)
    everything = training.ImageBatches(dataset.train_and_validation(), device, scene.recipe.augmentation)
    generator, epochs = torch.Generator().manual_seed(job.seed), 0
    end = start + (1 - RESERVE) * job.seconds
    while time.monotonic() < end:
        _epoch(network, optimizer, everything, generator)
        epochs += 1
    parameters, multiply_adds = cost(network, scene)
    return {
        "test_accuracy": scene.test(network),
        "validation_accuracy": best.value,
        "parameters": parameters,
        "multiply_adds": multiply_adds,
        "trials": len(study.trials),
        "candidate_epochs": PRUNED_EPOCHS,
        "final_epochs": epochs,
        "source": "optuna",
    }


def hand_written(trial: optuna.trial.BaseTrial, scene: Scene) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A network of one to four convolutions and a hidden layer, and its optimiser."""
    shape = scene.space.fitted
    channels, side = shape.channels, min(shape.height, shape.width)
    layers: list[torch.nn.Module] = []
    for number in range(trial.suggest_int("layers", 1, 4)):
        filters = trial.suggest_categorical(f"filters_{number}", [8, 16, 32, 64])
        kernel = trial.suggest_categorical(f"kernel_{number}", [3, 5])
        layers += [
            torch.nn.Conv2d(channels, filters, kernel, padding=kernel // 2),
            torch.nn.BatchNorm2d(filters),
        ]
        layers.append(torch.nn.ReLU())
        if side >= 4 and trial.suggest_categorical(f"pool_{number}", [True, False]):
            layers.append(torch.nn.MaxPool2d(2))
            side //= 2
        layers.append(torch.nn.Dropout2d(trial.suggest_float(f"dropout_{number}", 0.0, 0.3)))
        channels = filters
    hidden = trial.suggest_int("hidden", 16, 128, log=True)
    layers += [torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(channels * 16, hidden)]
    layers += [torch.nn.ReLU(), torch.nn.Linear(hidden, shape.classes)]
    network = torch.nn.Sequential(*layers)
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    if trial.suggest_categorical("optimizer", ["Adam", "SGD"]) == "Adam":
        return network, torch.optim.Adam(network.parameters(), rate)
    return network, torch.optim.SGD(network.parameters(), rate, momentum=0.9)


def _epoch(
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: training.ImageBatches,
    generator: torch.Generator,
) -> None:
    network.train()
    for images, labels in batches.training(64, generator):
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def cost(network: torch.nn.Module, scene: Scene) -> tuple[int, int]:
    """Parameters and multiply-adds."""
    shape = scene.space.fitted
    size = (shape.channels, shape.height, shape.width)
    return count_parameters(network), count_multiply_adds(network, size)


def run_one(job: Job, output: Path) -> None:
    """Run one job and append its row."""
    start = time.monotonic()
    runners = {"optuna-pruned": run_pruned, **dict.fromkeys(HAND_MADE, run_hand_made)}
    with tempfile.TemporaryDirectory() as folder:
        row = runners.get(job.arm, run_search)(job, Path(folder))
    row |= {"set": job.name, "arm": job.arm, "seed": job.seed, "seconds": job.seconds, "cores": job.cores}
    row["wall_seconds"] = round(time.monotonic() - start, 1)
    append(output, COLUMNS, row)


def run_all(jobs: list[Job], output: Path, processes: int) -> None:
    """Run the jobs that are not in the result file yet, each in a process of its own."""
    kept = rows(output, COLUMNS)
    old = [
        row
        for row in kept
        if row["arm"] in RESERVED and float(row["wall_seconds"]) < 0.96 * float(row["seconds"])
    ]
    if old and any(job.arm in RESERVED for job in jobs):
        sys.exit(
            f"{output} has rows of {old[0]['arm']} that had less of the time; name another file with --out."
        )
    done = {
        Job(row["set"], row["arm"], int(row["seed"]), float(row["seconds"]), int(row["cores"])) for row in kept
    }

    def start(job: Job) -> int:
        command = [sys.executable, __file__, "--sets", job.name, "--arms", job.arm, "--seeds", str(job.seed)]
        command += ["--seconds", str(job.seconds), "--cores", str(job.cores), "--out", str(output), "--here"]
        environment = os.environ | {"OMP_NUM_THREADS": str(job.cores)}
        return subprocess.run(command, env=environment, check=False).returncode

    with ThreadPoolExecutor(processes) as pool:
        codes = list(pool.map(start, [job for job in jobs if job not in done]))
    if any(codes):
        sys.exit(f"{sum(map(bool, codes))} of {len(codes)} jobs failed")


def summarize(output: Path) -> None:
    """Print one line for each set, arm and budget."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows(output):
        groups.setdefault(tuple(row[name] for name in ("set", "arm", "seconds", "cores")), []).append(row)
    for (name, arm, seconds, cores), members in sorted(groups.items()):
        rivals = groups.get((name.removesuffix("-half"), "resnet8", seconds, cores), [])
        rival = {row["seed"]: row for row in rivals}
        pairs = [(row, rival[row["seed"]]) for row in members if row["seed"] in rival]
        ahead = [float(row["test_accuracy"]) - float(other["test_accuracy"]) for row, other in pairs]
        shares = [float(row["multiply_adds"]) / float(other["multiply_adds"]) for row, other in pairs]
        accuracy = _spread([float(row["test_accuracy"]) for row in members], "{:.4f}")
        print(
            f"{name:14} {arm:13} {seconds:>5} s {cores} core  seeds {' '.join(row['seed'] for row in members)}  "
            f"accuracy {accuracy}  ahead of resnet8 of this file {_spread(ahead, '{:+.4f}')}  pairs {len(pairs)}  "
            f"multiply-adds {_spread(shares, '{:.2f}')}  trials {'/'.join(row['trials'] for row in members)}  "
            f"source {'/'.join(row['source'] for row in members)}"
        )


def _spread(values: list[float], form: str) -> str:
    if not values:
        return "-"
    mean, least, most = (form.format(value) for value in (sum(values) / len(values), min(values), max(values)))
    return f"{mean} ({least} to {most})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=sorted(LIMITS), default=["fashion", "cifar"])
    arms = [*STRATEGIES, "optuna-pruned", *HAND_MADE]
    parser.add_argument("--arms", nargs="+", choices=arms, default=arms)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1, help="jobs at a time")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--here", action="store_true", help="run the first job in this process")
    parser.add_argument(
        "--summary", action="store_true", help="print the result file's figures and run nothing"
    )
    given = parser.parse_args()
    if given.summary:
        summarize(given.out)
        return
    jobs = [
        Job(name, arm, seed, given.seconds, given.cores)
        for seed in given.seeds
        for name in given.sets
        for arm in given.arms
    ]
    if given.here:
        run_one(jobs[0], given.out)
    else:
        run_all(jobs, given.out, given.jobs)


if __name__ == "__main__":
    main()
