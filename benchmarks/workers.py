"""Evaluations an hour on two cores: two workers with one thread each against one with two threads.

Both evaluate the same candidates: random networks of the space ``cnn`` within ResNet-8's limits (78,000 parameters,
9.4 M multiply-adds), one epoch on 2,000 images of Fashion-MNIST (1,600 of them for training). A pair is one block of
forty candidates, evaluated by the one and then by the other; the order alternates from pair to pair, so that what
else the machine does falls on both. Both are set up before the first pair (``start_seconds`` of the two workers is
kept), and the processes are reused. The sum of a block's
scores is kept; between one thread and two it differs by rounding that training makes larger.

All of the closing note: ``python benchmarks/workers.py --pairs 4`` (networks of seed 0, data of seed 0). The data are
read from the folder in GCNAS_DATA or ``../shared/data``. Results replace ``results/workers.csv``; ``load`` is the
system's load average after the block: beyond two, other programs compete, and threads waiting for each other lose most.
"""

import argparse
import csv
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

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
COLUMNS = "pair order arm workers threads candidates seconds an_hour scores load start_seconds".split()
ARMS = {"two workers": 2, "one worker": 1}
BLOCK = 40


def fashion() -> tuple[np.ndarray, np.ndarray]:
    arrays = np.load(DATA / "fashion_mnist.npz")
    chosen = np.random.RandomState(0).permutation(60_000)[:2_000]
    return arrays["train_images"][chosen], arrays["train_labels"][chosen]


def begin(folder: Path, workers: int) -> Context:
    config = RunConfig.create(
        data="<arrays>",
        budget=1,
        epochs=1,
        workers=workers,
        threads=2,
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
    parser.add_argument("--pairs", type=int, default=3)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as temporary, RESULTS.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        contexts = {arm: begin(Path(temporary) / str(count), count) for arm, count in ARMS.items()}
        executors = {arm: create_executor(context, Observer()) for arm, context in contexts.items()}
        strategy = create_strategy("random", contexts["one worker"].space, 0)
        warm_up, starts = strategy.ask(2), {}
        for arm, executor in executors.items():
            starts[arm] = evaluate(executor, warm_up, contexts[arm])[0]
        ratios = []
        for pair in range(pairs):
            block, seconds = strategy.ask(BLOCK), {}
            for order, arm in enumerate(list(ARMS) if pair % 2 == 0 else list(ARMS)[::-1]):
                torch.set_num_threads(contexts[arm].platform.threads)
                seconds[arm], scores = evaluate(executors[arm], block, contexts[arm])
                table.writerow({
                    "pair": pair,
                    "order": order,
                    "arm": arm,
                    "workers": ARMS[arm],
                    "threads": contexts[arm].platform.threads,
                    "candidates": BLOCK,
                    "seconds": f"{seconds[arm]:.2f}",
                    "an_hour": f"{3600 * BLOCK / seconds[arm]:.0f}",
                    "scores": f"{scores:.4f}",
                    "load": f"{os.getloadavg()[0]:.1f}",
                    "start_seconds": f"{starts[arm]:.1f}",
                })  # fmt: skip
                file.flush()
            ratios.append(seconds["one worker"] / seconds["two workers"])
            print(f"pair {pair}: {ratios[-1]:.2f} times the evaluations an hour", flush=True)
        for executor in executors.values():
            executor.close()
    print(f"{pairs} pairs: median {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
