import torch
from torch import nn

from gcnas.network import count_multiply_adds, count_parameters


def test_counts_of_a_convolution_and_a_linear_layer() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 5)
    )
    assert count_parameters(module) == 3 * 8 * 9 + 2 * 8 + 33 * 5
    assert count_multiply_adds(module, (3, 4, 4)) == 3 * 8 * 9 * 4 + 32 * 5


def test_counts_of_a_grouped_convolution() -> None:
    module = nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False)
    assert count_multiply_adds(module, (8, 6, 7)) == 8 * 25 * 6 * 7


def test_counting_changes_nothing() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4).eval(), nn.BatchNorm2d(4), nn.Dropout(0.5))
    before, state = (
        {name: tensor.clone() for name, tensor in module.state_dict().items()},
        torch.get_rng_state(),
    )
    count_multiply_adds(module, (1, 8, 8))
    assert [part.training for part in module] == [True, False, True, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
