"""The recipe: learning rates, schedules, what is decayed."""

import numpy as np
import pytest
import torch
from torch import nn

from gcnas.errors import ConfigurationError
from gcnas.network import build
from gcnas.space import SearchSpace
from gcnas.space.presets.cnn import resnet8
from gcnas.training import EpochSchedule, Recipe, StagedSchedule, TimedSchedule
from gcnas.training.recipe import FINAL_RATE, WARM_UP, one_cycle


class FakeClock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_one_cycle_rises_then_falls_without_a_jump() -> None:
    progress = np.linspace(0, 1, 10_001)
    rates = np.array([one_cycle(float(share)) for share in progress])
    steps = np.diff(rates)
    assert np.abs(steps).max() < 1.0 / WARM_UP / 10_000 * 1.01  # nowhere steeper than the rise
    assert (steps[progress[1:] <= WARM_UP] > 0).all()
    assert (steps[progress[:-1] >= WARM_UP] < 0).all()
    assert 0 < rates[0] < rates.max()
    assert one_cycle(WARM_UP) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(FINAL_RATE)
    assert one_cycle(1.5) == pytest.approx(FINAL_RATE)  # a timed schedule may end a little late


def test_epoch_schedule_counts_steps() -> None:
    schedule = EpochSchedule(4)
    assert [schedule.progress(step, 10) for step in (0, 10, 39, 40)] == [0, 0.25, 0.975, 1]


def test_timed_schedule_follows_the_clock() -> None:
    clock = FakeClock()
    schedule = TimedSchedule(60.0, 1_000, clock)
    assert schedule.progress(0, 10) == 0
    clock.now += 15
    assert schedule.progress(7, 10) == 0.25
    clock.now += 45
    assert schedule.progress(8, 10) == 1


def test_timed_schedule_ends_with_its_epochs() -> None:
    clock = FakeClock()
    schedule = TimedSchedule(60.0, 5, clock)
    clock.now += 6
    assert schedule.progress(25, 10) == 0.5
    assert schedule.progress(50, 10) == 1


@pytest.mark.parametrize("seconds", [0.0, -3.0])
def test_timed_schedule_without_time_ends_at_once(seconds: float) -> None:
    clock = FakeClock()
    schedule = TimedSchedule(seconds, 5, clock)
    clock.now += 0.01
    assert schedule.progress(1, 10) >= 1


def test_only_weights_of_convolutions_and_linear_layers_are_decayed(space: SearchSpace) -> None:
    network = build(space, resnet8(space), (0.5,), (0.25,))
    optimizer = Recipe(weight_decay=0.125).optimizer(network)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    listed = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in network.parameters())
    seen = set()
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            decayed = name == "weight" and isinstance(module, nn.Conv2d | nn.Linear)
            assert decay[id(parameter)] == (0.125 if decayed else 0), (type(module), name)
            seen.add((type(module).__name__, name))
    assert {
        ("BatchNorm2d", "weight"),
        ("BatchNorm2d", "bias"),
        ("Linear", "bias"),
        ("Conv2d", "weight"),
    } <= seen
    assert all(group["nesterov"] for group in optimizer.param_groups)


def test_normalisation_of_several_axes_is_not_decayed() -> None:
    network = nn.Sequential(nn.LayerNorm((4, 8, 8)), nn.Conv2d(4, 4, 3))
    network.register_parameter("bias", nn.Parameter(torch.ones(1, 4, 1, 1)))
    decayed, others = Recipe().optimizer(network).param_groups
    assert [id(parameter) for parameter in decayed["params"]] == [id(network[1].weight)]
    assert len(others["params"]) == 4


def test_a_step_shrinks_only_what_is_decayed() -> None:
    """With a gradient of zero, decay is all that a step does."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    before = [parameter.detach().clone() for parameter in network.parameters()]
    recipe = Recipe(learning_rate=0.5, weight_decay=0.1, momentum=0.0001)
    optimizer = recipe.optimizer(network)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    weight, *others = zip(before, network.parameters(), strict=True)
    torch.testing.assert_close(weight[1].detach(), weight[0] * (1 - 0.05), rtol=1e-4, atol=0)
    assert all(torch.equal(old, new) for old, new in others)


def test_staged_rate_rises_stays_and_falls() -> None:
    schedule = StagedSchedule(8)
    rates = [schedule.rate(schedule.progress(step, 10)) for step in range(81)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:61] == pytest.approx([1.0] * 52)
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert rates[80] == pytest.approx(FINAL_RATE)


def test_stage_that_goes_on_does_not_rise_again() -> None:
    schedule = StagedSchedule(8, done=3.0)
    assert schedule.progress(0, 10) == 3 / 8
    assert schedule.progress(50, 10) == 1.0
    assert schedule.rate(3 / 8) == 1.0
    assert StagedSchedule(9, done=0.5).rate(0.5 / 9) == 1.0


def test_batches_of_one_image_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="batch_size=1"):
        Recipe(batch_size=1)
