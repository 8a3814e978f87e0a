import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import gcnas

PROBE = """
import sys, time
start = time.perf_counter()
import gcnas
print(time.perf_counter() - start, "torch" in sys.modules)
"""


@pytest.fixture(scope="module")
def contents(wheel: Path) -> dict[str, str]:
    """Every file of the wheel with its text."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name).decode("utf-8", errors="replace") for name in archive.namelist()}


def test_wheel_holds_the_whole_package_and_nothing_else(contents: dict[str, str], repository: Path) -> None:
    source = repository / "src"
    in_source = {
        path.relative_to(source).as_posix()
        for path in (source / "gcnas").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    in_wheel = {name for name in contents if ".dist-info/" not in name}
    assert in_wheel == in_source
    assert "gcnas/py.typed" in in_wheel


def test_wheel_metadata(contents: dict[str, str]) -> None:
    information = f"gcnas-{gcnas.__version__}.dist-info"
    metadata = Parser().parsestr(contents[f"{information}/METADATA"])
    assert metadata["Version"] == gcnas.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in contents[f"{information}/licenses/LICENSE"]
    assert "gcnas = gcnas.cli:main" in contents[f"{information}/entry_points.txt"]


def test_import_is_quick_and_leaves_torch_alone(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):  # the quickest counts: other processes may be busy
        command = [sys.executable, "-c", PROBE]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        taken, torch_imported = done.stdout.split()
        assert torch_imported == "False"
        seconds.append(float(taken))
    assert min(seconds) < 1.0
