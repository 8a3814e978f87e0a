"""All runs of a bench in parallel processes; what is finished is kept, whatever happens."""

import json
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, TypeVar

from gcnas.bench.arms import create_arm
from gcnas.bench.problem import ProblemReference
from gcnas.bench.raw import RAW, RUNS, run_file, write_run, writing
from gcnas.bench.search import MAX_QUERIES, Run, search_table, signals_of
from gcnas.errors import BenchError, ConfigurationError, GCNASError
from gcnas.execution.worker_process import THREAD_VARIABLES
from gcnas.files import write_atomically
from gcnas.strategy import is_own

SETTINGS = "bench.json"
MAX_RUNS = 1_000_000

RUNS_TABLE = "runs.csv"
"""What was measured in the runs of an experiment, see :mod:`gcnas.bench.claims`."""

BEHIND = {RAW: RUNS, RUNS_TABLE: RUNS}
"""Tables that new runs replace, and the folders of the runs that are in them."""


@dataclass(frozen=True)
class Bench:
    """What is to be run.

    Attributes:
        tables: One for each space; synthetic problems count as tables.
        strategies: Their names.
        seeds: Number of seeds.
        first_seed: The first; the others follow. The same seed is given to every strategy.
        queries: Budget of each run.
        batch: Proposals asked for at once, and simulated workers.
    """

    tables: tuple[ProblemReference, ...]
    strategies: tuple[str, ...]
    seeds: int = 20
    first_seed: int = 0
    queries: int = 150
    batch: int = 1

    def check(self) -> None:
        """Load every table and make every strategy once, so that mistakes show before anything runs.

        Raises:
            ConfigurationError: If a number or a name is wrong.
            DataError: If a table cannot be used.
        """
        check_numbers(seeds=self.seeds, first_seed=self.first_seed, queries=self.queries, batch=self.batch)
        if not self.strategies or len(set(self.strategies)) != len(self.strategies):
            raise ConfigurationError(f"Name each strategy once, but got {list(self.strategies)}.")
        for table in self.tables:
            problem = table.load()
            for strategy in self.strategies:
                create_arm(strategy, problem.space, self.first_seed, signals_of(problem))

    def tasks(self, folder: Path) -> list["Task"]:
        """The runs that are not finished; all runs of a seed follow one another, so that pairs are complete."""
        digests = self._digests()
        return [
            Task(table, strategy, seed, self.queries, self.batch, digests.get(strategy))
            for seed in range(self.first_seed, self.first_seed + self.seeds)
            for table in self.tables
            for strategy in self.strategies
            if not run_file(folder, table.name, strategy, seed).exists()
        ]

    def settings(self) -> dict[str, Any]:
        """What all runs of a folder share; tables by name, files of strategies by their digests."""
        tables = {table.name: table.identity() for table in self.tables}
        files = self._digests()
        return {"format": 1, "queries": self.queries, "batch": self.batch, "tables": tables, "files": files}

    def _digests(self) -> dict[str, str]:
        return {name: _digest(name) for name in self.strategies if is_own(name)}


def _digest(strategy: str) -> str:
    """Of the file that a strategy of the user's own is in, which has been read before."""
    return sha256(Path(strategy.rpartition(":")[0]).read_bytes()).hexdigest()


Result = TypeVar("Result")


class Work(Protocol[Result]):
    """One run to do in a process of its own; it can be pickled, and so can what it gives."""

    @property
    def name(self) -> str:
        """For people."""

    def run(self) -> Result:
        """Do it."""

    def keep(self, folder: Path, result: Result) -> None:
        """Write what it gave, as a whole or not at all."""

    def outcome(self, result: Result) -> str:
        """What it came to, in a few words."""


@dataclass(frozen=True)
class Failed:
    """What went wrong with a run: a sentence, or a traceback."""

    reason: str


@dataclass(frozen=True)
class Task:
    """One search to do.

    Attributes:
        table: Where.
        strategy: Its name.
        seed: Its seed.
        queries: Its budget.
        batch: Proposals asked for at once.
        digest: Of the file of a user's own strategy as the bench began with it; None for others.
    """

    table: ProblemReference
    strategy: str
    seed: int
    queries: int
    batch: int
    digest: str | None = None

    @property
    def name(self) -> str:
        """Space, strategy and seed."""
        return f"{self.table.name} {self.strategy} seed {self.seed}"

    def run(self) -> Run:
        """Search.

        Raises:
            ConfigurationError: If the file of the strategy is another one by now.
        """
        self._check_file()
        found = search_table(self.table.load(), self.strategy, self.seed, self.queries, self.batch)
        self._check_file()  # it was read in between
        return found

    def _check_file(self) -> None:
        if self.digest is not None and _digest(self.strategy) != self.digest:
            raise ConfigurationError(
                f"The file of {self.strategy} was changed while the bench goes on; undo that, or give another --out."
            )

    def keep(self, folder: Path, result: Run) -> None:
        """Write all queries."""
        write_run(folder, result)

    def outcome(self, result: Run) -> str:
        """What was found, after how many queries."""
        best = max(query.score for query in result.queries)
        count, seconds = len(result.queries), result.overhead
        if best >= result.optimum:
            found = f"optimum after {count} queries"
        elif count < result.budget:
            found = f"best {best:g} after {count} queries, then nothing new"
        else:
            found = f"best {best:g} of {result.optimum:g}"
        return f"{found} ({seconds:.1f} s)"


NUMBERS = {
    "seeds": (1, MAX_RUNS),
    "first_seed": (0, 2**31),
    "queries": (1, MAX_QUERIES),
    "batch": (1, 1_000),
    "jobs": (1, 1_000),
}
"""Bounds of the numbers that a user gives."""


def check_numbers(**given: int) -> None:
    """Hold numbers against :data:`NUMBERS`.

    Raises:
        ConfigurationError: If one is out of its bounds.
    """
    for name, value in given.items():
        least, most = NUMBERS[name]
        if not least <= value <= most:
            option = name.replace("_", "-")
            raise ConfigurationError(f"--{option} must be between {least:,} and {most:,}, but got {value:,}.")


Progress: TypeAlias = Callable[[int, int, str], None]
"""Told the number of runs that are done, of all, and what the last one came to."""


def run_bench(bench: Bench, folder: Path, jobs: int = 1, progress: Progress | None = None) -> None:
    """Do the runs that ``folder`` does not hold yet.

    Args:
        bench: What to run.
        folder: Where finished runs are kept.
        jobs: Processes, of one thread each.
        progress: See :data:`Progress`.

    Raises:
        ConfigurationError: If a name or number is wrong, or the folder holds runs with other settings.
        DataError: If a table cannot be used.
        BenchError: If runs failed; all others are done and kept.
    """
    check_numbers(jobs=jobs)
    bench.check()
    take_folder(folder, bench.settings())
    run_tasks(
        bench.tasks(folder), len(bench.tables) * len(bench.strategies) * bench.seeds, folder, jobs, progress
    )


def run_tasks(
    tasks: Sequence[Work[Any]], total: int, folder: Path, jobs: int = 1, progress: Progress | None = None
) -> None:
    """Do runs in parallel processes and keep each as soon as it is finished.

    Args:
        tasks: The runs that are not finished.
        total: Number of all runs, finished ones included.
        folder: Where finished runs are kept.
        jobs: Processes, of one thread each.
        progress: See :data:`Progress`.

    Raises:
        BenchError: If runs failed; all others are done and kept.
    """
    done, failures = total - len(tasks), list[tuple[str, str]]()
    for task, result in _results(tasks, min(jobs, max(len(tasks), 1))):
        done += 1
        if isinstance(result, Failed):
            failures.append((task.name, result.reason))
            message = f"{task.name}: FAILED, {result.reason.strip().splitlines()[-1]}"
        else:
            with writing(folder):
                task.keep(folder, result)
            message = f"{task.name}: {task.outcome(result)}"
        if progress is not None:
            progress(done, total, message)
    if not failures:
        (folder / "failures.txt").unlink(missing_ok=True)
    else:
        with writing(folder):
            write_atomically(
                folder / "failures.txt", "\n\n".join(f"{name}\n{reason}" for name, reason in failures).encode()
            )
        name, reason = failures[0]
        raise BenchError(
            f"{len(failures)} of {total} runs failed, the others are kept; the first was {name}: "
            f"{reason.strip().splitlines()[-1]} (all in {folder / 'failures.txt'}). The same command tries them again."
        )


def take_folder(
    folder: Path, settings: dict[str, Any], kept: Mapping[str, str] = MappingProxyType(BEHIND)
) -> None:
    """Note the settings of a new folder; hold those of an old one against them.

    Args:
        folder: The folder.
        settings: What all of its runs share.
        kept: Tables that new runs replace, and the folders of the runs that are in them.

    Raises:
        ConfigurationError: If they differ, the folder cannot be written, or has such tables without the runs.
    """
    path = folder / SETTINGS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, runs in kept.items():
            if (folder / name).exists() and not (folder / runs).is_dir():
                raise ConfigurationError(
                    f"{folder} holds results ({name}) without the runs behind them, which new runs would replace; give "
                    "another --out."
                )
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            for name in ("format", "queries", "batch"):
                if known[name] != settings[name]:
                    raise ConfigurationError(
                        f"{folder} holds runs with {name} {known[name]}, not {settings[name]}; give another --out."
                    )
            for name, table in settings["tables"].items():
                if known["tables"].setdefault(name, table) != table:
                    raise ConfigurationError(
                        f"{folder} holds runs on another table or description called {name!r}; give another --out."
                    )
            files = known.setdefault("files", {})
            for name, digest in settings.get("files", {}).items():
                if files.setdefault(name, digest) != digest:
                    raise ConfigurationError(
                        f"{folder} holds runs of {name} from before its file was changed; give another --out."
                    )
            settings = known
        write_atomically(path, json.dumps(settings, indent=1).encode())
    except OSError as error:
        raise ConfigurationError(f"The folder {folder} cannot be written: {error.strerror}.") from None
    except (OverflowError, RecursionError, ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(f"{path} is damaged; give another --out.") from None


def _results(tasks: Sequence[Work[Any]], jobs: int) -> Iterator[tuple[Work[Any], Any | Failed]]:
    """Each task with what it gave, or with what went wrong, as they finish."""
    others = set(multiprocessing.active_children())
    spawn = multiprocessing.get_context("spawn")
    with _one_thread(), ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_start) as pool:
        try:
            futures = {pool.submit(_run, task): task for task in tasks}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise BenchError(
                "A process of the bench died, perhaps for lack of memory. Finished runs are kept; the same command "
                "goes on, with fewer --jobs if need be."
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started inside have one thread each; libraries read this when they are loaded."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start() -> None:
    # Ctrl-C reaches all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this a process whose parent is killed waits for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(task: Work[Result]) -> Result | Failed:
    try:
        return task.run()
    except GCNASError as error:
        return Failed(str(error))
    except Exception:  # noqa: BLE001 - whatever a strategy raises costs that run only
        return Failed(traceback.format_exc())
