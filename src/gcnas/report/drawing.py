"""One architecture as a picture: layers from top to bottom, skip connections at the side."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from gcnas.records import Architecture
from gcnas.report.layers import LayerRow, describe, layer_table, merge_mode
from gcnas.report.numbers import short, whole
from gcnas.space import SearchSpace

BOX_LEFT, BOX_WIDTH, BOX_HEIGHT = 16, 436, 46
CENTRE, RIGHT = BOX_LEFT + BOX_WIDTH / 2, BOX_LEFT + BOX_WIDTH
GAP, MERGE_GAP = 20, 48
"""Space above a box, without and with a merge of inputs."""
LANE_WIDTH, LANE_RADIUS = 15, 9
PILL_WIDTH, PILL_HEIGHT = {"add": 38, "concat": 58}, 20
TYPE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#B8860B", "#3A86C8", "#8B5E3C")
LANE_COLOURS = ("#4C6A92", "#B5651D", "#2E7D6B", "#8E4B8C")
FRAME_COLOUR = "#6B7280"
LINE_COLOUR = "#8A93A0"
TYPE_CHARACTERS, LINE_CHARACTERS = 34, 66

_STYLE = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif"


@dataclass(frozen=True)
class _Skip:
    source: int
    target: int
    lane: int


def draw(architecture: Architecture, space: SearchSpace | None = None) -> str:
    """An ``<svg>`` element to be put into an HTML page (a file of its own would need a namespace).

    Args:
        architecture: The architecture.
        space: Its fitted space; without it, shapes and parameters are left out.

    Raises:
        SpaceError: If the architecture is no point of the space.
    """
    rows = layer_table(architecture, space)
    skips = _skips(architecture)
    tops = _tops(architecture)
    height = tops[-1] + BOX_HEIGHT + 12
    lanes = max((skip.lane + 1 for skip in skips), default=0)
    width = RIGHT + BOX_LEFT + lanes * LANE_WIDTH + (8 if lanes else 0)
    image = "image" if space is None else "image {} \u00d7 {} \u00d7 {}".format(*_image(space))
    colours = _colours(architecture)
    head = (
        f'<svg class="network" viewBox="0 0 {width:g} {height:g}" role="img" style="{_STYLE};max-width:'
        f'{width:g}px" aria-labelledby="network-title network-desc">'
        f'<title id="network-title">Network of {architecture.depth} layers</title>'
        f'<desc id="network-desc">{escape(describe(architecture))}</desc>'
        f'<text x="{CENTRE:g}" y="15" font-size="12" text-anchor="middle" fill="{FRAME_COLOUR}">'
        f"{escape(image)}</text>"
    )
    parts = [
        head,
        *_chain(architecture, tops),
        *(_skip(skip, architecture, tops) for skip in sorted(skips, key=lambda s: (-s.lane, s.target))),
        *_pills(architecture, tops),
        *(_box(row, top, colours[row.type]) for row, top in zip(rows[1:-1], tops[1:-1], strict=True)),
        *(_box(row, top, FRAME_COLOUR) for row, top in ((rows[0], tops[0]), (rows[-1], tops[-1]))),
        "</svg>",
    ]
    return "\n".join(parts)


def _image(space: SearchSpace) -> tuple[int, int, int]:
    image = space.fitted
    return image.channels, image.height, image.width


def _colours(architecture: Architecture) -> dict[str, str]:
    types = dict.fromkeys(layer.type for layer in architecture.layers)
    return {name: TYPE_COLOURS[index % len(TYPE_COLOURS)] for index, name in enumerate(types)}


def _tops(architecture: Architecture) -> list[float]:
    """Upper edges of the boxes: stem, layers, head."""
    tops: list[float] = [22 + GAP]
    for layer in architecture.layers:
        tops.append(tops[-1] + BOX_HEIGHT + (MERGE_GAP if len(layer.inputs) > 1 else GAP))
    return [*tops, tops[-1] + BOX_HEIGHT + GAP]


def _skips(architecture: Architecture) -> list[_Skip]:
    """Connections past other layers; all of one source share a lane, lanes that overlap differ."""
    targets: dict[int, list[int]] = {}
    for target, layer in enumerate(architecture.layers, start=1):
        for source in layer.inputs:
            if source != target - 1:
                targets.setdefault(source, []).append(target)
    ends: list[int] = []
    skips = []
    for source in sorted(targets):
        lane = next((lane for lane, end in enumerate(ends) if end <= source), len(ends))
        ends[lane : lane + 1] = [max(targets[source])]
        skips += [_Skip(source, target, lane) for target in targets[source]]
    return skips


def _chain(architecture: Architecture, tops: Sequence[float]) -> list[str]:
    """Arrows from each box to the next where the next reads it; the image enters and the head ends."""
    arrows = []
    for index, top in enumerate(tops):
        inputs = architecture.layers[index - 1].inputs if 0 < index <= architecture.depth else (index - 1,)
        if index - 1 in inputs:
            start = 20 if index == 0 else tops[index - 1] + BOX_HEIGHT
        elif len(inputs) > 1:
            start = _merge_height(top)
        else:
            continue
        arrows.append(
            f'<path d="M{CENTRE:g} {start:g}V{top - 5:g}" stroke="{LINE_COLOUR}" stroke-width="1.6"/>'
        )
        arrows.append(_arrow_head(CENTRE, top, LINE_COLOUR))
    return arrows


def _arrow_head(x: float, y: float, colour: str) -> str:
    return f'<path d="M{x - 4.5:g} {y - 7:g}h9L{x:g} {y:g}z" fill="{colour}"/>'


def _merge_height(top: float) -> float:
    """Height of the middle of the merge above a box."""
    return top - MERGE_GAP / 2 - 1


def _skip(skip: _Skip, architecture: Architecture, tops: Sequence[float]) -> str:
    layer = architecture.layers[skip.target - 1]
    start = tops[skip.source] + BOX_HEIGHT / 2
    lane = RIGHT + 16 + skip.lane * LANE_WIDTH
    colour = LANE_COLOURS[skip.lane % len(LANE_COLOURS)]
    line = f'fill="none" stroke="{colour}" stroke-width="1.6"'
    radius = LANE_RADIUS
    down = f"M{RIGHT:g} {start:g}H{lane - radius:g}q{radius} 0 {radius} {radius}"
    if len(layer.inputs) == 1:
        # Its only input: straight onto the box, from above.
        end = tops[skip.target] - GAP / 2
        path = f"{down}V{end - radius:g}q0 {radius} -{radius} {radius}H{CENTRE:g}V{tops[skip.target] - 5:g}"
        return f'<path d="{path}" {line}/>' + _arrow_head(CENTRE, tops[skip.target], colour)
    end = _merge_height(tops[skip.target]) + _entry_offset(skip, layer.inputs)
    edge = CENTRE + PILL_WIDTH[merge_mode(layer)] / 2
    path = f"{down}V{end - radius:g}q0 {radius} -{radius} {radius}H{edge + 5:g}"
    head = f'<path d="M{edge + 7:g} {end - 4:g}v8L{edge:g} {end:g}z" fill="{colour}"/>'
    title = "stem" if skip.source == 0 else f"layer {skip.source}"
    return f'<g><title>{title} to layer {skip.target}</title><path d="{path}" {line}/>{head}</g>'


def _entry_offset(skip: _Skip, inputs: Sequence[int]) -> float:
    """Several skips end side by side at one merge; the older the source, the lower, so that none cross."""
    others = sorted((node for node in inputs if node != skip.target - 1), reverse=True)
    spread = min(9.0, 16.0 / max(len(others) - 1, 1))
    return (others.index(skip.source) - (len(others) - 1) / 2) * spread


def _pills(architecture: Architecture, tops: Sequence[float]) -> list[str]:
    pills = []
    for layer, top in zip(architecture.layers, tops[1:-1], strict=True):
        if len(layer.inputs) < 2:
            continue
        mode = merge_mode(layer)
        width, middle = PILL_WIDTH[mode], _merge_height(top)
        pills.append(
            f'<rect x="{CENTRE - width / 2:g}" y="{middle - PILL_HEIGHT / 2:g}" width="{width}" '
            f'height="{PILL_HEIGHT}" rx="{PILL_HEIGHT / 2:g}" fill="#fff" stroke="{LINE_COLOUR}"/>'
            f'<text x="{CENTRE:g}" y="{middle + 4:g}" font-size="11.5" text-anchor="middle" '
            f'fill="#374151">{mode}</text>'
        )
    return pills


def _box(row: LayerRow, top: float, colour: str) -> str:
    number = "" if row.layer in ("stem", "head") else f"{row.layer}  "
    name = row.layer if row.layer in ("stem", "head") else row.type
    words = f"{row.type}, {row.hyperparameters}" if not number else row.hyperparameters
    cost = "" if row.parameters is None else f"{whole(row.parameters)} parameters"
    # Both texts of the second line share its width.
    room = LINE_CHARACTERS - len(cost)
    title = (
        f"{row.type}: {row.hyperparameters}; {cost or 'cost unknown'}, {short(row.multiply_adds)} multiply-adds"
    )
    left, right = BOX_LEFT + 16, RIGHT - 12
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect x="{BOX_LEFT}" y="{top:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="7" fill="#fff"/>'
        f'<rect x="{BOX_LEFT}" y="{top:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="7" fill="{colour}" '
        f'fill-opacity="0.08" stroke="{colour}" stroke-opacity="0.45"/>'
        f'<rect x="{BOX_LEFT + 5}" y="{top + 8:g}" width="3.5" height="{BOX_HEIGHT - 16}" rx="1.75" '
        f'fill="{colour}"/>'
        f'<text x="{left}" y="{top + 19:g}" font-size="13.5" xml:space="preserve">'
        f'<tspan fill="{FRAME_COLOUR}">{number}</tspan>'
        f'<tspan font-weight="600" fill="#111827">{escape(_fit(name, TYPE_CHARACTERS))}</tspan></text>'
        f'<text x="{right}" y="{top + 19:g}" font-size="12.5" text-anchor="end" fill="#374151">'
        f"{escape(row.output or '')}</text>"
        f'<text x="{left}" y="{top + 36:g}" font-size="11.5" fill="#4B5563">'
        f"{escape(_fit(words, room))}</text>"
        f'<text x="{right}" y="{top + 36:g}" font-size="11.5" text-anchor="end" fill="{FRAME_COLOUR}">'
        f"{escape(cost)}</text></g>"
    )


def _fit(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1].rstrip(" ,") + "…"
