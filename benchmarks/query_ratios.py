"""How many times fewer queries does ``gcnas`` need than the recurrent controllers, given 1,500?

First ``gcnas bench run --space … --strategy reinforce-rnn-tuned … --first-seed 100 --seeds 20 --queries 1500 --data
FOLDER --out DIR`` on the six built-in tables, then ``python benchmarks/query_ratios.py DIR``. It writes a row for each
run to ``benchmarks/results/recurrent_on_tables/runs.csv`` and a row for each table and controller to ``ratios.csv``
beside it. Without DIR only the ratios are computed again. ``gcnas`` is not run: its runs are those of
``strategies_on_tables/``.

A policy that has settled proposes nothing new and its run stops by itself, so its median may not exist whatever the
budget. Two ratios are given therefore:

- ``median_ratio``: of median queries to the optimum, empty where under half of the controller's runs found it.
- ``restart_ratio``: of expected queries to the optimum if a run that ends without it is begun again with another seed:
  all queries of all runs by the number of runs that found it (the expected running time of Hansen et al., COCO, 2016).
  It is empty where no run found it. It favours the controller: proposals that repeat a network cost nothing.
  ``restart_low`` and ``restart_high`` are its 95 % bootstrap interval over the seeds of both (10,000 draws of seed 0).
"""

import argparse
import csv
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from jobs import replace_rows

RESULTS = Path(__file__).resolve().parent / "results"
FOLDER = RESULTS / "recurrent_on_tables"
OURS = RESULTS / "strategies_on_tables" / "runs.csv"
COLUMNS = "space strategy seed queries found best regret".split()
BUDGET = 1_500
DRAWS = 10_000

Run = dict[str, str]


def read(path: Path) -> list[Run]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    replace_rows(path, list(rows[0]), rows)


def last_queries(raw: Path) -> list[dict[str, Any]]:
    """One row a run from the single queries."""
    last = {(row["space"], row["strategy"], row["seed"]): row for row in read(raw)}
    rows = []
    for row in last.values():
        found = int(float(row["regret"]) <= 0)
        values = (row["space"], row["strategy"], row["seed"], row["query"], found, row["best"], row["regret"])
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def _name(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["space"], row["strategy"], int(row["seed"])


def median(runs: list[Run]) -> float:
    """Median queries to the optimum, infinite for runs that did not find it."""
    return statistics.median(int(run["queries"]) if run["found"] == "1" else float("inf") for run in runs)


def with_restarts(runs: list[Run]) -> float:
    """Expected queries to the optimum if runs that end without it are begun again."""
    found = sum(run["found"] == "1" for run in runs)
    return sum(int(run["queries"]) for run in runs) / found if found else float("inf")


def ratios(theirs: list[Run], ours: list[Run]) -> list[dict[str, Any]]:
    """One row for each table and controller."""
    rows = []
    for space, strategy in dict.fromkeys((run["space"], run["strategy"]) for run in theirs):
        rival = [run for run in theirs if (run["space"], run["strategy"]) == (space, strategy)]
        own = [run for run in ours if (run["space"], run["strategy"]) == (space, "gcnas")]
        stopped = [run for run in rival if run["found"] == "0" and int(run["queries"]) < BUDGET]
        row: dict[str, Any] = {"space": space, "strategy": strategy, "seeds": len(rival)}
        row["found"] = sum(run["found"] == "1" for run in rival)
        row["stopped"] = len(stopped)
        row["stopped_after"] = _number(
            statistics.median(int(run["queries"]) for run in stopped) if stopped else None
        )
        for name, measure in (("median", median), ("restart", with_restarts)):
            mine, other = measure(own), measure(rival)
            row |= {f"{name}_gcnas": _number(mine), f"{name}_queries": _number(other)}
            row[f"{name}_ratio"] = _number(other / mine)
        low, high = interval(rival, own)
        rows.append(row | {"restart_low": _number(low), "restart_high": _number(high)})
    return rows


def interval(theirs: list[Run], ours: list[Run]) -> tuple[float, float]:
    """95 % bootstrap interval of the ratio with restarts."""
    generator = np.random.default_rng(0)
    drawn = [_drawn(runs, generator) for runs in (theirs, ours)]
    low, high = np.quantile(drawn[0] / drawn[1], (0.025, 0.975), method="nearest")
    return float(low), float(high)


def _drawn(runs: list[Run], generator: np.random.Generator) -> np.ndarray:
    """:func:`with_restarts` of runs drawn with replacement."""
    values = np.array([(int(run["queries"]), int(run["found"])) for run in runs], dtype=float)
    queries, found = values[generator.integers(len(runs), size=(DRAWS, len(runs)))].sum(1).T
    ratios: np.ndarray = np.divide(queries, found, out=np.full(DRAWS, np.inf), where=found > 0)
    return ratios


def _number(value: float | None) -> str:
    return "" if value is None or value == float("inf") else f"{value:.4g}"


def main() -> None:
    """Read what was run, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="the folder that gcnas bench run wrote")
    options = parser.parse_args()
    if options.run:
        FOLDER.mkdir(exist_ok=True)
        new, runs = last_queries(options.run / "raw.csv"), FOLDER / "runs.csv"
        merged = {_name(row): row for row in [*(read(runs) if runs.exists() else []), *new]}
        write(runs, [merged[name] for name in sorted(merged)])
    rows = ratios(read(FOLDER / "runs.csv"), read(OURS))
    write(FOLDER / "ratios.csv", rows)
    for row in [{key: key for key in rows[0]}, *rows]:
        print(" ".join(f"{value!s:>{22 if key == 'strategy' else 15}}" for key, value in row.items()))


if __name__ == "__main__":
    main()
