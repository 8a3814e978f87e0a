"""Warm and cold starts of ``gcnas`` on tables of trained networks, with a history that helps and one that misleads.

For each pair of tables that share a space and each seed s: a search of 40 queries on the first table (seed s + 1000) is
the history; then 40 queries on the second one (seed s) without it (``cold``), with it (``warm``), and with its scores
negated, so that the worst networks pass for the best (``inverted``). The figure is the regret: the best score of the
table less the best one found, in points of accuracy.

``python benchmarks/warm_start_tables.py --data FOLDER`` writes ``benchmarks/results/warm_start_tables.csv``, one row a
search; searches that stand there are not repeated. Without ``--data`` only the figures are printed.
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jobs import append_rows, rows

from gcnas.bench.problem import Problem
from gcnas.bench.search import search_with
from gcnas.bench.tables import find_tables
from gcnas.records import Architecture, Evaluation, EvaluationState
from gcnas.run.past import ranked
from gcnas.strategy.gcnas import GCNASStrategy
from gcnas.strategy.history import PastRun

RESULTS = Path(__file__).resolve().parent / "results" / "warm_start_tables.csv"
PAIRS = (
    ("nb201-cifar10", "nb201-imagenet16"),
    ("channel-resnet", "channel-mobilenet"),
    ("channel-mobilenet", "channel-resnet"),
)
ARMS = ("cold", "warm", "inverted")
QUERIES = 40
MARKS = (8, 10, 20, 40)
COLUMNS = ["history", "table", "arm", "seed", *(f"regret_{mark}" for mark in MARKS), "queries"]


class Listening(GCNASStrategy):
    """Keeps what it was told."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.told: list[tuple[Architecture, int, float]] = []

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Keep and learn."""
        super().tell(evaluations)
        complete = (e for e in evaluations if e.state is EvaluationState.COMPLETE)
        self.told += [(e.proposal.architecture, 1, float(e.score or 0)) for e in complete]


def learnt(table: Problem, seed: int) -> list[tuple[Architecture, int, float]]:
    """What a search of a table was told."""
    strategy = Listening(table.space, seed)
    search_with(table, strategy, "gcnas", seed, QUERIES)
    return strategy.told


def past(told: list[tuple[Architecture, int, float]], arm: str) -> tuple[PastRun, ...]:
    """The history of an arm."""
    if arm == "cold":
        return ()
    sign = -1 if arm == "inverted" else 1
    return (ranked("history", [(architecture, epochs, sign * score) for architecture, epochs, score in told]),)


def search(table: Problem, history: tuple[PastRun, ...], seed: int) -> dict[str, Any]:
    """Regret after some queries; a search ends when it has found the best."""
    found = search_with(
        table, GCNASStrategy(table.space, seed, history=history), "gcnas", seed, QUERIES
    ).queries
    scores = [query.score for query in found]
    regrets = {f"regret_{mark}": round(table.best - max(scores[:mark]), 4) for mark in MARKS}
    return regrets | {"queries": len(found)}


def run(data: Path, seeds: int) -> None:
    """What is missing."""
    names = {name for pair in PAIRS for name in pair}
    tables = {reference.name: reference.load() for reference in find_tables(sorted(names), data=data)}
    done = {(row["history"], row["table"], row["seed"]) for row in rows(RESULTS, COLUMNS)}
    for seed in range(seeds):
        for first, second in PAIRS:
            if (first, second, str(seed)) in done:
                continue
            told = learnt(tables[first], seed + 1000)
            searches = [
                {"history": first, "table": second, "arm": arm, "seed": seed}
                | search(tables[second], past(told, arm), seed)
                for arm in ARMS
            ]
            append_rows(RESULTS, COLUMNS, searches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the tables")
    parser.add_argument("--seeds", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.data:
        run(options.data, options.seeds)
    for first, second in PAIRS:
        for arm in ARMS:
            own = [r for r in rows(RESULTS) if (r["history"], r["table"], r["arm"]) == (first, second, arm)]
            if own:
                means = (statistics.fmean(float(row[f"regret_{mark}"]) for row in own) for mark in MARKS)
                print(first, "->", second, arm, len(own), "seeds:", *(f"{mean:.3f}" for mean in means))


if __name__ == "__main__":
    main()
