"""Evaluations on many machines: each candidate is a task of a Ray cluster."""

import importlib
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NoReturn

from gcnas import errors
from gcnas.errors import (
    CandidateError,
    ConfigurationError,
    GCNASError,
    OutOfMemoryError,
    TimeLimitError,
    WorkerError,
)
from gcnas.execution.base import Executor, Job, Outcome
from gcnas.execution.cluster_worker import SETTING_UP, Board, Result, Sent, Shipment, evaluate
from gcnas.execution.packing import pack
from gcnas.execution.processes import Setup, TellProgress
from gcnas.execution.serial import failure
from gcnas.execution.worker import RunError, mark_as_worker
from gcnas.execution.worker_process import TIME_SHARE, Bounds
from gcnas.files import write_atomically

INSTALL = "pip install 'gcnas[ray]'"

LOOK_SECONDS = 0.5
"""Between two looks at the progress and the time of all candidates."""

LOST_NODES = 3
"""So often a candidate whose node was lost is repeated; then it counts as failed."""

CONNECT_SECONDS = 5.0
"""The head of the cluster must answer in this time."""

HEALTH_SECONDS = 45.0
"""In this time, the start of Python included, what answers must say that it is a healthy Ray."""

_connected = threading.Event()


@dataclass(frozen=True)
class Needs:
    """What Ray keeps free for each candidate.

    Attributes:
        cpus: CPU cores.
        gpus: GPUs; a share, such as 0.25, puts several candidates on one.
        memory: Bytes; None keeps none free.
    """

    cpus: int = 1
    gpus: float = 0.0
    memory: int | None = None

    def resources(self) -> dict[str, float]:
        """As Ray names them."""
        asked = {"CPU": float(self.cpus), "GPU": self.gpus, "memory": float(self.memory or 0)}
        return {name: amount for name, amount in asked.items() if amount}

    def __str__(self) -> str:
        parts = [f"{self.cpus} CPU cores" if self.cpus > 1 else "1 CPU core"]
        parts += [f"{self.gpus:g} GPU"] if self.gpus else []
        parts += [f"{self.memory:,} bytes of memory"] if self.memory else []
        return " and ".join(parts)


def connect(address: str | None) -> Any:
    """The module ``ray``, connected to a cluster; to one of this machine alone if no address is given.

    Args:
        address: ``HOST:PORT`` of the head, or ``auto`` for the cluster that this machine is a node of.

    Raises:
        ConfigurationError: If Ray is not installed, or there is no such cluster.
    """
    # Nothing is sent anywhere while a search runs.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's future default, which silences a warning; candidates without a GPU do not care.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise ConfigurationError(f"The executor ray needs Ray: {INSTALL}") from error
    if ray.is_initialized():
        return ray  # by the caller, or by us before
    if address is not None:
        _check_address(address)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    local = {} if address is not None else {"include_dashboard": False}
    try:
        ray.init(address=address or "local", **quiet, **local)
    except Exception as error:
        raise ConfigurationError(
            f"There is no connection to a Ray cluster ({address or 'on this machine'}): {_first_line(error)} "
            "Start one with: ray start --head  (and on the other machines: ray start --address=HOST:PORT)."
        ) from error
    _connected.set()
    return ray


def disconnect() -> None:
    """End the connection, and the cluster of this machine alone, where :func:`connect` made it."""
    if _connected.is_set():
        _connected.clear()
        importlib.import_module("ray").shutdown()


@contextmanager
def disconnecting() -> Iterator[None]:
    """End, at the end, the connection that :func:`connect` made within: the next call may name another cluster."""
    before = _connected.is_set()
    try:
        yield
    finally:
        if not before:
            disconnect()


def _check_address(address: str) -> None:
    """Find out in a few seconds, where Ray would try for minutes."""
    if address == "auto":
        return
    host, separator, port = address.rpartition(":")
    if "://" in address or not separator or not host or not port.isdigit() or int(port) > 65_535:
        raise ConfigurationError(
            f"--address is auto or HOST:PORT of the cluster's head, such as 10.0.0.1:6379, but got {address!r}. The "
            "search itself runs on a node of the cluster."
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ConfigurationError(
            f"Nothing answers at {address} ({error}). Is the head of the Ray cluster running there (ray start --head)?"
        ) from error
    # A file in the current folder, such as a run folder from elsewhere, must not take the place of a library's; Ray
    # itself lets Python look there.
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        # A process of its own: Ray itself tries for minutes, and has been seen to end the process that asked.
        subprocess.run(command, check=True, capture_output=True, timeout=HEALTH_SECONDS, cwd=os.sep)  # noqa: S603
    except subprocess.SubprocessError as error:
        raise ConfigurationError(
            f"What answers at {address} is no healthy Ray, or one of another version. --address is HOST:PORT of the "
            "cluster's head; ray status, called there, says what it is."
        ) from error


def slots(address: str | None, needs: Needs) -> int:
    """How many candidates fit into a cluster at once.

    Raises:
        ConfigurationError: If none does, or there is no cluster.
    """
    nodes = [node["Resources"] for node in connect(address).nodes() if node["Alive"]]
    count = sum(_fit(node, needs) for node in nodes)
    if not count:
        _refuse(needs, nodes)
    return count


def lacking(address: str | None, needs: Needs) -> str | None:
    """Why no candidate would find a place in a cluster now; None where one does."""
    try:
        slots(address, needs)
    except ConfigurationError as error:
        return str(error)
    return None


def _fit(node: dict[str, float], needs: Needs) -> int:
    return int(min(node.get(name, 0.0) / amount + 1e-9 for name, amount in needs.resources().items()))


def _refuse(needs: Needs, nodes: Iterable[dict[str, float]]) -> NoReturn:
    have = "; ".join(
        f"{node.get('CPU', 0):g} CPU, {node.get('GPU', 0):g} GPU, {node.get('memory', 0) / 1e9:.1f} GB"
        for node in nodes
    )
    raise ConfigurationError(
        f"No node of the Ray cluster has what a candidate needs ({needs}). The nodes: {have or 'none'}. Ask for less "
        "(--worker-cpus, --worker-gpus, --worker-memory), or add a node."
    )


@dataclass
class _Task:
    """A job under way.

    Attributes:
        job: The job.
        nodes: Nodes that were alive when it was sent.
        lost: How often its node was lost.
        end: Monotonic second at which the search is over; None for never.
        setting_up: When its process began to be set up; None if it did not yet, or was before.
        since: When it began; None as long as it waits for a place, or for its process.
        heard: Last sign of life.
        verdict: Why it was cancelled.
    """

    job: Job
    nodes: frozenset[str]
    lost: int = 0
    end: float | None = None
    setting_up: float | None = None
    since: float | None = None
    heard: float = field(default_factory=time.monotonic)
    verdict: CandidateError | None = None

    @property
    def placed(self) -> bool:
        """Whether it waits for no place any more."""
        return self.since is not None or self.setting_up is not None or self.verdict is not None

    @property
    def limit(self) -> float | None:
        """Seconds that it may take since it began: no more than the search had left then."""
        return self.job.seconds if self.since is None else self.begun(self.since).seconds

    def begun(self, now: float) -> Job:
        """The job as it began, or as it is now where it did not: with no more time than the search had left."""
        if self.end is None:
            return self.job
        left = self.end - (now if self.since is None else self.since)
        return replace(self.job, left=left).after(0.0)


class RayExecutor(Executor):
    """Runs each job as a task of a Ray cluster.

    What the tasks are set up with, the images above all, is put into the object store once. Ray gives each task a
    process with the CPU cores, GPUs and memory that it needs, and reuses the processes. A candidate that takes its
    process with it is a failed evaluation; one whose node is lost is repeated. Checkpoints go to the nodes and come
    back with the messages, so that nodes need no common disk.

    Args:
        setup: Gives what evaluates jobs; called once in each process.
        capacity: Most jobs at once; those that find no room wait in the cluster.
        needs: What each job needs.
        address: The cluster; None for one of this machine alone, which ends with the executor.
        bounds: When a job is given up; memory is Ray's matter.
        on_progress: Told the progress of candidates, inside :meth:`wait`.

    Raises:
        ConfigurationError: If there is no cluster, or the setup cannot be sent.
    """

    isolated = True

    def __init__(
        self,
        setup: Setup,
        *,
        capacity: int,
        needs: Needs | None = None,
        address: str | None = None,
        bounds: Bounds | None = None,
        on_progress: TellProgress = lambda _trial, _share: None,
    ) -> None:
        self.capacity, self._bounds, self._on_progress = capacity, bounds or Bounds(), on_progress
        buffers: list[pickle.PickleBuffer] = []
        parcel = pack(setup, buffers)
        self._ray = ray = connect(address)
        here = ray.get_runtime_context().get_node_id()
        near = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id=here, soft=False)
        self._board = ray.remote(Board).options(num_cpus=0, scheduling_strategy=near).remote()
        self._shipment = ray.put(Shipment.of(parcel, buffers))
        self._run = uuid.uuid4().hex
        needs = needs or Needs()
        # A process that has lost its GPU would fail all that follows, so none gets a second candidate there.
        reused = ray.remote(max_calls=1)(_task) if needs.gpus else ray.remote(_task)
        self._remote = reused.options(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=needs.memory,
            max_retries=0,
        )
        self._tasks: dict[Any, _Task] = {}
        self._problem: Exception | None = None
        self._reading: Any = None
        self._closed = False

    def __enter__(self) -> "RayExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, job: Job) -> None:
        """Send a job to the cluster.

        Raises:
            WorkerError: If the cluster is gone.
            GCNASError: What ends the run; what arrived since is still given by :meth:`wait`.
        """
        if self._problem is not None:
            raise self._problem
        end = None if job.left is None else time.monotonic() + job.left
        with self._reached():
            self._send(_Task(job, self._alive(), end=end))

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Wait until a job is done, and give all that are.

        Args:
            seconds: Longest time to wait.

        Raises:
            WorkerError: If processes cannot be set up, or the cluster is gone.
            GCNASError: What a job raised that ends the run.
        """
        if self._problem is not None:
            if arrived := self._arrived():
                return arrived
            raise self._problem
        outcomes: list[Outcome] = []
        end = float("inf") if seconds is None else time.monotonic() + seconds
        while self._tasks and not outcomes:
            left = end - time.monotonic()
            with self._reached():
                ready, _ = self._ray.wait(list(self._tasks), timeout=max(0.0, min(LOOK_SECONDS, left)))
                if ready:
                    ready, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
            outcomes = self._finish_all(ready)
            if self._problem is None:
                try:
                    self._look()
                except Exception as error:
                    if not outcomes:
                        raise
                    self._problem = error  # told when what was fetched has been given
            if left <= 0:
                break
        return outcomes

    def withdraw(self) -> list[int]:
        """Give back the jobs that wait for a place in the cluster, as far as the last look at it tells.

        Raises:
            WorkerError: If the cluster is gone.
        """
        waiting = [ref for ref, task in self._tasks.items() if not task.placed]
        if not waiting:
            return []
        with self._reached():
            # Those that are done began after that look.
            _, waiting = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
            for ref in waiting:
                self._ray.cancel(ref, force=True)
        return [self._tasks.pop(ref).job.trial for ref in waiting]

    def _arrived(self) -> list[Outcome]:
        """What is there already when an error is to be told."""
        try:
            ready, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
            return self._finish_all(ready)
        except Exception:  # noqa: BLE001 - the cluster may be gone; the error that is told is the first one
            return []

    def close(self) -> None:
        """Cancel what is under way, and free what lies in the cluster."""
        if self._closed:
            return
        self._closed = True
        with suppress(Exception):  # a cluster that is gone holds nothing any more
            for ref in self._tasks:
                self._ray.cancel(ref, force=True)
            self._ray.kill(self._board)
        self._tasks.clear()
        del self._shipment
        disconnect()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Where the cluster is spoken to: it may be gone.

        Raises:
            WorkerError: If it is.
        """
        try:
            yield
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise WorkerError(
                f"The Ray cluster is gone: {_first_line(error)} Start it again, then: gcnas resume RUN "
                "(with --address where one was named)."
            ) from error

    def _send(self, task: _Task) -> None:
        job, start = task.begun(time.monotonic()), None
        if task.job.start is not None:
            with suppress(OSError):  # without it the training begins anew
                start = task.job.start.read_bytes()
        # In a list: Ray would fetch a bare reference for every task, and unpack it.
        ref = self._remote.remote(self._run, [self._shipment], Sent(job, start), self._board)
        self._tasks[ref] = task

    def _alive(self) -> frozenset[str]:
        return frozenset(node["NodeID"] for node in self._ray.nodes() if node["Alive"])

    def _finish_all(self, refs: Iterable[Any]) -> list[Outcome]:
        """The outcomes of tasks that are done; an error that ends the run is raised when they have been given.

        Raises:
            GCNASError: That error, if there are none.
        """
        outcomes: list[Outcome] = []
        for ref in refs:
            try:
                with self._reached():  # what lost its node is sent again
                    outcome = self._finish(ref)
            except GCNASError as error:
                self._problem = self._problem or error
            else:
                outcomes += [] if outcome is None else [outcome]
        if self._problem is not None and not outcomes:
            raise self._problem
        return outcomes

    def _finish(self, ref: Any) -> Outcome | None:
        """The outcome of a task that is done; None if it was sent again."""
        task = self._tasks.pop(ref)
        try:
            result: Result = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            return self._fallen(task, error)
        if isinstance(result.message, RunError):
            raise getattr(errors, result.message.kind, GCNASError)(result.message.message)
        if result.kept is not None and task.job.keep is not None:
            with suppress(OSError):
                task.job.keep.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(task.job.keep, result.kept)
        return replace(result.message.outcome, job=task.begun(time.monotonic()))

    def _fallen(self, task: _Task, error: Exception) -> Outcome | None:
        raised = self._ray.exceptions
        if task.verdict is not None:
            return self._failed(task, task.verdict)
        if isinstance(error, raised.OutOfMemoryError):
            return self._failed(task, OutOfMemoryError(f"Ray ended the worker process: {_first_line(error)}"))
        if isinstance(error, raised.TaskUnschedulableError):
            raise WorkerError(f"The cluster cannot place a candidate: {_first_line(error)}") from error
        if isinstance(error, raised.RayTaskError):
            raise WorkerError(f"A worker on the cluster raised: {error}") from error
        if isinstance(error, raised.WorkerCrashedError) and not task.nodes - self._alive():
            return self._failed(task, CandidateError("The worker process died during the evaluation."))
        if task.lost == LOST_NODES:
            return self._failed(task, CandidateError(f"Its node was lost {task.lost + 1} times."))
        if task.end is not None and time.monotonic() >= task.end:
            return self._failed(task, TimeLimitError("Its node was lost, and the search is over."))
        self._send(_Task(task.job, self._alive(), task.lost + 1, task.end))
        return None

    def _failed(self, task: _Task, error: CandidateError) -> Outcome:
        seconds = 0.0 if task.since is None else time.monotonic() - task.since
        return Outcome(task.begun(time.monotonic()), failure(task.job, error, seconds))

    def _look(self) -> None:
        """Read the board, and cancel what is beyond its bounds."""
        now = time.monotonic()
        with self._reached():
            if self._reading is None:
                self._reading = self._board.read.remote()
            try:
                news = self._ray.get(self._reading, timeout=10 * LOOK_SECONDS)
                self._reading = None
            except self._ray.exceptions.GetTimeoutError:
                news = {}  # a busy machine; the next look waits for the same answer, which nobody gets twice
        for ref, task in self._tasks.items():
            if (share := news.get(task.job.trial)) is not None:
                task.heard = now
                if share == SETTING_UP:
                    task.setting_up = now
                else:
                    task.since = now if task.since is None else task.since
                    self._on_progress(task.job.trial, share)
            if task.verdict is None and (verdict := self._judge(task, now)) is not None:
                task.verdict = verdict
                self._ray.cancel(ref, force=True)

    def _judge(self, task: _Task, now: float) -> CandidateError | None:
        bounds, limit = self._bounds, task.limit
        if task.since is None:
            if task.setting_up is not None and now - task.setting_up > bounds.start:
                return TimeLimitError(f"Its process was not set up after {bounds.start:.0f} s.")
            if task.end is None or now < task.end:
                return None
            missing = "the cluster had a place" if task.setting_up is None else "its process was set up"
            return TimeLimitError(f"The search ended before {missing}.")
        if limit is not None and now - task.since > TIME_SHARE * limit + bounds.grace:
            return TimeLimitError(f"No result after {now - task.since:.1f} s, the limit is {limit:.1f} s.")
        if limit is None and now - task.heard > bounds.silence:
            return TimeLimitError(f"No sign of progress for {now - task.heard:.0f} s.")
        return None


def _task(run: str, shipment: list[Any], sent: Sent, board: Any) -> Result:
    """The task that Ray runs."""
    mark_as_worker()
    ray: Any = importlib.import_module("ray")
    return evaluate(run, partial(ray.get, shipment[0]), sent, board.tell.remote)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
