"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from gcnas.run.folder import RunFolder


def _existing(run: Path) -> Path:
    """A run folder that is one, which is told before the slow imports."""
    RunFolder(run).require()
    return run


RunArgument: TypeAlias = Annotated[
    Path, typer.Argument(metavar="RUN", help="The run folder.", callback=_existing)
]
AnyRunArgument: TypeAlias = Annotated[
    Path, typer.Argument(metavar="RUN", help="The run folder; also one of a search that never began.")
]
SpaceOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--space",
        metavar="NAME|FILE.py:NAME",
        help="Search space: cnn, mobile, or a variable of your own Python file (which is executed). "
        "\\[default: cnn; of a run, its own]",
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
        help="Candidates trained at once, each in a process of its own. \\[default: one a thread, or one a GPU]",
    ),
]
WorkerMemoryOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--worker-memory",
        metavar="BYTES",
        help="Most memory of each worker process, such as 2G. \\[default: 80 % of the machine's, shared]",
    ),
]
ExecutorOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="NAME",
        help="processes, or ray: workers on the nodes of a cluster. \\[default: processes]",
    ),
]
AddressOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Head of the Ray cluster, or auto. \\[default: Ray on this machine alone]",
    ),
]
WorkerCpusOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--worker-cpus", metavar="N", help="CPU cores of each worker, with Ray. \\[default: 1]"),
]
WorkerGpusOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--worker-gpus", metavar="X", help="GPUs of each worker, with Ray; 0.25 is fine. \\[default: 0]"
    ),
]
PhiOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--phi", metavar="N", help="A network that 'gcnas scale' has grown, in place of best/."),
]
TimeOption: TypeAlias = Annotated[
    str | None, typer.Option("--time", metavar="TIME", help="Wall clock, such as 10m.")
]
FinalEpochsOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--final-epochs", metavar="N", help="Passes over the data (most, under a time)."),
]
MixingOption: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--mixing/--no-mixing",
        help="Mix images (mixup, CutMix) in final trainings of 60 passes and more. \\[default: mixing]",
    ),
]
ResolutionOption: TypeAlias = Annotated[
    int | None, typer.Option("--resolution", metavar="N", help="Side of the images. \\[default: inferred]")
]
ChannelsOption: TypeAlias = Annotated[
    str | None, typer.Option("--channels", metavar="NAME", help="grey, rgb or auto. \\[default: auto]")
]
ValidationOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--validation-fraction", metavar="X", help="Share of the images that are split. \\[default: 0.2]"
    ),
]
TestOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--test-fraction", metavar="X", help="If the data has no test split; 0: no test. \\[default: 0.2]"
    ),
]
FreezeOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--freeze",
        metavar="N",
        help="Epochs of the final training in which only what was not taken over is trained. \\[default: 0]",
    ),
]
FineTuneOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--fine-tune-rate",
        metavar="X",
        help="Learning rate of the final training after that, as a share of the run's. \\[default: 0.3]",
    ),
]


def seconds_of(time: str | None) -> float | None:
    """Seconds of ``--time``; None if it was not given.

    Raises:
        ConfigurationError: If it is no time.
    """
    from gcnas.config import parse_seconds

    return parse_seconds(time, "--time")


def given(**options: Any) -> dict[str, Any]:
    """The options that were given on the command line."""
    return {name: value for name, value in options.items() if value is not None}
