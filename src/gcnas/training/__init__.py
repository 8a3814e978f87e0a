"""Training networks: the recipe, its fidelities, and the device."""

from gcnas.training.batches import Augmentation, ImageBatches
from gcnas.training.distillation import Distillation
from gcnas.training.inheritance import Donor, Inheritance, inherit
from gcnas.training.loop import Measurement, TrainingLog, measure, train
from gcnas.training.platform import Platform, torch_as_it_was
from gcnas.training.recipe import EpochSchedule, Recipe, Schedule, StagedSchedule, TimedSchedule

__all__ = [
    "Augmentation",
    "Distillation",
    "Donor",
    "EpochSchedule",
    "ImageBatches",
    "Inheritance",
    "Measurement",
    "Platform",
    "Recipe",
    "Schedule",
    "StagedSchedule",
    "TimedSchedule",
    "TrainingLog",
    "inherit",
    "measure",
    "torch_as_it_was",
    "train",
]
