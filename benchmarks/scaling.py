"""How far one driver goes: its own time, memory, ledger and idle workers at 1 to 1,000 simulated workers.

``python benchmarks/scaling.py`` runs the real driver and the real ledger on simulated workers; when all is measured it
replaces ``benchmarks/results/scaling.csv`` by a row for each case. Each case has a process of its own, for its memory.
Cases are named ``PROBLEM:STRATEGY:WORKERS:EVALUATIONS``; some of them alone need a file of their own (``--out``).
Problems:

- ``cnn``: the real ``cnn`` space (28 x 28 pixels, at most 100,000 parameters) with invented scores;
- ``grown``: a synthetic space of 4·10²⁶ networks whose best one is known (``gcnas.bench.landscape``);
- ``nb201``: the table NAS-Bench-201, CIFAR-10 (``--data FOLDER``), with the seconds of its column.

Where a problem has no seconds, an evaluation takes a log-normal time (mean ``--seconds``, deviation of its logarithm
0.5) that depends on network and seed. The clock is simulated, but the driver's own time passes on it as well: workers
stand idle while the driver is busy. ``driver_ms`` is that time for one evaluation, all but the look-up of its result;
it and all others of this kind are processor time on one thread, so that other work on the machine does not count;
``per_second`` is how many evaluations it would keep up with. ``first_ms`` and ``last_ms`` are of the first and the
last tenth of the evaluations: they show what grows. ``demand`` is how many results a second so many workers would
deliver if they never waited. ``read_ms`` is for each evaluation when the ledger is read as a whole, as ``resume`` and
``report`` do it. Regret is the best score there is minus the best found by then.
"""

import argparse
import csv
import hashlib
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from jobs import replace_rows

from gcnas.bench.landscape import LANDSCAPES
from gcnas.bench.search import InTable
from gcnas.bench.tables import find_tables
from gcnas.execution import Job, Outcome
from gcnas.execution.table import TableExecutor
from gcnas.records import Architecture, Fidelity, Limits
from gcnas.run.driver import Clock, Driver, Stop
from gcnas.run.ledger import Ledger, LedgerReader
from gcnas.run.middleware import Unique, WithinLimits
from gcnas.run.observer import Observer
from gcnas.run.trial import Rejection, Trial
from gcnas.space import InputShape
from gcnas.space.presets import CNN
from gcnas.strategy import Strategy, create_strategy
from gcnas.tabular.table import Entry

RESULTS = Path(__file__).resolve().parent / "results" / "scaling.csv"
DATA = Path(os.environ.get("GCNAS_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
SPREAD = 0.5
"""Standard deviation of the logarithm of an evaluation's seconds."""

MOMENTS = {"regret_1m": 60.0, "regret_10m": 600.0, "regret_1h": 3_600.0, "regret_end": math.inf}
COLUMNS = (
    "problem strategy workers evaluations seed mean_seconds demand driver_ms first_ms last_ms ask_ms tell_ms state_ms "
    "commit_ms per_second transactions largest_group base_mb peak_mb ledger_bytes read_ms read_peak_mb idle "
    "simulated_seconds"
).split() + list(MOMENTS)
CASES = [
    *(f"cnn:random:{workers}:3000" for workers in (1, 10, 100)),
    "cnn:random:1000:10000",
    *(f"nb201:random:{workers}:2000" for workers in (1, 10, 100, 1_000)),
    *(f"nb201:gcnas:{workers}:60" for workers in (1, 10)),
    "nb201:gcnas:100:150",
    "nb201:gcnas:1000:1500",
    "cnn:gcnas:10:80",
    "cnn:random:1000:100000",
]


class Timed:
    """A problem whose evaluations take time.

    Args:
        space: Its space.
        score: Of an architecture.
        mean: Seconds of an evaluation.
        seed: Of the seconds.
    """

    best = math.nan

    def __init__(self, space: Any, score: Callable[[Architecture], float], mean: float, seed: int) -> None:
        self.space, self.fidelity = space, Fidelity(1)
        self._score, self._seed, self._mean = score, seed, math.log(mean) - SPREAD**2 / 2

    def entry(self, architecture: Architecture, epochs: int | None = None) -> Entry:
        """Score and seconds."""
        del epochs
        seconds = random.Random(f"{self._seed}{architecture.fingerprint}").lognormvariate(self._mean, SPREAD)
        return Entry(self._score(architecture), seconds)


def create_problem(name: str, mean: float, seed: int, data: Path | None) -> Any:
    """A problem with scores and seconds."""
    if name == "nb201":
        (found,) = find_tables(["nb201-cifar10"], data=data)
        return found.load()
    if name == "grown":
        landscape = LANDSCAPES["grown"].load()
        problem = Timed(landscape.space, landscape.score, mean, seed)
        problem.best = landscape.best
        return problem
    space = CNN.fit(InputShape(1, 28, 28, 10), Limits(parameters=100_000))
    return Timed(
        space, lambda a: int(hashlib.sha256(a.fingerprint.encode()).hexdigest()[:8], 16) / 16**8, mean, seed
    )


class Workers(TableExecutor):
    """Simulated workers on whose clock the time that the driver takes passes too."""

    def __init__(self, problem: Any, capacity: int) -> None:
        super().__init__(cast("Any", problem), capacity)
        self.driver_seconds = self.busy = 0.0
        self._left = time.process_time()

    def submit(self, job: Job) -> None:
        """Begin a job, after the time that the driver took before."""
        self._enter()
        super().submit(job)
        self._left = time.process_time()

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Results, after the time that the driver took before."""
        self._enter()
        outcomes = super().wait(seconds)
        self.busy += sum(outcome.evaluation.seconds for outcome in outcomes)
        self._left = time.process_time()
        return outcomes

    def _enter(self) -> None:
        took = time.process_time() - self._left
        self.driver_seconds += took
        self.clock += took


class SimulatedClock(Clock):
    """The clock of the workers."""

    def __init__(self, executor: Workers) -> None:
        super().__init__()
        self._executor = executor

    def __call__(self) -> float:
        """Seconds."""
        return self._executor.clock


@dataclass
class Watch(Observer):
    """The driver's own time at each tenth of the evaluations, and seconds spent in named parts."""

    executor: Workers
    evaluations: int
    tenths: list[float] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    largest: int = 0
    done: int = 0

    def trial_finished(self, trial: Trial, best: Trial | None) -> None:
        """Look at the time."""
        del trial, best
        self.done += 1
        if self.done % (self.evaluations // 10) == 0:
            self.tenths.append(self.executor.driver_seconds)

    def time(self, owner: Any, *names: str) -> None:
        """Have calls of these methods timed."""
        for name in names:
            setattr(owner, name, self._timed(name, getattr(owner, name)))

    def _timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                self.parts[name] = self.parts.get(name, 0.0) + time.process_time() - start
                self.calls[name] = self.calls.get(name, 0) + 1
                self.largest = max(self.largest, len(kwargs.get("finished", ())))

        return timed


def run_case(case: str, seed: int, mean: float, data: Path | None) -> dict[str, Any]:
    """One run; its row."""
    torch.set_num_threads(1)
    name, strategy_name, workers, evaluations = case.rsplit(":", 3)
    problem = create_problem(name, mean, seed, data)
    rejections: list[Rejection] = []
    inner = create_strategy(strategy_name, problem.space, seed)
    strategy: Strategy = Unique(_allowed(name, inner, rejections, problem), rejections, ())
    executor = Workers(problem, int(workers))
    watch = Watch(executor, int(evaluations))
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "run.db", {})
        watch.time(strategy, "ask", "tell", "state_dict")
        watch.time(ledger, "commit")
        base = _peak_mb()
        driver = Driver(
            ledger=ledger,
            space=problem.space,
            strategy=strategy,
            rejections=rejections,
            executor=executor,
            fidelity=problem.fidelity,
            stop=Stop(int(evaluations)),
            clock=SimulatedClock(executor),
            keep_best=lambda *_: None,
            observer=watch,
        )
        driver.run()
        peak = _peak_mb()
        ledger.close()
        size = (Path(folder) / "run.db").stat().st_size
        figures = _figures(watch, executor, int(workers), int(evaluations))
        read = _read(Path(folder) / "run.db", problem.best)
    who = {
        "problem": name,
        "strategy": strategy_name,
        "workers": workers,
        "evaluations": evaluations,
        "seed": seed,
    }
    sizes = {"base_mb": base, "peak_mb": peak, "ledger_bytes": size / int(evaluations)}
    return who | figures | sizes | read


def _allowed(name: str, inner: Strategy, rejections: list[Rejection], problem: Any) -> Strategy:
    if name == "nb201":
        return InTable(inner, rejections, problem)
    return WithinLimits(inner, rejections, problem.space)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _figures(watch: Watch, executor: Workers, workers: int, evaluations: int) -> dict[str, float]:
    per = 1e3 / evaluations
    mean = executor.busy / evaluations
    tenth = 1e3 / (evaluations // 10)
    return {
        "mean_seconds": mean,
        "demand": workers / mean,
        "driver_ms": executor.driver_seconds * per,
        "first_ms": watch.tenths[0] * tenth,
        "last_ms": (watch.tenths[-1] - watch.tenths[-2]) * tenth,
        "ask_ms": watch.parts["ask"] * per,
        "tell_ms": watch.parts["tell"] * per,
        "state_ms": watch.parts["state_dict"] * per,
        "commit_ms": watch.parts["commit"] * per,
        "per_second": evaluations / executor.driver_seconds,
        "transactions": watch.calls["commit"],
        "largest_group": watch.largest,
        "idle": 1 - executor.busy / (workers * executor.clock),
        "simulated_seconds": executor.clock,
    }


def _read(path: Path, best: float) -> dict[str, float]:
    start = time.process_time()
    with LedgerReader(path) as ledger:
        trials = ledger.trials()
    read = {"read_ms": 1e3 * (time.process_time() - start) / len(trials), "read_peak_mb": _peak_mb()}
    found = [(trial.elapsed or 0.0, trial.score) for trial in trials]
    return read | {
        name: best - max((score for elapsed, score in found if elapsed <= moment), default=math.nan)
        for name, moment in MOMENTS.items()
    }


def _run_alone(case: str, seed: int, arguments: argparse.Namespace) -> dict[str, str]:
    """The same in a process of its own."""
    command = [
        sys.executable,
        __file__,
        "--one",
        case,
        "--seeds",
        str(seed),
        "--seconds",
        str(arguments.seconds),
    ]
    if arguments.data is not None:
        command += ["--data", str(arguments.data)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(zip(COLUMNS, next(csv.reader([done.stdout])), strict=True))


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="Mean of an evaluation where there is no column"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="[default: GCNAS_DATA, or ../shared/data]")
    parser.add_argument("--out", type=Path, help=f"[default: {RESULTS.name}, where all cases are run]")
    parser.add_argument("--one", metavar="CASE", help="Print the row of this case alone")
    arguments = parser.parse_args()
    for case in arguments.cases:
        if int(case.rpartition(":")[2]) < 20:
            parser.error(f"{case} has too few evaluations for tenths of them; give 20 at least")
        if case.startswith("nb201") and not arguments.data.is_dir():
            parser.error(f"{case} needs the table NAS-Bench-201; give its folder with --data")
    if arguments.one:
        row = run_case(arguments.one, arguments.seeds[0], arguments.seconds, arguments.data)
        csv.writer(sys.stdout).writerow([_rounded(row[column]) for column in COLUMNS])
        return
    if arguments.out is None and not set(CASES) <= set(arguments.cases):
        parser.error(f"{RESULTS.name} has all cases; name another file for these alone with --out")
    rows: list[dict[str, str]] = []
    for case in arguments.cases:
        found = [_run_alone(case, seed, arguments) for seed in arguments.seeds]
        rows += found
        middle = {
            c: statistics.median(float(r[c]) for r in found) for c in ("driver_ms", "per_second", "peak_mb")
        }
        print(case, *(f"{column} {value:g}" for column, value in middle.items()), flush=True)
    replace_rows(arguments.out or RESULTS, COLUMNS, rows)


if __name__ == "__main__":
    main()
