"""The command ``gcnas``: its commands, its errors and its exit codes."""

import codecs
import errno
import io
import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from gcnas._version import __version__
from gcnas.cli import (
    bench,
    clean,
    data,
    deliver,
    explain,
    forms,
    front,
    inspect,
    sample,
    scale,
    search,
    transfer,
    why,
)
from gcnas.cli.display import StoppedError, drop
from gcnas.cli.text import escape
from gcnas.errors import GCNASError, LimitsTooTightError, SearchFailedError

EXIT_ERROR, EXIT_NOTHING_FOUND, EXIT_INTERRUPTED = 1, 3, 130

READABLE = "gcnas-readable"
"""Name of the error handler of standard output."""

app = typer.Typer(
    name="gcnas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From a folder of images to a small, trained, exported network.",
    epilog=(
        "Exit codes: 0 done, 1 something given cannot be used, 2 wrong usage, 3 no network was found, or the one asked "
        "for could not be trained or tested, 130 stopped by Ctrl-C (a search by the second one; nothing finished is "
        "lost)."
    ),
)
search.register(app)
inspect.register(app)
deliver.register(app)
transfer.register(app)
forms.register(app)
scale.register(app)
front.register(app)
sample.register(app)
explain.register(app)
why.register(app)
clean.register(app)
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gcnas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Where a wrapper has closed them there is nobody to be told.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - a device, for as long as this runs
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        codecs.register_error(READABLE, _readable)
        sys.stdout.reconfigure(errors=READABLE)
    try:
        _run()
    except StoppedError as stopped:
        _complain(str(stopped) or "Stopped.")
        sys.exit(EXIT_INTERRUPTED)
    except (SearchFailedError, LimitsTooTightError) as error:
        _complain(str(error))
        sys.exit(EXIT_NOTHING_FOUND)
    except GCNASError as error:
        _complain(str(error))
        sys.exit(EXIT_ERROR)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has left; nobody is there to be told.
        drop(sys.stdout)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        drop(sys.stdout)
        place = f" {error.filename}" if error.filename else ""
        _complain(f"The output{place} cannot be written: {os.strerror(error.errno)}. Make room and try again.")
        sys.exit(EXIT_ERROR)


def _readable(error: UnicodeError) -> tuple[bytes, int]:
    """What an encoding lacks is a question mark; file names need not be UTF-8, their bytes are kept."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    kept = (bytes([ord(sign) - 0xDC00]) if "\udc80" <= sign <= "\udcff" else b"?" for sign in lacking)
    return b"".join(kept), error.end


def _run() -> None:
    """Run the command; what it printed is written before it counts as done."""
    try:
        app()
    except SystemExit as end:
        if not end.code:
            sys.stdout.flush()
        raise


def _complain(message: str) -> None:
    try:
        sys.stdout.flush()
    except OSError:
        drop(sys.stdout)
    try:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/] {escape(message)}")
        sys.stderr.flush()
    except (OSError, SystemExit):  # nobody is there to be told, but the exit code tells
        drop(sys.stderr)
