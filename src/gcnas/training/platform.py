"""Where networks are trained: the device, probed once for each run."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gcnas.errors import ConfigurationError

_CPU_QUOTAS = (
    (Path("/sys/fs/cgroup/cpu.max"),),  # version 2
    (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")),  # version 1
)
"""Files with the microseconds of CPU that a container gets in each period, and those of the period."""

CLEARLY_FASTER = 1.5
"""Contiguous feature maps are taken only if channels-last takes this much longer.

The formats differ in the last bits, so that a choice by a hair would make equal runs differ.
"""

Precision = Literal["auto", "float32", "bfloat16"]

LEAST_SIDE = 16
"""Images with a shorter side gain nothing by bfloat16 on a CPU (``benchmarks/precision.py``)."""


@dataclass(frozen=True)
class Platform:
    """A device and the settings that are fastest on it.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, …
        threads: CPU threads.
        channels_last: Whether feature maps keep their channels innermost.
        autocast: Whether training computes in bfloat16 where that is safe: weights, their updates and all that is
            measured stay in single precision. No GPU has run this yet.
    """

    device: str
    threads: int
    channels_last: bool
    autocast: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        """Memory format of modules and batches."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def computing(self) -> torch.autocast:
        """The context in which training computes."""
        return torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16, enabled=self.autocast)

    def to_json(self) -> dict[str, Any]:
        """JSON form, kept in the ledger so that a resumed run computes the same."""
        return asdict(self)

    @classmethod
    def probe(
        cls, device: str | None = None, threads: int | None = None, precision: Precision = "auto", side: int = 0
    ) -> "Platform":
        """Choose a device, unless given; on a CPU time both memory formats, elsewhere take the channels last.

        Args:
            device: Its name.
            threads: CPU threads; None takes all cores.
            precision: What training computes in. ``auto`` is bfloat16 on CUDA GPUs that have units for it, and on
                processors with instructions for it where images are large enough to gain by it.
            side: Shorter side of the images in pixels.

        Raises:
            ConfigurationError: If the device is not there.
        """
        chosen = torch.device(choose_device(device))
        count = threads or available_cores()
        torch.set_num_threads(count)
        native = _gpu_has_bfloat16(chosen) or (chosen.type == "cpu" and side >= LEAST_SIDE and has_bfloat16())
        autocast = native if precision == "auto" else precision == "bfloat16"
        if chosen.type == "cpu":
            last, contiguous = (
                _step_seconds(chosen, f) for f in (torch.channels_last, torch.contiguous_format)
            )
            return cls(str(chosen), count, last < CLEARLY_FASTER * contiguous, autocast)
        return cls(str(chosen), count, channels_last=True, autocast=autocast)


def choose_device(name: str | None = None) -> str:
    """The device of a name, or by default a GPU if there is one, else the CPU.

    Raises:
        ConfigurationError: If it is not there.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a device without memory, such as "meta", has no value
    except (RuntimeError, AssertionError, ImportError, NotImplementedError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigurationError(f"The device {name!r} is not available here: {reason}") from error
    return str(device)


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; without them it is slower than single precision."""
    # Older versions of PyTorch do not tell.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _gpu_has_bfloat16(device: torch.device) -> bool:
    """Whether a device is a GPU with units for bfloat16: those of NVIDIA from Ampere on, and those of AMD."""
    if device.type != "cuda":
        return False
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)


@contextmanager
def depthwise_in_single(network: nn.Module, platform: Platform) -> Iterator[None]:
    """On a CPU, depthwise convolutions in single precision: in bfloat16 they are slower."""
    convolutions: list[nn.Conv2d] = []
    if platform.autocast and platform.device == "cpu":
        convolutions += [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    for convolution in convolutions:
        convolution.forward = partial(_in_single, convolution)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for convolution in convolutions:
            del convolution.forward


def _in_single(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return type(convolution).forward(convolution, x.float())


@contextmanager
def torch_as_it_was() -> Iterator[None]:
    """Leave PyTorch's random numbers and its number of threads as they were: they are those of the whole process."""
    threads = torch.get_num_threads()
    # Where no GPU was used yet, looking at its random numbers would take its memory.
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        torch.set_num_threads(threads)


def available_cores() -> int:
    """CPU cores that this process may use; containers are often given fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    for files in _CPU_QUOTAS:
        try:
            quota, period = map(int, " ".join(file.read_text(encoding="ascii") for file in files).split())
        except (OSError, ValueError):
            continue  # no such group, or "max"
        if quota > 0 and period > 0:  # -1 is no quota
            cores = max(1, min(cores, round(quota / period)))
    return cores


def _step_seconds(device: torch.device, memory_format: torch.memory_format) -> float:
    """Fastest of some training steps of a small network, in seconds."""
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(
            nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.Conv2d(32, 32, 3, padding=1)
        ).to(device, memory_format=memory_format)  # type: ignore[call-overload]
        images = torch.rand(32, 16, 24, 24, device=device).contiguous(memory_format=memory_format)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        network(images).square().mean().backward()
        times.append(time.perf_counter() - start)
    return min(times[2:])
