import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "cross_validation.py"


@pytest.mark.slow
def test_cross_validation() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    found = dict(
        re.findall(r"^(.+): accuracy (\d\.\d+), folds (?:\d\.\d+(?:, |$)){3}$", done.stdout, re.MULTILINE)
    )
    assert list(found) == ["support vector machine", "searched network"], done.stdout
    assert float(found["searched network"]) > 0.97
    assert done.stderr == ""
