"""The environment that the command's tests run in is the one a user gets."""

import json
import os
import subprocess
from pathlib import Path

import pytest

PROBE = """
import importlib.metadata, json, sys, time
start = time.perf_counter()
import gcnas
seconds = time.perf_counter() - start
print(json.dumps({
    "seconds": seconds,
    "torch": "torch" in sys.modules,
    "file": gcnas.__file__,
    "version": gcnas.__version__,
    "metadata": importlib.metadata.version("gcnas"),
    "packages": sorted(d.name.lower() for d in importlib.metadata.distributions()),
}))
"""


@pytest.fixture(scope="module")
def environment(gcnas_command: Path) -> Path:
    if "GCNAS_TEST_COMMAND" in os.environ:
        pytest.skip("GCNAS_TEST_COMMAND names another installation than the wheel's")
    return gcnas_command.parent.parent


def test_clean_environment(environment: Path, tmp_path: Path) -> None:
    command = [str(environment / "bin/python"), "-c", PROBE]
    probes = [
        json.loads(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    probe = probes[0]
    assert Path(probe["file"]).is_relative_to(environment)
    assert probe["version"] == probe["metadata"]
    assert "torch" in probe["packages"]
    assert not {"pytest", "hypothesis", "mypy", "ruff", "hatchling"} & set(probe["packages"])
    assert not probe["torch"], "import gcnas imports torch"
    assert min(p["seconds"] for p in probes) < 1.0
