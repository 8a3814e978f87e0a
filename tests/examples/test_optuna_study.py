import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "optuna_study.py"


@pytest.mark.slow
def test_the_study() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"best accuracy (0\.\d+) with \{'width1': .*\}\n", done.stdout)
    assert found is not None, done.stdout
    assert float(found[1]) > 0.88
    assert done.stderr == ""
