"""Preparing a distillation: the teacher is found or trained, temperature and weight are chosen on validation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from gcnas.config import stream_seed
from gcnas.delivery.teachers import Known, ToTrain, is_to_train, taught_by
from gcnas.errors import CandidateError, ConfigurationError
from gcnas.network import Network
from gcnas.run.context import Context
from gcnas.run.observer import Observer
from gcnas.training import EpochSchedule, ImageBatches, Schedule, TimedSchedule, measure, train
from gcnas.training.candidate import ACCURACY, build_seeded
from gcnas.training.distillation import Distillation
from gcnas.training.failure import as_candidate_error
from gcnas.training.inheritance import inherit

TEMPERATURES = (2.0, 4.0)
WEIGHTS = (0.5, 0.9)
"""The grid from which temperature and weight are chosen."""

TEACHER_SHARE = 0.45
"""Share of a wall clock for training the teacher."""

CHOICE_SHARE = 0.15
"""Share of a wall clock, or of the final epochs for each setting, for choosing temperature and weight."""

MAX_TEMPERATURE = 100.0


@dataclass(frozen=True)
class Lesson:
    """What a user asks of a distillation.

    Attributes:
        teacher: See :func:`~gcnas.delivery.teachers.find_teacher`.
        temperature: T; None chooses.
        weight: a; None chooses.
    """

    teacher: Any
    temperature: float | None = None
    weight: float | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 < self.temperature <= MAX_TEMPERATURE:
            raise ConfigurationError(
                f"The temperature is above 0 and at most {MAX_TEMPERATURE:g}, but got {self.temperature}."
            )
        if self.weight is not None and not 0 < self.weight <= 1:
            raise ConfigurationError(
                f"The weight of a teacher is above 0 and at most 1, but got {self.weight}."
            )

    @property
    def own_share(self) -> float:
        """Of the time for training, what is for the network that learns."""
        choice = CHOICE_SHARE if self.temperature is None or self.weight is None else 0.0
        return 1.0 - choice - (TEACHER_SHARE if is_to_train(self.teacher) else 0.0)


@dataclass(frozen=True)
class Taught:
    """A distillation that is ready.

    Attributes:
        distillation: Teacher, temperature and weight.
        facts: What reports say about it.
        share: Of the whole final training that is behind.
    """

    distillation: Distillation
    facts: Mapping[str, Any]
    share: float


def prepare(
    lesson: Lesson,
    found: Known | ToTrain,
    context: Context,
    student: Callable[[], Network],
    seconds: float | None,
    observer: Observer,
    rate: float,
) -> Taught:
    """Train the teacher if need be, and choose what is not given.

    A teacher made of networks of the run gets the training of a delivered one on all but the test images. It has so
    seen the validation images on which temperature and weight are chosen; the network that learns has not, and all
    settings have the same teacher.

    Args:
        lesson: What the user asks for.
        found: Its teacher, as :func:`~gcnas.delivery.teachers.find_teacher` found it.
        context: The run.
        student: Makes the network that learns, with its initial weights.
        seconds: Wall clock of the whole final training; None where epochs rule.
        observer: Told what happens.
        rate: Of the network's final training, as a share of the recipe's learning rate.

    Raises:
        CandidateError: If the teacher, or the network with every setting, cannot be trained.
    """
    trained: dict[str, str | list[float]] = {}
    if isinstance(found, Known):
        teacher = found.teacher
        if found.elsewhere:
            seen = (
                f"The teacher {found.name} knows these classes from other images, or from other splits of these: where "
                "it was trained on what is now among validation or test, their accuracies flatter."
            )
            observer.note(seen)
            trained = {"seen": seen}
    else:
        observer.note(f"The teacher is trained first: {found.name}.")
        share = None if seconds is None else seconds * TEACHER_SHARE / len(found.networks)
        members, passes = [], []
        for index, name in enumerate(found.networks):
            moved = partial(_moved, observer, index / len(found.networks), len(found.networks))
            member, epochs = _teacher(context, found, name, share, moved)
            members.append(member)
            passes.append(round(epochs, 2))
            if epochs < 1:
                observer.note(f"The teacher had time for {epochs:.2g} passes only; give more time, or epochs.")
        teacher, trained = taught_by(members, context), {"teacher_epochs": passes}
    grid = list(
        product(
            TEMPERATURES if lesson.temperature is None else (lesson.temperature,),
            WEIGHTS if lesson.weight is None else (lesson.weight,),
        )
    )
    settings = [Distillation(teacher, temperature, weight) for temperature, weight in grid]
    scores = [0.0] if len(settings) == 1 else _scores(settings, context, student, seconds, rate)
    chosen = settings[scores.index(max(scores))]
    observer.note(f"Teacher: {found.name}; temperature {chosen.temperature:g}, weight {chosen.weight:g}.")
    # Numbers may have been given as those of numpy, which are none of JSON's.
    temperature, weight = float(chosen.temperature), float(chosen.weight)
    facts = {"teacher": found.name, **trained, "temperature": temperature, "weight": weight}
    tried = zip(settings, scores, strict=True) if len(settings) > 1 else ()
    return Taught(
        chosen,
        facts | {"settings": [[float(s.temperature), float(s.weight), score] for s, score in tried]},
        TEACHER_SHARE * isinstance(found, ToTrain) + CHOICE_SHARE * (len(settings) > 1),
    )


def _moved(observer: Observer, behind: float, parts: int, progress: float) -> None:
    """Show the training of one of the networks that teach as a part of the whole."""
    observer.final_progress(TEACHER_SHARE * (behind + progress / parts))


def _teacher(
    context: Context, found: ToTrain, name: str, seconds: float | None, on_step: Callable[[float], None]
) -> tuple[Network, float]:
    """A trained network that teaches, and its passes."""
    seed = stream_seed(context.config.seed, f"teacher {name}") % 2**31
    network = build_seeded(found.space, found.networks[name], context.dataset, context.platform, seed)
    if context.donor is not None:
        inherit(network, found.networks[name], context.dataset.class_names, context.donor)
    batches = ImageBatches(
        context.dataset.train_and_validation(), context.platform, context.recipe.augmentation
    )
    epochs = context.amounts.final_epochs
    log = train(
        network,
        batches,
        context.final_recipe,
        _schedule(epochs, seconds),
        context.platform,
        seed=seed,
        on_step=on_step,
    )
    return network, float(log.epochs)


def _scores(
    settings: Sequence[Distillation],
    context: Context,
    student: Callable[[], Network],
    seconds: float | None,
    rate: float,
) -> list[float]:
    """The run's reward of the network after a short training with each setting; -1 where that failed."""
    seed = stream_seed(context.config.seed, "distillation") % 2**31
    recipe = replace(context.recipe, learning_rate=context.recipe.learning_rate * rate)
    batches = ImageBatches(context.dataset.train(), context.platform, recipe.augmentation)
    validation = ImageBatches(context.dataset.validation(), context.platform)
    epochs = max(1, round(CHOICE_SHARE * context.amounts.final_epochs))
    share = None if seconds is None else seconds * CHOICE_SHARE / len(settings)
    scores: list[float] = []
    problem: CandidateError | None = None
    for setting in settings:
        network, schedule = student(), _schedule(epochs, share)
        try:
            with as_candidate_error():
                train(network, batches, recipe, schedule, context.platform, seed=seed, distillation=setting)
                found = measure(network, validation, context.space.fitted.classes)
            scores.append(found.metrics()[ACCURACY[context.config.reward]])
        except CandidateError as error:
            scores.append(-1.0)
            problem = error
    if problem is not None and max(scores) < 0:
        raise problem
    return scores


def _schedule(epochs: int, seconds: float | None) -> Schedule:
    return EpochSchedule(epochs) if seconds is None else TimedSchedule(seconds, epochs)
