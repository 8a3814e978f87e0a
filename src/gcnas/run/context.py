"""What belongs to a run and does not change while it goes: data, space, platform, recipe, amounts."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from gcnas.config import RunConfig, stream_seed
from gcnas.data import Dataset
from gcnas.errors import SpaceError
from gcnas.records import Fidelity
from gcnas.run.amounts import GRACE, Amounts, reserve
from gcnas.run.folder import RunFolder
from gcnas.run.recommendation import images_behind
from gcnas.run.rungs import rungs
from gcnas.run.workers import Workers, plan_workers
from gcnas.space import InputShape, SearchSpace
from gcnas.strategy.history import PastRun
from gcnas.training import Augmentation, Donor, Platform, Recipe
from gcnas.training.platform import Precision

SHIFT_SHARE = 1 / 12
"""Shifted crops move an image by at most this share of its shorter side."""

MIXED_FROM = 60
"""Final trainings of so many passes and more mix images (see ``benchmarks/final_epochs.py``)."""

SHORT_BELOW, LONG_FROM = 60, 100
"""Trainings of fewer passes are short, those of so many and more are long: in the same time designs that last are
behind others at 60 passes and ahead at 100 (``benchmarks/designs.py``)."""


@dataclass(frozen=True)
class Context:
    """The fixed surroundings of a run.

    Attributes:
        config: Resolved configuration.
        folder: The run folder.
        dataset: The data.
        space: The space, fitted to the data and the limits.
        platform: Device and its settings; the threads are those of one worker.
        amounts: Training that candidates and the delivered network get.
        donor: Network whose weights all networks of the run begin with; None for none.
        past: Earlier runs that the search starts from.
    """

    config: RunConfig
    folder: RunFolder
    dataset: Dataset
    space: SearchSpace
    platform: Platform
    amounts: Amounts
    donor: Donor | None = None
    past: tuple[PastRun, ...] = ()

    @property
    def workers(self) -> Workers:
        """The processes that evaluate candidates."""
        return plan_workers(self.config, self.platform.device)

    @property
    def final_platform(self) -> Platform:
        """The platform of the final training, which has all threads to itself."""
        return replace(self.platform, threads=self.workers.all_threads)

    def lasting(self, passes: float | None = None, epochs: int | None = None) -> list[str]:
        """Fingerprints of the designs that are known to last, if a long final training follows on short ones.

        Args:
            passes: Of the final training; those expected of the run's own by default.
            epochs: Of the trainings that decide; those of a candidate's full training by default.
        """
        passes = self.expected_passes if passes is None else passes
        if (self.amounts.epochs if epochs is None else epochs) >= SHORT_BELOW or passes < LONG_FROM:
            return []
        found: list[str] = []
        for design in self.space.lasting:
            with suppress(SpaceError):  # a space that was made of another may lack the layer types
                if (architecture := design(self.space)) is not None:
                    found.append(architecture.fingerprint)
        return found

    @property
    def expected_passes(self) -> float:
        """Passes that the first reference would at least make in the final training within the budget of the run."""
        budget, search = self.config.budget.seconds, self.amounts.search_seconds
        if budget is None or search is None:
            return self.passes_in(None)
        return self.passes_in(budget - (1 + GRACE) * search)

    def passes_in(self, seconds: float | None, share: float = 1.0) -> float:
        """Passes that the first reference would at least make in a final training.

        Args:
            seconds: Its wall clock, with test and files; None where the number of final epochs rules.
            share: Of the time for training, what is not for a teacher.

        Returns:
            As many as there may be where it is not known how fast the reference trains.
        """
        most = float(self.amounts.most_final_epochs(timed=seconds is not None))
        speed = self.amounts.final_speed or self.amounts.speed
        if seconds is None or speed is None:
            return most
        images = len(self.dataset.train_index) + len(self.dataset.validation_index)
        training = share * (seconds - reserve(seconds, onnx=self.config.onnx))
        return min(most, max(0.0, training * speed / images))

    @property
    def recipe(self) -> Recipe:
        """The one recipe of the run."""
        config, (_, height, width) = self.config, self.dataset.image_shape
        return Recipe(
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            augmentation=Augmentation(
                # Of up to three rows one is too much.
                shift=0 if min(height, width) < 4 else max(1, round(min(height, width) * SHIFT_SHARE)),
                mirror=self.dataset.mirror if config.flip is None else config.flip,
            ),
            stages=len(self.rungs) > 1,
        )

    @property
    def final_recipe(self) -> Recipe:
        """The recipe of the final training, and of teachers."""
        return replace(self.recipe, mixed_from=MIXED_FROM if self.config.mixing else None)

    @property
    def fidelity(self) -> Fidelity:
        """Full training of a candidate; all share one seed."""
        return Fidelity(self.amounts.epochs, stream_seed(self.config.seed, "candidate") % 2**31)

    @property
    def rungs(self) -> list[Fidelity]:
        """Trainings of candidates, the shortest first; only the full one where that is all that they get."""
        if self.config.fidelity == "full":
            return [self.fidelity]
        return rungs(self.fidelity, max(1, len(self.dataset.train_index) // self.config.batch_size))

    def facts(self) -> dict[str, Any]:
        """What the ledger keeps, so that a resumed run can be held against it."""
        dataset = self.dataset
        return {
            "image": vars(self.space.fitted),
            "space": self.space.fingerprint,
            "platform": self.platform.to_json(),
            "workers": self.workers.count,
            "amounts": vars(self.amounts),
            "data": {
                "name": dataset.name,
                "fingerprint": dataset.fingerprint,
                "classes": list(dataset.class_names),
                "counts": {
                    "train": len(dataset.train_index),
                    "validation": len(dataset.validation_index),
                    "test": dataset.size_test,
                },
                "mirror": self.recipe.augmentation.mirror,
                "behind": images_behind(dataset.validation().labels, self.config.reward),
                "notices": list(dataset.notices),
            },
        }


def precision_of(config: RunConfig, space: SearchSpace) -> Precision:
    """What training is to compute in: in single precision by itself where layer types are the user's.

    They may not be made for anything else.
    """
    ours = all(type(each).__module__.startswith("gcnas.") for each in space.layer_types)
    return "float32" if config.precision == "auto" and not ours else config.precision


def fit_space(space: SearchSpace, dataset: Dataset, config: RunConfig) -> SearchSpace:
    """The space for the shape and the classes of the data, and for the limits."""
    channels, height, width = dataset.image_shape
    return space.fit(InputShape(channels, height, width, len(dataset.class_names)), config.limits)
