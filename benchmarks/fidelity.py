"""What rungs save: wall clock until a search has found a network as good as the one that it finds without them.

Arms: ``full`` trains every candidate as long, ``rungs`` trains most a little and the best further; else the defaults
of ``gcnas search`` with the limits of ``benchmarks/product.py``, without reference designs, one thread. Each arm
searches for ``--seconds``. What counts at any moment is the network that the run would recommend then: each such
network is trained anew with one fixed schedule (``--final-epochs``, seed 0, training and validation images) and
measured on the test images, so scores after different amounts of training are never compared. (The rows that are there
were measured while a search had exactly two thirds of its budget, which was half as much again as ``--seconds``.)

A row of ``benchmarks/results/fidelity.csv`` is a change of the recommended network: when it happened (seconds of the
search), and that network's test accuracy; with the networks looked at until then and the epochs spent, as a multiple
of one full training of that arm. The summary gives for each set and seed the time at which ``rungs`` had a network at
least as good as the last one of ``full``.

``OMP_NUM_THREADS=1 python benchmarks/fidelity.py --seconds 1800 --sets fashion cifar --seeds 0 1 2`` takes about an
hour and a half a set and seed on one core. Runs that stand in the result file with as many final epochs are not
repeated; ``--summary`` only prints what is there.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs import append_rows, rows
from product import LIMITS, prepare

import gcnas
from gcnas.config import RunConfig
from gcnas.data import Dataset, load
from gcnas.records import Architecture
from gcnas.run.amounts import Amounts
from gcnas.run.context import Context, fit_space
from gcnas.run.folder import RunFolder
from gcnas.run.recommendation import recommend
from gcnas.run.trial import Trial
from gcnas.space.presets import CNN
from gcnas.training import EpochSchedule, ImageBatches, Platform, measure, train
from gcnas.training.candidate import build_seeded

RESULTS = Path(__file__).resolve().parent / "results" / "fidelity.csv"
ARMS = ("full", "rungs")
COLUMNS = (
    "set strategy arm seed seconds elapsed trial fingerprint trained_for score test_accuracy parameters "
    "multiply_adds networks full_trainings final_epochs"
).split()
JOB = "set strategy arm seed seconds final_epochs".split()
FINAL_SHARE = 0.05
"""Of the budget, for the final training, which nobody looks at: so little that none of it is left for the search."""


class Judge:
    """Trains networks with one fixed schedule and measures them on the test images; each network once."""

    def __init__(
        self, data: str, options: dict[str, Any], job: dict[str, Any], folder: Path, epochs: int
    ) -> None:
        parameters, multiply_adds = LIMITS[job["set"]]
        config = RunConfig.create(
            data=data, threads=1, max_params=parameters, max_macs=multiply_adds, fidelity="full", **options
        )
        self.data: Dataset = load(data, resolution=config.resolution, seed=job["seed"], cache=folder)
        self.platform = Platform.probe(threads=1)
        self.space = fit_space(CNN, self.data, config)
        context = Context(config, RunFolder(folder), self.data, self.space, self.platform, Amounts(1, 1))
        self.recipe, self.epochs = context.recipe, epochs
        batches = ImageBatches(self.data.train_and_validation(), self.platform, self.recipe.augmentation)
        test = self.data.open_test("benchmark", lambda _: None)
        self._train, self._test = batches, ImageBatches(test, self.platform)
        self._known: dict[str, float] = {}

    def __call__(self, architecture: Architecture) -> float:
        """Test accuracy."""
        if architecture.fingerprint not in self._known:
            network = build_seeded(self.space, architecture, self.data, self.platform, 0)
            train(network, self._train, self.recipe, EpochSchedule(self.epochs), self.platform, seed=0)
            found = measure(network, self._test, self.data.classes)
            self._known[architecture.fingerprint] = found.accuracy
        return self._known[architecture.fingerprint]


def search(data: str, options: dict[str, Any], job: dict[str, Any], folder: Path) -> list[Trial]:
    """One search; its trials in the order in which they finished."""
    parameters, multiply_adds = LIMITS[job["set"]]
    result = gcnas.search(
        data,
        out=folder / "run",
        budget=f"{job['seconds'] / (1 - FINAL_SHARE):.3f}s",
        final_share=FINAL_SHARE,
        final_epochs=1,
        strategy=job["strategy"],
        fidelity=job["arm"],
        seed=job["seed"],
        max_params=parameters,
        max_macs=multiply_adds,
        references=False,
        threads=1,
        **options,
    )
    finished = [trial for trial in result.trials if trial.elapsed is not None]
    return sorted(finished, key=lambda trial: trial.elapsed or 0.0)


def recommended(trials: Sequence[Trial], judge: Judge) -> Iterator[tuple[Trial, Sequence[Trial]]]:
    """Each change of the recommended network: the new one, and the trials that had finished by then."""
    current = None
    for count in range(1, len(trials) + 1):
        chosen = recommend(trials[:count], judge.space.limits, len(judge.data.validation_index))
        if chosen is not None and chosen.proposal.fingerprint != current:
            current = chosen.proposal.fingerprint
            yield replace(chosen, elapsed=trials[count - 1].elapsed), trials[:count]


def run_one(job: dict[str, Any], final_epochs: int) -> list[dict[str, Any]]:
    """One search and its recommended networks, judged."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data, options = prepare(job["set"], folder)
        trials = search(data, options, job, folder)
        full = max(trial.fidelity.epochs for trial in trials)
        judge = Judge(data, options, job, folder, final_epochs)
        found = []
        for chosen, known in recommended(trials, judge):
            spent = sum(trial.evaluation.trained_epochs for trial in known if trial.evaluation)
            found.append(
                job
                | {
                    "elapsed": round(chosen.elapsed or 0.0, 1),
                    "trial": chosen.number,
                    "fingerprint": chosen.proposal.fingerprint,
                    "trained_for": chosen.fidelity.epochs,
                    "score": round(chosen.score, 4),
                    "test_accuracy": round(judge(chosen.proposal.architecture), 4),
                    "parameters": chosen.cost.parameters,
                    "multiply_adds": chosen.cost.multiply_adds,
                    "networks": len({trial.proposal.fingerprint for trial in known}),
                    "full_trainings": round(spent / full, 2),
                    "final_epochs": final_epochs,
                }
            )
            print(found[-1], flush=True)
        return found


def summarise(path: Path) -> None:
    """Time to the accuracy of the full fidelity, for each set, seed and number of final epochs."""
    runs: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows(path):
        runs.setdefault(tuple(row[name] for name in JOB if name != "arm"), []).append(row)
    for key, here in runs.items():
        arms = {arm: [r for r in here if r["arm"] == arm] for arm in ARMS}
        if not all(arms.values()):
            continue
        target = float(arms["full"][-1]["test_accuracy"])
        first = {
            arm: next((float(r["elapsed"]) for r in found if float(r["test_accuracy"]) >= target), None)
            for arm, found in arms.items()
        }
        last = float(arms["rungs"][-1]["test_accuracy"])
        when = "never" if first["rungs"] is None else f"after {first['rungs']:.0f} s"
        print(
            f"{' '.join(key[:-1])} s, {key[-1]} final epochs: full ends at {target:.4f} (first there after "
            f"{first['full']:.0f} s); rungs are there {when}, and end at {last:.4f}"
        )


def main() -> None:
    """Run what is not in the result file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=sorted(LIMITS), default=["fashion"])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--strategy", default="gcnas")
    parser.add_argument("--seconds", type=float, default=1_800.0, help="wall clock of each search")
    parser.add_argument("--final-epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true", help="only print what is there")
    arguments = parser.parse_args()
    jobs = [
        {"set": name, "strategy": arguments.strategy, "arm": arm, "seed": seed, "seconds": arguments.seconds}
        for name in arguments.sets
        for seed in arguments.seeds
        for arm in arguments.arms
    ]
    if not arguments.summary:
        done = {tuple(row[name] for name in JOB) for row in rows(arguments.out, COLUMNS)}
        for job in jobs:
            if (*map(str, job.values()), str(arguments.final_epochs)) not in done:
                append_rows(arguments.out, COLUMNS, run_one(job, arguments.final_epochs))
    summarise(arguments.out)


if __name__ == "__main__":
    main()
