"""Evaluations an hour on two cores: two workers with one thread each, one with two threads, and one with one thread.

The last says how much of the second core each of the other two makes use of. All evaluate the same candidates: random
networks of the space ``cnn`` within ResNet-8's limits (78,000 parameters, 9.4 M multiply-adds), one epoch on 2,000
images of Fashion-MNIST (some 1,580 of them for training). A round is one block of forty candidates, evaluated by one
after the other; the order turns from round to round, so that what else the machine does falls on all. All are set up
before the first round (``start_seconds`` is kept), and the processes are reused. The sum of a block's scores is kept;
between one thread and two it differs by rounding that training makes larger.

``python benchmarks/workers.py --rounds 6`` (networks of seed 0, data of seed 0) takes ten minutes. The data are read
from the folder in GCNAS_DATA or ``../shared/data``. Results replace ``results/workers.csv`` at the end; ``load`` is the
system's load average after the block: beyond two, other programs compete, and threads waiting for each other lose most.
"""

import argparse
import os
import statistics
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from jobs import replace_rows

from gcnas.config import RunConfig
from gcnas.data import load
from gcnas.execution import Executor, Job
from gcnas.records import Proposal
from gcnas.run.context import Context
from gcnas.run.evaluating import create_executor
from gcnas.run.folder import RunFolder
from gcnas.run.observer import Observer
from gcnas.run.session import new_context
from gcnas.space.presets import CNN
from gcnas.strategy import create_strategy

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GCNAS_DATA") or ROOT.parent / "shared" / "data") / "images"
RESULTS = ROOT / "benchmarks" / "results" / "workers.csv"
COLUMNS = "round order arm workers threads candidates seconds an_hour scores load start_seconds".split()
ARMS = {"two workers": (2, 2), "one worker": (1, 2), "one thread": (1, 1)}
"""Workers, and threads in all."""

BLOCK = 40


def fashion() -> tuple[np.ndarray, np.ndarray]:
    arrays = np.load(DATA / "fashion_mnist.npz")
    chosen = np.random.RandomState(0).permutation(60_000)[:2_000]
    return arrays["train_images"][chosen], arrays["train_labels"][chosen]


def begin(folder: Path, workers: int, threads: int) -> Context:
    config = RunConfig.create(
        data="<arrays>",
        budget=1,
        epochs=1,
        workers=workers,
        threads=threads,
        max_params="78k",
        max_macs="9.4M",
        test_fraction=0.01,
    )
    dataset = load(fashion(), validation_fraction=0.2, test_fraction=0.01)
    return new_context(config, dataset, CNN, RunFolder.create(folder))


def evaluate(executor: Executor, proposals: list[Proposal], context: Context) -> tuple[float, float]:
    """Seconds, and the sum of the scores."""
    waiting = [Job(number, proposal, context.fidelity) for number, proposal in enumerate(proposals)]
    start, under_way, scores = time.perf_counter(), 0, 0.0
    while waiting or under_way:
        while waiting and under_way < executor.capacity:
            executor.submit(waiting.pop(0))
            under_way += 1
        for outcome in executor.wait():
            under_way -= 1
            scores += outcome.evaluation.score or 0.0
    return time.perf_counter() - start, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
    with tempfile.TemporaryDirectory() as temporary:
        contexts = {arm: begin(Path(temporary) / arm, *counts) for arm, counts in ARMS.items()}
        executors = {arm: create_executor(context, Observer()) for arm, context in contexts.items()}
        strategy = create_strategy("random", contexts["one worker"].space, 0)
        warm_up, starts = strategy.ask(2), {}
        for arm, executor in executors.items():
            starts[arm] = evaluate(executor, warm_up, contexts[arm])[0]
        for number in range(options.rounds):
            block, first = strategy.ask(BLOCK), number % len(ARMS)
            for order, arm in enumerate([*list(ARMS)[first:], *list(ARMS)[:first]]):
                torch.set_num_threads(contexts[arm].platform.threads)
                spent, scores = evaluate(executors[arm], block, contexts[arm])
                seconds[arm].append(spent)
                rows.append({
                    "round": number,
                    "order": order,
                    "arm": arm,
                    "workers": ARMS[arm][0],
                    "threads": contexts[arm].platform.threads,
                    "candidates": BLOCK,
                    "seconds": f"{spent:.2f}",
                    "an_hour": f"{3600 * BLOCK / spent:.0f}",
                    "scores": f"{scores:.4f}",
                    "load": f"{os.getloadavg()[0]:.1f}",
                    "start_seconds": f"{starts[arm]:.1f}",
                })  # fmt: skip
        for executor in executors.values():
            executor.close()
    replace_rows(options.out, COLUMNS, rows)
    for arm, other in combinations(ARMS, 2):
        ratios = [theirs / ours for ours, theirs in zip(seconds[arm], seconds[other], strict=True)]
        spread = f"median {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{arm}, times the evaluations an hour of {other}: {spread}")


if __name__ == "__main__":
    main()
