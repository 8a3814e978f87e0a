"""The tables of a bench: one row for each strategy on each space."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gcnas.bench.curves import Group, censored_median, interval, mean_interval
from gcnas.files import write_atomically

SOLVED_AT = (50, 100, 150)
REGRET_AT = (10, 20, 30, 50, 100, 150)

Cell: TypeAlias = str | int | float | None


def summarise(group: Group) -> dict[str, Cell]:
    """The row of ``summary.csv``; None where a run was shorter, or there is no value."""
    median = float(censored_median(group.queries))
    low, high = interval(group.queries, censored_median)
    row: dict[str, Cell] = {
        "space": group.space,
        "strategy": group.strategy,
        "seeds": len(group.seeds),
        "queries": group.budget,
        "median_queries": _finite(median),
        "median_queries_low": _finite(low),
        "median_queries_high": _finite(high),
        "mean_queries": float(np.minimum(group.queries, group.budget).mean()),
        "solved": float(np.isfinite(group.queries).mean()),
        "exhausted": group.exhausted,
    }
    for count in SOLVED_AT:
        row[f"solved_{count}"] = float((group.queries <= count).mean()) if count <= group.budget else None
    lows, highs = mean_interval(group.regret)
    for count in REGRET_AT:
        known = count <= group.budget
        row[f"regret_{count}"] = float(group.regret[:, count - 1].mean()) if known else None
        row[f"regret_{count}_low"] = float(lows[count - 1]) if known else None
        row[f"regret_{count}_high"] = float(highs[count - 1]) if known else None
    row["regret_end"] = float(group.regret[:, -1].mean())
    row |= _mean("auc_regret", group.auc) | _mean("test_of_best", group.tests)
    return row | {"overhead_ms": 1e3 * group.overhead, "repeats_per_query": group.repeats}


def _mean(name: str, values: np.ndarray) -> dict[str, Cell]:
    """Of the seeds that have a value."""
    values = values[~np.isnan(values)]
    if not len(values):
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = mean_interval(values)
    return {name: float(values.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def curve_rows(group: Group) -> list[dict[str, Cell]]:
    """Mean regret after each query with its 95 % interval."""
    lows, highs = mean_interval(group.regret)
    means = group.regret.mean(0)
    names = {"space": group.space, "strategy": group.strategy}
    return [
        {**names, "query": query, "regret": float(mean), "low": float(low), "high": float(high)}
        for query, (mean, low, high) in enumerate(zip(means, lows, highs, strict=True), start=1)
    ]


def write_table(path: Path, rows: Sequence[Mapping[str, Cell]], columns: Sequence[str] = ()) -> Path:
    """Write rows with the same columns as CSV, of the names given where there may be no rows; None is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    write_atomically(path, text.getvalue().encode())
    return path


def _cell(value: Cell) -> Cell:
    return f"{value:.6g}" if isinstance(value, float) else value
