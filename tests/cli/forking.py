"""Runs commands of gcnas in children of one process that has imported everything already.

Each command is a process of its own, with its own folder, environment and process group, as if it had been started
from the shell; what it is spared are the seconds that torch takes to import. The parent has run nothing: it has
imported, and forks.
"""

import atexit
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

IMPORTS = (
    "gcnas.api", "gcnas.classifier", "gcnas.cli", "gcnas.bench.claims", "matplotlib.pyplot", "onnxruntime",
    "onnxscript", "optuna", "scipy.stats", "sklearn.datasets", "sklearn.ensemble", "torch.onnx",
)  # fmt: skip
"""What is imported before any command; what is not installed is left out."""


class ForkingServer:
    """Starts commands in children of one process.

    Args:
        python: Interpreter of the environment that the commands belong to.
        environment: Environment variables of the process.
    """

    def __init__(self, python: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [str(python), __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self._requests = 0

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        output: Path,
        seconds: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; all of its processes are killed if it takes longer.

        Args:
            arguments: Of the command.
            folder: Its working folder.
            environment: All of its environment variables.
            output: Folder for what it prints.
            seconds: Longest time.
        """
        self._requests += 1
        request = {
            "number": self._requests,
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "output": str(output),
            "seconds": seconds,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        # A test that was broken off has left its reply unread.
        while (reply := json.loads(self._process.stdout.readline()))["number"] != self._requests:
            pass
        stdout, stderr = ((output / name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
        if reply["killed"]:
            raise subprocess.TimeoutExpired(list(arguments), seconds, stdout, stderr)
        return subprocess.CompletedProcess(["gcnas", *arguments], reply["returncode"], stdout, stderr)

    def close(self) -> None:
        """End the process."""
        with self._process:
            self._process.kill()


def _serve() -> None:
    """Run the commands that come as lines of JSON, one after the other."""
    for name in IMPORTS:
        with suppress(ImportError):
            importlib.import_module(name)
    signal.signal(signal.SIGALRM, _wake)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(request)
        print(json.dumps({"number": request["number"], **_wait(child, request["seconds"])}), flush=True)


def _wake(number: int, frame: object) -> None:
    raise TimeoutError


def _wait(child: int, seconds: float) -> dict[str, Any]:
    killed = False
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        _, status = os.waitpid(child, 0)
    except TimeoutError:
        os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed = True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {"returncode": os.waitstatus_to_exitcode(status), "killed": killed}


def _become(request: dict[str, Any]) -> None:
    """Turn this child into the command, and end with its exit code."""
    os.setsid()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(Path(request["output"], name), flags), number)
    sys.argv = ["gcnas", *request["arguments"]]
    # Workers are spawned; they would import this file otherwise, and all that it imports.
    sys.modules["__main__"] = ModuleType("__main__")
    code: int | str | None = 0
    try:
        sys.modules["gcnas.cli"].main()
    except SystemExit as left:
        code = left.code
    except BaseException:  # noqa: BLE001 - as the interpreter itself does at its end
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    _serve()
