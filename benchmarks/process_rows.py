"""What should `gcnas` make of evaluations where some networks were trained further than others?

``python benchmarks/process_rows.py --seeds 20`` searches NAS-Bench-201 with two rungs, 12 epochs and 200: each network
that is proposed has the score of 12, and of three such one, the best that was not yet, that of 200 as well. The process
is conditioned on ``highest``, the evaluations at the highest fidelity, on all where these are less than a quarter, or
on ``every``, one evaluation of each network, that of its most training. ``by-target`` is ``highest`` with the best
networks, whose edits are candidates and which the policy imitates, in the order of their targets, in which a network
with more training keeps the place that it had with less, and not by their training before their scores. What counts is
the regret of the best score after 200 epochs, over the 12-epoch evaluations. A row that stands in the result file is
not run again; ``--summary`` prints what is there. The data are read from the folder in GCNAS_DATA or
``../shared/data``.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jobs import append, rows
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from gcnas.bench.tables import built_in
from gcnas.config import stream_seed
from gcnas.execution import Job
from gcnas.execution.table import look_up
from gcnas.records import Evaluation, Fidelity, Proposal
from gcnas.strategy.experience import Experience
from gcnas.strategy.gcnas import GCNASStrategy
from gcnas.strategy.surrogate import Surrogate
from gcnas.tabular import Description, Table, load_table

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GCNAS_DATA") or HERE.parent.parent / "shared" / "data") / "tabular"
RESULTS = HERE / "results" / "process_rows.csv"
COLUMNS = "space arm seed queries promoted mean_regret last_regret".split()
SPACES = ("nb201-cifar10", "nb201-cifar100", "nb201-imagenet16")
QUERIES, OF = 60, 3

Floats = NDArray[np.float64]
Rule = Callable[[Surrogate, Experience, Floats], NDArray[np.int64]]


def highest(surrogate: Surrogate, experience: Experience, targets: Floats) -> NDArray[np.int64]:
    """Evaluations at the highest fidelity, or all."""
    found = np.flatnonzero(experience.epochs == experience.epochs.max())
    if len(found) < len(targets) // 4:
        found = np.arange(len(targets))
    return limited(surrogate, found, targets)


def every(surrogate: Surrogate, experience: Experience, targets: Floats) -> NDArray[np.int64]:
    """One evaluation of each network, that of its most training."""
    order = np.lexsort((-np.arange(len(targets)), -experience.epochs))
    _, first = np.unique(experience.tokens[order].reshape(len(targets), -1), axis=0, return_index=True)
    return limited(surrogate, np.sort(order[first]), targets)


def limited(surrogate: Surrogate, found: NDArray[np.int64], targets: Floats) -> NDArray[np.int64]:
    """The newest and the best of more than the process takes."""
    if len(found) <= surrogate.settings.subset:
        return found
    half = surrogate.settings.subset // 2
    best = found[np.argsort(-targets[found], kind="stable")[:half]]
    return np.union1d(found[-half:], best)


def by_target(self: Experience, count: int) -> NDArray[np.int64]:
    """Rows of networks with a score, each with its most training, the best first by their targets."""
    best = AS_IT_IS(self, len(self))
    return best[np.argsort(-self.targets[best], kind="stable")][:count]


AS_IT_IS = Experience.best
ARMS: dict[str, Rule] = {"highest": highest, "every": every, "by-target": highest}


def run_one(table: Table, arm: str, seed: int, output: Path) -> None:
    """One search, and its row."""
    Surrogate._rows = ARMS[arm]  # type: ignore[method-assign, assignment] # noqa: SLF001
    Experience.best = by_target if arm == "by-target" else AS_IT_IS  # type: ignore[method-assign]
    strategy = GCNASStrategy(table.space, stream_seed(seed, "strategy"))

    def evaluate(proposal: Proposal, epochs: int) -> Evaluation:
        found = look_up(table, Job(0, proposal, Fidelity(epochs)))
        strategy.tell([found])
        return found

    waiting: list[Evaluation] = []
    scores: list[float] = []
    regrets: list[float] = []
    for query in range(1, QUERIES + 1):
        (proposal,) = strategy.ask(1)
        waiting.append(evaluate(proposal, 12))
        if query % OF == 0:
            chosen = max(waiting, key=lambda found: found.score or 0.0)
            waiting.remove(chosen)
            scores.append(evaluate(chosen.proposal, 200).score or 0.0)
        if scores:
            regrets.append(table.best - max(scores))
    figures = (round(statistics.fmean(regrets), 5), round(regrets[-1], 5))
    append(output, COLUMNS, (table.space.name, arm, seed, QUERIES, len(scores), *figures))


def summarise(output: Path) -> None:
    """Means, and paired tests."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows(output):
        found.setdefault((row["space"], row["arm"]), {})[row["seed"]] = float(row["mean_regret"])
    usual, *others = ARMS
    for space, arm in ((space, arm) for space in SPACES for arm in others):
        one, other = (found.get((space, each), {}) for each in (usual, arm))
        seeds = sorted(one.keys() & other.keys())
        if seeds:
            values = [[scores[seed] for seed in seeds] for scores in (one, other)]
            means = ", ".join(
                f"{each} {statistics.fmean(v):.4f}" for each, v in zip((usual, arm), values, strict=True)
            )
            p: Any = wilcoxon(*values).pvalue
            print(f"{space}: {len(seeds)} seeds, mean regret {means}, Wilcoxon p = {p:.3f}")


def main() -> None:
    """Read the command line, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--summary", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.summary:
        done = {(row["space"], row["arm"], row["seed"]) for row in rows(given.out, COLUMNS)}
        tables = [
            load_table(DATA / "nb201.csv.gz", Description.parse(built_in()[name], name))
            for name in given.spaces
        ]
        for seed in range(given.seeds):
            for table in tables:
                for arm in ARMS:
                    if (table.space.name, arm, str(seed)) not in done:
                        run_one(table, arm, seed, given.out)
    summarise(given.out)


if __name__ == "__main__":
    main()
