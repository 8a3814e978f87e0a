from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gcnas.graph import GraphCache, GraphConvolution, GraphEncoder, Memory

MEMORIES: tuple[Memory, ...] = ("stacked", "recurrent")
B, N, D, M = 3, 9, 6, 3


def _graphs(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    nodes = torch.randn(B, N + 1, D, generator=generator)
    queries = torch.randn(B, N, D, generator=generator)
    connections = torch.zeros(B, N, M - 1)
    for step in range(N):
        for index in range(M - 1):
            if index + 2 <= step + 1:
                connections[:, step, index] = torch.randint(0, 2, (B,), generator=generator).float()
    return nodes, queries, connections


def _encoder(memory: Memory, *, summary: bool = True, depth: int = 2) -> GraphEncoder:
    torch.manual_seed(1)
    return GraphEncoder(D, M, depth, memory, summary=summary)


def _by_hand(encoder: GraphEncoder, nodes: Tensor, connections: Tensor) -> Tensor:
    """Node by node and edge by edge, straight from the formula; (N + 1, D) of one stacked graph."""
    for module in encoder.convolutions:
        assert isinstance(module, GraphConvolution)
        chain, skip, *summary = module.outgoing.weight.split(D)
        new = []
        for i in range(len(nodes)):
            total = module.own(nodes[i])
            for distance in range(1, M + 1):
                if i - distance >= 0:
                    total = total + module.importance[distance - 1] * (chain @ nodes[i - distance])
            if i:
                chosen = [d for d in range(2, M + 1) if connections[i - 1, d - 2]]
                if chosen:
                    total = total + torch.stack([skip @ nodes[i - d] for d in chosen]).mean(0)
                for weight in summary:
                    total = total + weight @ nodes[:i].mean(0)
            new.append(module.norm(nodes[i] + torch.relu(total)))
        nodes = torch.stack(new)
    return nodes


@pytest.mark.parametrize("summary", [True, False])
def test_parallel_pass_is_the_formula(summary: bool) -> None:
    encoder = _encoder("stacked", summary=summary)
    nodes, queries, connections = _graphs()
    found, _ = encoder(nodes, queries, connections)
    for row in range(B):
        assert torch.allclose(found[row], _by_hand(encoder, nodes[row], connections[row]), atol=1e-5)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("summary", [True, False])
def test_incremental_equals_full(memory: Memory, summary: bool) -> None:
    encoder = _encoder(memory, summary=summary)
    nodes, queries, connections = _graphs()
    full_nodes, full_queries = encoder(nodes, queries, connections)
    cache, first = encoder.append(encoder.start(B, nodes), nodes[:, 0], None)
    assert torch.allclose(first, full_nodes[:, 0], atol=1e-5)
    for step in range(N):
        assert torch.allclose(encoder.query(cache, queries[:, step]), full_queries[:, step], atol=1e-5)
        cache, node = encoder.append(cache, nodes[:, step + 1], connections[:, step])
        assert torch.allclose(node, full_nodes[:, step + 1], atol=1e-5)


@pytest.mark.parametrize("memory", MEMORIES)
def test_memory_does_not_grow_with_depth(memory: Memory) -> None:
    encoder = _encoder(memory)
    cache = encoder.start(B, torch.zeros(1))
    sizes = set()
    for _ in range(30):
        cache, _ = encoder.append(cache, torch.randn(B, D), None if cache.count == 0 else torch.zeros(B, M - 1))
        sizes.add(sum(tensor.numel() for tensor in (*cache.chains, *cache.skips, *cache.sums)))
    assert len(sizes) == 1


@pytest.mark.parametrize("memory", MEMORIES)
def test_old_nodes_never_change(memory: Memory) -> None:
    encoder = _encoder(memory)
    nodes, queries, connections = _graphs()
    before, _ = encoder(nodes[:, :6], queries[:, :5], connections[:, :5])
    after, _ = encoder(nodes, queries, connections)
    assert torch.allclose(after[:, :6], before, atol=1e-6)


def _reach(encoder: GraphEncoder, node: int) -> set[int]:
    """Places whose query changes when a node is perturbed."""
    nodes, queries, connections = _graphs()
    _, before = encoder(nodes, queries, connections)
    perturbed = nodes.clone()
    perturbed[:, node] += 1.0
    _, after = encoder(perturbed, queries, connections)
    return {step for step in range(N) if not torch.equal(before[:, step], after[:, step])}


def test_deletion_beyond_m_is_real() -> None:
    """A query at place s stands where node s + 1 is: without the summary L convolutions reach L m nodes back."""
    assert _reach(_encoder("stacked", summary=False, depth=1), 0) == set(range(M))
    assert _reach(_encoder("stacked", summary=False, depth=2), 0) == set(range(2 * M))
    # The stored embeddings carry older nodes on, as chapter IV says of node n - m - k.
    assert _reach(_encoder("recurrent", summary=False, depth=1), 0) == set(range(N))
    assert _reach(_encoder("stacked", summary=True, depth=1), 0) == set(range(N))


def _grown(encoder: GraphEncoder, nodes: Tensor, connections: Tensor) -> GraphCache:
    cache, _ = encoder.append(encoder.start(B, nodes), nodes[:, 0], None)
    for step in range(N):
        cache, _ = encoder.append(cache, nodes[:, step + 1], connections[:, step])
    return cache


def test_recurrent_memory_goes_through_stored_embeddings_alone() -> None:
    """A deleted node's change arrives; with the stored products of the m newest put back, nothing of it is left."""
    encoder = _encoder("recurrent", summary=False)
    nodes, queries, connections = _graphs()
    changed = nodes.clone()
    changed[:, 0] += 1.0
    before, after = _grown(encoder, nodes, connections), _grown(encoder, changed, connections)
    answer = encoder.query(before, queries[:, -1])
    assert not torch.equal(encoder.query(after, queries[:, -1]), answer)
    restored = replace(after, chains=before.chains)
    assert torch.equal(encoder.query(restored, queries[:, -1]), answer)


def test_gradient_reaches_the_first_node_of_deep_graphs() -> None:
    for memory in MEMORIES:
        encoder = _encoder(memory)
        nodes = torch.randn(1, 65, D, requires_grad=True)
        _, answers = encoder(nodes, torch.randn(1, 64, D), torch.zeros(1, 64, M - 1))
        # Not the plain sum, which layer normalisation makes constant.
        answers[:, -1, 0].sum().backward()
        assert nodes.grad is not None
        assert nodes.grad[0, 0].abs().sum() > 0
