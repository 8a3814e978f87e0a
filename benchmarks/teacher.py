"""Whether a long final training should begin with a teacher: a larger network, trained first, that then teaches.

``python benchmarks/teacher.py --sets cifar fashion --seconds 720 --jobs 2`` trains a design of ``designs.py`` on its
images for the same wall clock (one thread) with and without one, by the recipe of the final training. The teacher is
that of ``gcnas finalize --distill larger`` and has the same share of the time; the temperature is 4 and its weight 0.9,
without a choice. The images measured on are no benchmark's test. A row that stands in the result file is
not run again. The data are read from the folder in GCNAS_DATA or ``../shared/data``.
"""

import argparse
import tempfile
import time
from pathlib import Path

from designs import DESIGNS, SETS, build, scene
from jobs import append, rows, run_each

from gcnas import training
from gcnas.delivery.distilling import TEACHER_SHARE
from gcnas.delivery.teachers import GROWTH, TIMES
from gcnas.space.scaling import scale_architecture
from gcnas.training.candidate import build_seeded
from gcnas.training.distillation import AsTrained, Distillation

RESULTS = Path(__file__).resolve().parent / "results" / "teacher.csv"
COLUMNS = (
    "set design seed seconds arm epochs accuracy teacher_epochs teacher_accuracy teacher_multiply_adds".split()
)
ARMS = ("plain", "teacher")
TEMPERATURE, WEIGHT = 4.0, 0.9


def run_one(images: str, design: str, seed: int, seconds: float, arm: str, output: Path) -> None:
    """Train one design and append its row."""
    with tempfile.TemporaryDirectory() as folder:
        here = scene(Path(folder), seed, images)
        space, dataset, platform, recipe = here.space, here.dataset, here.platform, here.final_recipe
        architecture = build(space, DESIGNS[design])
        batches = training.ImageBatches(dataset.train_and_validation(), platform, here.recipe.augmentation)
        start, distillation, facts = time.monotonic(), None, ("", "", "")
        if arm == "teacher":
            grown = scale_architecture(space, architecture, GROWTH, TIMES)
            larger = build_seeded(grown.space, grown.architecture, dataset, platform, seed + 100)
            schedule = training.TimedSchedule(TEACHER_SHARE * seconds, 10_000)
            log = training.train(larger, batches, recipe, schedule, platform, seed=seed + 100)
            spent = time.monotonic() - start
            cost = grown.space.cost(grown.architecture).multiply_adds
            facts = (f"{log.epochs:.1f}", f"{here.test(larger):.4f}", str(cost))
            teacher = AsTrained(larger, platform).eval().requires_grad_(False)
            distillation = Distillation(teacher, TEMPERATURE, WEIGHT)
            start = time.monotonic() - spent  # looking at the teacher takes no time of its pupil
        network = build_seeded(space, architecture, dataset, platform, seed)
        schedule = training.TimedSchedule(seconds - (time.monotonic() - start), 10_000)
        log = training.train(network, batches, recipe, schedule, platform, seed=seed, distillation=distillation)
        accuracy = here.test(network)
    row = (images, design, seed, seconds, arm, round(log.epochs, 1), round(accuracy, 4), *facts)
    append(output, COLUMNS, row)


def main() -> None:
    """Read the command line, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=["cifar"])
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=["vgg-half-wide"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--seconds", type=float, default=720.0)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--here", action="store_true", help="run the first combination in this process")
    given = parser.parse_args()
    if given.here:
        first = (given.sets[0], given.designs[0], given.seeds[0], given.seconds, given.arms[0])
        run_one(*first, output=given.out)
        return
    kept = rows(given.out, COLUMNS)
    done = {(r["set"], r["design"], int(r["seed"]), float(r["seconds"]), r["arm"]) for r in kept}
    common = ("--seconds", given.seconds, "--out", given.out)
    jobs = [
        ("--sets", name, "--designs", design, "--seeds", seed, "--arms", arm, *common)
        for seed in given.seeds
        for arm in given.arms
        for design in given.designs
        for name in given.sets
        if (name, design, seed, given.seconds, arm) not in done
    ]
    run_each(__file__, jobs, given.jobs)


if __name__ == "__main__":
    main()
