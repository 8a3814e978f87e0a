"""``gcnas finalize`` and ``gcnas predict``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gcnas.cli.display import Output, create_display
from gcnas.cli.options import (
    ActivationsOption,
    DataOption,
    FinalEpochsOption,
    FineTuneOption,
    FreezeOption,
    LatencyOption,
    MacsOption,
    MixingOption,
    ParamsOption,
    PhiOption,
    RunArgument,
    SizeOption,
    SpaceOption,
    ThreadsOption,
    TimeOption,
    given,
    seconds_of,
)
from gcnas.errors import ConfigurationError, DataError
from gcnas.files import printable


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("finalize")(finalize)
    app.command("predict")(predict)


def finalize(
    run: RunArgument,
    trial: Annotated[
        int | None, typer.Option("--trial", metavar="N", help="Which network. \\[default: the best]")
    ] = None,
    phi: Annotated[
        int | None,
        typer.Option("--phi", metavar="N", help="A network that 'gcnas scale' has grown; best/ stays."),
    ] = None,
    max_params: ParamsOption = None,
    max_macs: MacsOption = None,
    max_activations: ActivationsOption = None,
    max_size: SizeOption = None,
    max_latency: LatencyOption = None,
    time: TimeOption = None,
    final_epochs: FinalEpochsOption = None,
    mixing: MixingOption = None,
    data: DataOption = None,
    space: SpaceOption = None,
    threads: ThreadsOption = None,
    distill: Annotated[
        str | None,
        typer.Option(
            "--distill",
            metavar="TEACHER",
            help="Learn from a teacher too: larger (the network grown to four or five times its multiply-adds, trained "
            "first), ensemble (the run's best, trained first), trial=N, phi=N, a run folder, an .onnx file, "
            "FILE.py:NAME (any module; the file is executed).",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", metavar="T", help="Of the distillation. \\[default: chosen on validation]"
        ),
    ] = None,
    distill_weight: Annotated[
        float | None,
        typer.Option(
            "--distill-weight", metavar="X", help="Share of the teacher in the loss. \\[default: likewise]"
        ),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from", metavar="RUN|FILE.safetensors", help="Take over these weights where they fit."
        ),
    ] = None,
    freeze: FreezeOption = None,
    fine_tune_rate: FineTuneOption = None,
) -> None:
    """Train a network of the run for delivery, open the test split, and replace best/ (scaled/phi-N with --phi).

    Limits choose the best of the run's networks within them; the limits of the run itself stay as they are. 'gcnas
    front RUN' shows what there is to choose from.
    """
    from gcnas import api
    from gcnas.scaling import finalize_scaled

    seconds = seconds_of(time)
    limits = given(
        max_params=max_params,
        max_macs=max_macs,
        max_activations=max_activations,
        max_size=max_size,
        max_latency=max_latency,
    )
    refinements = given(
        distill=distill,
        temperature=temperature,
        distill_weight=distill_weight,
        init_from=init_from,
        freeze=freeze,
        fine_tune_rate=fine_tune_rate,
    )
    changes = given(final_epochs=final_epochs, mixing=mixing, threads=threads)
    if phi is not None and (trial is not None or limits or refinements):
        raise ConfigurationError(
            "--phi names a network that knows the trial that it comes from: it goes with none of --trial, limits, "
            "--distill and --init-from."
        )
    with create_display(
        "Stopped. Unless a result is shown above, what was delivered before is as it was; the same command begins "
        "again."
    ) as display:
        if phi is not None:
            finalize_scaled(run, phi, seconds=seconds, data=data, space=space, observer=display, **changes)
            return
        api.finalize(
            run,
            trial=trial,
            seconds=seconds,
            data=data,
            space=space,
            observer=display,
            **limits,
            **refinements,
            **changes,
        )


def predict(
    run: RunArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES…", help="Image files, or folders of them.")],
    output: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write all probabilities as a table; -: standard output."),
    ] = None,
    phi: PhiOption = None,
    space: SpaceOption = None,
) -> None:
    """Classify image files with the run's network and its own preprocessing."""
    from gcnas import api
    from gcnas.delivery import image_files, predict_files, write_predictions
    from gcnas.delivery.predict import STANDARD_OUTPUT, unread_in

    result = api.load(run, space=space)
    model = result.model if phi is None else result.scaled(phi)
    # All are found before the first is read, so that a mistyped one is told at once and no table is begun.
    predictions = predict_files(model, image_files(images))
    if output is not None:
        predictions = write_predictions(output, model, predictions)
    errors = Output(stderr=True, highlight=False, markup=False, soft_wrap=True)
    total = broken = 0
    for prediction in predictions:
        total += 1
        if prediction.error is not None:
            broken += 1
            errors.print(f"passed over: {printable(prediction.error)}")
        elif output is None:
            line = f"{prediction.path}\t{prediction.label}\t{prediction.probability:.3f}"
            typer.echo(printable(line) if sys.stdout.isatty() else line)  # in a pipe names are as they are
    if left_out := unread_in(images):
        errors.print(f"passed over: {printable(left_out)}")
    if broken == total:
        raise DataError(f"None of the {total} files could be read as an image.")
    if output is not None and output != STANDARD_OUTPUT:
        typer.echo(str(output))
