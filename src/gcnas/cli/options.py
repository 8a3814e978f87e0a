"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

RunArgument: TypeAlias = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")]
SpaceOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--space",
        metavar="NAME|FILE.py:NAME",
        help="Search space: a preset, or a variable of your own Python file (which is executed).",
    ),
]
DataOption: TypeAlias = Annotated[
    str | None, typer.Option("--data", metavar="DATA", help="Where the run's data is now, if it moved.")
]
ThreadsOption: TypeAlias = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="CPU threads in all; by default all cores.")
]
ParamsOption: TypeAlias = Annotated[
    str | None, typer.Option("--max-params", metavar="N", help="Most parameters, such as 100k.")
]
MacsOption: TypeAlias = Annotated[
    str | None, typer.Option("--max-macs", metavar="N", help="Most multiply-adds an image, such as 5M.")
]
ActivationsOption: TypeAlias = Annotated[
    str | None, typer.Option("--max-activations", metavar="N", help="Most numbers alive at once.")
]
SizeOption: TypeAlias = Annotated[
    str | None, typer.Option("--max-size", metavar="BYTES", help="Largest file of weights, such as 200k.")
]
LatencyOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--max-latency",
        metavar="MS",
        help="Most milliseconds of an image with ONNX Runtime on this device, predicted by a model fitted first.",
    ),
]
WorkersOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Candidates trained at once, each in a process of its own. [default: one a thread, or one a GPU]",
    ),
]
WorkerMemoryOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--worker-memory",
        metavar="BYTES",
        help="Most memory of each of several workers, such as 2G. [default: 80 % of the machine's, shared]",
    ),
]


def given(**options: Any) -> dict[str, Any]:
    """The options that were given on the command line."""
    return {name: value for name, value in options.items() if value is not None}
