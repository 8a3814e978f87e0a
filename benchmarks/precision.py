"""Training in bfloat16 on a CPU with instructions for it, beside single precision: speed and accuracy.

``python benchmarks/precision.py --speed`` times training steps (batches of 64, one thread, forward, backward, clipping
and update, both precisions in turn, the fastest of seven) of the designs by people and of eight random networks of the
spaces ``cnn`` and ``mobile`` within 30 million multiply-adds on images of 8x8 to 32x32, and writes
``benchmarks/results/precision_speed.csv``. A network that stands there is not timed again.

``python benchmarks/precision.py --jobs 2`` trains ``vgg``, ``resnet8`` and ``mobilenet`` (those of ``product.py``) with
the recipe of gcnas for 20 epochs in both, seeds 0 to 2, one thread, on the images of ``final_epochs.py`` (8,000 of
CIFAR-10 and 8,000 others as the test, 5,000 of Fashion-MNIST and 10,000 others), and writes
``benchmarks/results/precision.csv``. A row that stands there is not run again. ``--summary`` prints the figures.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from final_epochs import prepare
from jobs import append, append_rows, rows, run_each
from product import LIMITS, Scene, build_hand_made, cost
from torch import nn

from gcnas import training
from gcnas.data import Split
from gcnas.network import build
from gcnas.records import Limits
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets.cnn import CNN
from gcnas.space.presets.mobile import MOBILE
from gcnas.strategy import create_strategy
from gcnas.training.platform import has_bfloat16

FOLDER = Path(__file__).resolve().parent / "results"
COLUMNS = "set network precision seed epochs parameters multiply_adds images_per_second accuracy".split()
SPEED_COLUMNS = "side channels space network float32_ms bfloat16_ms".split()
SETS = ("cifar8000", "fashion")
NETWORKS, PRECISIONS = ("vgg", "resnet8", "mobilenet"), ("float32", "bfloat16")
SHAPES = ((8, 1), (16, 3), (28, 1), (32, 3))
EPOCHS, RANDOM, STEPS = 20, 8, 7
MOST = 30_000_000
"""Multiply-adds of the networks whose steps are timed."""


def run_one(name: str, network: str, seed: int, output: Path) -> None:
    """Both trainings of a network, and their rows."""
    with tempfile.TemporaryDirectory() as folder:
        parameters, multiply_adds = LIMITS[name]
        data = str(prepare(name, Path(folder)))
        limits = {"max_params": parameters, "max_macs": multiply_adds}
        here = Scene.set(data, Path(folder), seed=seed, threads=1, **limits)
        found = []
        for precision in PRECISIONS:
            platform = replace(here.platform, autocast=precision == "bfloat16")
            built = build_hand_made(network, here, LIMITS[name], seed)
            batches = training.ImageBatches(
                here.dataset.train_and_validation(), platform, here.recipe.augmentation
            )
            start = time.monotonic()
            training.train(built, batches, here.recipe, training.EpochSchedule(EPOCHS), platform, seed=seed)
            speed = EPOCHS * len(batches) / (time.monotonic() - start)
            facts = (name, network, precision, seed, EPOCHS, *cost(built, here), round(speed, 1))
            found.append((*facts, round(here.test(built), 4)))
            print(*found[-1], flush=True)
        append_rows(output, COLUMNS, found)


def time_steps(output: Path) -> None:
    """Times of steps, and their rows."""
    torch.set_num_threads(1)
    done = {(int(row["side"]), row["space"], row["network"]) for row in rows(output, SPEED_COLUMNS)}
    for side, channels in SHAPES:
        for preset, name in ((CNN, "cnn"), (MOBILE, "mobile")):
            space = preset.fit(InputShape(channels, side, side, 10), Limits(multiply_adds=MOST))
            designs = {label: design(space) for label, design in space.references.items()}
            proposals = create_strategy("random", space, 0).ask(RANDOM)
            designs |= {f"random {number}": proposal.architecture for number, proposal in enumerate(proposals)}
            for label, architecture in designs.items():
                if architecture is not None and (side, name, label) not in done:
                    network = build(space, architecture, (0.5,) * channels, (0.25,) * channels)
                    append(output, SPEED_COLUMNS, (side, channels, name, label, *_milliseconds(network, space)))


def _milliseconds(network: nn.Module, space: SearchSpace) -> list[float]:
    """Fastest step in single precision and in bfloat16, of as many in turn."""
    shape = space.fitted
    images = torch.rand(
        64, shape.channels, shape.height, shape.width, generator=torch.Generator().manual_seed(0)
    )
    pixels = (255 * images).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    labels = torch.arange(64).remainder(shape.classes).numpy()
    times: dict[bool, list[float]] = {False: [], True: []}
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for _ in range(STEPS + 1):
        for autocast, found in times.items():
            platform = training.Platform("cpu", 1, channels_last=True, autocast=autocast)
            batches = training.ImageBatches(Split(pixels, labels), platform)
            start = time.perf_counter()
            training.train(
                network, batches, training.Recipe(batch_size=64), training.EpochSchedule(1), platform, seed=0
            )
            found.append(time.perf_counter() - start)
    return [round(1e3 * min(found[1:]), 2) for found in times.values()]


def summarize(accuracies: Path, speeds: Path) -> None:
    """Print ratios of speed and differences of accuracy."""
    ratios = defaultdict(list)
    for row in rows(speeds):
        kind = "random" if row["network"].startswith("random") else row["network"]
        ratios[int(row["side"]), row["space"], kind].append(
            float(row["float32_ms"]) / float(row["bfloat16_ms"])
        )
    for key, values in ratios.items():
        print(*key, f"{statistics.median(values):.2f} times ({min(values):.2f} to {max(values):.2f})")
    found = {(r["set"], r["network"], r["precision"], r["seed"]): r for r in rows(accuracies)}
    pairs = defaultdict(list)
    for (name, network, precision, number), row in found.items():
        if precision == "bfloat16":
            pairs[name, network].append((found[name, network, "float32", number], row))
    for where, both in pairs.items():
        single, half = ([float(pair[i]["accuracy"]) for pair in both] for i in (0, 1))
        speed = [float(b["images_per_second"]) / float(a["images_per_second"]) for a, b in both]
        change = [100 * (b - a) for a, b in zip(single, half, strict=True)]
        print(
            *where,
            f"{statistics.mean(single):.3f} and {statistics.mean(half):.3f}, points {statistics.mean(change):+.2f} "
            f"({', '.join(f'{c:+.2f}' for c in change)}), {statistics.median(speed):.2f} times the images a second",
        )


def main() -> None:
    """Read the command line, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--speed", action="store_true", help="time steps instead")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--out", type=Path, help="[default: precision.csv or precision_speed.csv]")
    parser.add_argument("--here", action="store_true", help="run the first job in this process")
    given = parser.parse_args()
    files = [FOLDER / "precision.csv", FOLDER / "precision_speed.csv"]
    if given.out:
        files[given.speed] = given.out
    if given.summary:
        summarize(*files)
        return
    if not has_bfloat16():
        parser.error("this processor has no instructions for bfloat16")
    if given.speed:
        time_steps(files[1])
        return
    output = files[0]
    if given.here:
        run_one(given.sets[0], given.networks[0], given.seeds[0], output)
        return
    kept = rows(output, COLUMNS)
    done = {(r["set"], r["network"], int(r["seed"])) for r in kept if r["precision"] == PRECISIONS[-1]}
    jobs = [
        ("--sets", name, "--networks", network, "--seeds", seed, "--out", output)
        for seed in given.seeds
        for name in given.sets
        for network in given.networks
        if (name, network, seed) not in done
    ]
    run_each(__file__, jobs, given.jobs)


if __name__ == "__main__":
    main()
