"""Probabilities as a table of coloured cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gcnas.report.drawing import FRAME_COLOUR
from gcnas.report.graph_pictures import WIDTH
from gcnas.report.svg import CHARACTER, WHITE_FROM, svg, text

CELL_HEIGHT = 26


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        probabilities: By name; what is absent is closed.
        chosen: The name that is framed.
    """

    probabilities: Mapping[str, float]
    chosen: str | None = None


def heat_map(title: str, names: Sequence[str], columns: Sequence[Column]) -> str:
    """An ``<svg>`` element: a row for each name, a column for each position, counted from 1."""
    margin = 14 + CHARACTER * max(map(len, names))
    cell = min(72.0, max(34.0, (WIDTH - margin) / len(columns)))
    width, height = margin + cell * len(columns) + 4, CELL_HEIGHT * (len(names) + 1) + 4
    parts = [svg(width, height, title)]
    for row, name in enumerate(names, start=1):
        parts.append(text(margin - 8, row * CELL_HEIGHT + 17, name, "end"))
    cells = []
    for number, column in enumerate(columns):
        x = margin + number * cell
        parts.append(text(x + cell / 2, 17, str(number + 1), "middle", FRAME_COLOUR))
        for row, name in enumerate(names, start=1):
            chosen = name == column.chosen
            drawn = _cell(x, row * CELL_HEIGHT, cell, name, column.probabilities.get(name), chosen)
            cells.append((chosen, drawn))
    # The chosen ones last, so that no neighbour covers a frame.
    ordered = [picture for _, picture in sorted(cells, key=lambda cell: cell[0])]
    return "".join([*parts, *ordered, "</svg>"])


def _cell(x: float, y: float, width: float, name: str, probability: float | None, chosen: bool) -> str:
    words = "closed" if probability is None else f"{probability:.3f}{', chosen' if chosen else ''}"
    fill = (
        'fill="#E5E7EB"'
        if probability is None
        else f'fill="#0072B2" fill-opacity="{0.04 + 0.96 * probability:.2f}"'
    )
    frame = 'stroke="#D55E00" stroke-width="2.5"' if chosen else 'stroke="#fff"'
    ink = "#9CA3AF" if probability is None else "#fff" if probability > WHITE_FROM else "#111827"
    number = "\u00d7" if probability is None else f"{probability:.2f}"
    return (
        f'<g><title>{escape(name)}: {words}</title><rect x="{x:g}" y="{y}" width="{width:g}" height="{CELL_HEIGHT}" '
        f"{fill} {frame}/>{text(x + width / 2, y + 17, number, 'middle', ink, bold=chosen)}</g>"
    )
