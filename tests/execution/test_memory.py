import mmap
import os
from pathlib import Path

import pytest

from gcnas.execution import memory
from gcnas.execution.memory import in_units, machine_memory, private_memory

here = private_memory(os.getpid())


@pytest.mark.skipif(here is None, reason="this system has no /proc")
def test_private_memory_grows_with_what_is_kept_but_not_with_mapped_files(tmp_path: Path) -> None:
    before = private_memory(os.getpid()) or 0
    # Pages of its own: what Python frees it keeps, and a large object may lie where an earlier one was.
    kept = mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for _ in range(50):
        kept.write(b"x" * 1_000_000)
    grown = (private_memory(os.getpid()) or 0) - before
    assert 45e6 < grown < 60e6
    file = tmp_path / "images"
    file.write_bytes(kept)
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[::4096]) >= 0
        assert (private_memory(os.getpid()) or 0) - before < grown + 10e6


def test_nobody_has_no_memory() -> None:
    assert private_memory(2**30) is None


def test_a_container_may_have_less_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (tmp_path / "none", limit))
    whole = machine_memory()
    assert whole > 10**8
    limit.write_text("max\n")
    assert machine_memory() == whole
    limit.write_text("1000000\n")
    assert machine_memory() == 1_000_000


def test_sizes_for_people() -> None:
    assert (in_units(1.26e9), in_units(3e6)) == ("1.3 GB", "3 MB")
