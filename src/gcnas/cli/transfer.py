"""``gcnas transfer``."""

from pathlib import Path
from typing import Annotated

import typer

from gcnas.cli.display import create_display
from gcnas.cli.options import RunArgument, SpaceOption, ThreadsOption, given
from gcnas.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("transfer")(transfer)


def transfer(
    run: RunArgument,
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="Other images: a folder per class, CSV, npz file, or 'digits'."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="New run folder. [default: runs/DATA-N]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete a run that lies there.")] = False,
    time: Annotated[str | None, typer.Option("--time", metavar="TIME", help="Wall clock, such as 10m.")] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", help="Training for the validation accuracy.")
    ] = None,
    final_epochs: Annotated[
        int | None,
        typer.Option("--final-epochs", metavar="N", help="Passes over the data (most, under a time)."),
    ] = None,
    freeze: Annotated[
        int | None,
        typer.Option(
            "--freeze", metavar="N", help="Epochs that train only what was not taken over. [default: 0]"
        ),
    ] = None,
    fine_tune_rate: Annotated[
        float | None,
        typer.Option(
            "--fine-tune-rate", metavar="X", help="Learning rate, as a share of the run's. [default: 0.3]"
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", metavar="N", help="Side of the images. [default: that of RUN's network]"),
    ] = None,
    space: SpaceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Train the network of a run for other images, beginning with its weights, in a new run folder.

    Its head is new where the classes are others; nothing is searched. 'gcnas resume DIR --budget 50' searches on.
    """
    from gcnas.config import Budget
    from gcnas.other_data import transfer as move

    seconds = None if time is None else Budget.parse(time).seconds
    if time is not None and seconds is None:
        raise ConfigurationError(f"--time is a time such as 90s or 10m, but got {time!r}.")
    options = given(
        epochs=epochs,
        final_epochs=final_epochs,
        freeze=freeze,
        fine_tune_rate=fine_tune_rate,
        resolution=resolution,
        threads=threads,
    )
    with create_display() as display:
        move(run, data, out=out, overwrite=overwrite, seconds=seconds, space=space, observer=display, **options)
