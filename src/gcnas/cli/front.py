"""``gcnas front``."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gcnas.cli.options import RunArgument, SpaceOption
from gcnas.cli.text import escape

if TYPE_CHECKING:
    from gcnas.report.front import FrontPoint


STANDARD_OUTPUT = Path("-")


class Metric(StrEnum):
    """Costs that a front may be against."""

    PARAMS = "params"
    MACS = "macs"
    ACTIVATIONS = "activations"
    SIZE = "size"
    LATENCY = "latency"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("front")(front)


def front(
    run: RunArgument,
    against: Annotated[Metric, typer.Option("--against", help="The cost.")] = Metric.PARAMS,
    table: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write it as a table too; -: to standard output alone."),
    ] = None,
    space: SpaceOption = None,
) -> None:
    """Print the networks that none of the run beats in accuracy at as low a cost; read at any time."""
    from gcnas.report.front import front as front_of
    from gcnas.report.front import front_table, write_front
    from gcnas.report.record import REWARDS, read_run
    from gcnas.space import load_space

    record = read_run(run)
    points = front_of(record, against.value, None if space is None else load_space(space))
    if table == STANDARD_OUTPUT:
        typer.echo(front_table(points), nl=False)
        return
    if table is not None:
        write_front(table, points)
    reward = REWARDS.get(str(record.config.get("reward")), REWARDS["accuracy"])
    _print(Console(highlight=False), points, against, reward)


def _print(console: Console, points: "Sequence[FrontPoint]", against: Metric, reward: str) -> None:
    from gcnas.report.numbers import counted, kilobytes, milliseconds, percent, short, whole

    if not points:
        console.print("No network has a score yet.")
        return
    measured = ["activations"] if against is Metric.ACTIVATIONS else []
    measured += [name for name in ("size", "latency") if getattr(points[0].cost, name) is not None]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", "accuracy", "parameters", "MACs", *measured):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("source", overflow="fold")
    for point in points:
        cost = point.cost
        more = {
            "activations": short(cost.activations),
            "size": kilobytes(cost.size),
            "latency": milliseconds(cost.latency),
        }
        row = (str(point.trial), percent(point.accuracy), whole(cost.parameters), short(cost.multiply_adds))
        table.add_row(*row, *(more[name] for name in measured), escape(point.source))
    console.print(table)
    console.print(
        f"{reward.capitalize()} after {counted(points[0].epochs, 'epoch')}. 'gcnas finalize RUN "
        f"--trial N' delivers one of them, --max-{against} … the run's choice within a limit.",
        style="dim",
    )
