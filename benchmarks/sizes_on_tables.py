"""What `gcnas` gains from knowing the sizes of networks on the tables, and where it stands beside tuned rivals.

    gcnas bench run --strategy gcnas --first-seed 100 --seeds 50 --queries 150 --data FOLDER --out DIR --space …
    python benchmarks/sizes_on_tables.py pack DIR sizes_on_tables
    python benchmarks/sizes_on_tables.py summary

The six tables are built in and tell parameters and multiply-adds. ``pack`` writes one row a run of a bench folder to
``benchmarks/results/NAME/runs.csv`` (``pack DIR tuned_rivals_on_tables`` for the arms ``evolution:tuned``,
``gp:tuned`` and ``tpe:tuned``, by the same command) and copies its summary. ``summary`` pairs these runs by seed with
each other, with those of ``strategies_on_tables/`` (from before tables told sizes, which only ``gcnas`` reads; its arm
``gcnas:no-sizes`` is what it was) by queries to the optimum, and with those of ``signals.csv`` by mean regret over 150
queries: medians, means, and Wilcoxon's test with Holm's correction over the lines of a block.
"""

import argparse
import csv
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jobs import replace_rows
from scipy.stats import wilcoxon

from gcnas.bench.raw import read_raw
from gcnas.bench.search import Run

RESULTS = Path(__file__).resolve().parent / "results"
QUERIES = 150
COLUMNS = "space strategy seed queries found best regret auc_regret".split()


def row(run: Run) -> list[object]:
    """What is kept of a run."""
    best = np.maximum.accumulate([query.score for query in run.queries])
    regret = run.optimum - np.concatenate([best, np.full(QUERIES - len(best), best[-1])])
    found = int(round(regret[-1], 8) <= 0)
    last = (round(float(value), 6) for value in (best[-1], regret[-1], regret.mean()))
    return [run.space, run.strategy, run.seed, len(run.queries), found, *last]


def pack(folder: Path, target: Path) -> None:
    """Write the rows of a bench folder, and copy its summary."""
    target.mkdir(exist_ok=True)
    replace_rows(target / "runs.csv", COLUMNS, sorted(row(run) for run in read_raw(folder / "raw.csv")))
    shutil.copy(folder / "summary.csv", target)


def read(file: Path, measure: str, name: str = "strategy") -> dict[str, dict[str, dict[int, float]]]:
    """A measure by strategy, space and seed; one query more than there are for what was not found."""
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    with file.open(newline="") as rows:
        for each in csv.DictReader(rows):
            missed = measure == "queries" and each["found"] == "0"
            value = QUERIES + 1 if missed else float(each[measure])
            found[each[name]][each["space"]][int(each["seed"])] = value
    return found


def compare(
    title: str, pairs: Iterable[tuple[str, dict[int, float], dict[int, float]]], *, medians: bool
) -> None:
    """One block: each pair's middle values and corrected p."""
    lines = []
    for name, own, other in pairs:
        seeds = sorted(own.keys() & other.keys())
        values = np.array([[side[seed] for seed in seeds] for side in (own, other)])
        middle = np.median(values, 1) if medians else values.mean(1)
        lines.append((float(wilcoxon(*values).pvalue), name, len(seeds), *middle))
    print(title)
    worst = 0.0
    for place, (p, name, count, mine, others) in enumerate(sorted(lines)):
        worst = max(worst, min(1.0, p * (len(lines) - place)))
        print(f"  {name}: {count} seeds, {mine:.4g} against {others:.4g}, corrected p {worst:.2g}")


def summary() -> None:
    """All blocks."""
    queries, areas = (
        read(RESULTS / "sizes_on_tables" / "runs.csv", m)["gcnas"] for m in ("queries", "auc_regret")
    )
    for space, found in queries.items():
        share = np.mean([value <= QUERIES for value in found.values()])
        mean = np.mean(list(areas[space].values()))
        print(
            f"{space}: {len(found)} seeds, median {np.median(list(found.values())):g} ({share:.2f}), AUC {mean:.4f}"
        )
    before = read(RESULTS / "strategies_on_tables" / "runs.csv", "queries")
    for rival in ("gcnas", "gp", "optuna:tpe", "evolution", "local_search"):
        pairs = [(space, queries[space], before[rival][space]) for space in queries]
        compare(f"queries to the optimum, {rival} of strategies_on_tables", pairs, medians=True)
    plain = read(RESULTS / "signals.csv", "auc_regret", "arm")["gcnas"]
    pairs = [(space, areas[space], plain[space]) for space in queries if space in plain]
    compare("mean regret, gcnas without sizes", pairs, medians=False)
    for measure, own, medians in (("queries", queries, True), ("auc_regret", areas, False)):
        for rival, spaces in read(RESULTS / "tuned_rivals_on_tables" / "runs.csv", measure).items():
            pairs = [(space, own[space], spaces[space]) for space in queries]
            compare(
                f"{'queries to the optimum' if medians else 'mean regret'}, {rival}", pairs, medians=medians
            )


def main() -> None:
    """Pack a bench folder, or print what comes of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["pack", "summary"])
    parser.add_argument("folder", type=Path, nargs="?", help="of gcnas bench run")
    parser.add_argument("name", nargs="?", help="of the folder in benchmarks/results")
    options = parser.parse_args()
    if options.part == "summary":
        summary()
    elif options.folder is None or options.name is None:
        parser.error("pack needs the folder of a bench and a name")
    else:
        pack(options.folder, RESULTS / options.name)


if __name__ == "__main__":
    main()
