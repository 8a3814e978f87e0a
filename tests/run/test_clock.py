"""Clocks that jump: nothing in a run depends on the time of day."""

import re
import time
from itertools import count
from pathlib import Path

import pytest
from tests.run.killing import Slow
from tests.run.toy import read_run, run_toy

from gcnas.execution import ProcessExecutor

JUMPS = (0.0, -1e9, 1e9, 3_600.0, -3_600.0)
WALL_CLOCK = re.compile(r"time\.time|time_ns|datetime\.\w*now|\.today\(|st_[amc]time|\.utcnow|\blocaltime")


@pytest.mark.slow
def test_jumping_clock_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("still", "jumping", "workers"):
        (tmp_path / name).mkdir()
    run_toy(tmp_path / "still", seconds=600)
    now, calls = time.time, count()
    monkeypatch.setattr(time, "time", lambda: now() + JUMPS[next(calls) % len(JUMPS)])
    assert abs(time.time() - time.time()) > 1_000
    run_toy(tmp_path / "jumping", seconds=600)
    run_toy(tmp_path / "workers", seconds=600, executor=ProcessExecutor([Slow()], logs=tmp_path))
    still = read_run(tmp_path / "still")
    assert read_run(tmp_path / "jumping") == still
    assert read_run(tmp_path / "workers") == still


def test_time_of_day_is_asked_for_in_one_place(repository: Path) -> None:
    """Worker processes have clocks of their own, so the source is looked at: only a run's first date is kept."""
    found = {
        path.relative_to(repository / "src").as_posix()
        for path in (repository / "src" / "gcnas").rglob("*.py")
        if WALL_CLOCK.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"gcnas/run/session.py"}
