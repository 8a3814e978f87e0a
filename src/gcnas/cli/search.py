"""``gcnas search`` and ``gcnas resume``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gcnas.cli.display import create_display
from gcnas.cli.options import (
    ActivationsOption,
    AddressOption,
    ChannelsOption,
    DataOption,
    ExecutorOption,
    FineTuneOption,
    FreezeOption,
    LatencyOption,
    MacsOption,
    MixingOption,
    ParamsOption,
    ResolutionOption,
    RunArgument,
    SizeOption,
    SpaceOption,
    TestOption,
    ThreadsOption,
    ValidationOption,
    WorkerCpusOption,
    WorkerGpusOption,
    WorkerMemoryOption,
    WorkersOption,
    given,
)
from gcnas.errors import ConfigurationError

BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        "-b",
        metavar="BUDGET",
        help="Evaluations, such as 200 (each further training of a candidate is one), or a time for everything: 90s, "
        "10m, 2h. \\[default: 10m]",
    ),
]
FinalEpochsOption = Annotated[
    int | None, typer.Option("--final-epochs", metavar="N", help="Final training (its most, under a time).")
]
FinalShareOption = Annotated[
    float | None,
    typer.Option(
        "--final-share",
        metavar="X",
        help="Share of a time kept for the final training, from 1/3. \\[default: 0.5]",
    ),
]
CandidateOption = Annotated[
    float | None, typer.Option("--candidate-seconds", metavar="S", help="Time limit of one candidate.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("search")(search)
    app.command("resume")(resume)


def search(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="Image folder (a folder per class), CSV, npz file, or 'digits'."),
    ],
    budget: BudgetOption = None,
    max_params: ParamsOption = None,
    max_macs: MacsOption = None,
    max_activations: ActivationsOption = None,
    max_size: SizeOption = None,
    max_latency: LatencyOption = None,
    latency_threads: Annotated[
        int | None,
        typer.Option(
            "--latency-threads", metavar="N", help="CPU threads of measured latencies. \\[default: 1]"
        ),
    ] = None,
    soft: Annotated[
        str | None,
        typer.Option(
            "--soft",
            metavar="METRIC=TARGET:WEIGHT",
            help="Reward accuracy x (cost / target) ^ weight, such as macs=5M:-0.07, or params=, activations=, size=, "
            "latency= (ms).",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Run folder. \\[default: runs/DATA-N]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that lies there.")] = False,
    strategy: Annotated[
        str | None,
        typer.Option(
            "--strategy",
            metavar="NAME|FILE.py:NAME",
            help="Who proposes: gcnas, random, evolution, local_search, gp, ceim, reinforce, reinforce-rnn, optuna:tpe "
            "and others, or one of your own Python file (which is executed). \\[default: gcnas]",
        ),
    ] = None,
    signals: Annotated[
        str | None,
        typer.Option(
            "--signals",
            metavar="NAMES|none",
            help="What gcnas's critics see of a network besides its decisions: params, macs, depth, naswot, synflow "
            "(the last two are measured before training). \\[default: params,macs]",
        ),
    ] = None,
    space: SpaceOption = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Root of all chance. \\[default: 0]")
    ] = None,
    fidelity: Annotated[
        str | None,
        typer.Option(
            "--fidelity",
            metavar="NAME",
            help="rungs: train the best candidates further; full: train each as long. \\[default: rungs]",
        ),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            "--init-from",
            metavar="RUN|FILE.safetensors",
            help="Networks take over these weights where they fit.",
        ),
    ] = None,
    freeze: FreezeOption = None,
    fine_tune_rate: FineTuneOption = None,
    warm_start: Annotated[
        list[str] | None,
        typer.Option(
            "--warm-start",
            metavar="RUN",
            help="Start from what an earlier search in the same space learnt, as far as its ranking holds here; may be "
            "given several times.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", help="Full training of a candidate.")
    ] = None,
    final_epochs: FinalEpochsOption = None,
    final_share: FinalShareOption = None,
    candidate_seconds: CandidateOption = None,
    reward: Annotated[
        str | None,
        typer.Option("--reward", metavar="NAME", help="accuracy or balanced-accuracy. \\[default: accuracy]"),
    ] = None,
    references: Annotated[
        bool | None,
        typer.Option("--references/--no-references", help="Evaluate designs by people first. \\[default: yes]"),
    ] = None,
    resolution: ResolutionOption = None,
    channels: ChannelsOption = None,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Mirror images in training. \\[default: measured]"),
    ] = None,
    mixing: MixingOption = None,
    validation_fraction: ValidationOption = None,
    test_fraction: TestOption = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", help="Images a step. \\[default: 64]")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", metavar="X", help="Peak of the schedule. \\[default: 0.1]"),
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", metavar="X", help="\\[default: 0.002]")
    ] = None,
    onnx: Annotated[
        bool | None, typer.Option("--onnx/--no-onnx", help="Write best/model.onnx too. \\[default: yes]")
    ] = None,
    report: Annotated[
        bool | None, typer.Option("--report/--no-report", help="Write report.html at the end. \\[default: yes]")
    ] = None,
    workers: WorkersOption = None,
    worker_memory: WorkerMemoryOption = None,
    executor: ExecutorOption = None,
    address: AddressOption = None,
    worker_cpus: WorkerCpusOption = None,
    worker_gpus: WorkerGpusOption = None,
    threads: ThreadsOption = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision", metavar="NAME", help="Of training: auto, float32 or bfloat16. \\[default: auto]"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="NAME", help="cpu, cuda, … \\[default: a GPU if there is one]"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="YAML file with these options (but --out and --overwrite); those given here win.",
        ),
    ] = None,
) -> None:
    """Search a network for images, train it, export it.

    Everything lands in the run folder; best/ holds a working network from the first candidate on. Ctrl-C once:
    finish what runs and deliver the best so far; twice: stop now, nothing finished is lost.
    """
    from gcnas.config import RunConfig
    from gcnas.data.loading import find_reader
    from gcnas.space.load import in_file

    options: dict[str, Any] = {} if config is None else RunConfig.from_yaml(config)
    options.pop("data", None)
    if space is None and in_file(str(options.get("space", ""))):
        raise ConfigurationError(
            f"{config} names a space that is code ({options['space']}), which is executed only if you name it again: "
            "--space FILE.py:NAME."
        )
    if strategy is None and in_file(str(options.get("strategy", ""))):
        raise ConfigurationError(
            f"{config} names a strategy that is code ({options['strategy']}), which is executed only if you name it "
            "again: --strategy FILE.py:NAME."
        )
    options |= given(
        budget=budget,
        max_params=max_params,
        max_macs=max_macs,
        max_activations=max_activations,
        max_size=max_size,
        max_latency=max_latency,
        latency_threads=latency_threads,
        soft=soft,
        strategy=strategy,
        signals=signals,
        space=space,
        seed=seed,
        fidelity=fidelity,
        init_from=init_from,
        freeze=freeze,
        fine_tune_rate=fine_tune_rate,
        warm_start=warm_start or None,
        epochs=epochs,
        final_epochs=final_epochs,
        final_share=final_share,
        candidate_seconds=candidate_seconds,
        reward=reward,
        references=references,
        resolution=resolution,
        channels=channels,
        flip=flip,
        mixing=mixing,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        onnx=onnx,
        report=report,
        workers=workers,
        worker_memory=worker_memory,
        executor=executor,
        address=address,
        worker_cpus=worker_cpus,
        worker_gpus=worker_gpus,
        threads=threads,
        precision=precision,
        device=device,
    )
    if address is None and options.get("executor") == "ray" and options.get("address") not in {None, "auto"}:
        raise ConfigurationError(
            f"{config} names a Ray cluster ({options['address']}), which gets the images, and is trusted, only if you "
            "name it again: --address HOST:PORT."
        )
    # What is wrong with these is told before the slow imports.
    RunConfig.create(data=data, **options)
    find_reader(data)
    from gcnas import api

    with create_display() as display:
        api.search(data, out=out, overwrite=overwrite, observer=display, **options)


def resume(
    run: RunArgument,
    budget: BudgetOption = None,
    max_params: ParamsOption = None,
    max_macs: MacsOption = None,
    max_activations: ActivationsOption = None,
    max_size: SizeOption = None,
    max_latency: LatencyOption = None,
    final_epochs: FinalEpochsOption = None,
    mixing: MixingOption = None,
    final_share: FinalShareOption = None,
    candidate_seconds: CandidateOption = None,
    data: DataOption = None,
    space: SpaceOption = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            "--strategy",
            metavar="FILE.py:NAME",
            help="The run's own strategy again, if it is of a Python file.",
        ),
    ] = None,
    workers: WorkersOption = None,
    worker_memory: WorkerMemoryOption = None,
    executor: ExecutorOption = None,
    address: AddressOption = None,
    worker_cpus: WorkerCpusOption = None,
    worker_gpus: WorkerGpusOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Go on with a run that was stopped or killed, or raise its budget.

    What is not given stays as the run has it; the defaults below are those of a new run.
    """
    from gcnas import api

    changes = given(
        budget=budget,
        max_params=max_params,
        max_macs=max_macs,
        max_activations=max_activations,
        max_size=max_size,
        max_latency=max_latency,
        final_epochs=final_epochs,
        mixing=mixing,
        final_share=final_share,
        candidate_seconds=candidate_seconds,
        strategy=strategy,
        workers=workers,
        worker_memory=worker_memory,
        executor=executor,
        address=address,
        worker_cpus=worker_cpus,
        worker_gpus=worker_gpus,
        threads=threads,
    )
    with create_display() as display:
        api.resume(run, data=data, space=space, observer=display, **changes)
