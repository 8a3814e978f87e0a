"""Runs whose driver and workers are killed at random instants, and which go on until they are done."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil
from tests.run.toy import evaluate, luck, row, run_toy

from gcnas.errors import RunFolderError
from gcnas.execution import Evaluated, Job, ProcessExecutor
from gcnas.execution.processes import TellProgress
from gcnas.run.ledger import LedgerReader
from gcnas.run.trial import Trial

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0
"""Seconds that a run gets to come to its next result, or to its end once nothing kills it any more."""

GAVE_UP = "worker processes in a row died before they were set up"
"""What a driver says that ends itself because its workers were killed."""

Start = Callable[[Path, IO[str]], "subprocess.Popen[Any]"]
"""Starts the driver of a run, or goes on with it; what it complains of goes into the file."""

Look = Callable[[Path], None]
"""Looks at what a killed run left behind; raises if it is of no use."""


@dataclass
class Tally:
    """What was done to a number of runs, and what it did to them.

    Attributes:
        runs: Runs that were begun and brought to their end.
        kills: Who was killed, and how often.
        trials: Evaluations in the tables of all runs.
        crashed: Of these, failed because their worker was killed.
        lost: Finished evaluations that were gone or different later.
        doubled: Finished evaluations that were begun again later, or finished at another moment.
        different: Evaluations that differ from those of a run left alone; None where no such thing is promised.
    """

    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    trials: int = 0
    crashed: int = 0
    lost: int = 0
    doubled: int = 0
    different: int | None = None


def torment(
    begin: Start,
    folder: Path,
    *,
    kills: int,
    targets: Sequence[str],
    seed: int,
    span: float,
    whole: Sequence[Trial] | None = None,
    look: Look = lambda _: None,
) -> Tally:
    """Begin runs and kill their processes at random instants until so many kills are done; each run is then finished.

    Args:
        begin: Starts a driver.
        folder: The runs are made in it, one after the other.
        kills: Number of kills.
        targets: ``driver``, ``worker`` (one of them) and ``both`` (the driver and all its workers, in random order).
        seed: Of the instants and the victims.
        span: Half of the kills come within so many seconds of a driver's start, the others as long after a result.
        whole: Trials of a run that was left alone, if those of a killed one must be the same.
        look: Called after each death of a driver.
    """
    random, tally = np.random.default_rng(seed), Tally(different=None if whole is None else 0)
    while sum(tally.kills.values()) < kills:
        run = folder / f"run-{tally.runs}"
        run.mkdir()
        before: dict[int, Trial] = {}
        begun: Counter[int] = Counter()
        done = False
        while not done:
            with (folder / "stderr").open("w+") as stderr, begin(run, stderr) as driver:
                try:
                    _kill_it(driver, run, random, targets, kills, span, tally)
                    done = driver.wait(PATIENCE) == 0
                finally:
                    driver.kill()
                    driver.wait()
                stderr.seek(0)
                told = stderr.read()
            # It ends itself with an error where three workers in a row were killed before they were set up.
            gave_up = driver.returncode == 1 and "worker" in targets and GAVE_UP in told
            assert done or gave_up or driver.returncode == -signal.SIGKILL, (driver.returncode, told)
            after = {trial.number: trial for trial in trials_of(run) if trial.evaluation is not None}
            tally.lost += sum(row(trial) != row(after[n]) if n in after else 1 for n, trial in before.items())
            again = _begun(run)
            tally.doubled += sum(again[n] > begun[n] or after[n].elapsed != before[n].elapsed for n in before)
            before, begun = after, again
            look(run)
        _count(tally, trials_of(run), whole)
        shutil.rmtree(run)
    return tally


def _kill_it(
    driver: "subprocess.Popen[Any]",
    run: Path,
    random: np.random.Generator,
    targets: Sequence[str],
    kills: int,
    span: float,
    tally: Tally,
) -> None:
    """Kill until the driver is dead, the run is done, or there were kills enough."""
    while sum(tally.kills.values()) < kills:
        if random.random() < 0.5:
            finished = _finished(run)
            _wait(driver, lambda finished=finished: _finished(run) > finished)  # type: ignore[misc]
        _wait(driver, lambda: False, seconds=random.uniform(0, span))
        target = str(random.choice(targets))
        workers = _workers(driver)
        if driver.poll() is not None or (target == "worker" and not workers):
            if driver.poll() is not None:
                return
            continue
        victims = [int(random.choice(workers))] if target == "worker" else [driver.pid]
        victims += workers if target == "both" else []
        for victim in random.permutation(victims):
            try:
                os.kill(int(victim), signal.SIGKILL)
            except ProcessLookupError:  # it ended of itself, or with its driver
                continue
        tally.kills[target] += 1
        if target != "worker":
            driver.wait(PATIENCE)
            end = time.monotonic() + PATIENCE
            while any(map(_lives, workers)):
                assert time.monotonic() < end, "a worker has outlived its driver"
                time.sleep(0.01)
            return


def _wait(driver: "subprocess.Popen[Any]", ready: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while driver.poll() is None and not ready() and time.monotonic() < end:
        time.sleep(0.002)


def _workers(driver: "subprocess.Popen[Any]") -> list[int]:
    try:
        return [child.pid for child in psutil.Process(driver.pid).children()]
    except psutil.NoSuchProcess:
        return []


def _lives(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE  # nobody may be there who reaps it
    except psutil.NoSuchProcess:
        return False


def _begun(run: Path) -> Counter[int]:
    """How often evaluations of each trial were begun, where the run keeps a list."""
    file = run / BEGUN
    return Counter(map(int, file.read_text().split())) if file.is_file() else Counter()


def _finished(run: Path) -> int:
    return sum(trial.evaluation is not None for trial in trials_of(run))


def trials_of(run: Path) -> list[Trial]:
    """The trials of a run; none if it has no ledger yet."""
    try:
        with LedgerReader(run / "run.db") as ledger:
            return ledger.trials()
    except RunFolderError:
        return []


def _count(tally: Tally, trials: Sequence[Trial], whole: Sequence[Trial] | None) -> None:
    crashed = [trial for trial in trials if "SIGKILL" in ((trial.evaluation and trial.evaluation.error) or "")]
    tally.runs += 1
    tally.trials += len(trials)
    tally.crashed += len(crashed)
    if whole is not None:
        numbers = {trial.number for trial in crashed}
        differing = [row(a) != row(b) for a, b in zip(trials, whole, strict=True) if a.number not in numbers]
        tally.different = (tally.different or 0) + sum(differing)


# --- runs of the toy space

TOY_TRIALS = 30
BEGUN = "begun.txt"


@dataclass(frozen=True)
class Slow:
    """The toy's evaluation as a worker process does it, which takes a moment; begun ones are listed in a file."""

    begun: Path | None = None

    def __call__(self, tell: TellProgress) -> Callable[[Job], Evaluated]:
        def evaluate_slowly(job: Job) -> Evaluated:
            if self.begun is not None:
                with self.begun.open("a") as file:
                    file.write(f"{job.trial}\n")
            time.sleep(0.05 * luck(job.proposal.architecture, "time"))
            return evaluate(job)

        return evaluate_slowly


def toy_run(folder: Path, strategy: str, workers: int, *, ladder: bool) -> None:
    """A run of the toy space in worker processes; a driver does this."""
    executor = ProcessExecutor([Slow(folder / BEGUN)] * workers, logs=folder)
    run_toy(folder, strategy, trials=TOY_TRIALS, executor=executor, ladder=ladder)


def toy_driver(strategy: str, workers: int, *, ladder: bool) -> Start:
    """Starts a driver of the toy space."""
    call = f"toy_run(Path(sys.argv[1]), {strategy!r}, {workers}, ladder={ladder})"
    code = f"import sys; from pathlib import Path; from tests.run.killing import toy_run; {call}"
    return lambda run, stderr: subprocess.Popen([sys.executable, "-c", code, str(run)], cwd=ROOT, stderr=stderr)


def torment_toy(
    folder: Path, kills: int, seed: int = 0, only: Sequence[str] = ("learner", "random", "rungs")
) -> dict[str, Tally]:
    """Kill runs of the toy space, equally often in each of these ways.

    ``learner``: the driver, with one worker, rungs and a strategy that learns, which must propose the same as if
    nothing had happened. ``random``: anybody, with two workers; each network must get the same evaluation, or a crash.
    ``rungs``: anybody, with two workers and rungs, where what is promoted depends on what finishes first.
    """
    everybody = ("driver", "worker", "both")
    ways = {
        "learner": ("learner", 1, True, ("driver",)),
        "random": ("random", 2, False, everybody),
        "rungs": ("all-rungs", 2, True, everybody),
    }
    tallies = {}
    for number, name in enumerate(only):
        strategy, workers, ladder, targets = ways[name]
        place, alone = folder / name, folder / f"{name}-alone"
        place.mkdir()
        alone.mkdir()
        run_toy(alone, strategy, trials=TOY_TRIALS, ladder=ladder)
        share = kills // len(only) + (number < kills % len(only))
        tallies[name] = torment(
            toy_driver(strategy, workers, ladder=ladder),
            place,
            kills=share,
            targets=targets,
            seed=seed + number,
            span=1.0,
            whole=None if name == "rungs" else trials_of(alone),
        )
    return tallies
