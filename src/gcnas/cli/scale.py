"""``gcnas scale``."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gcnas.cli.display import Output, PlainDisplay, StoppedError
from gcnas.cli.options import (
    ActivationsOption,
    DataOption,
    MacsOption,
    ParamsOption,
    RunArgument,
    SpaceOption,
    ThreadsOption,
    given,
)
from gcnas.errors import SearchFailedError
from gcnas.files import is_file

if TYPE_CHECKING:
    from gcnas.delivery.scaling import ScaledRow


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scale")(scale)


def scale(
    run: RunArgument,
    phi: Annotated[
        str,
        typer.Option("--phi", metavar="1..K", help="How far: 2, 1..3 or 1,3. Each doubles the multiply-adds."),
    ] = "1",
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", metavar="X", help="Growth of the depth at phi 1. \\[default: a grid search]"),
    ] = None,
    beta: Annotated[float | None, typer.Option("--beta", metavar="X", help="Growth of the width.")] = None,
    gamma: Annotated[
        float | None, typer.Option("--gamma", metavar="X", help="Growth of the resolution.")
    ] = None,
    trial: Annotated[
        int | None, typer.Option("--trial", metavar="N", help="Which network. \\[default: the best]")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", metavar="N", help="Training of each. \\[default: the run's full training]"),
    ] = None,
    grid_epochs: Annotated[
        int | None,
        typer.Option(
            "--grid-epochs", metavar="N", help="Each training of the grid search. \\[default: a third]"
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option("--time", metavar="TIME", help="Wall clock for all; the rest is left for another call."),
    ] = None,
    max_params: ParamsOption = None,
    max_macs: MacsOption = None,
    max_activations: ActivationsOption = None,
    data: DataOption = None,
    space: SpaceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Grow the network in depth, width and resolution together, and train each size; the test stays closed.

    The run's own limits do not hold for the grown networks; those given here do. A size that is there is not trained
    again. Networks are written to scaled/phi-N in the run folder and shown in report.html.
    """
    from gcnas import scaling

    options = given(
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        trial=trial,
        epochs=epochs,
        grid_epochs=grid_epochs,
        budget=time,
        max_params=max_params,
        max_macs=max_macs,
        max_activations=max_activations,
        threads=threads,
    )
    observer = PlainDisplay(Output(stderr=True, highlight=False, soft_wrap=True))
    try:
        rows = scaling.scale(run, phi, data=data, space=space, observer=observer, **options)
    except KeyboardInterrupt as interrupt:
        raise StoppedError(
            "Stopped. Sizes that were finished are kept; the same command goes on."
        ) from interrupt
    _print(rows)
    if not any(row.path is not None for row in rows if row.phi):
        reasons = (f"phi {row.phi}: {row.reason}" for row in rows if row.phi)
        raise SearchFailedError(f"No size that was asked for was trained ({'; '.join(reasons)}).")
    typer.echo(f"networks: {run / 'scaled'}")
    if is_file(run / "report.html"):
        typer.echo(f"report:   {run / 'report.html'}")


def _print(rows: "list[ScaledRow]") -> None:
    from gcnas.report.numbers import percent, short, whole

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("phi", "pixels", "layers", "parameters", "multiply-adds", "validation", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row.phi),
            "x".join(map(str, row.resolution)),
            str(row.depth),
            whole(row.parameters),
            short(row.multiply_adds),
            "not trained" if row.validation_accuracy is None else percent(row.validation_accuracy),
            "" if row.seconds is None else f"{row.seconds:.1f}",
        )
    Console(highlight=False, markup=False).print(table)
