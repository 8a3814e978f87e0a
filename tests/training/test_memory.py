"""Giving memory back."""

from pathlib import Path

import numpy as np
import pytest

from gcnas.training import memory
from gcnas.training.memory import return_freed_memory


def resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_freed_memory_goes_back_to_the_system() -> None:
    """Every second of many small pieces is freed, so that the heap cannot shrink by itself."""
    if memory._trim() is None or not Path("/proc/self/statm").exists():
        pytest.skip("this system's allocator cannot be asked")
    pieces = [np.ones(100_000, np.uint8) for _ in range(1_000)]
    kept = pieces[::2]
    full = resident_pages()
    del pieces
    return_freed_memory()
    assert resident_pages() < full - 0.3 * 1_000 * 100_000 / 4096
    assert all(piece.all() for piece in kept)


@pytest.mark.parametrize("spoilt", [False, True])
def test_memory_of_a_gpu_goes_to_others_that_use_it(monkeypatch: pytest.MonkeyPatch, spoilt: bool) -> None:
    emptied = []

    def empty() -> None:
        emptied.append(1)
        if spoilt:
            raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr("torch.cuda.empty_cache", empty)
    return_freed_memory()
    assert not emptied  # asking would make this process take memory of it
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    return_freed_memory()
    assert emptied


def test_other_allocators_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_trim", lambda: None)
    return_freed_memory()
