"""Do cheap signals help the strategy `gcnas`? On tables with published ones.

    python benchmarks/signals.py tables --seeds 50
    python benchmarks/signals.py tables --seeds 50 --without-sizes
    python benchmarks/signals.py summary [--without-sizes]

`tables` runs `gcnas` and `gcnas:signals` on the three data sets of NAS-Bench-201 with 150 queries, paired seeds from
100 on, one process and one thread. The signals are the columns `nwot` and `synflow` of NAS-Bench-Suite-Zero (those of
CIFAR-10 for CIFAR-100 too). Cells without a row there take the one of a cell of the same isomorphism class, and have no
signals where there is none. The tables also tell the sizes of networks, which `gcnas` looks at, unless
`--without-sizes` leaves them out. One row a run goes to `benchmarks/results/signals_with_sizes.csv`, or without them to
`signals.csv`; runs that are there already are not run again, and `summary` prints them.

The data are read from the folder in GCNAS_DATA or `../shared/data`.
"""

import argparse
import csv
import gzip
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from jobs import append_rows, rows
from scipy.stats import wilcoxon

from gcnas.bench.search import search_table
from gcnas.bench.tables import built_in
from gcnas.tabular import Description, Table, load_table

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("GCNAS_DATA", HERE.parent.parent / "shared" / "data"))
SPACES = {"nb201-cifar10": "c10", "nb201-cifar100": "c10", "nb201-imagenet16": "in16"}
ARMS = ("gcnas", "gcnas:signals")
FIRST_SEED, QUERIES = 100, 150
POINTS = (8, 20, 40)
COLUMNS = [
    "space",
    "arm",
    "seed",
    "queries",
    "found",
    "auc_regret",
    *(f"regret_{n}" for n in POINTS),
    "seconds",
]


def joined(folder: Path) -> Path:
    """The table of NAS-Bench-201 with its signals beside it, as a new file."""
    tables = DATA / "tabular"
    with gzip.open(tables / "nb201_zero_cost.csv.gz", "rt") as file:
        measured = {row["index"]: row for row in csv.DictReader(file)}
    with gzip.open(tables / "nb201.csv.gz", "rt") as file:
        cells = list(csv.DictReader(file))
    same: dict[str, dict[str, str]] = {}
    for row in cells:
        if row["index"] in measured:
            same.setdefault(row["iso_class"], measured[row["index"]])
    names = [f"{prefix}_{name}" for prefix in ("c10", "in16") for name in ("nwot", "synflow")]
    path = folder / "nb201_signals.csv.gz"
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, [*cells[0], *names])
        writer.writeheader()
        for row in cells:
            known = measured.get(row["index"]) or same.get(row["iso_class"]) or {}
            writer.writerow(row | {name: known.get(name, "") for name in names})
    return path


def table(name: str, path: Path, sizes: bool) -> Table:
    """A built-in table whose description names signals too, and sizes if wanted."""
    prefix, description = SPACES[name], Description.parse(built_in()[name], name)
    signals = (f"{prefix}_nwot", f"{prefix}_synflow")
    changes: dict[str, object] = {"signals": signals, "sha256": None}
    if not sizes:
        changes |= {"parameters": None, "multiply_adds": None}
    return load_table(path, description.model_copy(update=changes))


def run(problem: Table, arm: str, seed: int) -> list[object]:
    """One row of the result."""
    start = time.process_time()
    found = search_table(problem, arm, seed, QUERIES)
    best = np.maximum.accumulate([query.score for query in found.queries])
    regret = found.optimum - np.concatenate([best, np.full(QUERIES - len(best), best[-1])])
    figures = [round(float(value), 5) for value in (regret.mean(), *(regret[n - 1] for n in POINTS))]
    seconds = round(time.process_time() - start, 2)
    return [found.space, arm, seed, len(found.queries), int(regret[-1] <= 0), *figures, seconds]


def search_tables(seeds: int, sizes: bool, out: Path) -> None:
    """Run all arms, a seed after the other, and print what comes of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = joined(Path(folder))
        problems = {name: table(name, path, sizes) for name in SPACES}
    done = {(row["space"], row["arm"], row["seed"]) for row in rows(out, COLUMNS)}
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for problem in problems.values():
            for arm in ARMS:
                if (problem.space.name, arm, str(seed)) not in done:
                    append_rows(out, COLUMNS, [run(problem, arm, seed)])
    summarise(out)


def summarise(out: Path) -> None:
    """Print medians, means and paired tests of what is in a file."""
    kept = rows(out)
    for space in SPACES:
        pairs = [
            {int(row["seed"]): row for row in kept if (row["space"], row["arm"]) == (space, arm)}
            for arm in ARMS
        ]
        seeds = sorted(pairs[0].keys() & pairs[1].keys())
        areas = [np.array([float(pair[seed]["auc_regret"]) for seed in seeds]) for pair in pairs]
        for arm, pair, area in zip(ARMS, pairs, areas, strict=True):
            found = [pair[seed]["found"] == "1" for seed in seeds]
            queries = [
                int(pair[seed]["queries"]) if hit else np.inf for seed, hit in zip(seeds, found, strict=True)
            ]
            points = [np.mean([float(pair[seed][f"regret_{n}"]) for seed in seeds]) for n in POINTS]
            median = np.median(queries)
            shown = ", ".join(f"{n}: {point:.3f}" for n, point in zip(POINTS, points, strict=True))
            print(
                f"{space} {arm}: {len(seeds)} seeds, median queries {median:g}, found {np.mean(found):.2f}, "
                f"AUC {area.mean():.4f}, regret after {shown}"
            )
        print(f"{space}: paired Wilcoxon on AUC p = {wilcoxon(*areas).pvalue:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["tables", "summary"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--without-sizes", action="store_true")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    out = options.results / ("signals.csv" if options.without_sizes else "signals_with_sizes.csv")
    if options.part == "tables":
        search_tables(options.seeds, not options.without_sizes, out)
    else:
        summarise(out)


if __name__ == "__main__":
    main()
