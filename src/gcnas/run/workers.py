"""How many processes evaluate candidates, and what each of them gets."""

from dataclasses import dataclass

from gcnas.config import MAX_WORKERS, RunConfig
from gcnas.execution.cluster import Needs, slots
from gcnas.execution.memory import machine_memory
from gcnas.training.platform import available_cores

MEMORY_SHARE = 0.8
"""Of the machine's memory; all workers together get so much, unless the user says otherwise."""

ROOM = 10**9
"""Bytes of memory for each worker that is started without being asked for."""


@dataclass(frozen=True)
class Workers:
    """The processes that evaluate candidates.

    Attributes:
        count: How many; one evaluates in the process of the run, unless its memory is limited or it is of a cluster.
        threads: CPU threads of each.
        all_threads: CPU threads of the run, for what it does alone.
        memory: Bytes that a process of this machine may have for itself.
        cluster: What each needs of a Ray cluster; None for processes of this machine.
    """

    count: int
    threads: int
    all_threads: int
    memory: int
    cluster: Needs | None = None

    def __str__(self) -> str:
        return f"{self.count} with {self.threads} threads each"

    def device(self, name: str, worker: int) -> str:
        """The device of a worker counted from 0: GPUs are dealt out in turn."""
        return f"cuda:{worker % _gpus()}" if name == "cuda" and self.count > 1 else name


def plan_workers(config: RunConfig, device: str) -> Workers:
    """Share the machine.

    Args:
        config: The configuration; what it fixes is kept.
        device: Where networks are trained.

    Raises:
        ConfigurationError: If there is no such cluster, or no node of it has what a worker needs.
    """
    cores = config.threads or available_cores()
    if config.executor == "ray":
        needs = _needs(config)
        count = config.workers or _places(config)  # a settled configuration says it
        return Workers(count, needs.cpus, cores, int(MEMORY_SHARE * machine_memory()), needs)
    count = config.workers or _natural(device, cores)
    memory = config.worker_memory or int(MEMORY_SHARE * machine_memory() / count)
    return Workers(count, max(1, cores // count), cores, memory)


def settled(config: RunConfig) -> RunConfig:
    """The configuration with the number of workers that fit into the cluster, where that is left open.

    So only the search needs the cluster: what comes after it, or reads the run later, does not look for it again.

    Raises:
        ConfigurationError: If there is no such cluster, or no node of it has what a worker needs.
    """
    if config.executor != "ray" or config.workers is not None:
        return config
    return config.changed(workers=_places(config))


def _needs(config: RunConfig) -> Needs:
    return Needs(config.worker_cpus, config.worker_gpus, config.worker_memory)


def _places(config: RunConfig) -> int:
    """Candidates that fit into the cluster at once; on this machine alone no more than the threads that are given."""
    needs = _needs(config)
    found = min(slots(config.address, needs), MAX_WORKERS)
    if config.address is None and config.threads is not None:
        found = min(found, max(1, config.threads // needs.cpus))
    return found


def _natural(device: str, cores: int) -> int:
    """One worker a core with one thread each, which beats one with many threads; or one a GPU."""
    if device == "cpu":
        return max(1, min(cores, int(MEMORY_SHARE * machine_memory() / ROOM)))
    return _gpus() if device == "cuda" else 1


def _gpus() -> int:
    import torch  # the plan for a CPU needs none of it

    return max(1, torch.cuda.device_count())
