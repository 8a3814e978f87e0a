"""How the machine is shared among the processes that evaluate candidates."""

import pytest
import torch

from gcnas.config import RunConfig
from gcnas.run import workers
from gcnas.run.workers import Workers, plan_workers, settled


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "available_cores", lambda: 8)
    monkeypatch.setattr(workers, "machine_memory", lambda: 20 * 10**9)


def plan(device: str = "cpu", **options: object) -> Workers:
    return plan_workers(RunConfig.create(data="digits", **options), device)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (8, 1, 8)),
        ({"threads": 1}, (1, 1, 1)),
        ({"threads": 3}, (3, 1, 3)),
        ({"workers": 1}, (1, 8, 8)),
        ({"workers": 3}, (3, 2, 8)),
        ({"workers": 2, "threads": 4}, (2, 2, 4)),
        ({"workers": 20}, (20, 1, 8)),
    ],
)
def test_threads_are_shared(options: dict[str, int], expected: tuple[int, int, int]) -> None:
    found = plan(**options)
    assert (found.count, found.threads, found.all_threads) == expected


def test_memory_is_shared_unless_given() -> None:
    assert plan().memory == 2 * 10**9
    assert plan(workers=4).memory == 4 * 10**9
    assert plan(worker_memory="1.5G").memory == 1_500_000_000


def test_small_memory_means_fewer_workers_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "machine_memory", lambda: 4 * 10**9)
    assert plan().count == 3
    assert plan(workers=8).count == 8
    monkeypatch.setattr(workers, "machine_memory", lambda: 10**8)
    assert plan().count == 1


def test_one_worker_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    found = plan("cuda")
    assert (found.count, found.threads) == (3, 2)
    assert [found.device("cuda", worker) for worker in range(4)] == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    alone = plan("cuda:1")
    assert (alone.count, alone.device("cuda:1", 0)) == (1, "cuda:1")
    assert plan("cuda", workers=1).device("cuda", 0) == "cuda"
    assert plan("mps").count == 1


def test_words() -> None:
    assert str(plan(workers=2)) == "2 with 4 threads each"


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 64),
        ({"threads": 6}, 6),
        ({"threads": 6, "worker_cpus": 4}, 1),
        ({"threads": 6, "worker_cpus": 8}, 1),
        ({"threads": 6, "address": "auto"}, 64),
    ],
)
def test_a_cluster_of_this_machine_alone_gets_no_more_threads_than_given(
    options: dict[str, object], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "slots", lambda *_: 64)
    assert plan(executor="ray", **options).count == count
    config = RunConfig.create(data="digits", executor="ray", **options)
    assert settled(config).workers == count


def test_a_signal_process_has_memory_beside_a_cluster() -> None:
    """What Ray keeps free for a candidate is no limit of processes here."""
    assert plan(executor="ray", workers=2).memory == 16 * 10**9
    assert plan(executor="ray", workers=2, worker_memory="1G").memory == 16 * 10**9
