"""First networks of a search of the ``cnn`` space: drawn evenly, or edited from the best reference.

``python benchmarks/first_networks.py --jobs 2`` trains the references, networks of the Latin design, and networks one
and two edits away from the reference ``vgg`` on the images of ``designs.py`` (4,000 CIFAR-10 images, measured on 5,000
others, none of them a benchmark's test image), each for as few epochs as a candidate of a search of eight minutes gets,
within the limits of ResNet-8. A network that stands in the result file with the same source, seed and epochs is not
trained again. Rows from before there was a column ``fingerprint`` have none and count for no network: all are trained
anew beside them. The data are read from the folder in GCNAS_DATA or ``../shared/data``.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from designs import scene
from jobs import append, rows, run_each, widen

from gcnas import training
from gcnas.records import Architecture
from gcnas.space import SearchSpace
from gcnas.space.growth import CONNECTION_RATE
from gcnas.space.presets.cnn import vgg
from gcnas.strategy.edits import architecture_of, mutate
from gcnas.strategy.latin import latin
from gcnas.training.candidate import build_seeded

RESULTS = Path(__file__).resolve().parent / "results" / "first_networks.csv"
COLUMNS = "source number seed epochs parameters multiply_adds seconds accuracy fingerprint".split()
SOURCES = ("reference", "latin", "edit", "edits")


def draw(space: SearchSpace, source: str, count: int, seed: int) -> list[Architecture]:
    """Different networks of a source, each within the limits."""
    random = np.random.Generator(np.random.PCG64(seed))
    if source == "reference":
        found = [design(space) for design in space.references.values()]
        return [architecture for architecture in found if architecture is not None]
    if source == "latin":
        return [architecture_of(space, t) for t in latin(space, count, random, CONNECTION_RATE)]
    parent = vgg(space)
    drawn: dict[str, Architecture] = {parent.fingerprint: parent}
    while len(drawn) <= count:
        trajectory = mutate(space, space.encode(parent), random, edits=SOURCES.index(source) - 1)
        architecture = architecture_of(space, trajectory)
        if space.violation(architecture) is None:
            drawn.setdefault(architecture.fingerprint, architecture)
    return list(drawn.values())[1:]


def run_one(source: str, count: int, seed: int, epochs: int, output: Path) -> None:
    """Train the networks of a source that are missing, and append their rows."""
    kept = rows(output, COLUMNS)
    done = {(r["source"], r["fingerprint"], int(r["seed"]), int(r["epochs"])) for r in kept}
    with tempfile.TemporaryDirectory() as folder:
        here = scene(Path(folder), seed)
        space, dataset, platform = here.space, here.dataset, here.platform
        batches = training.ImageBatches(dataset.train_and_validation(), platform, here.recipe.augmentation)
        for number, architecture in enumerate(draw(space, source, count, seed)):
            if (source, architecture.fingerprint, seed, epochs) in done:
                continue
            start = time.monotonic()
            network = build_seeded(space, architecture, dataset, platform, seed)
            schedule = training.EpochSchedule(epochs)
            training.train(network, batches, here.recipe, schedule, platform, seed=seed)
            seconds, cost = time.monotonic() - start, space.cost(architecture)
            row = (source, number, seed, epochs, cost.parameters, cost.multiply_adds, round(seconds, 1))
            append(output, COLUMNS, (*row, round(here.test(network), 4), architecture.fingerprint))


def main() -> None:
    """Read the command line, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--count", type=int, default=12, help="networks of each source but the references")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--here", action="store_true", help="run the first source in this process")
    given = parser.parse_args()
    if given.here:
        run_one(given.sources[0], given.count, given.seeds[0], given.epochs, given.out)
        return
    widen(given.out, COLUMNS, {"fingerprint": ""})
    rows(given.out, COLUMNS)
    limits = ("--count", given.count, "--epochs", given.epochs, "--out", given.out)
    jobs = [("--sources", source, "--seeds", seed, *limits) for seed in given.seeds for source in given.sources]
    run_each(__file__, jobs, given.jobs)


if __name__ == "__main__":
    main()
