"""How a policy decided one architecture, as a page: the two graphs at each step and what was believed (Fig. 4-8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from markupsafe import Markup

from gcnas.policy import GCNPolicy, Policy, RedrawPolicy, SkeletonFirstPolicy
from gcnas.policy.beliefs import Belief, StepBeliefs, beliefs
from gcnas.records import STOP, Draw, LayerAction, Trajectory
from gcnas.report.drawing import FRAME_COLOUR, LANE_COLOURS, LINE_COLOUR, TYPE_COLOURS
from gcnas.report.html import render
from gcnas.report.layers import describe
from gcnas.run.folder import write_text
from gcnas.run.trial import Trial
from gcnas.space import SearchSpace, SequenceSpace

WIDTH = 880
"""Of the drawings, in pixels; deeper networks and wider windows make them wider."""
OPEN_STEPS = 8
"""Of networks with more steps, only the first is unfolded."""
CELL_HEIGHT, CHARACTER = 26, 6.6
RADIUS, PILL_WIDTH, PILL_HEIGHT, STAR = 14, 134, 17, 158
"""Of a node, of a hyper-parameter beside it, and the width of both."""
MOST_VALUE = 12
"""Characters of a value beside its name."""
NEW = LANE_COLOURS[1]

Edge = tuple[int, int]
"""From the older node to the newer one."""
Draws = tuple[Draw | LayerAction, ...]
"""Of one layer, the one that stayed last."""
Parameter = tuple[str, str, str | None]
"""Name, value, and the value before where this step drew another one."""


@dataclass(frozen=True)
class Graphs:
    """The two graphs at one step, with what the step changes in them.

    Attributes:
        new: Number of the new node; 0 is the input, 1 the first layer.
        types: Codes of the types of nodes 1, 2, … new; :data:`STOP` may be the last.
        window: The nodes that the new one reads, newest first; older connections are deleted.
        kept: Edges that were there and stay.
        added: Edges decided at this step.
        removed: Edges that were drawn anew and vanished.
        parameters: Hyper-parameters of the new node and of those in the window that the HPPB knows.
    """

    new: int
    types: tuple[int, ...]
    window: tuple[int, ...]
    kept: frozenset[Edge]
    added: frozenset[Edge]
    removed: frozenset[Edge]
    parameters: dict[int, tuple[Parameter, ...]]


@dataclass(frozen=True)
class _Decision:
    """One line of a step's table."""

    block: str
    name: str
    chosen: str
    probability: float
    other: tuple[str, float] | None
    closed: str


def reading(policy: Policy) -> str:
    """One sentence on the graphs that a policy has, if it has any."""
    if not isinstance(policy, GCNPolicy):
        return "This policy is recurrent: it has no graphs, so there is only what it believed."
    if isinstance(policy, SkeletonFirstPolicy):
        return (
            "Skeleton first: all types were drawn before anything else, from graphs of types and chain edges; one pass "
            "then decided the hyper-parameters and connections of all layers, and saw none of them."
        )
    if isinstance(policy, RedrawPolicy):
        return (
            "Interleaved, with redraws: each new layer lets the HPPB draw those inside the window again (a \u2192 b). "
            "The graphs are those of their moment, the beliefs those of the draw that stayed in the end."
        )
    return "Interleaved: for each layer the LEB chose the type, then the HPPB everything else."


def graphs(policy: Policy, trajectory: Trajectory) -> list[Graphs]:
    """The graphs at each step, with what the step adds; empty if the policy has none."""
    if not isinstance(policy, GCNPolicy):
        return []
    earlier: tuple[Draws, ...] = trajectory.overwritten or ((),) * len(trajectory.actions)
    draws: list[Draws] = [(*old, action) for old, action in zip(earlier, trajectory.actions, strict=True)]
    return [_graphs(policy, trajectory.actions, draws, step) for step in range(len(draws))]


def _graphs(policy: GCNPolicy, actions: Sequence[LayerAction], draws: Sequence[Draws], step: int) -> Graphs:
    new, blind = step + 1, isinstance(policy, SkeletonFirstPolicy)
    before, after = _edges(draws, step - 1), _edges(draws, step)
    added = after - before
    if blind:
        # Types alone were known: neither block saw a connection beside the chain.
        before = after = frozenset((node - 1, node) for node in range(1, new))
    window = tuple(range(step, max(-1, step - policy.space.window), -1))
    stops = actions[step].type == STOP
    return Graphs(
        new=new,
        types=tuple(action.type for action in actions[:new]),
        window=window,
        kept=before & after,
        added=added,
        removed=before - after,
        parameters={
            node: _parameters(policy.space, actions[node - 1].type, draws[node - 1], new - node)
            for node in (new, *window)
            if node and not stops and (node == new or not blind)
        },
    )


def _edges(draws: Sequence[Draws], last: int) -> frozenset[Edge]:
    """All edges between the nodes of layers 0 to ``last``, as drawn when the last one was added."""
    found: set[Edge] = set()
    for layer, drawn in enumerate(draws[: last + 1]):
        now = drawn[min(last - layer, len(drawn) - 1)]
        if not isinstance(now, LayerAction) or now.type != STOP:
            skips = {(layer - 1 - offset, layer + 1) for offset, taken in enumerate(now.connections) if taken}
            found |= {(layer, layer + 1)} | skips
    return frozenset(found)


def _parameters(space: SearchSpace, code: int, drawn: Draws, again: int) -> tuple[Parameter, ...]:
    """Of one layer after it was drawn again a number of times."""
    now = drawn[min(again, len(drawn) - 1)].hyperparameters
    before = drawn[min(max(again - 1, 0), len(drawn) - 1)].hyperparameters
    return tuple(
        (choice.name, str(choice.options[index]), None if index == old else str(choice.options[old]))
        for choice, index, old in zip(space.layer_types[code].choices, now, before, strict=True)
    )


def write_explanation(path: Path, policy: Policy, trial: Trial, run: str, whose: str) -> Path:
    """Write one HTML file without scripts and network access.

    Args:
        path: The file; one that is there is replaced.
        policy: Whose beliefs are shown.
        trial: The network.
        run: Name of the run.
        whose: The policy in words.

    Raises:
        RunFolderError: If the file cannot be written.
    """
    steps, drawn = beliefs(policy, trial.proposal.trajectory), graphs(policy, trial.proposal.trajectory)
    space, pictures = policy.space, [_Pictures(policy.space, each, len(steps)) for each in drawn]
    context = {
        "run": run,
        "whose": whose,
        "trial": trial,
        "decided": len(steps) - 1,
        "network": describe(trial.proposal.architecture),
        "reading": reading(policy),
        "window": space.window,
        "heat_map": _markup(_heat_map(space, steps)),
        "steps": [
            {
                "type": step.type,
                "decisions": _decisions(space, step),
                "composition": _markup(pictures[number].composition()) if pictures else None,
                "parameters": _markup(pictures[number].parameters()) if pictures and step.others else None,
            }
            for number, step in enumerate(steps)
        ],
        "drawn": bool(drawn),
        "unfolded": len(steps) <= OPEN_STEPS,
    }
    return write_text(path, render("explanation.html", context) + "\n")


def _markup(svg: str) -> Markup:
    """Pictures of ours, in which all texts are already escaped."""
    return Markup(svg)  # noqa: S704


def _decisions(space: SearchSpace, step: StepBeliefs) -> list[_Decision]:
    """The type, the hyper-parameters, and the connections; those that the masks close too."""
    names = (*(kind.name for kind in space.layer_types), "STOP")
    lines = [_decision("LEB", step.type, names)]
    if step.type.chosen == "STOP":
        return lines
    known = {belief.name: belief for belief in step.others}
    options = {
        choice.name: tuple(map(str, choice.options)) for choice in space.by_name[step.type.chosen].choices
    }
    lines += [_decision("HPPB", known[name], names) for name, names in options.items()]
    for node in step.window[1:]:
        name = f"reads node {node}"
        closed = Belief(name, (("no", 1.0),), "no")
        lines.append(_decision("HPPB", known.get(name, closed), ("yes", "no")))
    return lines


def _decision(block: str, belief: Belief, names: Sequence[str]) -> _Decision:
    others = [option for option in belief.options if option[0] != belief.chosen]
    known = dict(belief.options)
    closed = ", ".join(name for name in names if name not in known)
    return _Decision(
        block, belief.name, belief.chosen, belief.probability, others[0] if others else None, closed
    )


def _heat_map(space: SearchSpace, steps: Sequence[StepBeliefs]) -> str:
    """Type probabilities: a row for each type and STOP, a column for each position."""
    names = [*(kind.name for kind in space.layer_types), "STOP"]
    margin = 14 + CHARACTER * max(map(len, names))
    cell = min(72.0, max(34.0, (WIDTH - margin) / len(steps)))
    width, height = margin + cell * len(steps) + 4, CELL_HEIGHT * (len(names) + 1) + 4
    parts = [_svg(width, height, "Type probabilities by position")]
    for row, name in enumerate(names, start=1):
        parts.append(_text(margin - 8, row * CELL_HEIGHT + 17, name, "end"))
    cells = []
    for column, step in enumerate(steps):
        x, known = margin + column * cell, dict(step.type.options)
        parts.append(_text(x + cell / 2, 17, str(column + 1), "middle", FRAME_COLOUR))
        for row, name in enumerate(names, start=1):
            chosen = name == step.type.chosen
            cells.append((chosen, _cell(x, row * CELL_HEIGHT, cell, name, known.get(name), chosen)))
    # The chosen ones last, so that no neighbour covers a frame.
    drawn = [svg for _, svg in sorted(cells, key=lambda cell: cell[0])]
    return "".join([*parts, *drawn, "</svg>"])


def _cell(x: float, y: float, width: float, name: str, probability: float | None, chosen: bool) -> str:
    words = "closed" if probability is None else f"{probability:.3f}{', chosen' if chosen else ''}"
    fill = (
        'fill="#E5E7EB"'
        if probability is None
        else f'fill="#0072B2" fill-opacity="{0.04 + 0.96 * probability:.2f}"'
    )
    frame = 'stroke="#D55E00" stroke-width="2.5"' if chosen else 'stroke="#fff"'
    ink = "#9CA3AF" if probability is None else "#fff" if probability > 0.5 else "#111827"
    number = "\u00d7" if probability is None else f"{probability:.2f}"
    return (
        f'<g><title>{escape(name)}: {words}</title><rect x="{x:g}" y="{y}" width="{width:g}" height="{CELL_HEIGHT}" '
        f"{fill} {frame}/>{_text(x + width / 2, y + 17, number, 'middle', ink, bold=chosen)}</g>"
    )


@dataclass(frozen=True)
class _Pictures:
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
            _svg(
                places[graphs.new] + (30 if slanted else 64), bottom, f"Composition graph at step {graphs.new}"
            ),
            _band(first, 16, last - first, base + 8),
            _text((first + last) / 2, 12, "window", "middle", FRAME_COLOUR),
            *self._lines(places, base, up=True),
        ]
        for node, x in places.items():
            faint = ' opacity="0.45"' if node < graphs.window[-1] else ""
            turn = f' transform="rotate(-32 {x:g} {base + 28})"' if slanted else ""
            label = _text(x, base + 28, self._name(node), "end" if slanted else "middle")
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
            _svg(width, bottom, f"Parameter graph at step {graphs.new}"),
            _band(left - 20, 2, STAR * len(graphs.window) + 16, base + 32),
        ]
        if older:
            words = ("node 0" if older == 1 else f"nodes 0\u2013{older - 1}") + ":"
            parts.append(_text(2, base - 10, words, "start", FRAME_COLOUR))
            parts.append(_text(2, base + 4, "deleted", "start", FRAME_COLOUR))
            parts.append(_line(f"M44 {base}H{left - 22:g}", LINE_COLOUR, "2 4"))
        parts += self._lines(places, base, up=False)
        for node, x in places.items():
            for index, (name, value, before) in enumerate(reversed(stars[node])):
                top = base - 26 - (PILL_HEIGHT + 4) * (index + 1) + 4
                changed = node == graphs.new or before is not None
                parts.append(_pill(x, base, top, (name, value, before), NEW if changed else FRAME_COLOUR))
            parts.append(
                self._node(node, x, base) + _text(x + RADIUS + 4, base + 18, self._name(node), "start")
            )
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
            return tuple((name, str(value), None) for name, value in vars(self.space.fitted).items())
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
            f"{_text(x, y + 4, str(node), 'middle', colour if new else '#fff', bold=True)}</g>"
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
        f'stroke="{colour}" stroke-opacity="0.6"/>{_text(left + 8, top + 12.5, short, "start", FRAME_COLOUR, 10)}'
        f"{_text(left + PILL_WIDTH - 8, top + 12.5, kept, 'end', '#111827', 10, bold=True)}</g>"
    )


def _svg(width: float, height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'font-size="11"><title>{escape(title)}</title>'
    )


def _text(
    x: float,
    y: float,
    words: str,
    anchor: str,
    colour: str = "#374151",
    size: float = 11,
    *,
    bold: bool = False,
) -> str:
    weight = ' font-weight="650"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}" font-size="{size:g}"{weight}>'
        f"{escape(words)}</text>"
    )
