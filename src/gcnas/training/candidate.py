"""Training and measuring one candidate of a search."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gcnas.data import Dataset
from gcnas.errors import BuildError
from gcnas.network import Network, build
from gcnas.records import Architecture, Fidelity
from gcnas.space import SearchSpace
from gcnas.training.batches import ImageBatches
from gcnas.training.loop import Measurement, measure, train
from gcnas.training.memory import return_freed_memory
from gcnas.training.platform import Platform
from gcnas.training.recipe import EpochSchedule, Recipe

ACCURACY = {"accuracy": "accuracy", "balanced-accuracy": "balanced_accuracy"}
"""The figure of a :class:`Measurement` that each reward is."""


@dataclass(frozen=True)
class TrainedCandidate:
    """A candidate after its training.

    Attributes:
        measurement: On the validation split.
        weights: State of the network, on the CPU.
    """

    measurement: Measurement
    weights: Mapping[str, Tensor]


class CandidateTrainer:
    """Trains candidates on the search-train split and measures them on the validation split.

    Args:
        space: Fitted space.
        dataset: The data; its test split is not touched.
        recipe: The one recipe for all candidates.
        platform: Where to train.
    """

    def __init__(self, space: SearchSpace, dataset: Dataset, recipe: Recipe, platform: Platform) -> None:
        self.space, self.dataset, self.recipe, self.platform = space, dataset, recipe, platform
        torch.set_num_threads(platform.threads)
        self._train = ImageBatches(dataset.train(), platform, recipe.augmentation)
        self._validation = ImageBatches(dataset.validation(), platform)

    def __call__(
        self,
        architecture: Architecture,
        fidelity: Fidelity,
        seconds: float | None = None,
        on_step: Callable[[float], None] | None = None,
    ) -> TrainedCandidate:
        """Train one candidate.

        Args:
            architecture: What to build.
            fidelity: Epochs and seed.
            seconds: Time limit; None for none.
            on_step: Called with the progress, from 0 to 1.

        Raises:
            CandidateError: One of its children, if the candidate fails.
        """
        try:
            return self._train_and_measure(architecture, fidelity, seconds, on_step)
        finally:
            return_freed_memory()

    def _train_and_measure(
        self,
        architecture: Architecture,
        fidelity: Fidelity,
        seconds: float | None,
        on_step: Callable[[float], None] | None,
    ) -> TrainedCandidate:
        deadline = float("inf") if seconds is None else time.monotonic() + seconds
        network = build_seeded(self.space, architecture, self.dataset, self.platform, fidelity.seed)
        schedule = EpochSchedule(fidelity.epochs)
        train(
            network,
            self._train,
            self.recipe,
            schedule,
            self.platform,
            seed=fidelity.seed,
            deadline=deadline,
            on_step=on_step,
        )
        measurement = measure(network, self._validation, self.space.fitted.classes, self.platform)
        return TrainedCandidate(measurement, weights_of(network))


def build_seeded(
    space: SearchSpace, architecture: Architecture, dataset: Dataset, platform: Platform, seed: int
) -> Network:
    """The network of an architecture with initial weights from a seed, on the platform.

    Initial weights come from torch's global random state, which is set.

    Raises:
        BuildError: If it cannot be built.
    """
    torch.manual_seed(seed)
    preprocessing = dataset.preprocessing
    try:
        network = build(space, architecture, preprocessing.mean, preprocessing.std)
    except BuildError:
        raise
    except Exception as error:
        raise BuildError(f"{type(error).__name__}: {error}") from error
    return network.to(platform.device).to(memory_format=platform.memory_format)  # type: ignore[call-overload,no-any-return]


def weights_of(network: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of a network's state on the CPU, contiguous."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }
