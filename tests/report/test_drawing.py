import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from gcnas.records import Architecture, Layer
from gcnas.report.drawing import BOX_HEIGHT, draw
from gcnas.report.drawing import _skips as skips
from gcnas.space import SearchSpace
from gcnas.strategy import RandomStrategy


def texts(svg: str) -> str:
    return " ".join("".join(ET.fromstring(svg).itertext()).split())  # noqa: S314


@pytest.mark.parametrize("known", [True, False])
def test_random_architectures(space: SearchSpace, known: bool) -> None:
    depths = set()
    for proposal in RandomStrategy(space, 2).ask(60):
        svg = draw(proposal.architecture, space if known else None)
        root = ET.fromstring(svg)  # noqa: S314
        depths.add(proposal.architecture.depth)
        boxes = [r for r in root.iter("rect") if r.get("height") == str(BOX_HEIGHT) and r.get("stroke")]
        assert len(boxes) == proposal.architecture.depth + 2
        merges = sum(len(layer.inputs) > 1 for layer in proposal.architecture.layers)
        pills = [t for t in root.iter("text") if t.text in ("add", "concat")]
        assert len(pills) == merges
        assert ("parameters" in texts(svg)) == known
        _inside(root)
    assert max(depths) > 12


def _inside(root: Any) -> None:
    """Every rectangle lies within the picture."""
    _, _, width, height = map(float, root.get("viewBox").split())
    for rect in root.iter("rect"):
        assert float(rect.get("x")) >= 0
        assert float(rect.get("x")) + float(rect.get("width")) <= width
        assert float(rect.get("y")) + float(rect.get("height")) <= height


def test_lanes_never_overlap(space: SearchSpace) -> None:
    for proposal in RandomStrategy(space, 3).ask(100):
        spans: dict[tuple[int, int], int] = {}
        for skip in skips(proposal.architecture):
            key = (skip.lane, skip.source)
            spans[key] = max(spans.get(key, 0), skip.target)
        for (lane, source), end in spans.items():
            for (other_lane, other), other_end in spans.items():
                if lane == other_lane and source < other:
                    assert end <= other, (source, end, other, other_end)


def test_every_skip_is_drawn(space: SearchSpace) -> None:
    layers = (
        space.layer("conv2d", filters=16, kernel_size=3, after=0),
        space.layer("conv2d", (1, 0), filters=16, kernel_size=3),
        space.layer("conv2d", (2, 1, 0), filters=16, kernel_size=3, merge="concat"),
    )
    svg = draw(Architecture(layers), space)
    titles = re.findall(r"<title>((?:stem|layer \d+) to layer \d+)</title>", svg)
    assert sorted(titles) == ["layer 1 to layer 3", "stem to layer 2", "stem to layer 3"]
    assert ">add</text>" in svg
    assert ">concat</text>" in svg


def test_layer_that_reads_only_an_old_node() -> None:
    layers = (Layer("a", (), (0,)), Layer("b", (), (0,)), Layer("c", (), (1, 0)))
    ET.fromstring(draw(Architecture(layers)))  # noqa: S314


def test_texts_are_escaped() -> None:
    hostile = Layer('<script>"&', (("<b>", "</svg><script>alert(1)</script>"),), (0,))
    svg = draw(Architecture((hostile,)))
    assert "<script" not in svg
    assert '<script>"&' in texts(svg)


def test_empty_architecture(space: SearchSpace) -> None:
    assert "Network of 0 layers" in draw(Architecture(()), space)


def test_deterministic(space: SearchSpace) -> None:
    (proposal,) = RandomStrategy(space, 4).ask(1)
    assert draw(proposal.architecture, space) == draw(proposal.architecture, space)
