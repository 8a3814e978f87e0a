"""``gcnas clean``."""

from typing import Annotated

import typer

from gcnas.cli.options import AnyRunArgument
from gcnas.run.folder import RunFolder


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("clean")(clean)


def clean(
    run: AnyRunArgument,
    everything: Annotated[bool, typer.Option("--all", help="Delete the whole run folder.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete what a run can do without: cached images, checkpoints and left-over temporary files."""
    from gcnas.run.cleaning import delete_leftovers, delete_run

    RunFolder.open(run, unbegun=True)  # before anything is asked
    if everything:
        if not yes:
            typer.confirm(f"Delete {run} with its network and all its results?", abort=True)
        delete_run(run)
        typer.echo(f"deleted {run}")
        return
    freed = delete_leftovers(run)
    typer.echo(f"freed {freed / 1e6:.1f} MB in {run}")
