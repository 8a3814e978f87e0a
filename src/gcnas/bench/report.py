"""From the runs of a folder to its tables and plots."""

from pathlib import Path

from gcnas.bench.comparison import COLUMNS, compare
from gcnas.bench.curves import group_runs
from gcnas.bench.plots import write_plots
from gcnas.bench.raw import RAW, RUNS, read_raw, read_runs, write_raw, writing
from gcnas.bench.summary import Cell, curve_rows, summarise, write_table
from gcnas.errors import ConfigurationError, DataError


def write_report(folder: Path, against: str | None = None, *, plots: bool = True) -> list[dict[str, Cell]]:
    """Write ``raw.csv`` (where the folder has its runs), ``summary.csv``, ``curves.csv``, ``tests.csv`` and plots.

    Args:
        folder: Folder of a bench; one that holds a ``raw.csv`` alone will do.
        against: If given, only pairs with this strategy are tested.
        plots: Whether to draw.

    Returns:
        The rows of the summary.

    Raises:
        DataError: If there are no runs, or they are damaged or cannot be compared.
        ConfigurationError: If ``against`` has no runs, or the folder cannot be written.
    """
    runs = read_runs(folder) if (folder / RUNS).is_dir() else read_raw(folder / RAW)
    if not runs:
        raise DataError(f"{folder} holds no finished run.")
    groups = group_runs(runs)
    if against is not None and against not in {group.strategy for group in groups}:
        known = ", ".join(dict.fromkeys(group.strategy for group in groups))
        raise ConfigurationError(f"There are no runs of {against!r} in {folder}, only of {known}.")
    rows = [summarise(group) for group in groups]
    tests = compare(groups, against)
    with writing(folder):
        if (folder / RUNS).is_dir():
            write_raw(folder, runs)
        write_table(folder / "summary.csv", rows)
        write_table(folder / "curves.csv", [row for group in groups for row in curve_rows(group)])
        write_table(folder / "tests.csv", tests, COLUMNS)
        if plots:
            write_plots(folder / "plots", groups)
    return rows
