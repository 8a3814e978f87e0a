"""Images mixed two and two: what is mixed, by how much, and when."""

import pytest
import torch
from tests.training.conftest import CPU
from torch import nn
from torch.nn import functional

from gcnas.data import Dataset
from gcnas.training import EpochSchedule, ImageBatches, Recipe, TimedSchedule, train
from gcnas.training.distillation import Distillation
from gcnas.training.mixing import Batch, Mixer

MIXED = Recipe(batch_size=16, mixed_from=4)


def batch(count: int = 9, side: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, side, side + 2, generator=generator)
    return images.contiguous(memory_format=torch.channels_last), torch.arange(count)


@pytest.fixture
def batches(stripes: Dataset) -> ImageBatches:
    return ImageBatches(stripes.train(), CPU)


def classifier() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def test_every_batch_is_mixup_or_cutmix_with_the_share_of_its_labels() -> None:
    images, labels = batch()
    before, partners = images.clone(), images.flip(0)
    mixer, kinds, shares = Mixer(0), set(), []
    for _ in range(300):
        mixed = mixer(images, labels)
        taken, given = mixed.images == images, mixed.images == partners
        is_pasted = bool((taken | given).all())
        if is_pasted and 0 < mixed.share < 1:  # what a rectangle replaced, as a share of the pixels
            apart = [0, 1, 2, 3, 5, 6, 7, 8]  # the middle of an odd batch is its own partner
            assert float(taken[apart].float().mean()) == pytest.approx(mixed.share)
            rows = given[0].all(0).any(1).nonzero().flatten()
            assert (rows.diff() == 1).all()
        elif not is_pasted:
            torch.testing.assert_close(mixed.images, mixed.share * images + (1 - mixed.share) * partners)
        kinds.add(is_pasted)
        shares.append(mixed.share)
        assert mixed.images.is_contiguous(memory_format=torch.channels_last)
        expected = mixed.share * torch.eye(9) + (1 - mixed.share) * torch.eye(9).flip(0)
        torch.testing.assert_close(mixed.targets(9), expected)
    assert kinds == {True, False}
    assert (
        0.45 < sum(shares) / len(shares) < 0.7
    )  # one half of mixup; more of rectangles, which the border cuts
    torch.testing.assert_close(images, before)


def test_the_loss_is_the_weighted_mean_of_both_labels() -> None:
    logits, others = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    targets = Batch(torch.zeros(6, 1, 1, 1), labels, labels.flip(0), 0.3).targets(4)
    parts = [functional.cross_entropy(logits, each, label_smoothing=0.1) for each in (labels, labels.flip(0))]
    expected = 0.3 * parts[0] + 0.7 * parts[1]
    torch.testing.assert_close(functional.cross_entropy(logits, targets, label_smoothing=0.1), expected)
    lesson = Distillation(lambda _: others, 2.0, 0.0)
    torch.testing.assert_close(lesson.loss(logits, torch.zeros(6), targets, 0.1), expected)


@pytest.mark.parametrize(("epochs", "mixed"), [(3, False), (4, True), (9, True)])
def test_only_long_trainings_are_mixed(batches: ImageBatches, epochs: int, *, mixed: bool) -> None:
    """All steps but the first: before it nothing is known of a training under a wall clock."""
    log = train(classifier(), batches, MIXED, EpochSchedule(epochs), CPU, seed=0)
    assert log.mixed == (1 - 1 / log.steps if mixed else 0)


@pytest.mark.parametrize("mixed", [False, True])
def test_under_a_wall_clock_the_passes_that_it_will_be_count(batches: ImageBatches, *, mixed: bool) -> None:
    """A second a step."""
    ticks = (float(tick) for tick in range(10_000))
    steps = (4.5 if mixed else 3.5) * len(batches) / MIXED.batch_size
    schedule = TimedSchedule(steps, 100, clock=lambda: next(ticks))
    log = train(classifier(), batches, MIXED, schedule, CPU, seed=0)
    assert log.mixed > 0.7 if mixed else log.mixed == 0  # the clock is a tick ahead at first


def test_what_is_mixed_is_decided_by_the_seed() -> None:
    images, labels = batch()
    first, again, other = (Mixer(seed)(images, labels) for seed in (1, 1, 2))
    torch.testing.assert_close(first.images, again.images)
    assert first.share == again.share
    assert first.share != other.share
