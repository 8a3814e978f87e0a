"""``gcnas export`` and ``gcnas benchmark``."""

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gcnas.cli.display import Output
from gcnas.cli.options import DataOption, PhiOption, RunArgument, SpaceOption, given

if TYPE_CHECKING:
    from gcnas.delivery import BenchmarkRow


class Format(StrEnum):
    """Forms in which a network is exported."""

    ONNX = "onnx"
    INT8 = "int8"
    TORCH = "torch"
    PYTHON = "python"
    ZIP = "zip"


FORMATS = (
    "onnx: pixels in, probabilities out. int8: the same in 8-bit integers. torch: a torch.export program. "
    "python: source and weights. zip: ONNX with labels and a script that needs no torch."
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("export")(export)
    app.command("benchmark")(benchmark)


def export(
    run: RunArgument,
    format: Annotated[Format, typer.Option("--format", "-f", help=FORMATS)],  # noqa: A002 - the issue's name
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="PATH", help="\\[default: in the current folder]")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            "--max-drop",
            metavar="POINTS",
            help="int8: most points of validation accuracy that may be lost. \\[default: 2]",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="int8: write it whatever is lost.")] = False,
    phi: PhiOption = None,
    data: DataOption = None,
    space: SpaceOption = None,
) -> None:
    """Write the best network in another form; none of them needs gcnas."""
    from gcnas import forms

    options = given(max_drop=max_drop)
    exported = forms.export_network(
        run, format.value, out, force=force, phi=phi, data=data, space=space, **options
    )
    if exported.drop is not None:
        lost = f"{exported.drop:.1f} points lost" if exported.drop > 0 else "nothing lost"
        typer.echo(
            f"accuracy on {exported.images} validation images: {exported.accuracy:.1%}, in float "
            f"{exported.float_accuracy:.1%}: {lost}",
            err=True,
        )
    typer.echo(str(exported.path))


def benchmark(
    run: RunArgument,
    threads: Annotated[int, typer.Option("--threads", metavar="N", help="CPU threads.")] = 1,
    repetitions: Annotated[
        int, typer.Option("--repetitions", metavar="N", help="Single images that are timed, for each form.")
    ] = 300,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write all columns as .csv or .json.")
    ] = None,
    phi: PhiOption = None,
    data: DataOption = None,
    space: SpaceOption = None,
) -> None:
    """Measure latency, throughput, size and accuracy of each form of the best network."""
    from gcnas import forms
    from gcnas.cli.display import PlainDisplay
    from gcnas.delivery import check_table_name, write_rows

    if out is not None:
        check_table_name(out)
    errors = Output(stderr=True, highlight=False, soft_wrap=True)
    if errors.is_terminal:  # a moving sign would take time from what is measured
        errors.print("measuring …")
    rows = forms.benchmark(
        run,
        threads=threads,
        repetitions=repetitions,
        phi=phi,
        data=data,
        space=space,
        observer=PlainDisplay(errors),
    )
    try:
        if out is not None:
            write_rows(out, rows)  # first: whoever reads what is printed may leave
    finally:
        _print(rows)
    if out is not None:
        typer.echo(str(out))


def _print(rows: "Sequence[BenchmarkRow]") -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("form", no_wrap=True)
    for name in ("p50 ms", "p95 ms", "p99 ms", "images/s", "kB", "accuracy"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.form,
            *(f"{value:.3f}" for value in (row.p50_ms, row.p95_ms, row.p99_ms)),
            f"{row.images_per_second:,.0f}",
            f"{row.bytes / 1000:,.0f}",
            f"{row.accuracy:.2%}",
        )
    first = rows[0]
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(
        f"\nLatency: one image, {first.repetitions} calls after {first.warm_up} to warm up. images/s: batches of "
        f"64, {first.batches} calls. {first.threads} thread{'s' * (first.threads > 1)}, {first.device}, "
        f"{', '.join(dict.fromkeys(row.version for row in rows))}. Load average before: {first.load:.1f} on "
        f"{os.cpu_count()} cores.\n"
        f"Accuracy: {first.images:,} validation images. A final training sees them, too: compare the forms by "
        "it; how good the network is, the test accuracy says."
    )
