"""What runs in a worker process: set up once, then one job after the other until the parent is gone.

Nothing here imports torch: what the worker is set up with does, if it needs it.
"""

import faulthandler
import fcntl
import io
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gcnas.errors import ConfigurationError, GCNASError
from gcnas.execution.base import Job, Outcome
from gcnas.execution.packing import unpack
from gcnas.execution.serial import MAX_MESSAGE, Evaluated, attempt, spoils_gpu

PROGRESS_SECONDS = 0.2
"""Progress is told at most once in this time."""

FIRST_TO_DIE = 500
"""Added to the score by which Linux, out of memory, chooses a process to kill: a worker before the driver."""

_in_worker = threading.Event()


@dataclass(frozen=True)
class Ready:
    """The worker is set up."""


@dataclass(frozen=True)
class NotReady:
    """The worker cannot be set up, and ends."""

    reason: str


@dataclass(frozen=True)
class Progress:
    """A job has done this share, from 0 to 1."""

    trial: int
    share: float


@dataclass(frozen=True)
class Done:
    """What came of the job, and whether it is the last of this worker, which ends then."""

    outcome: Outcome
    last: bool = False


@dataclass(frozen=True)
class RunError:
    """The job met an error that ends the run: its class in :mod:`gcnas.errors`, and its message."""

    kind: str
    message: str


def send(connection: Connection, message: Any) -> None:
    """Send a message; plain pickle, since PyTorch makes ``Connection.send`` share tensors through open files."""
    connection.send_bytes(pickle.dumps(message))


def receive(connection: Connection) -> Any:
    """The next message from the other end, which is our own parent or child."""
    return pickle.loads(connection.recv_bytes())  # noqa: S301


def main(connection: int, parent: int) -> None:
    """Work for the parent process.

    Args:
        connection: Descriptor of the socket to the parent.
        parent: Descriptor of a pipe that the parent keeps open as long as it lives.
    """
    mark_as_worker()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches all processes of a terminal; the parent decides
    _end_with(parent)
    with suppress(OSError):
        score = Path("/proc/self/oom_score_adj")  # inherited from the driver
        score.write_text(str(max(FIRST_TO_DIE, int(score.read_text()))), encoding="ascii")
    faulthandler.enable()
    sys.stdout, sys.stderr = _lenient(1), _lenient(2)
    for descriptor in (connection, parent):
        os.set_inheritable(descriptor, False)
    with suppress(EOFError, ConnectionError):
        _serve(Connection(connection))


class _Lenient(io.FileIO):
    """A file that loses what the disk has no room for."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _lenient(descriptor: int) -> io.TextIOWrapper:
    """What is printed goes there at once; a log on a full disk is no failure of a candidate."""
    file = _Lenient(descriptor, "w", closefd=False)
    return io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", write_through=True)


def mark_as_worker() -> None:
    """Say that this process evaluates candidates."""
    _in_worker.set()


def refuse_in_worker() -> None:
    """Refuse to begin a run while a worker process reads the user's script.

    Raises:
        ConfigurationError: In a worker process.
    """
    if _in_worker.is_set():
        raise ConfigurationError(
            "The script begins a search when it is imported, and worker processes import it for the classes of "
            "its space. Put the call under: if __name__ == '__main__':  (or search with workers=1)."
        )


def _serve(connection: Connection) -> None:
    teller = _Teller(connection)
    try:
        evaluate = unpack(receive(connection))(teller)
    except GCNASError as error:
        send(connection, NotReady(str(error)))
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the parent tells it to the user
        send(connection, NotReady("".join(traceback.format_exception(error))[-MAX_MESSAGE:]))
        return
    send(connection, Ready())
    while True:
        answer = _run(evaluate, receive(connection))
        send(connection, answer)
        if isinstance(answer, Done) and answer.last:
            return


def _run(evaluate: Callable[[Job], Evaluated], job: Job) -> Done | RunError:
    try:
        outcome = attempt(evaluate, job)
        return Done(outcome, last=spoils_gpu(outcome))
    except GCNASError as error:
        return RunError(type(error).__name__, str(error))


class _Teller:
    """Tells the parent how far a job is, not too often."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._told = connection, 0.0

    def __call__(self, trial: int, share: float) -> None:
        now = time.monotonic()
        if now - self._told >= PROGRESS_SECONDS:
            self._told = now
            send(self._connection, Progress(trial, share))


def _end_with(parent: int) -> None:
    """End this process when the other end of a pipe is closed, which the death of its owner does.

    On Linux the kernel itself kills, even if the worker loops inside C code that never lets a Python thread run:
    the pipe raises a signal on every change, and that signal is SIGKILL. Elsewhere a thread waits for the end.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(parent, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(parent, fcntl.F_SETFL, fcntl.fcntl(parent, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([parent], [], [], 0)[0]:
            os._exit(1)  # the parent was gone before the signal was armed
    else:
        threading.Thread(target=_wait_for_end, args=(parent,), daemon=True).start()


def _wait_for_end(parent: int) -> None:
    os.read(parent, 1)
    os._exit(1)
