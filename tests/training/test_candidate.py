"""Training one candidate: reproducible whatever went before, typed failures, and never the test split."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.conftest import CPU

from gcnas.data import Dataset, load
from gcnas.errors import BuildError, OutOfMemoryError, TimeLimitError
from gcnas.records import Architecture, Fidelity
from gcnas.space import InputShape, SearchSpace, Shape, Values
from gcnas.space.presets import CNN
from gcnas.space.presets.cnn import Conv2d, resnet8
from gcnas.strategy import RandomStrategy
from gcnas.training import Augmentation, Platform, Recipe
from gcnas.training.candidate import CandidateTrainer, TrainedCandidate, build_seeded, weights_of

RECIPE = Recipe(batch_size=32, augmentation=Augmentation(shift=1, mirror=True))


@pytest.fixture
def trainer(space: SearchSpace, stripes: Dataset) -> CandidateTrainer:
    return CandidateTrainer(space, stripes, RECIPE, CPU)


@pytest.fixture(scope="module")
def architectures(space: SearchSpace) -> list[Architecture]:
    """Small random ones, the first with dropout."""
    drawn = [proposal.architecture for proposal in RandomStrategy(space, 4).ask(200)]
    small = [a for a in drawn if space.cost(a).multiply_adds < 10**6]
    dropped = [a for a in small if any(layer.values.get("dropout") for layer in a.layers)]
    return [dropped[0], *small[:3]]


def test_images_are_augmented_as_the_recipe_says(
    space: SearchSpace, stripes: Dataset, architectures: list[Architecture]
) -> None:
    one, other = (
        CandidateTrainer(space, stripes, recipe, CPU)(architectures[1], Fidelity(1, 5))
        for recipe in (RECIPE, replace(RECIPE, augmentation=Augmentation()))
    )
    assert any(not torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def assert_same(one: TrainedCandidate, other: TrainedCandidate) -> None:
    assert one.measurement.metrics() == other.measurement.metrics()
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


@pytest.mark.parametrize("channels_last", [False, True])
def test_same_seed_same_network_whatever_was_trained_before(
    space: SearchSpace, stripes: Dataset, architectures: list[Architecture], channels_last: bool
) -> None:
    platform = replace(CPU, channels_last=channels_last)
    first, *others = architectures
    trained = CandidateTrainer(space, stripes, RECIPE, platform)(first, Fidelity(2, 5))
    busy = CandidateTrainer(space, stripes, RECIPE, platform)
    for other in others:
        busy(other, Fidelity(1, 6))
    torch.manual_seed(99)
    assert_same(busy(first, Fidelity(2, 5)), trained)
    changed = busy(first, Fidelity(2, 6))
    assert not all(torch.equal(changed.weights[name], trained.weights[name]) for name in trained.weights)


def test_weights_are_a_copy_that_a_new_network_can_load(
    trainer: CandidateTrainer, space: SearchSpace, stripes: Dataset, architectures: list[Architecture]
) -> None:
    trained = trainer(architectures[0], Fidelity(1, 5))
    network = build_seeded(space, architectures[0], stripes, CPU, seed=0)
    network.load_state_dict(dict(trained.weights))
    assert all(tensor.is_contiguous() and tensor.device.type == "cpu" for tensor in trained.weights.values())
    copied = weights_of(network)
    for parameter in network.parameters():
        parameter.data.zero_()
    assert all(torch.equal(copied[name], trained.weights[name]) for name in copied)
    last = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert all(tensor.is_contiguous() for tensor in weights_of(last).values())


def test_progress_is_told(trainer: CandidateTrainer, architectures: list[Architecture]) -> None:
    progress: list[float] = []
    trainer(architectures[1], Fidelity(2, 0), on_step=progress.append)
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert len(progress) == 2 * 5  # 144 images: four batches of 32, and one of 16


def test_time_limit(trainer: CandidateTrainer, architectures: list[Architecture]) -> None:
    with pytest.raises(TimeLimitError):
        trainer(architectures[0], Fidelity(50, 0), seconds=1e-3)


def test_memory_is_given_back_after_each_candidate(
    trainer: CandidateTrainer, architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[None] = []
    monkeypatch.setattr("gcnas.training.candidate.return_freed_memory", lambda: given_back.append(None))
    trainer(architectures[1], Fidelity(1))
    with pytest.raises(TimeLimitError):
        trainer(architectures[1], Fidelity(50), seconds=1e-3)
    assert len(given_back) == 2


class OddConv(Conv2d):
    """What a user may write."""

    error: Exception = ZeroDivisionError("division by zero")

    def build(self, shape: Shape, values: Values) -> Any:
        raise self.error


def test_what_cannot_be_built(stripes: Dataset) -> None:
    space = SearchSpace("odd", (OddConv(),), max_depth=2).fit(InputShape(1, 8, 8, 3))
    (proposal,) = RandomStrategy(space, 0).ask(1)
    with pytest.raises(BuildError, match="division by zero"):
        CandidateTrainer(space, stripes, RECIPE, CPU)(proposal.architecture, Fidelity(1))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_in_a_users_build(
    error: Exception, stripes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OddConv, "error", error)
    space = SearchSpace("odd", (OddConv(),), max_depth=2).fit(InputShape(1, 8, 8, 3))
    (proposal,) = RandomStrategy(space, 0).ask(1)
    with pytest.raises(OutOfMemoryError, match="Memory ran out"):
        CandidateTrainer(space, stripes, RECIPE, CPU)(proposal.architecture, Fidelity(1))


def test_too_large_for_the_memory(
    trainer: CandidateTrainer, architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcnas.training.candidate.measure", lambda *_: _out_of_memory())
    with pytest.raises(OutOfMemoryError):
        trainer(architectures[0], Fidelity(1))


def test_too_large_to_be_built_is_too_large_for_the_memory(
    trainer: CandidateTrainer, architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    monkeypatch.setattr("gcnas.training.candidate.build", build)
    with pytest.raises(OutOfMemoryError, match="can't allocate"):
        trainer(architectures[0], Fidelity(1))


def _out_of_memory() -> None:
    raise OutOfMemoryError("Memory ran out: 20 GiB")


def test_search_splits_only(space: SearchSpace, stripes: Dataset, architectures: list[Architecture]) -> None:
    """A data set whose test split is not there serves as well."""

    def closed(*_: object) -> None:
        raise AssertionError("the test split was opened")

    sealed = replace(stripes, _test=None)
    object.__setattr__(sealed, "open_test", closed)
    with pytest.raises(AssertionError, match="opened"):
        sealed.open_test("to see that it is sealed", print)
    trained = CandidateTrainer(space, sealed, RECIPE, CPU)(architectures[0], Fidelity(1, 5))
    assert_same(trained, CandidateTrainer(space, stripes, RECIPE, CPU)(architectures[0], Fidelity(1, 5)))
    assert trained.measurement.confusion.sum() == len(stripes.validation_index)


@pytest.mark.parametrize("channels_last", [False, True])
def test_reference_learns_digits_in_three_epochs(channels_last: bool) -> None:
    digits = load("digits")
    space = CNN.fit(InputShape(*digits.image_shape, digits.classes))
    platform = Platform("cpu", threads=1, channels_last=channels_last)
    trainer = CandidateTrainer(space, digits, Recipe(augmentation=Augmentation(shift=1)), platform)
    trained = trainer(resnet8(space), Fidelity(3, 0))
    assert trained.measurement.accuracy > 0.9


# --- in stages


@pytest.fixture
def staged(space: SearchSpace, stripes: Dataset) -> CandidateTrainer:
    return CandidateTrainer(space, stripes, replace(RECIPE, stages=True), CPU)


def test_training_goes_on_from_a_checkpoint(
    staged: CandidateTrainer, space: SearchSpace, tmp_path: Path
) -> None:
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    architecture = resnet8(space)
    short = staged(architecture, Fidelity(4, 5), keep=first)
    assert short.epochs == 4.0
    longer = staged(architecture, Fidelity(8, 5), start=first, keep=second)
    assert longer.epochs == 5.0  # it goes on from where the rate began to fall, after three
    again = staged(architecture, Fidelity(8, 5), start=first, keep=second)
    assert_same(longer, again)
    # Storing changes nothing, and the beginning of a longer training is another one.
    assert_same(staged(architecture, Fidelity(4, 5)), short)
    assert staged(architecture, Fidelity(8, 5)).epochs == 8.0


def test_missing_checkpoint_means_the_whole_training(
    staged: CandidateTrainer, space: SearchSpace, tmp_path: Path
) -> None:
    architecture = resnet8(space)
    found = staged(architecture, Fidelity(2, 5), start=tmp_path / "none.safetensors")
    assert found.epochs == 2.0
    assert_same(found, staged(architecture, Fidelity(2, 5)))
