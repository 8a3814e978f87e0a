"""Evaluations in worker processes on this machine, several at once."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from gcnas import errors
from gcnas.errors import GCNASError, WorkerError
from gcnas.execution.base import Executor, Job, Outcome
from gcnas.execution.memory import in_units
from gcnas.execution.packing import pack
from gcnas.execution.serial import Evaluated, failure
from gcnas.execution.worker import Done, NotReady, Progress, Ready, RunError
from gcnas.execution.worker_process import Bounds, Ended, WorkerProcess

TellProgress: TypeAlias = Callable[[int, float], None]
"""Told the number of a trial and the share of its evaluation that is done, from 0 to 1."""

Setup: TypeAlias = Callable[[TellProgress], Callable[[Job], Evaluated]]
"""Called once in each worker; gives what evaluates its jobs. It is pickled."""

CHECK_SECONDS = 0.1
"""Between two looks at the time and the memory of all workers."""

MAX_DEATHS = 3
"""So many workers that die in a row before they are set up end the run."""


class ProcessExecutor(Executor):
    """Runs jobs in processes that are started when they are needed, reused, and replaced when they die.

    A candidate that ends its process in whatever way, runs past its time limit, makes no progress or takes too
    much memory is a failed evaluation; nothing else is lost. Each worker evaluates one job at a time. Killing
    this process in whatever way ends the workers.

    Args:
        setups: One for each worker.
        threads: CPU threads of each worker.
        logs: Folder for what the workers print: ``worker-1.log`` and so on.
        bounds: When a worker is killed.
        on_progress: Told the progress of candidates, inside :meth:`wait`.
        scratch: Files that are deleted when the executor is closed.

    Raises:
        ConfigurationError: If a setup cannot be sent to another process.
    """

    isolated = True

    def __init__(
        self,
        setups: Sequence[Setup],
        *,
        threads: int = 1,
        logs: Path,
        bounds: Bounds | None = None,
        on_progress: TellProgress = lambda _trial, _share: None,
        scratch: Sequence[Path] = (),
    ) -> None:
        self.capacity = len(setups)
        self._parcels = [pack(setup) for setup in setups]
        self._threads, self._logs, self._bounds = threads, logs, bounds or Bounds()
        self._on_progress, self._scratch = on_progress, scratch
        self._jobs: deque[tuple[Job, float]] = deque()
        self._problem: Exception | None = None
        self._workers: dict[int, WorkerProcess] = {}
        self._running = 0
        self._deaths = 0
        self._messages: queue.SimpleQueue[tuple[WorkerProcess, Any]] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._guard = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "ProcessExecutor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, job: Job) -> None:
        """Give a job to an idle worker, or to the one that will be free first.

        Raises:
            WorkerError: If workers cannot be set up; what arrived since is still given by :meth:`wait`.
            GCNASError: What a job raised that ends the run, likewise.
        """
        if self._problem is not None:
            raise self._problem
        self._jobs.append((job, time.monotonic()))
        self._dispatch()

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Wait until a job is done, and give all that are.

        Args:
            seconds: Longest time to wait.

        Raises:
            WorkerError: If workers cannot be set up.
            GCNASError: What a job raised that ends the run.
        """
        outcomes: list[Outcome] = []
        if self._problem is not None:
            while not self._messages.empty():  # what arrived meanwhile
                outcomes += self._take(*self._messages.get())
            if outcomes:
                return outcomes
            raise self._problem
        end = None if seconds is None else time.monotonic() + seconds
        while (self._jobs or self._running) and not outcomes:
            try:
                message = self._messages.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            outcomes += self._take(*message)
            while not self._messages.empty():
                outcomes += self._take(*self._messages.get())
            if self._problem is not None and not outcomes:
                raise self._problem
        return outcomes

    def withdraw(self) -> list[int]:
        """Give back the jobs that no worker has."""
        withdrawn = [job.trial for job, _ in self._jobs]
        self._jobs.clear()
        return withdrawn

    def _take(self, worker: WorkerProcess, message: Any) -> list[Outcome]:
        """The outcomes that a message holds; an error that ends the run waits until all outcomes are given."""
        try:
            return self._receive(worker, message)
        except Exception as error:  # noqa: BLE001 - also what an observer raises that is told the progress
            self._problem = self._problem or error
            return []

    def close(self) -> None:
        """End all workers at once, and delete the scratch files; where that was interrupted, go on with it."""
        self._closed.set()
        for worker in self._workers.values():
            worker.kill()  # all of them before anything is waited for
        if self._guard.ident is not None:
            self._guard.join()
        for slot in tuple(self._workers):
            self._workers[slot].close()
            del self._workers[slot]
        self._jobs.clear()
        self._running = 0
        for file in self._scratch:
            with suppress(OSError):  # of a disk that takes nothing any more
                file.unlink(missing_ok=True)

    def _dispatch(self) -> None:
        """Give jobs to idle workers; start as many workers as there are jobs for."""
        # Counted first: one that is set up after it was seen below takes a job when its message is read.
        coming = sum(not worker.ready for worker in self._workers.values())
        for worker in self._workers.values():
            if not self._jobs:
                break
            job, since = self._jobs[0]
            if worker.idle and worker.give(job.after(time.monotonic() - since)):
                self._jobs.popleft()
                self._running += 1
        free = [slot for slot in range(self.capacity) if slot not in self._workers]
        for slot in free[: max(0, len(self._jobs) - coming)]:
            self._start(slot)

    def _go_on(self) -> None:
        """Dispatch; that a worker cannot be started is told once all outcomes are given."""
        try:
            self._dispatch()
        except WorkerError as error:
            self._problem = self._problem or error

    def _start(self, slot: int) -> None:
        try:
            if self._guard.ident is None:
                self._guard.start()
            self._logs.mkdir(parents=True, exist_ok=True)  # a copy of a run may lack empty folders
            self._workers[slot] = WorkerProcess(
                slot,
                self._parcels[slot],
                threads=self._threads,
                log=self._logs / f"worker-{slot + 1}.log",
                bounds=self._bounds,
                report=lambda worker, message: self._messages.put((worker, message)),
            )
        except (OSError, RuntimeError) as error:  # no process, or no thread
            raise WorkerError(
                f"A worker process cannot be started: {error}. Use fewer workers, or workers=1."
            ) from error

    def _receive(self, worker: WorkerProcess, message: Any) -> list[Outcome]:
        match message:
            case Ready():
                self._deaths = 0
                self._check_room(worker)
                self._go_on()
            case NotReady(reason):
                raise WorkerError(f"A worker process cannot be set up: {reason}")
            case Progress(trial, share):
                self._on_progress(trial, share)
            case RunError(kind, text):
                self._running -= 1
                raise getattr(errors, kind, GCNASError)(text)
            case Done(outcome):
                self._running -= 1
                self._go_on()
                return [outcome]
            case Ended():
                return self._replace(worker, message)
        return []

    def _replace(self, worker: WorkerProcess, end: Ended) -> list[Outcome]:
        del self._workers[worker.slot]
        if not end.started:
            self._deaths += 1
            if self._deaths >= MAX_DEATHS:
                raise WorkerError(
                    f"{MAX_DEATHS} worker processes in a row died before they were set up. {end.error} Use fewer "
                    "workers, or workers=1."
                )
        self._running -= end.job is not None
        try:
            # Before anybody asks for it: it is set up while the strategy learns from the failure.
            self._start(worker.slot)
        except WorkerError as error:  # told once what came of the job is given
            self._problem = self._problem or error
        if end.job is None:
            return []
        return [Outcome(end.job, failure(end.job, end.error, end.seconds))]

    def _check_room(self, worker: WorkerProcess) -> None:
        limit, used = self._bounds.memory, worker.memory()
        if limit is not None and used is not None and used > limit:
            raise WorkerError(
                f"A worker takes {in_units(used)} before it evaluates anything, and may take {in_units(limit)}. "
                "Raise --worker-memory, or use fewer workers."
            )

    def _watch(self) -> None:
        while not self._closed.wait(CHECK_SECONDS):
            for worker in list(self._workers.values()):
                worker.check()
