"""``gcnas status`` and ``gcnas report``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gcnas.cli.options import RunArgument, SpaceOption
from gcnas.files import printable

SHOWN_NOTICES = 5
"""Most notices about the data; the report and ``gcnas data check`` have more."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("status")(status)
    app.command("report")(report)


def status(run: RunArgument) -> None:
    """Print how far a run is, without disturbing it."""
    from gcnas.report import summarize
    from gcnas.report.summary import NOT_COMPARABLE

    summary = summarize(run)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    facts = {
        "run": str(run),
        "result": summary.sentence,
        "references": summary.comparison or ("none evaluated yet" if summary.comparable else NOT_COMPARABLE),
        "budget": f"{summary.budget or 'unknown'}; {summary.elapsed:.0f} s so far, with all deliveries",
        "trials": f"{summary.complete} complete, {summary.failed} failed, {summary.pending} pending",
        "cost": summary.effort,
        "rejected": f"{summary.duplicates} duplicates, {summary.rejected} beyond a limit",
        "test split": f"opened {len(summary.test_openings)} times",
    }
    for failure in summary.failures:
        facts[f"failed: {failure.kind}"] = f"{failure.count}, first trial {failure.trial}: {failure.message}"
    for name, fact in facts.items():
        table.add_row(Text(name), Text(printable(fact)))
    for notice in summary.data_notices[:SHOWN_NOTICES]:
        table.add_row("data", Text(printable(notice)))
    if (more := len(summary.data_notices) - SHOWN_NOTICES) > 0:
        table.add_row("data", Text(f"{more} more in report.html"))
    for notice in summary.notices:
        table.add_row("note", Text(printable(notice)))
    Console(highlight=False).print(table)


def report(
    run: RunArgument,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="RUN", help="Draw another run's curve too, usually random search."),
    ] = None,
    space: SpaceOption = None,
) -> None:
    """Write report.html and trials.csv anew from the ledger; from a damaged one, trials-rescued.csv."""
    from gcnas.errors import DamagedLedgerError
    from gcnas.report import read_run, rescue_trials, write_report, write_trials_csv
    from gcnas.space import load_space

    try:
        table = write_trials_csv(run)
        read_run(run)
    except DamagedLedgerError as error:
        rescued, count = rescue_trials(run)
        raise DamagedLedgerError(
            f"{run / 'run.db'} is damaged. {count} trials can still be read and are in {rescued}; an older "
            f"trials.csv and {run / 'best'} are as they were. Start a new search to go on."
        ) from error
    page = write_report(run, against, space=None if space is None else load_space(space))
    typer.echo(f"{page}\n{table}")
