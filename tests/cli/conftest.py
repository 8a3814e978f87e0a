"""The command as users have it: from the built wheel, in an environment without development tools.

Each test session makes a small environment of its own that holds nothing but the wheel built from the source as it is
now, and links to what that requires in the tests' own environment: installing gigabytes once more takes minutes.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Protocol

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.cli.forking import ForkingServer

ROOT = Path(__file__).resolve().parents[2]

# Making the environment counts against the first test that needs it.
FIRST_TEST_SECONDS = 600.0

# These make rich and typer write colours into a pipe, or Python import from elsewhere.
UNWANTED_VARIABLES = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "PYTHONPATH", "PYTHONWARNINGS")


class RunGcnas(Protocol):
    """Runs `gcnas` with arguments and returns what it said; see the fixture `run_gcnas`."""

    def __call__(
        self,
        *args: str | Path,
        check: bool = True,
        cwd: Path | None = None,
        timeout: float = 120.0,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        needs_command = "gcnas_command" in getattr(item, "fixturenames", ())
        if needs_command:
            item.add_marker(pytest.mark.xdist_group("wheel"))  # what they use is made once
        if needs_command and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(FIRST_TEST_SECONDS))


@pytest.fixture(scope="session")
def gcnas_command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `gcnas` executable of the wheel, or the one that GCNAS_TEST_COMMAND names, beside its `python`."""
    if given := os.environ.get("GCNAS_TEST_COMMAND"):
        if (found := shutil.which(given)) is None:
            pytest.fail(f"GCNAS_TEST_COMMAND names no executable: {given}", pytrace=False)
        return Path(found).absolute()
    session = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        session = session.parent  # the workers' own folders lie in one folder of the session
    environment = session / "wheel-venv"
    ready = session / "wheel-venv.ready"
    with _locked(session / "wheel-venv.lock"):
        if not ready.exists():
            _install(request.getfixturevalue("wheel"), environment)
            ready.touch()
    return environment / "bin" / "gcnas"


@pytest.fixture(scope="session")
def forking_server(gcnas_command: Path) -> Iterator[ForkingServer]:
    """Starts commands without importing torch each time."""
    server = ForkingServer(gcnas_command.parent / "python", _environment())
    yield server
    server.close()


@pytest.fixture
def run_gcnas(
    gcnas_command: Path, forking_server: ForkingServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunGcnas:
    """Runs the command in `tmp_path` (or `cwd`), 80 columns wide, with nothing to read from standard input.

    `env` is added to the environment; the command is then started anew, and not forked. A non-zero exit code fails the
    test unless `check` is false. Whatever is still running after `timeout` seconds is killed, its worker processes too.
    """

    def run(
        *args: str | Path,
        check: bool = True,
        cwd: Path | None = None,
        timeout: float = 120.0,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        arguments, folder = list(map(str, args)), cwd or tmp_path
        if env is None:
            output = tmp_path_factory.mktemp("output")
            done = forking_server.run(arguments, folder, _environment(), output, timeout)
        else:
            done = _started([str(gcnas_command), *arguments], folder, {**_environment(), **env}, timeout)
        if check and done.returncode != 0:
            pytest.fail(
                f"{done.args} ended with {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}",
                pytrace=False,
            )
        return done

    return run


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in UNWANTED_VARIABLES}
    return {**inherited, "COLUMNS": "80"}


def _started(
    command: list[str], folder: Path, environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time is inside; the lock of one that dies is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _install(wheel: Path, environment: Path) -> None:
    """Makes `environment` with `wheel` and what it requires, and nothing else."""
    _call(sys.executable, "-m", "venv", "--clear", "--without-pip", environment)
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for found in _required(requirements).values():
        _link(found, _packages(environment))
    # Without an index, pip fails where the wheel requires what is not linked.
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin/python")
    _call(*pip, "install", "--quiet", "--no-index", wheel)


def _required(requirements: Iterable[str]) -> dict[str, Distribution]:
    """The distributions of requirements and of what those require, by name."""
    found: dict[str, Distribution] = {}
    wanted = [(Requirement(text), "") for text in requirements]
    while wanted:
        requirement, extra = wanted.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            own = distribution(name)
        except PackageNotFoundError:
            pytest.fail(f"the tests' environment lacks {requirement}: make setup", pytrace=False)
        if name not in found or requirement.extras:
            found[name] = own
            extras = requirement.extras or {""}
            wanted += [(Requirement(text), extra) for text in own.requires or () for extra in extras]
    return found


def _link(found: Distribution, folder: Path) -> None:
    """Links the files and folders of a distribution into `folder`."""
    for name in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
        if not (folder / name).exists():
            (folder / name).symlink_to(Path(str(found.locate_file(name))).resolve())


def _packages(environment: Path) -> Path:
    base = str(environment)
    return Path(sysconfig.get_path("purelib", scheme="venv", vars={"base": base, "platbase": base}))


def _call(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        pytest.fail(
            f"the wheel's environment cannot be made (GCNAS_TEST_COMMAND=… names a ready executable):\n"
            f"{done.args}\n{done.stdout}{done.stderr}",
            pytrace=False,
        )
