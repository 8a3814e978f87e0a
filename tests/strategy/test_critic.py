import numpy as np
import pytest
import torch
from tests.strategy.spaces import CELL, DEEP

from gcnas.strategy import RandomStrategy
from gcnas.strategy.critic import Adjacency, Critic, CriticSettings, CriticTrainer
from gcnas.strategy.tokens import Tokens

SETTINGS = CriticSettings(members=3, width=6, hidden=5)


def drawn(space: object, count: int) -> np.ndarray:
    columns = Tokens(space)
    proposals = RandomStrategy(space, 0).ask(count)
    rows = np.array([columns.canonical(p.architecture) for p in proposals])
    return rows.reshape(count, space.max_depth, columns.columns).astype(np.int64)


def by_hand(critic: Critic, member: int, row: np.ndarray, edges: np.ndarray, facts: np.ndarray) -> float:
    """One member's prediction for one network, with loops over nodes and tokens."""
    weights = {name: value.detach().numpy()[member] for name, value in critic.named_parameters()}
    offsets = np.cumsum([0, *Tokens(DEEP).sizes[:-1]])
    depth = int((row[:, 0] > 0).sum())
    nodes = [weights["places"][0, 0] + facts @ weights["extras"]]
    for place in range(depth):
        vectors = [
            weights["tokens"][offset + token]
            for offset, token in zip(offsets, row[place], strict=True)
            if token
        ]
        nodes.append(weights["places"][place + 1, 0] + sum(vectors))
    for layer in range(2):
        own, message = weights[f"own.{layer}"], weights[f"messages.{layer}"]
        bias = weights[f"biases.{layer}"][0]
        read = [sum(edges[i, j] * nodes[j] for j in range(depth + 1)) for i in range(depth + 1)]
        nodes = [np.maximum(nodes[i] @ own + read[i] @ message + bias, 0) for i in range(depth + 1)]
    flat = np.zeros((len(row) + 1, len(nodes[0])))
    flat[: depth + 1] = nodes
    hidden = flat.ravel() @ weights["hidden"] + weights["hidden_bias"][0]
    hidden = hidden + np.mean(nodes, 0) @ weights["pooled"]
    return float((np.maximum(hidden, 0) @ weights["head"])[0])


def edges_by_hand(row: np.ndarray) -> np.ndarray:
    """Weight 1/d to the d-th layer before, 1 more for each that is read, in both directions, rows of sum 1."""
    depth = int((row[:, 0] > 0).sum())
    edges = np.zeros((len(row) + 1, len(row) + 1))
    for node in range(1, depth + 1):
        for distance in range(1, min(DEEP.window, node) + 1):
            edges[node, node - distance] += 1 / distance
            if distance > 1 and row[node - 1, len(row[0]) - DEEP.window + distance - 1] == 2:
                edges[node, node - distance] += 1
    both = edges + edges.T
    return both / np.maximum(both.sum(1, keepdims=True), 1e-6)


def test_prediction_is_the_formula() -> None:
    torch.manual_seed(0)
    critic, rows = Critic(Tokens(DEEP), 2, SETTINGS), drawn(DEEP, 12)
    facts = np.random.default_rng(0).standard_normal((12, 2)).astype(np.float32)
    predicted = critic(torch.from_numpy(rows)[None], torch.from_numpy(facts)[None]).detach().numpy()
    assert predicted.shape == (3, 12)
    assert len({int((row[:, 0] > 0).sum()) for row in rows}) > 1
    for member in range(3):
        expected = [by_hand(critic, member, r, edges_by_hand(r), f) for r, f in zip(rows, facts, strict=True)]
        assert predicted[member] == pytest.approx(expected, abs=1e-4)


def test_batches_of_each_member_are_its_own() -> None:
    torch.manual_seed(0)
    critic, rows = Critic(Tokens(DEEP), 1, SETTINGS), torch.from_numpy(drawn(DEEP, 12))
    facts = torch.ones(12, 1)
    chosen = torch.tensor([[0, 1], [2, 3], [4, 5]])
    whole, own = critic(rows[None], facts[None]), critic(rows[chosen], facts[chosen])
    assert torch.allclose(own, whole.gather(1, chosen), atol=1e-5)


def test_given_edges_and_their_kin() -> None:
    edges, _ = Adjacency(CELL, 1)(torch.ones(1, 1, 6, 1, dtype=torch.int64))
    weights = torch.zeros(7, 7)
    pairs = {(1, 0): 1, (2, 0): 1, (3, 1): 1, (4, 0): 1, (5, 1): 1, (6, 2): 1, (6, 3): 1}
    together = {(3, 2): 0.5, (5, 4): 0.5, (6, 4): 0.5, (6, 5): 0.5}
    apart = {(2, 1): 0.25, (4, 1): 0.25, (4, 2): 0.25, (5, 3): 0.25}
    for (newer, older), weight in {**apart, **together, **pairs}.items():
        weights[newer, older] = weights[older, newer] = weight
    assert torch.allclose(edges[0, 0], weights / weights.sum(1, keepdim=True))


def test_it_learns_what_depends_on_pairs() -> None:
    torch.manual_seed(0)
    rows = drawn(CELL, 400)
    # Whether two edges have the same operation cannot be had from either alone.
    targets = torch.from_numpy((rows[:, 0, 0] == rows[:, 3, 0]) * 2.0 - 1.0).float()
    trainer = CriticTrainer(Critic(Tokens(CELL), 1), torch.Generator().manual_seed(0))
    tokens, facts = torch.from_numpy(rows), torch.zeros(400, 1)
    trainer.fit(tokens[:300], facts[:300], targets[:300], 400)
    predicted = trainer.predict(tokens[300:], facts[300:]).mean(0)
    assert np.corrcoef(predicted, targets[300:].numpy())[0, 1] > 0.7


def test_ordered_tokens_start_in_their_order() -> None:
    torch.manual_seed(0)
    columns = Tokens(DEEP)
    critic = Critic(columns, 1)
    slot = 1 + columns.names.index("width")
    first = int(np.cumsum([0, *columns.sizes])[slot]) + 1
    vectors = critic.tokens.detach()[:, first : first + 3]
    gaps = [(vectors[:, i] - vectors[:, j]).norm(dim=-1).mean() for i, j in ((0, 1), (1, 2), (0, 2))]
    assert gaps[2] > max(gaps[:2])
