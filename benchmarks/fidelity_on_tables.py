"""What rungs save on NAS-Bench-201, where the scores of 12 epochs and of 200 are known of every network.

Arms: ``full`` trains every candidate for 200 epochs; ``rungs-9`` for 12, and of nine the best one that has not gone on
yet for 200, ``rungs-3`` of three, by the code of ``gcnas search`` (:class:`gcnas.run.halving.SuccessiveHalving`). In a
search of three rungs one network of nine gets the full training, in one of two rungs one of three. The two trainings of
the table are separate ones, so to go on costs the 200 epochs whole, those trained already included. An evaluation takes
the seconds of the table; all arms have as many as 50 trainings of 200 epochs take on average.

``python benchmarks/fidelity_on_tables.py --seeds 30 --jobs 2`` runs the arms with the strategies ``gcnas`` and
``random`` on the three data sets, some 40 minutes on two cores; ``--summary`` prints what is there. A row of
``benchmarks/results/fidelity_on_tables.csv`` is a change of the network that the run would recommend, the best of those
with the most training, with its scores after 200 epochs: validation, which decides, and test. A search that stands in
the file is not run again. The data are read from the folder in GCNAS_DATA or ``../shared/data``.

The summary takes for each seed the validation accuracy of the network that ``full`` recommends in the end, and gives
how many times sooner than its end the others recommend one as good (median and quartiles), how many times sooner than
``full`` first did, and the test accuracies in the end; where they never do, they count as needing longer than all.
"""

import argparse
import math
import os
import statistics
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from jobs import append_rows, rows, run_each
from scipy.stats import wilcoxon

from gcnas.bench.search import InTable
from gcnas.bench.tables import built_in
from gcnas.config import stream_seed
from gcnas.execution import Job
from gcnas.execution.table import look_up
from gcnas.records import Evaluation, Fidelity, Limits
from gcnas.run import halving
from gcnas.run.halving import Ladder, SuccessiveHalving
from gcnas.strategy import Strategy, create_strategy
from gcnas.tabular import Description, Table, load_table

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GCNAS_DATA") or HERE.parent.parent / "shared" / "data") / "tabular"
RESULTS = HERE / "results" / "fidelity_on_tables.csv"
COLUMNS = (
    "space strategy arm seed seconds elapsed trained_for score validation test networks full_trainings".split()
)
SPACES = ("nb201-cifar10", "nb201-cifar100", "nb201-imagenet16")
STRATEGIES = ("gcnas", "random")
ARMS = {"full": 1, "rungs-3": 3, "rungs-9": 9}
"""By name, of how many networks one is trained for 200 epochs."""

LOW, FULL = 12, 200
TRAININGS = 50


class Search:
    """One search on a clock that only evaluations move."""

    def __init__(self, table: Table, strategy: str, arm: str, seed: int) -> None:
        self.table, self.seconds = table, TRAININGS * float(table.levels[FULL].seconds.mean())
        self.elapsed, self.networks, self._spent = 0.0, 0, 0.0
        inner: Strategy = create_strategy(strategy, table.space, stream_seed(seed, "strategy"))
        self._strategy: Strategy = InTable(inner, [], table)
        if ARMS[arm] > 1:
            halving.ETA = ARMS[arm]  # type: ignore[attr-defined]
            self._strategy = SuccessiveHalving(
                self._strategy,
                Ladder([Fidelity(LOW), Fidelity(FULL)]),
                (),
                limits=Limits(),
                cost=lambda proposal: table.space.cost(proposal.architecture),
                multi_fidelity=inner.multi_fidelity,
                seconds_left=lambda: self.seconds - self.elapsed,
            )

    def run(self) -> Iterator[dict[str, Any]]:
        """Changes of the recommended network."""
        best = (0, -math.inf)
        while (found := self._next()) is not None:
            rank = (found.fidelity.epochs if found.fidelity else 0, found.score or 0.0)
            if rank > best:
                best = rank
                yield self._row(found, *rank)

    def _next(self) -> Evaluation | None:
        """One more evaluation; None when the time is over."""
        proposals = self._strategy.ask(1)
        if not proposals:
            return None
        (proposal,) = proposals
        fidelity = proposal.fidelity or Fidelity(FULL)
        found = look_up(self.table, Job(0, replace(proposal, fidelity=None), fidelity))
        if self.elapsed + found.seconds > self.seconds:
            return None
        self.elapsed += found.seconds
        self._spent += fidelity.epochs / FULL
        self.networks += proposal.fidelity is None or fidelity.epochs == LOW  # its first training
        self._strategy.tell([found])
        return found

    def _row(self, found: Evaluation, epochs: int, score: float) -> dict[str, Any]:
        whole = self.table.entry(found.proposal.architecture, FULL)
        return {
            "elapsed": round(self.elapsed, 1),
            "trained_for": epochs,
            "score": round(score, 4),
            "validation": round(whole.reward if whole else math.nan, 4),
            "test": round(self.table.test(found.proposal.architecture) or math.nan, 4),
            "networks": self.networks,
            "full_trainings": round(self._spent, 2),
        }


def run_one(space: str, strategy: str, arm: str, seed: int, output: Path) -> None:
    """One search; its rows."""
    table = load_table(DATA / "nb201.csv.gz", Description.parse(built_in()[space], space))
    search = Search(table, strategy, arm, seed)
    job = {
        "space": space,
        "strategy": strategy,
        "arm": arm,
        "seed": seed,
        "seconds": round(search.seconds, 1),
    }
    append_rows(output, COLUMNS, [job | row for row in search.run()])


def summarise(output: Path) -> None:
    """How much sooner rungs are as good, and where both end."""
    found: dict[tuple[str, str, str], dict[str, list[dict[str, str]]]] = {}
    for row in rows(output):
        key = (row["space"], row["strategy"], row["arm"])
        found.setdefault(key, {}).setdefault(row["seed"], []).append(row)
    full, *others = ARMS
    for strategy, arm, space in product(STRATEGIES, others, SPACES):
        one, other = (found.get((space, strategy, each), {}) for each in (full, arm))
        if seeds := sorted(one.keys() & other.keys(), key=int):
            _summary(f"{strategy} {arm} {space}", [(one[seed], other[seed]) for seed in seeds])


def _summary(name: str, pairs: list[tuple[list[dict[str, str]], list[dict[str, str]]]]) -> None:
    of_all, of_first, ends = [], [], []
    for full, rungs in pairs:
        target = float(full[-1]["validation"])
        first, when = (_first(changes, target) for changes in (full, rungs))
        of_all.append(float(full[-1]["seconds"]) / when)
        of_first.append(first / when)
        ends.append(
            [float(changes[-1][score]) for score in ("validation", "test") for changes in (full, rungs)]
        )
    print(
        f"{name}, {len(pairs)} seeds: as good as full in the end {_quartiles(of_all)} times sooner than its end, ",
        end="",
    )
    print(
        f"{_quartiles(of_first)} times sooner than it, {sum(not ratio for ratio in of_all)} times never;",
        end="",
    )
    before, after, before_test, after_test = zip(*ends, strict=True)
    for score, one, other in (("validation", before, after), ("test", before_test, after_test)):
        p: Any = wilcoxon(one, other).pvalue if one != other else math.nan
        print(f" {score} {statistics.fmean(one):.2f} and {statistics.fmean(other):.2f} (p {p:.3f})", end="")
    print()


def _first(changes: list[dict[str, str]], target: float) -> float:
    """Seconds until a network with this validation accuracy was recommended; infinite where none was."""
    return next((float(row["elapsed"]) for row in changes if float(row["validation"]) >= target), math.inf)


def _quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * values
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Read the command line, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--here", nargs=4, metavar=("SPACE", "STRATEGY", "ARM", "SEED"), help=argparse.SUPPRESS)
    parser.add_argument("--summary", action="store_true", help="only print what is there")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.here:
        space, strategy, arm, seed = given.here
        run_one(space, strategy, arm, int(seed), given.out)
        return
    if not given.summary:
        done = {tuple(row[name] for name in COLUMNS[:4]) for row in rows(given.out, COLUMNS)}
        jobs = [
            (space, strategy, arm, str(seed))
            for seed in range(given.seeds)
            for space in given.spaces
            for strategy in given.strategies
            for arm in ARMS
        ]
        run_each(__file__, [(*job, "--out", given.out) for job in jobs if job not in done], given.jobs)
    summarise(given.out)


if __name__ == "__main__":
    main()
