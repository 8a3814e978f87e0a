"""``gcnas data check``."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gcnas.cli.options import ChannelsOption, ResolutionOption, TestOption, ValidationOption, given
from gcnas.cli.text import escape
from gcnas.errors import DataError

if TYPE_CHECKING:
    from gcnas.data import DataSummary, DuplicateCounts

SHOWN = 20
"""Broken files that are listed by name on a terminal."""

app = typer.Typer(no_args_is_help=True, help="Look at images before a search.")


@app.callback()
def _group() -> None:
    """Look at images before a search."""


@app.command("check")
def check(
    path: Annotated[str, typer.Argument(metavar="DATA", help="Image folder, CSV, npz file, or 'digits'.")],
    resolution: ResolutionOption = None,
    channels: ChannelsOption = None,
    validation_fraction: ValidationOption = None,
    test_fraction: TestOption = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Of the splits. \\[default: 0]")
    ] = None,
) -> None:
    """Print classes, sizes, broken files and duplicates, and the command to run next."""
    from gcnas.data import check as check_data

    options = given(
        resolution=resolution,
        channels=channels,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
    )
    summary = check_data(path, **options)
    console = Console(highlight=False)
    _print_facts(console, summary)
    _print_classes(console, summary)
    shown = SHOWN if console.is_terminal else len(summary.broken)
    for broken, reason in summary.broken[:shown]:
        console.print(f"[red]broken[/] {escape(broken)}: {escape(reason)}", soft_wrap=True)
    if len(summary.broken) > shown:
        console.print(f"… and {len(summary.broken) - shown} more broken files; in a pipe all are listed")
    for notice in summary.notices:
        console.print(f"[yellow]note[/] {escape(notice)}", soft_wrap=True)
    if summary.problem:
        raise DataError(summary.problem)
    words = [shlex.quote(path), *(f"--{name.replace('_', '-')} {value}" for name, value in options.items())]
    console.print(f"\nNext: [bold]gcnas search {escape(' '.join(words))} --budget 10m[/]", soft_wrap=True)


def _print_facts(console: Console, summary: "DataSummary") -> None:
    sizes = ", ".join(f"{width}x{height} ({count:,})" for width, height, count in summary.sizes[:3])
    modes = ", ".join(f"{mode} ({count:,})" for mode, count in summary.modes.items())
    height, width = summary.resolution
    facts = {
        "data": f"{summary.name} ({summary.kind})",
        "images": f"{summary.images:,}, {len(summary.broken):,} broken, {summary.other_files:,} other files",
        "sizes": sizes + (f", {len(summary.sizes) - 3} others" if len(summary.sizes) > 3 else ""),
        "modes": modes,
        "networks see": f"{width}x{height} {'grey' if summary.channels == 1 else 'colour'}",
        "imbalance": f"{summary.imbalance:.1f} (largest class by smallest)",
        "duplicates": _duplicates(summary.duplicates),
    }
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(name, escape(fact))
    console.print(table)


def _duplicates(counts: "DuplicateCounts") -> str:
    parts = [f"{count:,} within {split}" for split, count in counts.within.items() if count]
    parts += [
        f"{count:,} of {second} also in {first}" for (first, second), count in counts.across.items() if count
    ]
    parts += [f"{counts.conflicting:,} groups with different classes"] if counts.conflicting else []
    return ", ".join(parts) or "none"


def _print_classes(console: Console, summary: "DataSummary") -> None:
    splits = list(next(iter(summary.counts.values()), {}))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    for split in splits:
        made = " (made)" if split in summary.made else ""
        table.add_column(f"{split}{made}", justify="right")
    for name, counts in summary.counts.items():
        table.add_row(escape(name), *(f"{counts[split]:,}" for split in splits))
    console.print()
    console.print(table)
