"""What the tool itself costs: time outside the evaluations, and memory that is not given back.

``python benchmarks/overhead.py`` writes ``benchmarks/results/overhead.csv`` and takes some minutes. Time: runs of
200 candidates (seeds 0, 1, 2) whose evaluation builds the network and invents a score at once, so that everything
else is as in a real run: proposals, limits, duplicates, ledger, ``best/`` at every improvement; and one in which
every candidate is an improvement. Start (with the data at hand), tables and report are counted, the final training
is not. Memory: the resident set of one process (seed 0) that trains 500 candidates for an epoch each on 300 images
of 8x8 pixels, after every 50. The strategy is `random`; what others take is in `strategy_growth.py`. Targets: at most
20 ms a candidate, at most 30 MB more after 500 than after 50.
"""

import argparse
import gc
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from jobs import refuse_a_part, replace_rows

from gcnas import api
from gcnas.records import Architecture, Fidelity
from gcnas.run.driver import Driver
from gcnas.run.ledger import Ledger
from gcnas.run.middleware import Unique
from gcnas.run.observer import Observer
from gcnas.run.trial import Trial
from gcnas.training import Measurement
from gcnas.training.candidate import TrainedCandidate, build_seeded, weights_of

RESULTS = Path(__file__).resolve().parent / "results" / "overhead.csv"
COLUMNS = "measurement seed candidates figure value unit".split()
OPTIONS: dict[str, Any] = {
    "strategy": "random", "epochs": 1, "final_epochs": 1, "threads": 1, "max_params": 100_000, "resolution": 8,
}  # fmt: skip

Row = tuple[str, int, int, str, float, str]


def images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a brightness that tells its class, one of ten."""
    labels = np.arange(count) % 10
    noise = np.random.default_rng(0).integers(0, 60, (count, 8, 8))
    return (noise + 19 * labels[:, None, None]).astype(np.uint8), labels


class Instant:
    """In place of a trainer: builds the network, and takes a score out of the air."""

    rising = False

    def __init__(self, space: Any, dataset: Any, recipe: Any, platform: Any, donor: Any = None) -> None:
        self.space, self.dataset, self.platform, self.count = space, dataset, platform, 0
        del recipe, donor

    def __call__(self, architecture: Architecture, fidelity: Fidelity, *_: Any) -> TrainedCandidate:
        """A candidate with its initial weights."""
        self.count += 1
        network = build_seeded(self.space, architecture, self.dataset, self.platform, fidelity.seed)
        score = self.count / 1e6 if self.rising else int(architecture.fingerprint, 16) / 2**64
        measurement = Measurement(score, score, 1.0, np.eye(10))
        return TrainedCandidate(measurement, weights_of(network), float(fidelity.epochs))


class Rising(Instant):
    """Every candidate is better than all before it."""

    rising = True


class Stopwatch:
    """Seconds spent in named parts, those of parts within them taken off."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[float] = []

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, measured."""

        def measured(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            self._open.append(0.0)
            try:
                return call(*args, **kwargs)
            finally:
                took = time.perf_counter() - start
                self.seconds[name] = self.seconds.get(name, 0.0) + took - self._open.pop()
                if self._open:
                    self._open[-1] += took

        return measured


@contextmanager
def measured_parts(watch: Stopwatch) -> Iterator[None]:
    """Have a stopwatch run in the parts of a search."""
    parts = [
        ("propose", Unique, "ask"),
        ("ledger", Ledger, "commit"),
        ("best", api, "write_searched"),
        ("tables and report", api, "write_tables"),
        ("final training", api, "_deliver"),
        ("driver", Driver, "run"),
        ("evaluation", Instant, "__call__"),
    ]
    with ExitStack() as stack:
        for name, owner, attribute in parts:
            stack.enter_context(patch.object(owner, attribute, watch.timed(name, getattr(owner, attribute))))
        yield


def measure_time(name: str, trainer: type[Instant], candidates: int, seed: int) -> list[Row]:
    """One run with instant evaluations."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder, patch("gcnas.run.evaluating.CandidateTrainer", trainer):
        start = time.perf_counter()
        with measured_parts(watch):
            out = Path(folder) / "run"
            result = api.search(images(300), out=out, budget=candidates, seed=seed, **OPTIONS)
        wall = time.perf_counter() - start
        trials = result.trials
    if len(trials) != candidates or not all(trial.complete for trial in trials):
        raise RuntimeError("The run did not evaluate all its candidates; its figures mean nothing.")
    spent = watch.seconds
    outside = wall - spent["evaluation"] - spent["final training"]
    rest = outside - sum(spent[part] for part in ("propose", "ledger", "best", "tables and report", "driver"))
    figures = {"outside the evaluations": outside, "start and rest": rest} | {
        part: seconds for part, seconds in spent.items() if part not in ("evaluation", "final training")
    }
    return [
        (name, seed, candidates, figure, round(1e3 * seconds / candidates, 2), "ms a candidate")
        for figure, seconds in figures.items()
    ]


def resident() -> float:
    """Resident set of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


class Scales(Observer):
    """Weighs the process after every 50 candidates."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def trial_finished(self, trial: Trial, best: Trial | None) -> None:
        """Weigh."""
        del best
        if trial.number % 50 == 0:
            gc.collect()
            self.rows.append(("memory", 0, trial.number, "resident set", round(resident(), 1), "MB"))
            print(self.rows[-1], flush=True)


def measure_memory(candidates: int) -> list[Row]:
    """One run with real, short training."""
    scales = Scales()
    with tempfile.TemporaryDirectory() as folder:
        api.search(images(300), out=Path(folder) / "run", budget=candidates, observer=scales, **OPTIONS)
    return scales.rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--memory-candidates", type=int, default=500, help="0 leaves memory out")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    refuse_a_part(parser, arguments)
    # Memory first, in a process that has done nothing else.
    rows = measure_memory(arguments.memory_candidates) if arguments.memory_candidates else []
    measure_time("warm-up", Instant, 5, 0)
    for seed in arguments.seeds:
        rows += measure_time("time", Instant, arguments.candidates, seed)
    rows += measure_time("time, all improvements", Rising, arguments.candidates, arguments.seeds[0])
    replace_rows(arguments.out, COLUMNS, rows)
    for row in rows:
        print(*row, sep=", ")


if __name__ == "__main__":
    main()
