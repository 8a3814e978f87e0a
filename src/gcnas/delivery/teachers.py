"""Teachers for distillation: networks of the run, of another run, an ONNX file, or a user's module."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gcnas.config import RunConfig
from gcnas.delivery.best import Model, load_best, load_model
from gcnas.delivery.heritage import data_of
from gcnas.errors import ConfigurationError, GCNASError, SpaceError
from gcnas.export.onnx_teacher import OnnxTeacher
from gcnas.files import is_file, is_folder
from gcnas.records import Architecture, Limits
from gcnas.run.context import Context
from gcnas.run.folder import RunFolder
from gcnas.run.recommendation import contenders
from gcnas.run.trial import Trial, decisive
from gcnas.space import SearchSpace, load_space
from gcnas.space.load import execute, in_file
from gcnas.space.presets import PRESETS
from gcnas.space.scaling import Coefficients, scale_architecture
from gcnas.training.distillation import AsTrained, Ensemble, Teacher

ENSEMBLE, LARGER, TRIAL, PHI = "ensemble", "larger", "trial=", "phi="

GROWTH, TIMES = Coefficients(1.2, 1.29, 1.0), 2
"""How a larger teacher is grown: twice the multiply-adds so many times, in depth and width. Its images stay as they
are, since they are those of the network that learns."""

MEMBERS = 3
"""Networks of an ensemble."""

COLOURS = (1, 3)
"""Channels that images may have."""

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue, as Pillow's when it makes an image grey."""


@dataclass(frozen=True)
class Known:
    """A teacher that is trained already.

    Attributes:
        name: For reports.
        teacher: Gives logits.
        elsewhere: Whether it knows the classes from other images, or from other splits of these.
    """

    name: str
    teacher: Teacher
    elsewhere: bool = False


@dataclass(frozen=True)
class ToTrain:
    """A teacher made of networks that are trained first.

    Attributes:
        name: For reports.
        networks: Architectures by what the seeds of their trainings are called.
        space: The fitted space in which they are points.
    """

    name: str
    networks: Mapping[str, Architecture]
    space: SearchSpace


def is_to_train(given: Any) -> bool:
    """Whether what a user named as a teacher is trained first, as :func:`find_teacher` finds out."""
    return isinstance(given, str) and (given in {ENSEMBLE, LARGER} or given.startswith(TRIAL))


def find_teacher(given: Any, context: Context, trial: Trial, trials: Sequence[Trial]) -> Known | ToTrain:
    """What a user named as a teacher.

    Args:
        given: ``larger``, ``ensemble``, ``trial=N``, ``phi=N``, an ONNX file, a run folder (or one in its
            ``scaled``), or a module that maps ``B x C x H x W`` in [0, 1] to logits: itself, or as ``FILE.py:NAME``,
            which is executed.
        context: The run whose network learns.
        trial: The trial of that network.
        trials: Those of the run.

    Raises:
        ConfigurationError: If there is no such teacher, or it knows other classes.
        GCNASError: One of its other children, if its files cannot be used.
    """
    if callable(given):
        # A user's module stays as it is, in training mode or not.
        name = type(given).__name__
        try:
            given = copy.deepcopy(given) if isinstance(given, nn.Module) else given
        except Exception as error:
            raise ConfigurationError(
                f"The teacher {name} cannot be copied, so that it stays as it is: {type(error).__name__}: {error}"
            ) from error
        return Known(name, _checked(_frozen(given, context), name, context))
    text = str(given)
    if (place := in_file(text)) is not None:
        return Known(text, _checked(_frozen(_module_of(*place), context), text, context))
    if text == ENSEMBLE:
        return _ensemble(context, trials)
    if text == LARGER:
        return _larger(context, trial)
    if text.startswith(TRIAL):
        return _trial(text, context, trials)
    path = Path(text)
    if path.suffix.lower() == ".onnx":
        return Known(text, _checked(_onnx(path, context), text, context))
    if text.startswith(PHI):
        path = context.folder.scaled / text.replace("=", "-")
        if not is_folder(path):
            raise ConfigurationError(
                f"There is no network {text} in {context.folder.scaled}; 'gcnas scale' grows one."
            )
    if is_file(path / "weights.safetensors") and path.parent.name == context.folder.scaled.name:
        return _of_run(path.parent.parent, text, _grown(path, context), context)
    if is_file(path / "run.db"):
        return _of_run(path, text, _run(path, context), context)
    raise ConfigurationError(
        f"A teacher is 'larger', 'ensemble', 'trial=N', 'phi=N', a run folder, an .onnx file or FILE.py:NAME, but got "
        f"{text!r}, which is none of them."
    )


def _module_of(path: Path, name: str) -> Teacher:
    """A module that a user's file makes.

    Raises:
        ConfigurationError: If the file cannot be executed, or has no such module.
    """
    try:
        module: Any = getattr(execute(path), name, None)
    except SpaceError as error:
        raise ConfigurationError(f"{path}:{name} cannot teach. {error}") from error
    if not callable(module) or isinstance(module, type):
        raise ConfigurationError(
            f"{path} must define {name} as a module that maps images to logits, but it is {type(module).__name__}."
        )
    return cast("Teacher", module)


def _ensemble(context: Context, trials: Sequence[Trial]) -> ToTrain:
    """The run's best networks, by means where they were trained again; a teacher need not be within the limits."""
    ranked = [trial for trial, _ in sorted(contenders(trials, Limits()), key=lambda pair: -pair[1])]
    # Where fewer were trained again than teach, the others follow.
    ranked += sorted(decisive(trials), key=lambda trial: -trial.score)
    first: dict[str, Trial] = {}
    for trial in ranked:
        first.setdefault(trial.proposal.fingerprint, trial)
    best = list(first.values())[:MEMBERS]
    if not best:
        raise ConfigurationError(f"{context.folder.path} has no trained network that could teach.")
    return _of_trials(f"ensemble of trials {', '.join(str(t.number) for t in best)}", best, context)


def _larger(context: Context, trial: Trial) -> ToTrain:
    """The network that learns, grown."""
    scaled = scale_architecture(context.space, trial.proposal.architecture, GROWTH, TIMES)
    if scaled.architecture.fingerprint == trial.proposal.fingerprint:
        raise ConfigurationError(
            f"The network of trial {trial.number} cannot be grown: no layer has filters, or can be repeated. Name "
            "another teacher."
        )
    own, grown = (
        space.cost(architecture).multiply_adds / 1e6
        for space, architecture in (
            (context.space, trial.proposal.architecture),
            (scaled.space, scaled.architecture),
        )
    )
    name = f"trial {trial.number} grown from {own:.2f} to {grown:.2f} M multiply-adds"
    return ToTrain(name, {f"larger {trial.number}": scaled.architecture}, scaled.space)


def _of_trials(name: str, trials: Sequence[Trial], context: Context) -> ToTrain:
    networks = {str(trial.number): trial.proposal.architecture for trial in trials}
    return ToTrain(name, networks, context.space)


def _trial(text: str, context: Context, trials: Sequence[Trial]) -> ToTrain:
    complete = {str(trial.number): trial for trial in trials if trial.complete}
    number = text.removeprefix(TRIAL)
    if number not in complete:
        raise ConfigurationError(
            f"There is no complete trial {number} to teach; there are {len(complete)}, see trials.csv."
        )
    return _of_trials(f"trial {number}", [complete[number]], context)


def _of_run(run: Path, name: str, teacher: Teacher, context: Context) -> Known:
    return Known(name, _checked(teacher, name, context), data_of(run) != context.dataset.fingerprint)


def _run(path: Path, context: Context) -> Teacher:
    folder = RunFolder.open(path)
    return _model(load_best(folder, _space_of(folder, context)), path, context)


def _grown(path: Path, context: Context) -> Teacher:
    """A network that a run has grown, in the run's folder ``scaled``."""
    run = RunFolder.open(path.parent.parent)
    return _model(load_model(path, _space_of(run, context)), path, context)


def _space_of(folder: RunFolder, context: Context) -> SearchSpace:
    path = folder.path
    name = RunConfig.from_yaml(folder.config).get("space", "cnn")
    if name == context.config.space:
        return context.space
    if name not in PRESETS:
        raise ConfigurationError(
            f"The space of {path} is code ({name}) and not that of this run, so it is not executed. Give its network "
            "as an ONNX file: gcnas export RUN --format onnx."
        )
    return load_space(str(name))


def _model(model: Model, path: Path, context: Context) -> Teacher:
    _same_classes(model.class_names, str(path), context)
    return _frozen(_Resized(AsTrained(model.network, context.platform), model.image_shape), context)


def _onnx(path: Path, context: Context) -> Teacher:
    teacher = OnnxTeacher(path, context.platform.threads)
    if (names := _labels(teacher.metadata.get("labels", ""))) is not None:
        _same_classes(names, str(path), context)
    channels, *sides = teacher.image_shape
    # A side of one or three pixels is one of channels, where another file has them.
    if channels not in (None, *COLOURS) or (channels is None and set(sides) & {*COLOURS}):
        raise ConfigurationError(
            f"A teacher takes images of 1 or 3 channels: (batch, channels, height, width) if they are floats, (batch, "
            f"height, width, channels) if they are bytes. {path} takes {teacher.wanted}; write it with such an "
            "input."
        )
    return _Resized(teacher, teacher.image_shape)


def _labels(text: str) -> tuple[str, ...] | None:
    """The names of classes in the metadata of an ONNX file, as the files have them that are written here; else None."""
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        return None
    known = isinstance(names, list) and all(isinstance(name, str | int) for name in names)
    return tuple(map(str, names)) if known else None


def _same_classes(names: tuple[str, ...], teacher: str, context: Context) -> None:
    ours = tuple(context.dataset.class_names)
    if names != ours:
        raise ConfigurationError(
            f"A teacher must know the same classes in the same order: {list(ours)[:5]}… ({len(ours)}), but {teacher} "
            f"has {list(names)[:5]}… ({len(names)})."
        )


def _checked(teacher: Teacher, name: str, context: Context) -> Teacher:
    """The teacher, once it has been shown two images.

    Raises:
        ConfigurationError: If it raises, or its output has another shape than logits of the run's classes.
    """
    images = torch.zeros(2, *context.dataset.image_shape, device=context.platform.device)
    try:
        with torch.no_grad():
            found = tuple(teacher(images).float().shape)  # as the loss takes it
    except GCNASError:
        raise
    except Exception as error:  # a user's module is foreign code
        raise ConfigurationError(
            f"The teacher {name} cannot take images {tuple(images.shape)} in [0, 1]: {type(error).__name__}: {error}"
        ) from error
    wanted = (2, context.space.fitted.classes)
    if found != wanted:
        raise ConfigurationError(
            f"A teacher must give logits (images, classes), {wanted} for two images, but {name} gives {found}."
        )
    return teacher


def _frozen(teacher: Callable[[Tensor], Tensor], context: Context) -> Teacher:
    if isinstance(teacher, nn.Module):
        return teacher.to(context.platform.device).eval().requires_grad_(False)
    return teacher


def taught_by(members: Sequence[nn.Module], context: Context) -> Teacher:
    """Trained networks as a teacher."""
    fast = [AsTrained(member, context.platform) for member in members]
    return _frozen(fast[0] if len(fast) == 1 else Ensemble(fast), context)


class _Resized(nn.Module):
    """A classifier that sees images of another size or with other channels as those that it takes.

    Args:
        network: Maps images to logits.
        image_shape: Channels, height and width that it takes; None for any.
    """

    def __init__(self, network: Teacher, image_shape: Sequence[int | None]) -> None:
        super().__init__()
        self.network = network
        self._channels, *self._size = image_shape

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images ``B x C x H x W``."""
        channels, size = images.shape[1], list(images.shape[2:])
        if self._channels not in (None, channels):
            images = _grey(images) if self._channels == 1 else images.expand(-1, self._channels, -1, -1)
        wanted = [own or given for own, given in zip(self._size, size, strict=True)]
        if wanted != size:
            images = functional.interpolate(images, wanted, mode="bilinear", antialias=True)
        logits: Tensor = self.network(images)
        return logits


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor(GREY, device=images.device).reshape(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)
