"""The final training: the best architecture, on all but the test images, with a longer schedule."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gcnas.config import stream_seed
from gcnas.delivery.best import Grown, build_trained, load_best, load_model, write_best
from gcnas.delivery.distilling import Lesson, prepare
from gcnas.delivery.heritage import Heritage, seen_words
from gcnas.delivery.latency import measure_latency
from gcnas.delivery.teachers import Known, ToTrain, find_teacher
from gcnas.errors import CandidateError, ExportError, GCNASError, RunFolderError, SearchFailedError
from gcnas.export import onnx_bytes
from gcnas.export.onnx_extra import INSTALL, missing_packages
from gcnas.files import read_json
from gcnas.network import Network
from gcnas.run.amounts import reserve
from gcnas.run.context import Context
from gcnas.run.observer import Observer
from gcnas.run.trial import Trial
from gcnas.training import (
    EpochSchedule,
    ImageBatches,
    Inheritance,
    Measurement,
    Recipe,
    Schedule,
    TimedSchedule,
    TrainingLog,
    inherit,
    measure,
    train,
)
from gcnas.training.candidate import build_seeded
from gcnas.training.failure import as_candidate_error

TRAINING_FACTS = ("mixed", "distillation", "inheritance")
"""What ``metrics.json`` says of the training behind the weights, beside its epochs."""


FREEZE_SHARE = 1 / 3
"""Most of a wall clock for training the new parts of a network alone."""


@dataclass(frozen=True)
class Refinement:
    """What a final training learns from besides the labels.

    Attributes:
        lesson: A teacher; None for none.
        heritage: A network whose weights are taken over; None for none.
        trials: Those of the run, which may teach.
    """

    lesson: Lesson | None = None
    heritage: Heritage | None = None
    trials: Sequence[Trial] = ()

    def teacher(self, context: Context, trial: Trial) -> Known | ToTrain | None:
        """Who teaches the network of a trial; None if nobody does.

        Raises:
            GCNASError: One of its children, if there is no such teacher, or it cannot be used.
        """
        return None if self.lesson is None else find_teacher(self.lesson.teacher, context, trial, self.trials)


@dataclass
class _Trained:
    """What came of a final training; the facts are complete once the network is trained, its seconds too."""

    network: Network
    epochs: float | None = None
    seconds: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def finalize(
    context: Context,
    trial: Trial,
    *,
    log_test: Callable[[str], None],
    seconds: float | None = None,
    observer: Observer | None = None,
    grown: Grown | None = None,
    refinement: Refinement | None = None,
    searched: Mapping[str, Tensor] | None = None,
    lasting: bool = False,
) -> Measurement | None:
    """Train the network of a trial on search-train and validation, open the test split once, write ``best``.

    If the training fails, the network as the search trained it is delivered, if it is there, and the observer is told.

    Args:
        context: The run.
        trial: The trial to deliver.
        log_test: Called with the purpose before the test split opens.
        seconds: Wall clock for everything; None trains the run's number of final epochs.
        observer: Told what happens.
        grown: Where the network lies if it is a grown one; the context and the trial are then of that size.
        refinement: A teacher, or weights to begin with.
        searched: Weights of the network as the search trained it, where ``best`` still holds what was delivered before.
        lasting: Whether it was chosen since it is known to reach more in a long training.

    Returns:
        The measurement on the test split; None if the data has none.

    Raises:
        RunFolderError: If ``best`` cannot be written.
    """
    observer = observer or Observer()
    # The candidates' workers are gone: all threads are free.
    context = replace(context, platform=context.final_platform)
    torch.set_num_threads(context.platform.threads)
    start, refinement = time.monotonic(), refinement or Refinement()
    teacher = refinement.teacher(context, trial)
    observer.final_started(trial, seconds)
    there = partial(_there, context, trial, grown, searched)
    try:
        with as_candidate_error():
            trained = _train(context, trial, seconds, observer, refinement, teacher)
    except CandidateError as error:
        observer.note(f"The final training failed ({error.kind}: {error}); using the weights that are there.")
        trained = there()
    else:
        trained = _long_enough(trained, context, trial, there, observer)
    trained, test = _tested(trained, context, trial, grown, there, log_test, observer)
    network, elapsed = trained.network, trained.seconds or time.monotonic() - start
    target = context.folder.best if grown is None else grown.path
    onnx = _onnx(context, network, target, observer) if context.config.onnx else None
    latency = {} if onnx is None or grown is not None else measure_latency(context, trial, onnx, observer)
    reason = write_best(
        context,
        trial,
        network.cpu(),
        final=True,
        test=test,
        epochs=trained.epochs,
        seconds=elapsed,
        onnx=onnx,
        grown=grown,
        facts={**trained.facts, **latency, "lasting": lasting},
    )
    if reason is not None:
        observer.note(f"model.py is left out: {reason}")
    observer.final_finished(None if test is None else test.accuracy)
    return test


def _long_enough(
    trained: _Trained, context: Context, trial: Trial, there: Callable[[], _Trained], observer: Observer
) -> _Trained:
    """What was trained; where there was no time for one pass, the weights of the same network that are there.

    Raises:
        SearchFailedError: If ``best`` holds another network, which has had a pass at least.
    """
    if trained.epochs is None or trained.epochs >= 1:
        return trained
    words = f"There was time for {trained.epochs:.2g} passes of the final training only"
    try:
        found = there()
    except SearchFailedError as error:
        raise SearchFailedError(
            f"{words}, and {context.folder.best} holds another network, which is kept. Give trial {trial.number} more "
            f"time, or none but --final-epochs: gcnas finalize RUN --trial {trial.number} --final-epochs 20."
        ) from error
    except RunFolderError:
        observer.note(f"{words}; there are no other weights.")
        return trained
    observer.note(f"{words}; using the weights that are there.")
    return found


def _tested(
    trained: _Trained,
    context: Context,
    trial: Trial,
    grown: Grown | None,
    there: Callable[[], _Trained],
    log_test: Callable[[str], None],
    observer: Observer,
) -> tuple[_Trained, Measurement | None]:
    """What was trained, with its test; where that fails, the weights of the same network that are there.

    Raises:
        SearchFailedError: If these cannot be tested either, or ``best`` holds another network.
    """
    if not context.dataset.size_test:
        return trained, None
    try:
        return trained, _test(context, trial, trained.network, log_test)
    except CandidateError as error:
        observer.note(f"The final test failed ({error.kind}: {error}); using the weights that are there.")
    found = there()
    try:
        return found, _test(context, trial, found.network, log_test)
    except CandidateError as error:
        raise SearchFailedError(
            f"The network of trial {trial.number} cannot be tested ({error.kind}: {error}); what is in "
            f"{context.folder.best if grown is None else grown.path} stays as it is."
        ) from error


def _test(context: Context, trial: Trial, network: Network, log_test: Callable[[str], None]) -> Measurement:
    split = context.dataset.open_test(f"final test of trial {trial.number}", log_test)
    with as_candidate_error():
        return measure(network, ImageBatches(split, context.platform), context.space.fitted.classes)


def _onnx(context: Context, network: Network, target: Path, observer: Observer) -> bytes | None:
    """The network as an ONNX file; None, and a note why, where there cannot be one."""
    name = (target / "model.onnx").relative_to(context.folder.path)
    if missing := missing_packages():
        observer.note(f"{name} is left out, since {', '.join(missing)} is not installed: {INSTALL}")
        return None
    dataset, most = context.dataset, context.space.limits.size
    try:
        content = onnx_bytes(
            network,
            dataset.image_shape,
            labels=dataset.class_names,
            preprocessing=dataset.preprocessing.to_json(),
            images=dataset.train().images,
        )
        if most is not None and len(content) > most:
            observer.note(
                f"{name} has {len(content):,} bytes: the limit of {most:,} is on the file of weights, and the "
                "graph beside them takes some more."
            )
    except ExportError as error:
        observer.note(f"{name} is left out: {error}")
        return None
    return content


def _finally_trained(context: Context, trial: Trial) -> bool:
    """Whether ``best`` holds the network of a trial after a final training."""
    path = context.folder.best
    try:
        metrics = read_json(path / "metrics.json")
        same = load_best(context.folder, context.space).architecture == trial.proposal.architecture
        return same and metrics.get("state") == "final" and bool(metrics.get("epochs"))
    except (GCNASError, AttributeError):
        return False


def _there(
    context: Context, trial: Trial, grown: Grown | None, searched: Mapping[str, Tensor] | None
) -> _Trained:
    """The network as it was trained before, from ``best`` or the folder of a grown one, and what is known of that.

    Weights that the search has trained, and that are not in ``best``, come first, unless that holds those of a final
    training of the same network.

    Raises:
        SearchFailedError: If ``best`` holds another network.
    """
    if searched is not None and not _finally_trained(context, trial):
        network = build_trained(context, trial.proposal.architecture, searched)
        return _Trained(network.to(context.platform.device), facts=_begun_with(context))
    path = context.folder.best if grown is None else grown.path
    model = load_best(context.folder, context.space) if grown is None else load_model(path, context.space)
    if model.architecture != trial.proposal.architecture:
        raise SearchFailedError(
            f"The network of trial {trial.number} could not be trained or tested, and {path} holds another; try again "
            "with other final epochs, or another trial."
        )
    metrics = read_json(path / "metrics.json")
    known = {name: metrics[name] for name in TRAINING_FACTS if name in metrics}
    network = model.network.to(context.platform.device)
    if metrics.get("state") != "final":
        return _Trained(network, facts=known | _begun_with(context))
    return _Trained(network, metrics.get("epochs"), metrics.get("seconds"), known)


def _begun_with(context: Context) -> dict[str, Any]:
    """What the network of the search began with, where that was weights of another."""
    donor = context.donor
    if donor is None:
        return {}
    return {"inheritance": {"donor": donor.name, "parts": [], "seen": seen_words(donor, context.dataset)}}


def _train(
    context: Context,
    trial: Trial,
    seconds: float | None,
    observer: Observer,
    refinement: Refinement,
    teacher: Known | ToTrain | None,
) -> _Trained:
    seed = stream_seed(context.config.seed, "final") % 2**31
    clock = _Clock(None if seconds is None else seconds - reserve(seconds, onnx=context.config.onnx))
    recipe, heritage, distillation = context.final_recipe, refinement.heritage, None
    facts: dict[str, Any] = {}
    behind = 0.0
    if refinement.lesson is not None and teacher is not None:
        student = partial(_student, context, trial, heritage, seed)
        rate = 1.0 if heritage is None else heritage.rate
        taught = prepare(refinement.lesson, teacher, context, lambda: student()[0], clock.left, observer, rate)
        distillation, behind, facts["distillation"] = taught.distillation, taught.share, taught.facts
    network, inheritance = _student(context, trial, heritage, seed)
    learn = partial(
        train,
        network,
        ImageBatches(context.dataset.train_and_validation(), context.platform, recipe.augmentation),
        platform=context.platform,
        distillation=distillation,
    )
    most, frozen = context.amounts.most_final_epochs(timed=seconds is not None), 0.0
    if heritage is not None and inheritance is not None:
        observer.note(f"Weights of {heritage.donor.name}: {inheritance}.")
        if heritage.freeze and not inheritance.fresh:
            observer.note("Nothing is trained alone at first (--freeze): all parts were inherited.")
        begin, part = behind, (1 - behind) * heritage.freeze / (heritage.freeze + most)
        alone = partial(learn, on_step=lambda progress: observer.final_progress(begin + part * progress))
        frozen = _frozen(alone, recipe, network, heritage.freeze, inheritance, clock, seed)
        behind += part if frozen else 0.0
        recipe = replace(recipe, learning_rate=recipe.learning_rate * heritage.rate)
        facts["inheritance"] = {
            "donor": heritage.donor.name,
            "parts": inheritance.to_json(),
            "frozen_epochs": frozen,
            "rate": float(heritage.rate),  # of numpy, perhaps
            "seen": seen_words(heritage.donor, context.dataset),
        }
    # Images that the frozen training drew are not drawn again in the same order.
    log = learn(
        recipe=recipe,
        schedule=clock.schedule(most),
        seed=seed + bool(frozen),
        on_step=lambda progress: observer.final_progress(behind + (1 - behind) * progress),
    )
    facts["mixed"] = round(log.mixed, 2)
    return _Trained(network, log.epochs + frozen, facts=facts)


def _student(
    context: Context, trial: Trial, heritage: Heritage | None, seed: int
) -> tuple[Network, Inheritance | None]:
    """The network to train, with its initial weights or those that it takes over."""
    architecture = trial.proposal.architecture
    network = build_seeded(context.space, architecture, context.dataset, context.platform, seed)
    if heritage is None:
        return network, None
    return network, inherit(network, architecture, context.dataset.class_names, heritage.donor)


def _frozen(
    learn: Callable[..., TrainingLog],
    recipe: Recipe,
    network: Network,
    epochs: int,
    inheritance: Inheritance,
    clock: "_Clock",
    seed: int,
) -> float:
    """Train the new parts alone; the statistics of normalisations follow the new data all the same.

    Returns:
        Passes made; 0 where there are none to make, or nothing is new.
    """
    # A layer type may fix some for good.
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    if not epochs or trained.keys().isdisjoint(inheritance.fresh):
        return 0.0
    for name, parameter in trained.items():
        parameter.requires_grad_(name in inheritance.fresh)
    try:
        return float(learn(recipe=recipe, schedule=clock.schedule(epochs, FREEZE_SHARE), seed=seed).epochs)
    finally:
        for parameter in trained.values():
            parameter.requires_grad_(True)


class _Clock:
    """The wall clock of a final training, if there is one.

    Args:
        seconds: For all of it; None if epochs rule.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds, self._start = seconds, time.monotonic()

    @property
    def left(self) -> float | None:
        """Seconds left."""
        return None if self._seconds is None else self._seconds - (time.monotonic() - self._start)

    def schedule(self, epochs: int, share: float = 1.0) -> Schedule:
        """Some passes, within a share of the time left."""
        left = self.left
        return EpochSchedule(epochs) if left is None else TimedSchedule(left * share, epochs)
