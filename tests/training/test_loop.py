"""Training and measuring: steps, determinism, typed failures, figures."""

import itertools
import math
import time
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, log_loss
from tests.training.conftest import CPU, noise
from torch import Tensor, nn

from gcnas.data import Dataset, Split
from gcnas.errors import NotFiniteError, OutOfMemoryError, TimeLimitError
from gcnas.network import build
from gcnas.records import Limits
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets.cnn import CNN
from gcnas.space.presets.mobile import MOBILE
from gcnas.strategy import create_strategy
from gcnas.training import (
    Augmentation,
    EpochSchedule,
    ImageBatches,
    Recipe,
    TimedSchedule,
    loop,
    measure,
    train,
)
from gcnas.training.memory import memory_errors
from gcnas.training.recipe import one_cycle

PLAIN = Recipe(batch_size=16)


class Classifier(nn.Module):
    """Convolution, normalisation, dropout, linear."""

    def __init__(self, channels: int = 1, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.AdaptiveAvgPool2d(1)
        )
        self.head = nn.Linear(8, classes)
        self.batch_sizes: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batch_sizes.append(len(images))
        logits: Tensor = self.head(self.body(images).flatten(1))
        return logits


def classifier(seed: int = 0, channels: int = 1, classes: int = 3) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(channels, classes)


@pytest.fixture
def batches(stripes: Dataset) -> ImageBatches:
    return ImageBatches(stripes.train(), CPU, Augmentation(shift=1, mirror=True))


# --- training


def test_training_learns(batches: ImageBatches, stripes: Dataset) -> None:
    network = classifier()
    validation = ImageBatches(stripes.validation(), CPU)
    before = measure(network, validation, 3)
    log = train(network, batches, PLAIN, EpochSchedule(12), CPU, seed=1)
    after = measure(network, validation, 3)
    assert after.accuracy > max(0.85, before.accuracy)
    assert after.loss < before.loss
    assert log.loss < 1.0
    assert network.training is False  # measuring leaves it so


@pytest.mark.parametrize(("count", "sizes"), [(32, [16, 16]), (33, [16, 16]), (34, [16, 16, 2]), (9, [9])])
def test_epochs_are_whole_passes(count: int, sizes: list[int]) -> None:
    split = noise(count, channels=1)
    network = classifier(classes=count)
    progress: list[float] = []
    images = ImageBatches(Split(split.images, split.labels), CPU)
    log = train(network, images, PLAIN, EpochSchedule(3), CPU, seed=0, on_step=progress.append)
    assert network.batch_sizes == sizes * 3
    assert (log.steps, log.epochs) == (3 * len(sizes), 3.0)
    assert progress == pytest.approx([(step + 1) / log.steps for step in range(log.steps)])
    assert progress[-1] == 1.0


def test_learning_rate_follows_the_cycle(batches: ImageBatches, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.SGD.step

    def note(self: torch.optim.SGD, closure: None = None) -> None:
        rates.extend({group["lr"] for group in self.param_groups})
        step(self)

    monkeypatch.setattr(torch.optim.SGD, "step", note)
    log = train(classifier(), batches, Recipe(16, learning_rate=0.3), EpochSchedule(2), CPU, seed=0)
    assert rates == pytest.approx([0.3 * one_cycle(number / log.steps) for number in range(log.steps)])


def test_timed_training_ends_in_time(batches: ImageBatches) -> None:
    train(
        classifier(), batches, PLAIN, EpochSchedule(1), CPU, seed=0
    )  # the first in a process loads more of PyTorch
    start = time.monotonic()
    log = train(classifier(), batches, PLAIN, TimedSchedule(0.3, 10**6), CPU, seed=0)
    assert 0.3 <= time.monotonic() - start < 5
    assert log.epochs == log.steps / 9  # 144 images; it may end within an epoch
    assert log.steps > 1


def test_same_seed_same_bits(batches: ImageBatches, stripes: Dataset) -> None:
    """Order, augmentation and dropout come from the seed, whatever was drawn before."""
    networks = []
    for global_seed, seed in ((1, 7), (2, 7), (1, 8)):
        network = classifier()
        torch.manual_seed(global_seed)
        torch.rand(global_seed * 10)
        train(network, batches, PLAIN, EpochSchedule(2), CPU, seed=seed)
        networks.append(network.state_dict())
    first, again, other = networks
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_seed_decides_the_order(batches: ImageBatches) -> None:
    """Without dropout, nothing else is left to differ."""
    found = []
    for seed in (7, 7, 8):
        network = classifier()
        network.body[3] = nn.Identity()
        train(network, batches, PLAIN, EpochSchedule(1), CPU, seed=seed)
        found.append(network.head.weight.detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_only_the_global_state_of_torch_is_set(batches: ImageBatches) -> None:
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(5)  # noqa: NPY002 - the global state is what is looked at
        train(classifier(), batches, PLAIN, EpochSchedule(1), CPU, seed=3)
        states.append(torch.get_rng_state())
        assert np.random.random() == np.random.RandomState(5).random_sample()  # noqa: NPY002
    assert torch.equal(*states)  # as the docstring says, it follows from the training's seed


def test_gradients_are_shortened(stripes: Dataset) -> None:
    """One step of plain descent moves the weights by at most rate times norm."""
    network = classifier()
    before = torch.cat([p.detach().flatten() for p in network.parameters()]).clone()
    recipe = Recipe(240, learning_rate=1.0, momentum=1e-9, weight_decay=0.0, gradient_norm=0.01)
    train(network, ImageBatches(stripes.train(), CPU), recipe, EpochSchedule(1), CPU, seed=0)
    after = torch.cat([p.detach().flatten() for p in network.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.01 * one_cycle(0.0), rel=1e-3)


# --- failures


def test_diverging_training_is_not_finite(batches: ImageBatches) -> None:
    recipe = Recipe(16, learning_rate=1e30)
    with pytest.raises(NotFiniteError, match=r"loss became (nan|inf) at step \d+"):
        train(classifier(), batches, recipe, EpochSchedule(30), CPU, seed=0)


def test_diverging_in_the_last_step_is_seen(batches: ImageBatches) -> None:
    """The loss is not looked at in every step, but at the end it is."""
    recipe = Recipe(72, learning_rate=1e30)
    with pytest.raises(NotFiniteError):
        train(classifier(), batches, recipe, EpochSchedule(2), CPU, seed=0)


IN_BFLOAT16 = replace(CPU, autocast=True)


class Mixed(Classifier):
    """With a depthwise convolution; notes what its convolutions compute in."""

    def __init__(self) -> None:
        super().__init__()
        self.body.insert(3, nn.Conv2d(8, 8, 3, groups=8))
        self.kinds: set[tuple[int, torch.dtype]] = set()
        for module in self.body:
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda m, _, y: self.kinds.add((m.groups, y.dtype)))


def test_in_bfloat16_weights_and_what_is_measured_stay_in_single_precision(
    batches: ImageBatches, stripes: Dataset
) -> None:
    torch.manual_seed(0)
    network = Mixed()
    validation = ImageBatches(stripes.validation(), CPU)
    train(network, batches, PLAIN, EpochSchedule(12), IN_BFLOAT16, seed=1)
    assert network.kinds == {(1, torch.bfloat16), (8, torch.float32)}
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    network.kinds.clear()
    assert measure(network, validation, 3).accuracy > 0.8
    assert network.kinds == {(1, torch.float32), (8, torch.float32)}
    assert not any("forward" in vars(module) for module in network.modules())


def test_what_was_changed_for_bfloat16_is_undone_after_an_error(batches: ImageBatches) -> None:
    network = Mixed()
    with pytest.raises(TimeLimitError):
        train(network, batches, PLAIN, EpochSchedule(12), IN_BFLOAT16, seed=1, deadline=0.0)
    assert not any("forward" in vars(module) for module in network.modules())


@pytest.mark.parametrize("preset", [CNN, MOBILE], ids=lambda preset: str(preset.name))
def test_every_layer_type_trains_in_bfloat16(preset: SearchSpace) -> None:
    """On a CPU that only imitates it this takes many times as long, so no more networks are trained than need be."""
    space, used = preset.fit(InputShape(3, 16, 16, 12), Limits(parameters=200_000)), set()
    images = ImageBatches(noise(12, 16, 16), IN_BFLOAT16)
    for proposal in create_strategy("random", space, 0).ask(16):
        if used == {each.name for each in space.layer_types}:
            break
        network = build(space, proposal.architecture, (0.5,) * 3, (0.25,) * 3)
        log = train(network, images, PLAIN, EpochSchedule(1), IN_BFLOAT16, seed=0)
        assert math.isfinite(log.loss)
        used |= {layer.type for layer in proposal.architecture.layers}
    assert used == {each.name for each in space.layer_types}


def test_network_that_is_not_finite_cannot_be_measured(batches: ImageBatches) -> None:
    network = classifier()
    nn.init.constant_(network.head.bias, math.nan)
    with pytest.raises(NotFiniteError, match="validation loss is nan"):
        measure(network, batches, 3)


def test_time_limit(batches: ImageBatches) -> None:
    with pytest.raises(TimeLimitError, match=r"at step 1, 4% of the training"):
        train(classifier(), batches, PLAIN, EpochSchedule(3), CPU, seed=0, deadline=time.monotonic())
    far = time.monotonic() + 1_000
    train(classifier(), batches, PLAIN, EpochSchedule(1), CPU, seed=0, deadline=far)


def test_a_training_that_is_complete_when_the_time_is_over_counts(
    batches: ImageBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = train(classifier(), batches, PLAIN, EpochSchedule(1), CPU, seed=0).steps
    looks = itertools.count(1)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(looks))))
    log = train(classifier(), batches, PLAIN, EpochSchedule(1), CPU, seed=0, deadline=steps - 0.5)
    assert log.steps == steps


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    ],
)
def test_running_out_of_memory(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="Memory ran out") as raised, memory_errors():
        raise error
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is error


def test_really_running_out_of_memory() -> None:
    with pytest.raises(OutOfMemoryError, match="Memory ran out"), memory_errors():
        torch.empty(2**58, dtype=torch.uint8)


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"), memory_errors():
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_memory_error_within_training(batches: ImageBatches) -> None:
    network = classifier()
    network.register_forward_hook(lambda *_: torch.empty(2**58))
    for run in (
        lambda: train(network, batches, PLAIN, EpochSchedule(1), CPU, seed=0),
        lambda: measure(network, batches, 3),
    ):
        with pytest.raises(OutOfMemoryError):
            run()


# --- measuring


class Oracle(nn.Module):
    """Logits that depend on the first pixel only, so that a table of them can be looked up."""

    def __init__(self, table: np.ndarray) -> None:
        super().__init__()
        self.table = torch.from_numpy(table)

    def forward(self, images: Tensor) -> Tensor:
        return self.table[(images[:, 0, 0, 0] * 255).round().long()]


@pytest.mark.parametrize("classes_present", [(0, 1, 2, 3), (0, 2)])
def test_figures_agree_with_scikit_learn(classes_present: tuple[int, ...]) -> None:
    random = np.random.default_rng(3)
    table = random.normal(size=(256, 4)).astype(np.float32)
    images = random.integers(0, 256, (600, 5, 5, 1), dtype=np.uint8)
    labels = random.choice(classes_present, 600, p=None if len(classes_present) == 4 else (0.9, 0.1))
    found = measure(Oracle(table), ImageBatches(Split(images, labels), CPU), 4)
    logits = table[images[:, 0, 0, 0]].astype(float)
    chosen = logits.argmax(1)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert found.accuracy == pytest.approx(accuracy_score(labels, chosen), abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are predicted that are not there
        assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, chosen), abs=1e-12)
    np.testing.assert_array_equal(found.confusion, confusion_matrix(labels, chosen, labels=range(4)))
    assert found.loss == pytest.approx(log_loss(labels, probabilities, labels=range(4)), rel=1e-5)
    assert found.metrics() == {
        "accuracy": found.accuracy,
        "balanced_accuracy": found.balanced_accuracy,
        "loss": found.loss,
    }


def test_measuring_changes_nothing(batches: ImageBatches) -> None:
    network = classifier()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    first = measure(network, batches, 3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert measure(network, batches, 3).metrics() == first.metrics()
