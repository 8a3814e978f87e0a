"""The graph convolution held against PyTorch Geometric's where the two coincide."""

import pytest
import torch

from gcnas.graph import GraphConvolution, GraphEncoder

pytest.importorskip("torch_geometric", reason="the extra pyg is not installed")

D, M, N = 8, 3, 7


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_chain_messages_are_those_of_graph_conv() -> None:
    """GraphConv gives W_1 x_i + W_2 sum_j e_ji x_j + b: our sum before the nonlinearity, with e_ji = a_(i - j)."""
    from torch_geometric.nn import GraphConv

    torch.manual_seed(0)
    encoder = GraphEncoder(D, M, 1, "stacked", summary=False)
    (ours,) = encoder.convolutions
    assert isinstance(ours, GraphConvolution)
    theirs = GraphConv(D, D, aggr="add")
    with torch.no_grad():
        theirs.lin_rel.weight.copy_(ours.outgoing.weight[:D])
        theirs.lin_rel.bias.copy_(ours.own.bias)
        theirs.lin_root.weight.copy_(ours.own.weight)
    edges = [(j, i) for i in range(N + 1) for j in range(max(0, i - M), i)]
    weights = torch.stack([ours.importance[i - j - 1] for j, i in edges])
    nodes = torch.randn(N + 1, D)
    sums = theirs(nodes, torch.tensor(edges).T, weights)
    expected = ours.norm(nodes + torch.relu(sums))
    found, _ = encoder(nodes[None], torch.zeros(1, N, D), torch.zeros(1, N, M - 1))
    assert torch.allclose(found[0], expected, atol=1e-5)
