"""The two graphs of one step, drawn."""

from dataclasses import dataclass
from html import escape

from gcnas.records import STOP
from gcnas.report.drawing import FRAME_COLOUR, LANE_COLOURS, LINE_COLOUR, TYPE_COLOURS
from gcnas.report.graphs import Graphs, Parameter
from gcnas.report.svg import CHARACTER, svg, text
from gcnas.space import SearchSpace, SequenceSpace

WIDTH = 880
"""Of the drawings, in pixels; deeper networks and wider windows make them wider."""
RADIUS, PILL_WIDTH, PILL_HEIGHT, STAR = 14, 134, 17, 158
"""Of a node, of a hyper-parameter beside it, and the width of both."""
MOST_VALUE = 12
"""Characters of a value beside its name."""
NEW = LANE_COLOURS[1]


@dataclass(frozen=True)
class GraphPictures:
    """The two graphs of one step as ``<svg>`` elements.

    Attributes:
        space: The space.
        graphs: What is drawn.
        steps: Of the whole network, so that a node stands at the same place at every step.
    """

    space: SearchSpace
    graphs: Graphs
    steps: int

    def composition(self) -> str:
        """All nodes from the left to the right, connections past other nodes as arcs above them."""
        graphs = self.graphs
        longest = CHARACTER * max(5, *(len(kind.name) for kind in self.space.layer_types))
        pitch = min(124.0, max(36.0, (WIDTH - 100) / (self.steps + 1)))
        slanted = pitch < 120
        base = 34 + 9 * max(2, min(self.space.window, 8))
        left = max(40.0, 0.85 * longest - pitch + 8) if slanted else 64.0
        places = {node: left + node * pitch for node in range(graphs.new + 1)}
        first, last = places[graphs.window[-1]] - 22, places[graphs.window[0]] + 22
        bottom = base + 44 + (0.53 * longest if slanted else 0)
        parts = [
            svg(
                places[graphs.new] + (30 if slanted else 64), bottom, f"Composition graph at step {graphs.new}"
            ),
            _band(first, 16, last - first, base + 8),
            text((first + last) / 2, 12, "window", "middle", FRAME_COLOUR),
            *self._lines(places, base, up=True),
        ]
        for node, x in places.items():
            faint = ' opacity="0.45"' if node < graphs.window[-1] else ""
            turn = f' transform="rotate(-32 {x:g} {base + 28})"' if slanted else ""
            label = text(x, base + 28, self._name(node), "end" if slanted else "middle")
            parts.append(f"<g{faint}>{self._node(node, x, base)}<g{turn}>{label}</g></g>")
        return "".join([*parts, "</svg>"])

    def parameters(self) -> str:
        """The window and the new node, hyper-parameters as nodes of their own above each, connections below."""
        graphs = self.graphs
        stars = {node: self._star(node) for node in (*reversed(graphs.window), graphs.new)}
        base = 24 + (PILL_HEIGHT + 4) * max(3, *map(len, stars.values()))
        older = graphs.window[-1]
        left = 86.0 if older else 24.0
        places = {node: left + index * STAR for index, node in enumerate(stars)}
        places[graphs.new] += 20
        width = places[graphs.new] + STAR
        edges = graphs.kept | graphs.added | graphs.removed
        reach = max(target - source for source, target in edges if source in places)
        bottom = base + 40 + (9 * min(reach, 8) if reach > 1 else 0)
        parts = [
            svg(width, bottom, f"Parameter graph at step {graphs.new}"),
            _band(left - 20, 2, STAR * len(graphs.window) + 16, base + 32),
        ]
        if older:
            words = ("node 0" if older == 1 else f"nodes 0\u2013{older - 1}") + ":"
            parts.append(text(2, base - 10, words, "start", FRAME_COLOUR))
            parts.append(text(2, base + 4, "deleted", "start", FRAME_COLOUR))
            parts.append(_line(f"M44 {base}H{left - 22:g}", LINE_COLOUR, "2 4"))
        parts += self._lines(places, base, up=False)
        for node, x in places.items():
            for index, (name, value, before) in enumerate(reversed(stars[node])):
                top = base - 26 - (PILL_HEIGHT + 4) * (index + 1) + 4
                changed = node == graphs.new or before is not None
                parts.append(_pill(x, base, top, (name, value, before), NEW if changed else FRAME_COLOUR))
            parts.append(self._node(node, x, base) + text(x + RADIUS + 4, base + 18, self._name(node), "start"))
        return "".join([*parts, "</svg>"])

    def _lines(self, places: dict[int, float], base: int, *, up: bool) -> list[str]:
        kinds = (
            (self.graphs.removed, "#9CA3AF", "2 4"),
            (self.graphs.kept, LINE_COLOUR, ""),
            (self.graphs.added, NEW, "5 3"),
        )
        return [
            _line(_route(places[source], places[target], target - source, base, up=up), colour, dashes)
            for edges, colour, dashes in kinds
            for source, target in sorted(edges)
            if source in places and target in places
        ]

    def _star(self, node: int) -> tuple[Parameter, ...]:
        if node == 0 and not isinstance(self.space, SequenceSpace):
            size = self.space.stem.output_shape(self.space.fitted)  # behind the stem, as the policy sees it
            return tuple((name, str(value), None) for name, value in size._asdict().items())
        return self.graphs.parameters.get(node, ())

    def _name(self, node: int) -> str:
        code = self.graphs.types[node - 1] if node else None
        return "input" if code is None else "STOP" if code == STOP else self.space.layer_types[code].name

    def _node(self, node: int, x: float, y: float) -> str:
        code = self.graphs.types[node - 1] if node else STOP
        colour = FRAME_COLOUR if code == STOP else TYPE_COLOURS[code % len(TYPE_COLOURS)]
        new = node == self.graphs.new
        style = (
            f'fill="#fff" stroke="{colour}" stroke-width="2" stroke-dasharray="4 3"'
            if new
            else f'fill="{colour}"'
        )
        return (
            f"<g><title>node {node}: {escape(self._name(node))}</title>"
            f'<circle cx="{x:g}" cy="{y:g}" r="{RADIUS}" {style}/>'
            f"{text(x, y + 4, str(node), 'middle', colour if new else '#fff', bold=True)}</g>"
        )


def _route(start: float, end: float, distance: int, base: int, *, up: bool) -> str:
    """Straight to the next node; past others as an arc, the flatter the nearer."""
    if distance == 1:
        return f"M{start + RADIUS:g} {base}H{end - RADIUS:g}"
    side = -1 if up else 1
    edge, far = base + side * RADIUS, base + side * (RADIUS + 12 * min(distance, 8) + 4)
    return f"M{start:g} {edge}C{start + 12:g} {far} {end - 12:g} {far} {end:g} {edge}"


def _line(path: str, colour: str, dashes: str) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.7"{dashed}/>'


def _band(x: float, y: float, width: float, height: float) -> str:
    """Behind the nodes of the window."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="9" fill="#EEF2F7"/>'


def _pill(x: float, base: float, top: float, parameter: Parameter, colour: str) -> str:
    """A hyper-parameter and its edge to the layer."""
    name, value, before = parameter
    left, middle = x + 20, top + PILL_HEIGHT / 2
    whole = value if before is None else f"{before} \u2192 {value}"
    kept = whole if len(whole) <= MOST_VALUE else value if before is None else f"\u2192 {value}"
    kept = kept if len(kept) <= MOST_VALUE else kept[: MOST_VALUE - 1] + "\u2026"
    # Values are bold, hence wider.
    room = int((PILL_WIDTH - 20 - 6.1 * len(kept)) / 5.2)
    short = name if len(name) <= room else name[: room - 1] + "\u2026"
    return (
        f"<g><title>{escape(name)}: {escape(whole)}</title>"
        f'<path d="M{x:g} {base - RADIUS:g}C{x:g} {middle:g} {x + 6:g} {middle:g} {left:g} {middle:g}" fill="none" '
        f'stroke="{colour}" stroke-opacity="0.6"/>'
        f'<rect x="{left:g}" y="{top:g}" width="{PILL_WIDTH}" height="{PILL_HEIGHT}" rx="8.5" fill="#fff" '
        f'stroke="{colour}" stroke-opacity="0.6"/>{text(left + 8, top + 12.5, short, "start", FRAME_COLOUR, 10)}'
        f"{text(left + PILL_WIDTH - 8, top + 12.5, kept, 'end', '#111827', 10, bold=True)}</g>"
    )
