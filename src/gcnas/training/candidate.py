"""Training and measuring one candidate of a search."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gcnas.data import Dataset
from gcnas.errors import BuildError, OutOfMemoryError
from gcnas.network import Network, build
from gcnas.records import DECAY, Architecture, Fidelity
from gcnas.space import SearchSpace
from gcnas.training.batches import ImageBatches
from gcnas.training.checkpoint import load_checkpoint, save_checkpoint
from gcnas.training.inheritance import Donor, inherit
from gcnas.training.loop import Measurement, measure, train
from gcnas.training.memory import memory_errors, return_freed_memory
from gcnas.training.platform import Platform
from gcnas.training.recipe import EpochSchedule, Recipe, StagedSchedule

ACCURACY = {"accuracy": "accuracy", "balanced-accuracy": "balanced_accuracy"}
"""The figure of a :class:`Measurement` that each reward is."""

STAGE = 1_000
"""Seeds of a training's stages are so far apart for each pass between them."""


@dataclass(frozen=True)
class TrainedCandidate:
    """A candidate after its training.

    Attributes:
        measurement: On the validation split.
        weights: State of the network, on the CPU.
        epochs: Passes over the data that this training made itself.
    """

    measurement: Measurement
    weights: Mapping[str, Tensor]
    epochs: float


class CandidateTrainer:
    """Trains candidates on the search-train split and measures them on the validation split.

    Args:
        space: Fitted space.
        dataset: The data; its test split is not touched.
        recipe: The one recipe for all candidates.
        platform: Where to train.
        donor: Network whose weights every candidate begins with, wherever they fit; None for none.
    """

    def __init__(
        self,
        space: SearchSpace,
        dataset: Dataset,
        recipe: Recipe,
        platform: Platform,
        donor: Donor | None = None,
    ) -> None:
        self.space, self.dataset, self.recipe, self.platform = space, dataset, recipe, platform
        self.donor = donor
        torch.set_num_threads(platform.threads)
        self._train = ImageBatches(dataset.train(), platform, recipe.augmentation)
        self._validation = ImageBatches(dataset.validation(), platform)

    def __call__(
        self,
        architecture: Architecture,
        fidelity: Fidelity,
        seconds: float | None = None,
        on_step: Callable[[float], None] | None = None,
        start: Path | None = None,
        keep: Path | None = None,
    ) -> TrainedCandidate:
        """Train one candidate.

        Args:
            architecture: What to build.
            fidelity: Epochs and seed.
            seconds: Time limit; None for none.
            on_step: Called with the progress, from 0 to 1.
            start: Checkpoint to go on from; one that cannot be used means a training from the beginning.
            keep: Where to leave a checkpoint.

        Raises:
            CandidateError: One of its children, if the candidate fails.
        """
        try:
            return self._train_and_measure(architecture, fidelity, seconds, on_step, start, keep)
        finally:
            return_freed_memory()

    def _train_and_measure(
        self,
        architecture: Architecture,
        fidelity: Fidelity,
        seconds: float | None,
        on_step: Callable[[float], None] | None,
        start: Path | None,
        keep: Path | None,
    ) -> TrainedCandidate:
        deadline = float("inf") if seconds is None else time.monotonic() + seconds
        network = build_seeded(self.space, architecture, self.dataset, self.platform, fidelity.seed)
        if self.donor is not None:
            inherit(network, architecture, self.dataset.class_names, self.donor)
        done = 0.0 if start is None else load_checkpoint(network, start, fidelity.epochs)
        schedule = (
            StagedSchedule(fidelity.epochs, done) if self.recipe.stages else EpochSchedule(fidelity.epochs)
        )
        log = train(
            network,
            self._train,
            self.recipe,
            schedule,
            self.platform,
            # Images that were drawn before are not drawn again in the same order; equal for all that go on from here.
            seed=(fidelity.seed + round(done * STAGE)) % 2**31,
            deadline=deadline,
            on_step=on_step if keep is None else _Keeping(network, fidelity.epochs, keep, on_step),
        )
        measurement = measure(network, self._validation, self.space.fitted.classes)
        return TrainedCandidate(measurement, weights_of(network), log.epochs)


class _Keeping:
    """Leaves a checkpoint at the step before the rate falls, and passes the progress on."""

    def __init__(
        self, network: Network, epochs: int, path: Path, on_step: Callable[[float], None] | None
    ) -> None:
        self._network, self._epochs, self._path, self._on_step = network, epochs, path, on_step
        self._kept = False

    def __call__(self, progress: float) -> None:
        if not self._kept and progress >= 1 - DECAY:
            self._kept = True
            save_checkpoint(self._network, progress * self._epochs, self._path)
        if self._on_step is not None:
            self._on_step(progress)


def build_seeded(
    space: SearchSpace, architecture: Architecture, dataset: Dataset, platform: Platform, seed: int
) -> Network:
    """The network of an architecture with initial weights from a seed, on the platform.

    Initial weights come from torch's global random state, which is set.

    Raises:
        BuildError: If it cannot be built.
        OutOfMemoryError: If the platform has no room for it.
    """
    torch.manual_seed(seed)
    preprocessing = dataset.preprocessing
    try:
        with memory_errors():
            network = build(space, architecture, preprocessing.mean, preprocessing.std)
    except (BuildError, OutOfMemoryError):
        raise
    except Exception as error:
        raise BuildError(f"{type(error).__name__}: {error}") from error
    with memory_errors():
        return network.to(platform.device).to(memory_format=platform.memory_format)  # type: ignore[call-overload,no-any-return]


def weights_of(network: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of a network's state on the CPU, contiguous."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }
