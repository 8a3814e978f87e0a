"""What all tests share: one thread each, reproducible examples, the real data, the built wheel."""

import os

# Set before anything imports torch: the tests run in several processes on few cores.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from gcnas.training import platform

ROOT = Path(__file__).resolve().parent.parent
STEP_SECONDS = platform._step_seconds

settings.register_profile("local", deadline=None, database=None)
settings.register_profile("ci", deadline=None, database=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Checks of scikit-learn that train for an accuracy, or once more with numbers in read-only memory, are slow."""
    for item in items:
        if "readonly_memmap=True" in item.name or "check_classifiers_train" in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def _no_timing_of_the_machine() -> Iterator[None]:
    """Searches in the tests' own process take the memory format that most machines prefer; timing it takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platform, "_step_seconds", lambda _, form: 0.1 if form is torch.channels_last else 1.0)
        yield


@pytest.fixture
def timed_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timing as users have it, all the same."""
    monkeypatch.setattr(platform, "_step_seconds", STEP_SECONDS)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets; tests that ask for it carry `@pytest.mark.data`."""
    folder = Path(os.environ.get("GCNAS_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder; name the one that has it in GCNAS_DATA")
    return folder.resolve()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the source tree as it is now."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        pytest.fail(f"the wheel cannot be built:\n{done.stdout}{done.stderr}", pytrace=False)
    (path,) = folder.glob("*.whl")
    return path
