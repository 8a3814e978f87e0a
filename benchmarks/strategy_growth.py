"""How the own time of strategies grows with the number of evaluations: 100, 1,000, 10,000.

``python benchmarks/strategy_growth.py`` tells each strategy random networks of the ``cnn`` space (28 x 28 pixels, at
most 100,000 parameters) with made-up scores until it knows so many, and then measures the processor time of ``ask``
and ``tell`` over the next 30 proposals, one at a time, on one thread. One row for each goes to
``benchmarks/results/strategy_growth.csv``, with the time of one ``state_dict``, which the ledger stores.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from jobs import replace_rows

from gcnas.records import Evaluation, EvaluationState, Fidelity, Limits, Proposal
from gcnas.space import InputShape
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy, create_strategy

RESULTS = Path(__file__).resolve().parent / "results" / "strategy_growth.csv"
COLUMNS = "strategy evaluations seed milliseconds_per_query longest_milliseconds state_milliseconds".split()
SPACE = CNN.fit(InputShape(1, 28, 28, 10), Limits(parameters=100_000))
ASKED = 30


def result(proposal: Proposal) -> Evaluation:
    """A score that depends on the network alone."""
    score = int(proposal.fingerprint[:8], 16) / 16**8
    return Evaluation(proposal, EvaluationState.COMPLETE, score, Fidelity(epochs=1), {})


def measure(name: str, known: list[Evaluation], seed: int) -> dict[str, Any]:
    """Time of a query after these evaluations."""
    strategy = create_strategy(name, SPACE, seed)
    for first in range(0, len(known), 100):
        strategy.tell(known[first : first + 100])
    for proposal in strategy.ask(8):
        strategy.tell([result(proposal)])
    times = []
    for _ in range(ASKED):
        start = time.process_time()
        proposals = strategy.ask(1)
        asked = time.process_time() - start
        told = [result(proposal) for proposal in proposals]
        start = time.process_time()
        strategy.tell(told)
        times.append(1e3 * (asked + time.process_time() - start))
    start = time.process_time()
    strategy.state_dict()
    state = 1e3 * (time.process_time() - start)
    values = (name, len(known), seed, sum(times) / ASKED, max(times), state)
    return dict(zip(COLUMNS, (v if isinstance(v, str | int) else round(v, 2) for v in values), strict=True))


def main() -> None:
    """Measure all, write and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", nargs="+", default="gcnas gp evolution optuna:tpe".split())
    parser.add_argument("--evaluations", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = [result(proposal) for proposal in RandomStrategy(SPACE, 1).ask(max(options.evaluations))]
    rows = []
    for seed in range(options.seeds):
        for name in options.strategies:
            for count in options.evaluations:
                rows.append(measure(name, known[:count], seed))
                print(*rows[-1].values(), flush=True)
    replace_rows(options.out, COLUMNS, rows)


if __name__ == "__main__":
    main()
