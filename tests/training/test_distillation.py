from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gcnas.data import Split
from gcnas.training import EpochSchedule, ImageBatches, Platform, Recipe, train
from gcnas.training.distillation import AsTrained, Distillation, Ensemble

CPU = Platform("cpu", threads=1, channels_last=False)
IMAGES, LABELS = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])


def logits(seed: int) -> torch.Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))


def test_the_loss_is_the_formula() -> None:
    student, teacher, t, a = logits(0), logits(1), 3.0, 0.7
    p = functional.softmax(teacher / t, 1)
    kl = (p * (p.log() - functional.log_softmax(student / t, 1))).sum(1).mean()
    hard = functional.cross_entropy(student, LABELS, label_smoothing=0.1)
    found = Distillation(lambda _: teacher, t, a).loss(student, IMAGES, LABELS, 0.1)
    torch.testing.assert_close(found, (1 - a) * hard + a * t**2 * kl)


def test_weight_0_is_cross_entropy_and_a_perfect_student_loses_nothing_at_weight_1() -> None:
    student = logits(0)
    plain = functional.cross_entropy(student, LABELS, label_smoothing=0.1)
    torch.testing.assert_close(
        Distillation(lambda _: logits(1), 2.0, 0.0).loss(student, IMAGES, LABELS, 0.1), plain
    )
    same = Distillation(lambda _: student, 2.0, 1.0).loss(student, IMAGES, LABELS, 0.1)
    assert float(same) == pytest.approx(0.0, abs=1e-6)


def test_the_gradient_hardly_depends_on_the_temperature() -> None:
    norms = []
    for temperature in (10.0, 100.0):
        student = logits(0).requires_grad_()
        Distillation(lambda _: logits(1), temperature, 1.0).loss(student, IMAGES, LABELS, 0.0).backward()
        assert student.grad is not None
        norms.append(float(student.grad.norm()))
    assert norms[0] == pytest.approx(norms[1], rel=0.2)


def test_an_ensemble_is_the_mean_of_probabilities() -> None:
    members = [nn.Sequential(nn.Flatten(), nn.Linear(64, 3)) for _ in range(3)]
    images = torch.rand(4, 1, 8, 8)
    mean = torch.stack([functional.softmax(member(images), 1) for member in members]).mean(0)
    torch.testing.assert_close(functional.softmax(Ensemble(members)(images), 1), mean)


@pytest.mark.parametrize("autocast", [True, False])
def test_a_network_of_ours_teaches_in_what_training_computes(autocast: bool) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Flatten(), nn.Linear(64, 3))
    kinds: list[torch.dtype] = []
    for module in network:
        module.register_forward_hook(lambda _, __, y: kinds.append(y.dtype))
    with torch.no_grad():
        plain = network(IMAGES)
        kinds.clear()
        found = AsTrained(network, replace(CPU, autocast=autocast))(IMAGES)
    dense = torch.bfloat16 if autocast else torch.float32
    # Depthwise convolutions are slower in bfloat16.
    assert kinds == [dense, torch.float32, torch.float32, dense]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plain, atol=0.02, rtol=0.02)
    assert not any("forward" in vars(module) for module in network)


def test_training_follows_the_teacher_on_the_very_batch_and_leaves_it_alone() -> None:
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), dtype=np.uint8)
    batches = ImageBatches(Split(images, np.zeros(64, np.int64)), CPU)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).requires_grad_(False)
    before = [p.clone() for p in teacher.parameters()]
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    recipe = Recipe(batch_size=16, weight_decay=0.0, learning_rate=0.05)
    train(
        student,
        batches,
        recipe,
        EpochSchedule(60),
        CPU,
        seed=0,
        distillation=Distillation(teacher, 1.0, 1.0),
    )
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    # All labels are 0; who learnt from the teacher alone does not know that.
    assert float((student(x).argmax(1) == teacher(x).argmax(1)).float().mean()) > 0.9
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))
