"""How fast policies sample and learn: graph convolutions against the recurrent controller, in one process.

``python benchmarks/sampling_speed.py`` times two kinds of work on one thread: ``sample``, drawing a batch of
trajectories, and ``gradient``, forward and backward of the log-probability of a stored batch. Networks have a fixed
depth (10, 20, 40, 80) of layers with five hyper-parameters of four options, three types and the connections of a
window of 4; what is open depends on the place alone, so that the policies' own work is timed. Batches of 8, 64, 512.

Policies: ``gcn`` (interleaved, stacked), ``gcn-recurrent``, ``skeleton-first``, ``rnn`` (literal: one LSTM step a
decision) and ``rnn-parallel`` (one step for all heads of a layer). Weights are drawn with seed 0. In each of the
repeats every policy is timed once, in an order that rotates; ratios are medians over repeats of the ratio within a
repeat. The times of all repeats go to ``benchmarks/results/sampling_speed.csv``.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jobs import replace_rows

from gcnas.graph import encode
from gcnas.policy import GCNPolicy, GCNSettings, Policy, RNNPolicy, RNNSettings, SkeletonFirstPolicy
from gcnas.space import SequenceSpace, token

RESULTS = Path(__file__).resolve().parent / "results" / "sampling_speed.csv"
COLUMNS = "work policy depth batch repeat seconds architectures_per_second".split()
POLICIES: dict[str, Callable[[SequenceSpace], Policy]] = {
    "gcn": GCNPolicy,
    "gcn-recurrent": lambda space: GCNPolicy(space, GCNSettings(memory="recurrent")),
    "skeleton-first": SkeletonFirstPolicy,
    "rnn": RNNPolicy,
    "rnn-parallel": lambda space: RNNPolicy(space, RNNSettings(parallel=True)),
}
HEADS = dict.fromkeys(("filters", "kernel", "stride", "expansion", "activation"), (1, 2, 3, 4))


def space(depth: int) -> SequenceSpace:
    """Three types that share five hyper-parameters; a fixed depth."""
    types = tuple(token(name, HEADS) for name in ("conv", "separable", "bottleneck"))
    return SequenceSpace("speed", types, min_depth=depth, max_depth=depth, window=4)


def works(policy: Policy, batch: int) -> dict[str, Callable[[], Any]]:
    """What is timed; the stored batch is drawn by the policy itself."""
    generator = torch.Generator().manual_seed(0)
    stored = encode(policy.space, policy.vocabulary, policy.sample(batch, generator))

    def gradient() -> None:
        policy.zero_grad(set_to_none=True)
        policy(stored).log_probability.mean().backward()

    return {"sample": lambda: policy.sample(batch, generator), "gradient": gradient}


def timed(work: Callable[[], Any]) -> float:
    """Processor seconds of one call: on one thread they are the wall clock of a machine that is not shared."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(depth: int, batch: int, repeats: int) -> list[dict[str, Any]]:
    """All policies at one depth and batch, interleaved; the first round warms up and is not kept."""
    torch.manual_seed(0)
    made = {name: works(make(space(depth)), batch) for name, make in POLICIES.items()}
    rows: list[dict[str, Any]] = []
    names = list(made)
    for repeat in range(-1, repeats):
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            for work, call in made[name].items():
                seconds = timed(call)
                values = (work, name, depth, batch, repeat, round(seconds, 6), round(batch / seconds, 1))
                rows.append(dict(zip(COLUMNS, values, strict=True)))
    return [row for row in rows if row["repeat"] >= 0]


def summarise(rows: list[dict[str, Any]]) -> None:
    """Ratios to both recurrent controllers, and the time of a layer."""
    seconds = {tuple(row[name] for name in COLUMNS[:5]): float(row["seconds"]) for row in rows}
    places = sorted({key[2:4] for key in seconds})
    repeats = sorted({key[4] for key in seconds})
    for work in ("sample", "gradient"):
        print(f"{work}: times faster than rnn (than rnn-parallel); microseconds of gcn for a layer of a batch")
        for depth, batch in places:

            def ratio(slow: str, fast: str, work: str = work, place: tuple[int, int] = (depth, batch)) -> float:
                pairs = [seconds[work, slow, *place, r] / seconds[work, fast, *place, r] for r in repeats]
                return statistics.median(pairs)

            parts = [
                f"{name} {ratio('rnn', name):5.2f} ({ratio('rnn-parallel', name):5.2f})"
                for name in POLICIES
                if not name.startswith("rnn")
            ]
            layer = statistics.median(seconds[work, "gcn", depth, batch, r] for r in repeats) / depth * 1e6
            gain = ratio("rnn", "rnn-parallel")
            print(
                f"  depth {depth:2} batch {batch:3}: {', '.join(parts)}, rnn-parallel {gain:5.2f}; {layer:6.0f} us"
            )


def main() -> None:
    """Measure everything, write the rows, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[10, 20, 40, 80])
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for depth in arguments.depths:
        for batch in arguments.batches:
            rows += measure(depth, batch, arguments.repeats)
    replace_rows(arguments.out, COLUMNS, rows)
    summarise(rows)


if __name__ == "__main__":
    main()
