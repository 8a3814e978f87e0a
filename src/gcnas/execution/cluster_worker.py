"""What runs on the nodes of a Ray cluster: one job a task, set up once in each process."""

import os
import pickle
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gcnas.errors import GCNASError, WorkerError
from gcnas.execution.base import Job, Outcome
from gcnas.execution.packing import Parcel, unpack
from gcnas.execution.serial import Evaluated, attempt
from gcnas.execution.worker import PROGRESS_SECONDS, Done, RunError

SETTING_UP = -1.0
"""Told in place of a share by a process that is set up first: that takes no time of the candidate."""

_evaluators: dict[str, Callable[[Job], Evaluated]] = {}
_teller: list[Callable[[int, float], None]] = []


@dataclass(frozen=True)
class Shipment:
    """A setup as it lies in the object store, once for all nodes.

    Attributes:
        content: Its pickle without its arrays.
        buffers: The arrays, which all processes of a node read from shared memory.
        sources: Python files of its classes: name of the module and content.
        main: The user's script, by its own name, if its classes are needed.
    """

    content: bytes
    buffers: Sequence[Any]
    sources: Sequence[tuple[str, bytes]] = ()
    main: tuple[str, bytes] | None = None

    @classmethod
    def of(cls, parcel: Parcel, buffers: Sequence[pickle.PickleBuffer]) -> "Shipment":
        """A packed object with the files of its classes."""
        main = None if parcel.main is None else (parcel.main.name, parcel.main.read_bytes())
        sources = [(name, path.read_bytes()) for name, path in parcel.sources]
        return cls(parcel.content, buffers, sources, main)

    def unpack(self) -> Any:
        """The object; the files of its classes are executed from a folder that is deleted afterwards."""
        with tempfile.TemporaryDirectory(prefix="gcnas-") as name:
            folder = Path(name)
            sources = tuple((module, folder / f"{module}.py") for module, _ in self.sources)
            for (_, path), (_, content) in zip(sources, self.sources, strict=True):
                path.write_bytes(content)
            main = None if self.main is None else folder / self.main[0]
            if main is not None and self.main is not None:
                main.write_bytes(self.main[1])
            return unpack(Parcel(self.content, sources, main), self.buffers)


@dataclass(frozen=True)
class Sent:
    """A job with what lies on the driver's disk.

    Attributes:
        job: The job; its paths are those of the driver.
        start: Content of the checkpoint to go on from.
    """

    job: Job
    start: bytes | None = None


@dataclass(frozen=True)
class Result:
    """What a task gives back: an outcome or an error that ends the run, and the checkpoint that it left."""

    message: Done | RunError
    kept: bytes | None = None


class Board:
    """Where tasks write that they live and how far they are; an actor beside the driver."""

    def __init__(self) -> None:
        self._news: dict[int, float] = {}

    def tell(self, trial: int, share: float) -> None:
        """A sign of life of a trial: the share of it that is done, from 0 to 1, or :data:`SETTING_UP`."""
        self._news[trial] = share

    def read(self) -> Mapping[int, float]:
        """What was told since the last call."""
        news, self._news = self._news, {}
        return news


def evaluate(run: str, fetch: Callable[[], Shipment], sent: Sent, tell: Callable[[int, float], None]) -> Result:
    """Evaluate one job in this process, which is set up first if it was not for this run.

    Args:
        run: Name of the run, different from all others.
        fetch: Gets what the process is set up with.
        sent: The job.
        tell: Tells the share of a trial that is done; must not wait.
    """
    _teller[:] = [tell]
    try:
        if run not in _evaluators:
            tell(sent.job.trial, SETTING_UP)
            _delete_left()
            _evaluators.clear()  # of the run before, with its data
            _evaluators[run] = fetch().unpack()(_Seldom())
    except GCNASError as error:
        return Result(RunError(type(error).__name__, str(error)))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the driver tells it to the user
        return Result(
            RunError(WorkerError.__name__, f"A worker cannot be set up: {type(error).__name__}: {error}")
        )
    tell(sent.job.trial, 0.0)
    with ExitStack() as stack:
        folder = None
        # On a full disk the training begins anew, and its weights are not kept.
        with suppress(OSError):
            temporary = tempfile.TemporaryDirectory(
                prefix=f"{_left()}{os.getpid()}-", ignore_cleanup_errors=True
            )
            folder = Path(stack.enter_context(temporary))
        return _attempt(_evaluators[run], sent, folder)


def _attempt(evaluator: Callable[[Job], Evaluated], sent: Sent, folder: Path | None) -> Result:
    start = keep = None
    if folder is not None and sent.start is not None:
        with suppress(OSError):
            (folder / "start.safetensors").write_bytes(sent.start)
            start = folder / "start.safetensors"
    if folder is not None and sent.job.keep is not None:
        keep = folder / "keep.safetensors"
    here = replace(sent.job, start=start, keep=keep)
    try:
        outcome = attempt(evaluator, here)
    except GCNASError as error:
        return Result(RunError(type(error).__name__, str(error)))
    kept = None
    if keep is not None:
        with suppress(OSError):
            kept = keep.read_bytes()
    return Result(Done(Outcome(sent.job, outcome.evaluation, outcome.weights)), kept)


def _left() -> str:
    """How the folders of jobs begin on this machine, before the number of their process."""
    return f"gcnas-ray-{socket.gethostname()}-"


def _delete_left() -> None:
    """Delete the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_left()}*"):
        number = folder.name.removeprefix(_left()).split("-")[0]
        if number.isdecimal() and not _lives(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


class _Seldom:
    """Tells progress, not too often, to whom the task of the moment tells it."""

    def __init__(self) -> None:
        self._told = 0.0

    def __call__(self, trial: int, share: float) -> None:
        now = time.monotonic()
        if now - self._told >= PROGRESS_SECONDS:
            self._told = now
            _teller[0](trial, share)
