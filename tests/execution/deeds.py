"""What candidates do in worker processes; a module of its own, without torch, so that workers import little."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gcnas.errors import DataError, NotFiniteError
from gcnas.execution import Evaluated, Job
from gcnas.execution.processes import TellProgress
from gcnas.records import Architecture, Fidelity, Layer, Proposal, Trajectory

_HOARD: list[bytearray] = []


def job(number: int, deed: str = "score", seconds: float | None = None) -> Job:
    """A job whose architecture says what its evaluation does."""
    architecture = Architecture((Layer(deed, (("filters", number),), (0,)),))
    return Job(number, Proposal(architecture, Trajectory((), ()), "random"), Fidelity(2, 3), seconds)


def do(deed: str, given: Job) -> None:
    match deed:
        case "abort":
            print("about to abort")
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "loop":
            while True:
                time.sleep(0.01)
        case "deaf loop":
            # One call into C that never lets another thread of Python run.
            re.match("(a+)+b", "a" * 60)
        case "hoard":
            while True:
                _HOARD.append(bytearray(os.urandom(1) * 2**24))
                time.sleep(0.005)
        case "exit":
            sys.exit(3)
        case "hard exit":
            os._exit(3)
        case "leave a child" | "leave a daemon":
            if (child := os.fork()) == 0:
                if deed == "leave a daemon":
                    os.setsid()
                time.sleep(60)
                os._exit(0)
            print(f"child {child}", flush=True)
            os._exit(3)
        case "leave a program":
            program = subprocess.Popen(["/bin/sleep", "60"])
            print(f"child {program.pid}", flush=True)
            os._exit(3)
        case "raise":
            raise IndexError("no such layer")
        case "lose the GPU":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        case "not finite":
            raise NotFiniteError("The loss became nan.")
        case "memory error":
            raise MemoryError
        case "run error":
            raise DataError("The images are gone.")
        case "chatter":
            for stream in (sys.stdout, sys.stderr):
                print("a lot to say " * 10_000, file=stream, flush=True)
        case "endless chatter":
            while True:
                print("a lot to say " * 1_000, flush=True)
        case "slow":
            time.sleep(0.5)
        case "slower":
            time.sleep(2.0)


@dataclass(frozen=True)
class Deeds:
    """A setup whose jobs do what their architecture says; their metrics tell which process it was."""

    def __call__(self, tell: TellProgress) -> Callable[[Job], Evaluated]:
        def evaluate(given: Job) -> Evaluated:
            do(given.proposal.architecture.layers[0].type, given)
            tell(given.trial, 0.5)
            return given.trial / 100, {"pid": os.getpid()}, {"weight": np.array([given.trial])}

        return evaluate


@dataclass(frozen=True)
class Late(Deeds):
    """A setup that takes its time."""

    seconds: float = 2.0

    def __call__(self, tell: TellProgress) -> Callable[[Job], Evaluated]:
        time.sleep(self.seconds)
        return super().__call__(tell)


@dataclass(frozen=True)
class Broken:
    """A setup that cannot be set up."""

    how: str

    def __call__(self, tell: TellProgress) -> Any:
        if self.how == "die":
            os._exit(7)
        if self.how == "sleep":
            time.sleep(60)
        raise DataError("The images are gone.") if self.how == "refuse" else IndexError("a bug")
