"""The parent's side of one worker process."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO

from gcnas.errors import CandidateError, OutOfMemoryError, TimeLimitError
from gcnas.execution.base import Job
from gcnas.execution.memory import in_units, private_memory
from gcnas.execution.packing import Parcel
from gcnas.execution.serial import MAX_MESSAGE
from gcnas.execution.worker import Done, Ready, RunError, receive, send

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Libraries read the number of their threads here when they are loaded."""

TIME_SHARE = 1.25
"""A candidate ends itself at its time limit, but for measuring it; at this multiple (and the grace) it is killed."""

POLL_SECONDS = 0.005
"""Between two looks at whether a worker has ended."""

MAX_LOG = 2**20
"""Bytes above which the log of a worker is emptied before the next job."""


@dataclass(frozen=True)
class Bounds:
    """When a worker is killed.

    Attributes:
        memory: Bytes that it may have for itself; None for any.
        grace: Seconds on top of the time limit of a job.
        silence: Seconds without a sign of progress, for a job without a time limit.
        start: Seconds until it must be set up.
    """

    memory: int | None = None
    grace: float = 10.0
    silence: float = 600.0
    start: float = 300.0


@dataclass(frozen=True)
class Ended:
    """A worker process is gone.

    Attributes:
        job: What it was evaluating; None if nothing.
        seconds: Since it began with that.
        error: Why it is gone.
        started: Whether it was ever set up.
    """

    job: Job | None
    seconds: float
    error: CandidateError
    started: bool


class WorkerProcess:
    """A process that evaluates one job at a time, with a thread that listens to it.

    Args:
        slot: Its number among the workers.
        parcel: What it is set up with.
        threads: CPU threads that it gets.
        log: File for what it prints.
        bounds: When it is killed.
        report: Called in the listening thread with this worker and each message; the last one is :class:`Ended`.

    Raises:
        OSError: If the system refuses a process, or the log.
        RuntimeError: If it refuses a thread; no process is left then.
    """

    def __init__(
        self,
        slot: int,
        parcel: Parcel,
        *,
        threads: int,
        log: Path,
        bounds: Bounds,
        report: Callable[["WorkerProcess", Any], None],
    ) -> None:
        self.slot, self._bounds, self._report = slot, bounds, report
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._ready = self._gone = False
        self._verdict: CandidateError | None = None
        self._since = self._heard = time.monotonic()
        with ExitStack() as undo:
            self._log = undo.enter_context(_open_log(log))
            self._log_start = self._log.tell()
            ours, theirs = socket.socketpair()
            undo.enter_context(ours)
            # A pipe for each worker: the signal of its end goes to the one owner of what is open.
            end, self._life = os.pipe()
            undo.callback(os.close, self._life)
            try:
                with theirs:
                    self._process = _start(theirs.fileno(), end, threads, self._log.fileno())
            finally:
                os.close(end)
            self._connection = undo.enter_context(Connection(ours.detach()))
            undo.callback(self._process.wait)
            undo.callback(self._kill)
            self._listener = threading.Thread(target=self._listen, args=(parcel,), daemon=True)
            self._listener.start()
            undo.pop_all()

    @property
    def ready(self) -> bool:
        """Whether it was set up."""
        return self._ready

    @property
    def idle(self) -> bool:
        """Whether it waits for a job."""
        with self._lock:
            return self._ready and self._job is None and self._verdict is None

    def give(self, job: Job) -> bool:
        """Give a job to an idle worker; False if it is gone."""
        with self._lock:
            if self._verdict is not None or self._log.closed:
                return False
            self._turn_log()
            try:
                send(self._connection, job)
            except OSError:
                self._verdict = CandidateError("The worker is gone.")
                return False
            self._job, self._since = job, time.monotonic()
            self._heard = self._since
            return True

    def check(self) -> None:
        """Kill the worker if it is beyond its bounds; and what it has left behind, if it is gone."""
        with self._lock:
            if self._gone:
                self._cut()
            self._gone = self._poll() is not None
            if self._job is not None:
                self._trim_log()
            if self._verdict is None and (verdict := self._judge(time.monotonic())) is not None:
                self._verdict = verdict
                self._kill()

    def memory(self) -> int | None:
        """Bytes that it has for itself, as far as the system tells."""
        return private_memory(self._process.pid)

    def kill(self) -> None:
        """Kill the process; :meth:`close` frees what belongs to it."""
        with self._lock:
            self._kill()

    def close(self) -> None:
        """Kill the process and free all that belongs to it."""
        self.kill()
        self._listener.join(timeout=1)
        if self._listener.is_alive():
            with self._lock:
                self._cut()
            self._listener.join()

    def _kill(self) -> None:
        """Kill the process and the others of its group, which it has started."""
        if self._process.returncode is not None:  # all is over, and its number may be another's
            return
        with suppress(OSError):  # nobody is left
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def _poll(self) -> int | None:
        """Its exit code, None while it lives; called with the lock held.

        What it has started and left behind is killed with it.
        """
        if self._process.returncode is None:
            if not _has_ended(self._process):
                return None
            with suppress(OSError):  # nobody is left
                os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.poll()

    def _wait(self, seconds: float) -> int | None:
        """Its exit code; None if it lives on after so long."""
        end = time.monotonic() + seconds
        while True:
            with self._lock:
                code = self._poll()
            if code is not None or time.monotonic() > end:
                return code
            time.sleep(POLL_SECONDS)

    def _cut(self) -> None:
        """End the connection, which a process that the worker has forked may hold open, and the processes left."""
        if not self._connection.closed:
            self._kill()
            with suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)

    def _judge(self, now: float) -> CandidateError | None:
        bounds, job = self._bounds, self._job
        if not self._ready:
            late = now - self._since > bounds.start
            return TimeLimitError(f"It was not set up after {bounds.start:.0f} s.") if late else None
        if job is None:
            return None
        if bounds.memory is not None and (used := self.memory() or 0) > bounds.memory:
            return OutOfMemoryError(
                f"The worker used {in_units(used)}, its limit is {in_units(bounds.memory)} (worker_memory)."
            )
        if job.seconds is not None and now - self._since > TIME_SHARE * job.seconds + bounds.grace:
            return TimeLimitError(
                f"No result after {now - self._since:.1f} s, the limit is {job.seconds:.1f} s."
            )
        if job.seconds is None and now - self._heard > bounds.silence:
            return TimeLimitError(f"No sign of progress for {now - self._heard:.0f} s.")
        return None

    def _listen(self, parcel: Parcel) -> None:
        with suppress(
            Exception
        ):  # a message cut short by death, or one that nobody can read: both end the worker
            send(self._connection, parcel)
            while True:
                message = receive(self._connection)
                with self._lock:
                    self._heard = time.monotonic()
                    self._ready |= isinstance(message, Ready)
                    if isinstance(message, Done | RunError):
                        # At once: a result that waits to be fetched takes no more time and memory.
                        self._job = None
                    if isinstance(message, Done) and message.last:
                        self._verdict = CandidateError(
                            "The worker ended, since it could not use the GPU any more."
                        )
                self._report(self, message)
        self._report(self, self._bury())

    def _bury(self) -> Ended:
        while (code := self._wait(1.0)) is None:  # it closed the connection and lives on
            with self._lock:
                self._kill()
        with self._lock:
            job, self._job = self._job, None
            error = self._verdict or CandidateError(f"The worker process {_words(code)}.{self._last_words()}")
            self._verdict = error
            for close in (self._connection.close, self._log.close, partial(os.close, self._life)):
                with suppress(OSError):  # a disk that is gone is no reason to wait for ever
                    close()
        return Ended(job, time.monotonic() - self._since, error, self._ready)

    def _turn_log(self) -> None:
        self._trim_log()
        with suppress(OSError):
            self._log_start = os.fstat(self._log.fileno()).st_size

    def _trim_log(self) -> None:
        """Empty a log that is too long, also while a candidate prints on and on; none matters as much as the run."""
        with suppress(OSError):
            if os.fstat(self._log.fileno()).st_size > MAX_LOG:
                os.ftruncate(self._log.fileno(), 0)
                self._log_start = 0

    def _last_words(self) -> str:
        """What it printed during the last job, the end of it; nothing if somebody deleted the log."""
        try:
            with Path(self._log.name).open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_start, end - MAX_MESSAGE // 2))
                text = file.read().decode(errors="replace").strip()
        except OSError:
            return ""
        return f" The last that it printed:\n{text}" if text else ""


def _open_log(path: Path) -> BinaryIO:
    """A log to append to; what is no file of its own, such as a link or a pipe, is replaced by one."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
    return path.open("ab")


def _start(connection: int, parent: int, threads: int, output: int) -> subprocess.Popen[bytes]:
    """Start the interpreter anew, with the paths of this one.

    Not by ``multiprocessing``: that would execute the user's script again in every worker, and a script that
    calls ``gcnas.search`` without ``if __name__ == "__main__"`` would begin its search again.
    """
    begin = f"from gcnas.execution.worker import main; main({connection}, {parent})"
    code = f"import sys; sys.path[:] = {sys.path!r}; {begin}"
    # Blocked in the child from its first instant on, and here only while it is being started: none is lost.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-u", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(connection, parent),
            process_group=0,  # so that what a candidate starts can be ended with it
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process has ended; its number stays its own where the system can say so without giving it free."""
    if hasattr(os, "waitid"):
        with suppress(ChildProcessError):  # it was waited for elsewhere
            how = os.WEXITED | os.WNOWAIT | os.WNOHANG
            return os.waitid(os.P_PID, process.pid, how) is not None
    return process.poll() is not None


def _words(code: int) -> str:
    if code >= 0:
        return f"ended itself with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    by_system = ", perhaps by the system for lack of memory" if name == "SIGKILL" else ""
    return f"was ended by {name}{by_system}"
