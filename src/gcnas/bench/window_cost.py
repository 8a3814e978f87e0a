"""What m costs: time of a step, weights, and memory of a growing network, at several depths."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch

from gcnas.bench.controllers import count_parameters
from gcnas.bench.landscape import GROWN
from gcnas.bench.summary import Cell
from gcnas.graph import GraphCache, encode
from gcnas.policy import GCNPolicy, GCNSettings
from gcnas.space import SequenceSpace, token

WINDOWS = (1, 2, 3, 4, 8)
DEPTHS = (12, 48)
BATCH = 32
REPEATS = 7


def window_costs(
    windows: Sequence[int] = WINDOWS, depths: Sequence[int] = DEPTHS, repeats: int = REPEATS
) -> list[dict[str, Cell]]:
    """One row for each m, depth and memory.

    Columns: milliseconds of processor time to draw one network of a batch of 32, and of a gradient step for one,
    medians over ``repeats``; weights; and bytes that both graphs keep of one growing network, which depth does not
    change. Connections are decisions in these spaces, so a larger m also means more decisions.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            _row(m, depth, memory, repeats)
            for depth in depths
            for memory in ("stacked", "recurrent")
            for m in windows
        ]
    finally:
        torch.set_num_threads(before)


def _row(m: int, depth: int, memory: str, repeats: int) -> dict[str, Cell]:
    kinds = tuple(token(name, dict(choices)) for name, choices in GROWN.types)
    space = SequenceSpace("cost", kinds, min_depth=depth, max_depth=depth, window=m)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        policy = GCNPolicy(space, GCNSettings(memory="recurrent" if memory == "recurrent" else "stacked"))
    generator = torch.Generator().manual_seed(0)
    batch = encode(space, policy.vocabulary, policy.sample(BATCH, generator))

    def learn() -> None:
        policy.zero_grad(set_to_none=True)
        policy(batch).log_probability.mean().backward()

    return {
        "memory": memory,
        "depth": depth,
        "m": m,
        "sample_ms": _milliseconds(lambda: policy.sample(BATCH, generator), repeats) / BATCH,
        "gradient_ms": _milliseconds(learn, repeats) / BATCH,
        "parameters": count_parameters(policy),
        "bytes_per_network": _kept_bytes(policy),
    }


def _milliseconds(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats + 1):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return 1e3 * statistics.median(seconds[1:])


def _kept_bytes(policy: GCNPolicy) -> int:
    features = policy.start(1).features
    composition, (parameters, anchors) = policy.leb.start(features), policy.hppb.start(features)
    kept = [anchors, *_tensors(composition.cache), *_tensors(parameters.cache)]
    return sum(tensor.numel() * tensor.element_size() for tensor in kept)


def _tensors(cache: GraphCache) -> list[torch.Tensor]:
    return [*cache.chains, *cache.skips, *cache.sums]
