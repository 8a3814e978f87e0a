import torch
from torch import nn

from gcnas.policy.attention import ScoresAlong
from gcnas.policy.hyperparameter_prediction import ConnectionHead

B, N, D = 2, 5, 3


def test_gradient() -> None:
    anchors, layers = torch.randn(2, B, N, D, dtype=torch.float64).unbind()
    inputs = [each.requires_grad_() for each in (anchors, layers, torch.randn(D, dtype=torch.float64))]
    for window in (2, 4, 9):
        assert torch.autograd.gradcheck(lambda *tensors, m=window: ScoresAlong.apply(*tensors, m), inputs)


def test_all_layers_at_once_are_each_layer_alone() -> None:
    torch.manual_seed(0)
    head, window = ConnectionHead(D), 4
    nn.init.normal_(head.score.weight)
    nodes, layers = torch.randn(2, B, N, D)
    found = head.along(nodes, layers, window)
    for layer in range(N):
        for distance in range(2, min(window, layer + 1) + 1):
            alone = head(head.anchors(nodes[:, layer + 1 - distance])[:, None], layers[:, layer])
            assert torch.allclose(found[:, layer, distance - 2], alone[:, 0], atol=1e-5)
    assert head.along(nodes, layers, 1).shape == (B, N, 0)
