"""Memory of processes and of the machine, as far as the system tells; without /proc it tells nothing."""

import os
from pathlib import Path

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),  # version 2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # version 1
)


def private_memory(pid: int) -> int | None:
    """Bytes in memory that a process has for itself; files that it maps, such as shared images, do not count.

    None where the system does not tell (it has no ``/proc``), or the process is gone.
    """
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def machine_memory() -> int:
    """Bytes of memory of this machine, or of the container where that has less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in _CGROUP_LIMITS:
        try:
            total = min(total, int(file.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue  # no such group, or "max"
    return total


def in_units(size: float) -> str:
    """A number of bytes for people: ``1.5 GB``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
