from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from gcnas.network import blocks


def test_blocks_depend_only_on_torch() -> None:
    lines = Path(blocks.__file__).read_text(encoding="utf-8").splitlines()
    imports = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imports == {"torch", "collections"}


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(
    "block",
    [
        blocks.ConvBlock(4, 6, 5, stride=2),
        blocks.SeparableConv(4, 6, 3, stride=2, activation="hard_swish"),
        blocks.InvertedBottleneck(4, 6, 5, stride=2, expansion=3, squeezed=1),
        blocks.ResidualBlock(4, 6, 3, stride=2, dropout=0.1),
    ],
    ids=lambda block: type(block).__name__,
)
def test_stride_divides_and_rounds_up(block: nn.Module, size: int) -> None:
    assert block(torch.rand(2, 4, size, size)).shape == (2, 6, 4, 4)


def test_dilation_keeps_the_size() -> None:
    assert blocks.ConvBlock(3, 5, 5, dilation=2)(torch.rand(2, 3, 11, 12)).shape == (2, 5, 11, 12)


def test_normalise_gives_mean_0_and_deviation_1() -> None:
    images = torch.rand(64, 2, 9, 9) * torch.tensor([0.5, 0.1]).reshape(1, 2, 1, 1)
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    normalise = blocks.Normalise(mean.tolist(), std.tolist())
    output = normalise(images)
    torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(output.std((0, 2, 3)), torch.ones(2), atol=1e-5, rtol=0)
    assert set(normalise.state_dict()) == {"mean", "std"}
    assert not list(normalise.parameters())


def test_merge_adds_equal_shapes_without_parameters() -> None:
    x, y = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    merge = blocks.MergeAdd((3, 3), (1, 1))
    torch.testing.assert_close(merge(x, y), x + y)
    assert not list(merge.parameters())


def test_merge_projects_other_shapes() -> None:
    first, wide, large = torch.rand(2, 3, 4, 4), torch.rand(2, 5, 4, 4), torch.rand(2, 3, 7, 7)
    merge = blocks.MergeAdd((3, 5, 3), (1, 1, 2)).eval()
    expected = first
    for projection, x, stride in zip(merge.projections, (wide, large), (1, 2), strict=True):
        weight = projection[0].weight
        expected = expected + functional.batch_norm(
            functional.conv2d(x, weight, stride=stride), torch.zeros(3), torch.ones(3)
        )
    torch.testing.assert_close(merge(first, wide, large), expected)
    assert sum(parameter.numel() for parameter in merge.parameters()) == (5 * 3 + 6) + (3 * 3 + 6)


def test_merge_concatenates_and_pools_larger_inputs() -> None:
    first, large = torch.rand(1, 2, 2, 2), torch.rand(1, 1, 3, 3)
    output = blocks.MergeConcat((1, 2))(first, large)
    torch.testing.assert_close(output[:, :2], first)
    image = large[0, 0]
    corners = [image[:2, :2].mean(), image[:2, 2].mean(), image[2, :2].mean(), image[2, 2]]
    torch.testing.assert_close(output[0, 2], torch.stack(corners).reshape(2, 2))


@pytest.mark.parametrize(("filters", "stride", "added"), [(4, 1, True), (4, 2, False), (6, 1, False)])
def test_inverted_bottleneck_adds_its_input_where_shapes_allow(filters: int, stride: int, added: bool) -> None:
    block = blocks.InvertedBottleneck(4, filters, 3, stride=stride, expansion=2).eval()
    nn.init.zeros_(block.project_norm.weight)
    x = torch.rand(1, 4, 6, 6)
    output = block(x)
    torch.testing.assert_close(output, x if added else torch.zeros_like(output))


def test_residual_block_that_learnt_nothing_passes_its_input() -> None:
    block = blocks.ResidualBlock(4, 4, 3).eval()
    nn.init.zeros_(block.norm2.weight)
    x = torch.rand(1, 4, 6, 6)
    torch.testing.assert_close(block(x), x)


def test_squeeze_excite_scales_channels_by_a_gate() -> None:
    block = blocks.SqueezeExcite(4, 2)
    nn.init.zeros_(block.excite.weight)
    nn.init.zeros_(block.excite.bias)
    x = torch.rand(2, 4, 5, 5)
    torch.testing.assert_close(block(x), x / 2)


def test_blocks_leave_their_input_alone() -> None:
    for block in (
        blocks.ConvBlock(4, 4, 3),
        blocks.SeparableConv(4, 4, 3),
        blocks.InvertedBottleneck(4, 4, 3, expansion=1, activation="hard_swish"),
        blocks.ResidualBlock(4, 4, 3),
        blocks.MergeAdd((4, 4), (1, 1)),
    ):
        x = torch.randn(2, 4, 6, 6)
        before = x.clone()
        block(x, x) if isinstance(block, blocks.MergeAdd) else block(x)
        assert torch.equal(x, before), type(block).__name__


def test_dropout_drops_whole_channels_in_training_only() -> None:
    block = blocks.ConvBlock(1, 64, 1, dropout=0.5)
    nn.init.ones_(block.norm.bias)
    x = torch.rand(8, 1, 4, 4)
    dropped = (block(x) == 0).all((2, 3)).float().mean().item()
    assert 0.3 < dropped < 0.7
    assert not (block.eval()(x) == 0).all((2, 3)).any()
