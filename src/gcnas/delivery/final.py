"""The final training: the best architecture, on all but the test images, with a longer schedule."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from gcnas.config import stream_seed
from gcnas.delivery.best import Grown, load_best, load_model, write_best
from gcnas.delivery.latency import measure_latency
from gcnas.errors import CandidateError, ExportError, SearchFailedError
from gcnas.export import CHECKED_IMAGES, onnx_bytes
from gcnas.export.onnx_extra import INSTALL, missing_packages
from gcnas.network import Network
from gcnas.run.context import Context
from gcnas.run.observer import Observer
from gcnas.run.trial import Trial
from gcnas.training import EpochSchedule, ImageBatches, Measurement, Schedule, TimedSchedule, measure, train
from gcnas.training.candidate import build_seeded

RESERVE_SHARE = 0.06
"""Share of the wall clock left, when the final training begins, that is kept for test, files and report."""

RESERVE_SECONDS = 3.0
"""The least of it."""

ONNX_SECONDS = 5.0
"""What it takes besides to import the packages of the extra ``onnx`` and to write the ONNX file."""

ONNX_SHARE = 0.2
"""Share of a short wall clock that may be kept for that; a longer training is worth more than punctuality."""


def finalize(
    context: Context,
    trial: Trial,
    *,
    log_test: Callable[[str], None],
    seconds: float | None = None,
    observer: Observer | None = None,
    grown: Grown | None = None,
) -> Measurement | None:
    """Train the network of a trial on search-train and validation, open the test split once, write ``best``.

    If the training fails, the network as the search trained it is delivered, and the observer is told.

    Args:
        context: The run.
        trial: The trial to deliver.
        log_test: Called with the purpose before the test split opens.
        seconds: Wall clock for everything; None trains the run's number of final epochs.
        observer: Told what happens.
        grown: Where the network lies if it is a grown one; the context and the trial are then of that size.

    Returns:
        The measurement on the test split; None if the data has none.

    Raises:
        RunFolderError: If ``best`` cannot be written.
    """
    observer = observer or Observer()
    # The candidates' workers are gone: all threads are free.
    context = replace(context, platform=context.final_platform)
    torch.set_num_threads(context.platform.threads)
    start = time.monotonic()
    observer.final_started(trial, seconds)
    epochs: float | None
    try:
        network, epochs = _train(context, trial, seconds, observer)
    except CandidateError as error:
        observer.note(f"The final training failed ({error.kind}: {error}); using the search's own weights.")
        network, epochs = _searched(context, trial, grown), None
    test = _test(context, trial, network, log_test) if context.dataset.size_test else None
    elapsed = time.monotonic() - start
    onnx = _onnx(context, network, observer) if context.config.onnx else None
    latency = None if onnx is None or grown is not None else measure_latency(context, trial, onnx, observer)
    write_best(
        context,
        trial,
        network.cpu(),
        final=True,
        test=test,
        epochs=epochs,
        seconds=elapsed,
        onnx=onnx,
        grown=grown,
        latency=latency,
    )
    observer.final_finished(None if test is None else test.accuracy)
    return test


def _test(context: Context, trial: Trial, network: Network, log_test: Callable[[str], None]) -> Measurement:
    split = context.dataset.open_test(f"final test of trial {trial.number}", log_test)
    return measure(
        network, ImageBatches(split, context.platform), context.space.fitted.classes, context.platform
    )


def _onnx(context: Context, network: Network, observer: Observer) -> bytes | None:
    """The network as an ONNX file; None, and a note why, where there cannot be one."""
    if missing := missing_packages():
        observer.note(f"best/model.onnx is left out, since {', '.join(missing)} is not installed: {INSTALL}")
        return None
    dataset, most = context.dataset, context.space.limits.size
    try:
        content = onnx_bytes(
            network,
            dataset.image_shape,
            labels=dataset.class_names,
            preprocessing=dataset.preprocessing.to_json(),
            images=dataset.train().images[:CHECKED_IMAGES],
        )
        if most is not None and len(content) > most:
            observer.note(
                f"best/model.onnx has {len(content):,} bytes: the limit of {most:,} is on the file of weights, and the "
                "graph beside them takes some more."
            )
    except ExportError as error:
        observer.note(f"best/model.onnx is left out: {error}")
        return None
    return content


def _searched(context: Context, trial: Trial, grown: Grown | None) -> Network:
    """The network as it was trained before, from ``best`` or the folder of a grown one.

    Raises:
        SearchFailedError: If ``best`` holds another network.
    """
    model = load_best(context.folder, context.space) if grown is None else load_model(grown.path, context.space)
    if model.architecture != trial.proposal.architecture:
        raise SearchFailedError(
            f"The final training of trial {trial.number} failed, and {context.folder.best} holds another "
            "network; try again with other final epochs, or another trial."
        )
    return model.network.to(context.platform.device)


def _train(context: Context, trial: Trial, seconds: float | None, observer: Observer) -> tuple[Network, float]:
    seed = stream_seed(context.config.seed, "final") % 2**31
    network = build_seeded(context.space, trial.proposal.architecture, context.dataset, context.platform, seed)
    batches = ImageBatches(
        context.dataset.train_and_validation(), context.platform, context.recipe.augmentation
    )
    schedule: Schedule = EpochSchedule(context.amounts.final_epochs)
    if seconds is not None:
        usable = seconds - _reserve(seconds, onnx=context.config.onnx)
        schedule = TimedSchedule(usable, context.amounts.final_epochs)
    log = train(
        network, batches, context.recipe, schedule, context.platform, seed=seed, on_step=observer.final_progress
    )
    return network, log.epochs


def _reserve(seconds: float, *, onnx: bool) -> float:
    """Seconds of a wall clock that are not for training."""
    plain = max(RESERVE_SECONDS, RESERVE_SHARE * seconds)
    if not onnx or missing_packages():
        return plain
    return max(plain, min(RESERVE_SECONDS + ONNX_SECONDS, ONNX_SHARE * seconds))
