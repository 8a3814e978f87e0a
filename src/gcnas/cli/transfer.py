"""``gcnas transfer``."""

from pathlib import Path
from typing import Annotated

import typer

from gcnas.cli.display import create_display
from gcnas.cli.options import (
    FinalEpochsOption,
    FineTuneOption,
    FreezeOption,
    MixingOption,
    RunArgument,
    SpaceOption,
    ThreadsOption,
    TimeOption,
    given,
    seconds_of,
)


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
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="New run folder. \\[default: runs/DATA-N]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that lies there.")] = False,
    time: TimeOption = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", help="Training for the validation accuracy.")
    ] = None,
    final_epochs: FinalEpochsOption = None,
    mixing: MixingOption = None,
    freeze: FreezeOption = None,
    fine_tune_rate: FineTuneOption = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            "--resolution", metavar="N", help="Side of the images. \\[default: that of RUN's network]"
        ),
    ] = None,
    space: SpaceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Train the network of a run for other images, beginning with its weights, in a new run folder.

    Its head is new where the classes are others; nothing is searched. 'gcnas resume DIR --budget 50' searches on.
    """
    from gcnas.other_data import transfer as move

    seconds = seconds_of(time)
    options = given(
        epochs=epochs,
        final_epochs=final_epochs,
        mixing=mixing,
        freeze=freeze,
        fine_tune_rate=fine_tune_rate,
        resolution=resolution,
        threads=threads,
    )
    with create_display() as display:
        move(run, data, out=out, overwrite=overwrite, seconds=seconds, space=space, observer=display, **options)
