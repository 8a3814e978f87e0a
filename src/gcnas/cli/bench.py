"""``gcnas bench``."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gcnas.cli.text import escape
from gcnas.errors import BenchError, ConfigurationError, DataError
from gcnas.files import printable

if TYPE_CHECKING:
    from gcnas.bench import Finding
    from gcnas.bench.summary import Cell

EXIT_INTERRUPTED = 130
SIGNIFICANT = 0.05
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
QueriesOption = Annotated[
    int, typer.Option("--queries", metavar="N", help="Different networks that a run may evaluate.")
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", metavar="N", help="Processes of one thread. \\[default: all cores]")
]
ChecksumOption = Annotated[
    bool, typer.Option("--checksum/--no-checksum", help="Hold files against those that were checked.")
]
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
        list[str] | None,
        typer.Option(
            "--strategy",
            metavar="NAME|FILE.py:NAME",
            help="Who searches; your own Python file is executed. Repeatable. \\[default: gcnas]",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Results; what is there is not run again.")
    ] = Path("bench-results"),
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
    queries: QueriesOption = 150,
    batch: Annotated[int, typer.Option("--batch", metavar="N", help="Networks asked for at once.")] = 1,
    jobs: JobsOption = None,
    checksum: ChecksumOption = True,
    against: AgainstOption = None,
) -> None:
    """Run strategies on tables, and write raw.csv, summary.csv, curves.csv, tests.csv and plots.

    Finished runs are kept in DIR; the same command goes on with the others, and more seeds, strategies or spaces can
    be added.
    """
    from gcnas.bench import Bench, find_tables, run_bench, write_report
    from gcnas.bench.raw import RUNS, file_name

    console = Console(highlight=False, soft_wrap=True)
    tables = find_tables(space, table or (), data, checksum=checksum)
    bench = Bench(tuple(tables), tuple(strategy or ("gcnas",)), seeds, first_seed, queries, batch)
    known = against is None or against in bench.strategies
    if not known and not any(out.glob(f"{RUNS}/*/{file_name(str(against))}")):
        raise ConfigurationError(
            f"There will be no runs of {against!r}, only of {', '.join(bench.strategies)}."
        )
    try:
        run_bench(bench, out, _processes(jobs), _tell)
    except KeyboardInterrupt:
        typer.echo("Stopped. Finished runs are kept; the same command goes on.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BenchError:
        with suppress(DataError, ConfigurationError):  # that nothing is there, or none of the one, is no news
            _print(console, write_report(out, against), out)
        raise
    _print(console, write_report(out, against), out)


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a bench, or of a raw.csv.")],
    against: AgainstOption = None,
) -> None:
    """Write the tables and plots anew from the raw results."""
    from gcnas.bench import write_report

    _print(Console(highlight=False, soft_wrap=True), write_report(folder, against), folder)


@app.command("claims")
def claims(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Results; what is there is not run again.")
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Folder with your copies of the built-in tables."),
    ] = None,
    experiment: Annotated[
        list[str] | None,
        typer.Option("--experiment", metavar="NAME", help="E1, E2, …; repeatable. \\[default: all]"),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            metavar="N",
            help="Seeds; equal ones are paired. E6 has at most 3. \\[default: 10, with --report all that are there]",
        ),
    ] = None,
    queries: QueriesOption = 150,
    jobs: JobsOption = None,
    checksum: ChecksumOption = True,
    report: Annotated[bool, typer.Option("--report", help="Run nothing; tables of what is there.")] = False,
) -> None:
    """Run the experiments that decide the claims of the GC-NAS paper, and write a table for each.

    Without --data they run on synthetic problems alone. Finished runs are kept in DIR; the same command goes on.
    """
    from gcnas.bench import find_claims, run_claims, seeds_there, tables_there, write_claims

    console = Console(highlight=False, soft_wrap=True)
    if seeds is None:
        seeds = (seeds_there(out) if report else 0) or 10
    wanted = find_claims(experiment or (), data, seeds, queries, checksum=checksum)
    if wanted.left_out:
        typer.echo(f"Without {', '.join(wanted.left_out)}: {data} has no file of these tables.", err=True)
    elif tables := tables_there(wanted, out):
        typer.echo(f"Without {', '.join(tables)}, on which there are runs in {out}: give --data DIR.", err=True)
    try:
        if not report:
            run_claims(
                wanted,
                out,
                _processes(jobs),
                _tell,
            )
    except KeyboardInterrupt:
        typer.echo("Stopped. Finished runs are kept; the same command goes on.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BenchError:
        with suppress(DataError, ConfigurationError):  # that nothing is there is no news
            _print_claims(console, write_claims(wanted, out, costs=False), out)
        raise
    _print_claims(console, write_claims(wanted, out, costs=not report), out)


@app.command("spaces")
def spaces() -> None:
    """List the built-in tables and the files they need."""
    from gcnas.bench import built_in
    from gcnas.tabular import Description

    for name, text in built_in().items():
        description = Description.parse(text, name)
        typer.echo(f"{name}: {len(description.decisions)} decisions, file {description.file}")


def _tell(number: int, total: int, line: str) -> None:
    """Print that one more run is done; names and reasons may be somebody else's."""
    typer.echo(printable(f"[{number}/{total}] {line}"))


def _print_claims(console: Console, findings: "Iterable[Finding]", out: Path) -> None:
    for finding in findings:
        (_print_memory if finding.experiment.kind == "memory" else _print_finding)(console, finding)
    console.print(
        "Means over seeds, ± half of the 95 % interval. + and -: the first arm of a pair is higher or lower than "
        "this one (a mark a pair), by paired Wilcoxon tests with Holm's correction, p < 0.05."
    )
    console.print(escape(f"written to {out}: runs.csv, a summary and tests of each experiment"))


def _processes(jobs: int | None) -> int:
    from gcnas.training.platform import available_cores

    return available_cores() if jobs is None else jobs


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
        "all queries; regret: at the end; test: mean test score of the network with the best score; ms: processor time "
        "of the strategy per query; -: there is none (of a median: fewer than half found the optimum)"
    )
    console.print(escape(f"written to {folder}: summary.csv, tests.csv, curves.csv, raw.csv, plots/"))


def _print_finding(console: Console, finding: "Finding") -> None:
    experiment = finding.experiment
    console.print(escape(f"\n{experiment.name}: {experiment.claim}"))
    for measure in experiment.measures:
        rows = [row for row in finding.summary if row["measure"] == measure]
        if not rows:
            continue
        spaces = list(dict.fromkeys(str(row["space"]) for row in rows))
        table = Table(box=None, pad_edge=False, header_style="bold", title=measure, title_justify="left")
        table.add_column("arm", no_wrap=True)
        for space in spaces:
            table.add_column(escape(space), justify="right", overflow="fold")
        known = {(row["space"], row["arm"]): row for row in rows}
        for arm in experiment.arms:
            cells = [
                _mean_text(known[space, arm]) + _mark(finding, space, arm, measure)
                if (space, arm) in known
                else ""
                for space in spaces
            ]
            if any(cells):
                table.add_row(escape(arm), *(escape(cell) for cell in cells))
        console.print(table)


def _print_memory(console: Console, finding: "Finding") -> None:
    """How many seeds of each task were solved; the other measures are in the tables that are written."""
    console.print(escape(f"\n{finding.experiment.name}: {finding.experiment.claim}"))
    arms = [arm.split(":") for arm in finding.experiment.arms]
    known = {(row["space"], row["arm"]): row for row in finding.summary if row["measure"] == "solved"}
    for learning in dict.fromkeys(learning for learning, _ in arms):
        for memory in dict.fromkeys(name.split("-")[0] for _, name in arms):
            names = [name for each, name in arms if each == learning and name.split("-")[0] == memory]
            table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
            table.title = f"seeds solved, {learning}"
            table.add_column("task", no_wrap=True)
            for name in names:
                table.add_column(escape(name), justify="right", overflow="fold")
            for space in finding.experiment.spaces:
                cells = [_solved_text(known.get((space, f"{learning}:{name}"))) for name in names]
                if any(cells):
                    table.add_row(escape(space), *cells)
            if table.row_count:
                console.print(table)


def _solved_text(row: "dict[str, Cell] | None") -> str:
    if row is None:
        return ""
    seeds, share = int(row["seeds"] or 0), float(row["mean"] or 0.0)
    return f"{round(share * seeds)} of {seeds}"


def _mean_text(row: "dict[str, Cell]") -> str:
    mean, low, high = (float(row[name] or 0.0) for name in ("mean", "mean_low", "mean_high"))
    return f"{mean:.3g} ±{(high - low) / 2:.2g}"


def _mark(finding: "Finding", space: str, arm: str, measure: str) -> str:
    """For each arm that this one is tested against, whether that is significantly higher or lower."""
    marks = ""
    for test in finding.tests:
        if (test["space"], test["rival"], test["measure"]) == (space, arm, measure):
            p, difference = float(test["p_holm"] or 0.0), float(test["mean_difference"] or 0.0)
            marks += " " if p >= SIGNIFICANT else "+" if difference > 0 else "-"
    return f" {marks or ' '}"


def _text(value: "Cell") -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
