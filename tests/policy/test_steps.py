"""What sampling believes at each step is what the policy says of the whole trajectory."""

from dataclasses import replace

import pytest
import torch
from tests.policy.toy import TOY
from torch import Tensor

from gcnas.graph import encode
from gcnas.policy import GCNPolicy, GCNSettings, SkeletonFirstPolicy, gcn, skeleton_first
from gcnas.policy.base import draw, flip
from gcnas.space import InputShape, SearchSpace, SequenceSpace, token
from gcnas.space.presets import CNN

DEEP = SequenceSpace("deep", (token("a", {"x": (1, 2, 3)}), token("b", {"y": (1, 2)})), 25, 40, window=3)
CHAIN = replace(TOY, name="chain", window=1)
SPACES = {space.name: space for space in (TOY, DEEP, CHAIN, CNN.fit(InputShape(1, 12, 12, 10)))}
SETTINGS = {
    "stacked": GCNSettings(width=12),
    "recurrent": GCNSettings(width=12, memory="recurrent"),
    "without summary": GCNSettings(width=12, summary=False),
    "three convolutions": GCNSettings(width=8, convolutions=3),
    "one convolution": GCNSettings(width=8, convolutions=1),
}


class Recorder:
    """The logits of everything that is drawn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: object) -> None:
        self.drawn: list[Tensor] = []
        self.edges: list[Tensor] = []
        monkeypatch.setattr(module, "draw", self._draw)
        monkeypatch.setattr(module, "flip", self._flip)

    def _draw(self, logits: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        self.drawn.append(logits.clone())
        return draw(logits, mask, generator)

    def _flip(self, logits: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        self.edges.append(logits.clone())
        return flip(logits, mask, generator)


def unsettled(policy: GCNPolicy) -> GCNPolicy:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return policy


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", SPACES)
def test_interleaved(name: str, settings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    space: SearchSpace = SPACES[name]
    policy = unsettled(GCNPolicy(space, SETTINGS[settings]))
    recorder = Recorder(monkeypatch, gcn)
    trajectories = policy.sample(8, torch.Generator().manual_seed(1))
    batch = encode(space, policy.vocabulary, trajectories)
    logits = policy.logits(batch)
    types, options = (torch.stack(part, 1) for part in (recorder.drawn[::2], recorder.drawn[1::2]))
    edges = torch.stack(recorder.edges, 1)
    alive = batch.layers[:, : options.shape[1]]
    here = batch.present[:, : types.shape[1]]
    assert torch.allclose(types[here], logits.types[:, : types.shape[1]][here], atol=1e-5)
    assert torch.allclose(options[alive], logits.options[:, : options.shape[1]][alive], atol=1e-5)
    free = batch.connection_mask[:, : edges.shape[1]] & alive[..., None]
    assert torch.allclose(edges[free], logits.connections[:, : edges.shape[1]][free], atol=1e-5)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", SPACES)
def test_skeleton_first(name: str, settings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    space: SearchSpace = SPACES[name]
    policy = unsettled(SkeletonFirstPolicy(space, SETTINGS[settings]))
    recorder = Recorder(monkeypatch, skeleton_first)
    trajectories = policy.sample(8, torch.Generator().manual_seed(1))
    batch = encode(space, policy.vocabulary, trajectories)
    logits = policy.logits(batch)
    *types, options = recorder.drawn
    steps = torch.stack([each.expand(8, -1) for each in types], 1)
    here = batch.present[:, : steps.shape[1]]
    assert torch.allclose(steps[here], logits.types[:, : steps.shape[1]][here], atol=1e-5)
    layers = batch.layers[:, : options.shape[1]]
    assert torch.allclose(options[layers], logits.options[:, : options.shape[1]][layers], atol=1e-5)
    (edges,) = recorder.edges
    free = batch.connection_mask[:, : edges.shape[1]] & layers[..., None]
    assert bool(free.any()) is (space.window > 1)
    assert torch.allclose(edges[free], logits.connections[:, : edges.shape[1]][free], atol=1e-5)
