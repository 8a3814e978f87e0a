"""``gcnas bench``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from gcnas.bench.summary import Cell

EXIT_INTERRUPTED = 130
SHOWN = {
    "median_queries": "median",
    "solved_50": "@50",
    "solved_100": "@100",
    "solved_150": "@150",
    "auc_regret": "AUC",
    "regret_end": "regret",
    "test_of_best": "test",
    "overhead_ms": "ms",
}
"""Columns of ``summary.csv`` that are printed, with short names for narrow terminals."""

app = typer.Typer(no_args_is_help=True, help="Compare strategies on tables of trained networks.")
AgainstOption = Annotated[
    str | None,
    typer.Option("--against", metavar="NAME", help="Test this strategy against each other one, not all pairs."),
]


@app.callback()
def _group() -> None:
    """Compare strategies on tables of trained networks."""


@app.command("run")
def run(
    space: Annotated[
        list[str],
        typer.Option(
            "--space", metavar="NAME|FILE.yaml", help="Table: a built-in name, or your description. Repeatable."
        ),
    ],
    strategy: Annotated[
        list[str], typer.Option("--strategy", metavar="NAME", help="Who searches. Repeatable.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Results; what is there is not run again.")
    ],
    table: Annotated[
        list[Path] | None,
        typer.Option(
            "--table",
            metavar="FILE",
            help="CSV, CSV.gz or npz of each description of yours, in the same order.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Folder with your copies of the built-in tables."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", help="Seeds; equal ones are paired.")] = 20,
    first_seed: Annotated[int, typer.Option("--first-seed", metavar="N", help="The first seed.")] = 0,
    queries: Annotated[
        int, typer.Option("--queries", metavar="N", help="Different networks that a run may evaluate.")
    ] = 150,
    batch: Annotated[int, typer.Option("--batch", metavar="N", help="Networks asked for at once.")] = 1,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", help="Processes of one thread. [default: all cores]")
    ] = None,
    checksum: Annotated[
        bool, typer.Option("--checksum/--no-checksum", help="Hold files against those that were checked.")
    ] = True,
    against: AgainstOption = None,
) -> None:
    """Run strategies on tables, and write raw.csv, summary.csv, curves.csv, tests.csv and plots.

    Finished runs are kept in DIR; the same command goes on with the others, and more seeds, strategies or spaces can
    be added.
    """
    from gcnas.bench import Bench, find_tables, run_bench, write_report

    console = Console(highlight=False, soft_wrap=True)
    tables = find_tables(space, table or (), data, checksum=checksum)
    bench = Bench(tuple(tables), tuple(strategy), seeds, first_seed, queries, batch)
    try:
        run_bench(
            bench, out, jobs or os.cpu_count() or 1, lambda n, total, line: typer.echo(f"[{n}/{total}] {line}")
        )
    except KeyboardInterrupt:
        typer.echo("Stopped. Finished runs are kept; the same command goes on.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _print(console, write_report(out, against), out)


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a bench, or of a raw.csv.")],
    against: AgainstOption = None,
) -> None:
    """Write the tables and plots anew from the raw results."""
    from gcnas.bench import write_report

    _print(Console(highlight=False, soft_wrap=True), write_report(folder, against), folder)


@app.command("spaces")
def spaces() -> None:
    """List the built-in tables and the files they need."""
    from gcnas.bench import built_in
    from gcnas.tabular import Description

    for name, text in built_in().items():
        description = Description.parse(text, name)
        typer.echo(f"{name}: {len(description.decisions)} decisions, file {description.file}")


def _print(console: Console, rows: "list[dict[str, Cell]]", folder: Path) -> None:
    for space in dict.fromkeys(row["space"] for row in rows):
        table = Table(
            box=None, pad_edge=False, header_style="bold", title=escape(str(space)), title_justify="left"
        )
        table.add_column("strategy", overflow="fold")
        for heading in ("seeds", *SHOWN.values()):
            table.add_column(heading, justify="right")
        for row in rows:
            if row["space"] == space:
                cells = (row["strategy"], row["seeds"], *(row[name] for name in SHOWN))
                table.add_row(*(escape(_text(cell)) for cell in cells))
        console.print(table)
    console.print(
        "median: queries to the optimum; @N: share of runs that found it within N queries; AUC: mean regret over "
        "all queries; regret: at the end; ms: processor time of the strategy per query"
    )
    console.print(escape(f"written to {folder}: summary.csv, tests.csv, curves.csv, raw.csv, plots/"))


def _text(value: "Cell") -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
