import re
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.policy.redraw_toy import SEQUENCES
from tests.policy.toy import TOY, all_trajectories
from tests.report.test_html import HOSTILE, Page

from gcnas.errors import RunFolderError
from gcnas.graph import encode
from gcnas.policy import GCNPolicy, GCNSettings, Policy, RedrawPolicy, RNNPolicy, SkeletonFirstPolicy
from gcnas.policy.beliefs import beliefs
from gcnas.records import Cost, Fidelity, Limits, Proposal, Trajectory
from gcnas.report.explanation import write_explanation
from gcnas.report.graph_pictures import WIDTH
from gcnas.report.graphs import chooser, graphs, reading
from gcnas.run.trial import Trial
from gcnas.space import Choice, InputShape, LayerType, SearchSpace, Shape
from gcnas.strategy import RandomStrategy

SMALL = GCNSettings(width=8)
DEEP = max(all_trajectories(), key=lambda t: (len(t.actions), sum(sum(a.connections) for a in t.actions)))


class Hostile(LayerType):
    """A user's file may hold any text."""

    mode = Choice(HOSTILE, "</title></svg><b>")

    def output_shape(self, shape: Shape, values: Any) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Any) -> Cost:
        return Cost()


def write(path: Path, policy: Policy, trajectory: Trajectory, run: str = "run") -> str:
    architecture = policy.space.decode(trajectory.actions)
    trial = Trial(3, Proposal(architecture, trajectory, "policy"), Cost(1_234), Fidelity(1))
    text = write_explanation(path, policy, trial, run, "the policy").read_text(encoding="utf-8")
    found = Page(text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    assert not {"script", "link", "img", "iframe", "object", "b"} & set(found.elements)
    assert found.references == []
    assert found.handlers == []
    return text


@pytest.mark.parametrize(
    ("source", "strategy", "words"),
    [
        ("policy", "reinforce", ""),
        ("policy", "gcnas", "the critics of the strategy chose it"),
        ("edit", "gcnas", "Not the blocks but 'edit' chose this network"),
        ("reference", "reinforce", "Not the blocks but 'reference' chose this network"),
    ],
)
def test_who_chose_the_network_is_said(tmp_path: Path, source: str, strategy: str, words: str) -> None:
    assert words in chooser(source, strategy)
    assert bool(chooser(source, strategy)) is bool(words)
    torch.manual_seed(0)
    policy = GCNPolicy(TOY, SMALL)
    proposal = Proposal(TOY.decode(DEEP.actions), DEEP, source)
    trial = Trial(3, proposal, Cost(1_234), Fidelity(1))
    page = write_explanation(tmp_path / "page.html", policy, trial, "run", "the policy", strategy)
    text = unescape(page.read_text(encoding="utf-8"))
    assert words in text
    assert ("chose this network" in text or "chose it" in text) is bool(words)


def redrawn() -> tuple[RedrawPolicy, list[Trajectory]]:
    torch.manual_seed(0)
    policy = RedrawPolicy(SEQUENCES, SMALL)
    found = policy.sample(64, torch.Generator().manual_seed(0))
    return policy, [trajectory for trajectory in found if trajectory.overwritten]


@pytest.mark.parametrize("make", [GCNPolicy, SkeletonFirstPolicy, RedrawPolicy])
def test_both_graphs_at_each_step(tmp_path: Path, make: type[GCNPolicy]) -> None:
    text = write(tmp_path / "page.html", make(TOY, SMALL), DEEP)
    # The heat map, two for each layer, and one for STOP, at which the other block is not asked.
    assert text.count("<svg") == 1 + 2 * 3 + 1
    assert text.count("<details open>") == 4
    for figure in range(4, 9):
        assert f"Figure {figure}" in text


def test_recurrent_policies_have_no_graphs(tmp_path: Path) -> None:
    policy = RNNPolicy(TOY)
    text = write(tmp_path / "page.html", policy, DEEP)
    assert graphs(policy, DEEP) == []
    assert "it has no graphs" in reading(policy)
    assert reading(policy) in text
    assert text.count("<svg") == 1
    assert "Figure 8" not in text


def test_every_belief_is_on_the_page(tmp_path: Path) -> None:
    policy = GCNPolicy(TOY, SMALL)
    text = write(tmp_path / "page.html", policy, DEEP)
    for step in beliefs(policy, DEEP):
        for name, probability in step.type.options:
            assert f"<title>{name}: {probability:.3f}" in text
        for belief in step.others:
            assert f'<td class="w">{belief.name}</td>' in text
    # STOP at the first layer, the types after the last, and nothing else but strides of a small image.
    closed = re.findall(r'<td class="closed">([^<]+)</td>', text)
    assert closed[0] == "STOP"
    assert closed[-1] == "wide, narrow"
    assert text.count(": closed</title>") == 3


def test_the_graphs_hold_what_was_decided() -> None:
    found = graphs(GCNPolicy(TOY, SMALL), DEEP)
    assert [graph.window for graph in found] == [(0,), (1, 0), (2, 1, 0), (3, 2, 1)]
    assert [set(graph.added) for graph in found] == [
        {(0, 1)},
        {(1, 2), (0, 2)},
        {(2, 3), (1, 3), (0, 3)},
        set(),
    ]
    for before, after in pairwise(found):
        assert after.kept == before.kept | before.added
        assert not after.removed
    assert [sorted(graph.parameters) for graph in found] == [[1], [1, 2], [1, 2, 3], []]
    wide, action = TOY.layer_types[0], DEEP.actions[0]
    values = [
        str(choice.options[index]) for choice, index in zip(wide.choices, action.hyperparameters, strict=True)
    ]
    assert found[2].parameters[1] == (("filters", values[0], None), ("merge", values[1], None))


def test_skeletons_show_types_and_the_chain_alone() -> None:
    for step, graph in enumerate(graphs(SkeletonFirstPolicy(TOY, SMALL), DEEP)[:-1]):
        assert graph.kept == {(node - 1, node) for node in range(1, step + 1)}
        assert set(graph.parameters) == {step + 1}


def test_redraws_are_shown_when_they_happened(tmp_path: Path) -> None:
    policy, trajectories = redrawn()
    m, changed = SEQUENCES.window, []
    for trajectory in trajectories:
        batch = encode(SEQUENCES, policy.vocabulary, [trajectory])
        assert batch.draws is not None
        for step, graph in enumerate(graphs(policy, trajectory)[:-1]):
            for node, found in graph.parameters.items():
                code, slot = trajectory.actions[node - 1].type, step * m + graph.new - node
                choices, heads = SEQUENCES.layer_types[code].choices, policy.vocabulary.slots[code]
                drawn = [int(batch.draws.options[0, slot, head]) for head in heads[: len(choices)]]
                assert [value for _, value, _ in found] == [
                    str(choice.options[index]) for choice, index in zip(choices, drawn, strict=True)
                ]
                changed += [trajectory for _, value, before in found if before not in (None, value)]
            ends = (1 + layer for layer in range(max(0, step - m + 1), step + 1))
            for end in ends:
                taken = batch.draws.connections[0, step * m + graph.new - end]
                skips = {(end - 2 - offset, end) for offset, flag in enumerate(taken.tolist()) if flag}
                edges = {edge for edge in graph.kept | graph.added if edge[1] == end}
                assert edges == {(end - 1, end)} | skips
    assert len(changed) > 5
    assert " \u2192 " in write(tmp_path / "page.html", policy, changed[0]).split("Step by step")[1]


def test_long_networks_fit_the_page(tmp_path: Path, space: SearchSpace) -> None:
    deep = replace(space, min_depth=20, limits=Limits())
    (proposal,) = RandomStrategy(deep, 0).ask(1)
    text = write(tmp_path / "page.html", GCNPolicy(deep, SMALL), proposal.trajectory)
    assert text.count("<details open>") == 1
    widths = [float(width) for width in re.findall(r'<svg viewBox="[^"]+" width="([\d.]+)"', text)]
    assert len(widths) == 1 + 2 * 20 + 1
    assert max(widths) <= WIDTH + 18


def test_texts_are_escaped(tmp_path: Path) -> None:
    space = SearchSpace("hostile", (Hostile(),), min_depth=1, max_depth=2, window=2).fit(InputShape(1, 4, 4, 2))
    text = write(tmp_path / "page.html", GCNPolicy(space, SMALL), all_trajectories(space)[-1], HOSTILE)
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_file_is_replaced_and_a_missing_folder_named(tmp_path: Path) -> None:
    policy = GCNPolicy(TOY, SMALL)
    path = tmp_path / "page.html"
    first = write(path, policy, DEEP)
    assert write(path, policy, DEEP) == first
    with pytest.raises(RunFolderError, match="nowhere"):
        write(tmp_path / "nowhere" / "page.html", policy, DEEP)
