"""Plots of a bench: regret and share solved against queries, a pair of files for each space."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gcnas.bench.curves import Group, mean_interval
from gcnas.bench.raw import file_name
from gcnas.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#1F2937", "#8A93A0")
LINES = ("-", "--", ":", "-.")
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gcnas",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11.0,
    "text.parse_math": False,
}


def write_plots(folder: Path, groups: Sequence[Group]) -> list[Path]:
    """Write ``regret-SPACE`` and ``solved-SPACE`` as PNG and SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for space in dict.fromkeys(group.space for group in groups):
        members = [group for group in groups if group.space == space]
        files += _write(folder / f"regret-{file_name(space)}", space, members, _regret)
        files += _write(folder / f"solved-{file_name(space)}", space, members, _solved)
    return files


def _write(
    stem: Path, title: str, groups: Sequence[Group], draw: Callable[["Axes", Sequence[Group]], None]
) -> list[Path]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E5E7EB", linewidth=0.8)
        draw(axes, groups)
        axes.set_title(_plain(title))
        axes.set_xlabel("queries")
        axes.set_xlim(1, groups[0].budget)
        axes.legend(frameon=False, fontsize=9)
        files = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
        options: tuple[dict[str, Any], ...] = (
            {"format": "png", "dpi": 150, "metadata": {"Software": None}},
            {"format": "svg", "metadata": {"Date": None, "Creator": None}},
        )
        for file, how in zip(files, options, strict=True):
            figure.savefig(content := io.BytesIO(), **how)
            write_atomically(file, content.getvalue())
    return files


def _regret(axes: "Axes", groups: Sequence[Group]) -> None:
    """Mean and 95 % interval; a curve ends where all runs have found the optimum, which a logarithm cannot show."""
    for index, group in enumerate(groups):
        means = group.regret.mean(0)
        low, high = mean_interval(group.regret)
        shown = means > 0
        queries = np.arange(1, group.budget + 1)
        colour, line = COLOURS[index % len(COLOURS)], LINES[index // len(COLOURS) % len(LINES)]
        axes.plot(queries[shown], means[shown], line, color=colour, label=_plain(group.strategy))
        floor = np.maximum(low, means / 10)
        axes.fill_between(queries[shown], floor[shown], high[shown], color=colour, alpha=0.15, linewidth=0)
    if any((group.regret.mean(0) > 0).any() for group in groups):
        axes.set_yscale("log")
    axes.set_ylabel("validation regret, mean and 95 %")


def _solved(axes: "Axes", groups: Sequence[Group]) -> None:
    for index, group in enumerate(groups):
        queries = np.arange(1, group.budget + 1)
        shares = (group.queries[:, None] <= queries).mean(0)
        colour, line = COLOURS[index % len(COLOURS)], LINES[index // len(COLOURS) % len(LINES)]
        axes.plot(queries, shares, line, color=colour, label=_plain(group.strategy))
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("share of runs that found the optimum")


def _plain(text: str) -> str:
    """Characters that the plot's font surely has; a label that starts with an underscore would be left out.

    Of a long one the end, which tells the strategies of files apart.
    """
    plain = text.encode("ascii", "replace").decode()
    return (plain if len(plain) <= 40 else f"...{plain[-37:]}").lstrip("_") or "?"
