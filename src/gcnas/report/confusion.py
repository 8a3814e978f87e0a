"""The confusion matrix of the test as a picture and in numbers.

Written by hand instead of with matplotlib: class names are in any script, and the reader's browser has the
fonts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from gcnas.report.svg import WHITE_FROM

MAX_DRAWN = 100
"""Most classes that are drawn as a matrix."""
MAX_NUMBERED = 25
LABEL_CHARACTERS = 18
SIDE = 560


@dataclass(frozen=True)
class ClassAccuracy:
    """Test images of one class and how many were recognised."""

    name: str
    images: int
    correct: int

    @property
    def accuracy(self) -> float | None:
        """Share recognised; None without images."""
        return self.correct / self.images if self.images else None


@dataclass(frozen=True)
class Mistake:
    """Images of one class taken for another."""

    true: str
    predicted: str
    count: int


def class_names(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> tuple[str, ...]:
    """The names, or numbers where the names do not fit the matrix."""
    if len(classes) == len(confusion):
        return tuple(classes)
    return tuple(f"class {index}" for index in range(len(confusion)))


def class_accuracies(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> list[ClassAccuracy]:
    """One entry for each class, in their order."""
    return [
        ClassAccuracy(name, sum(row), row[index])
        for index, (name, row) in enumerate(zip(names, confusion, strict=True))
    ]


def mistakes(confusion: Sequence[Sequence[int]], names: Sequence[str], most: int = 5) -> list[Mistake]:
    """The most frequent confusions."""
    found = [
        Mistake(names[true], names[predicted], count)
        for true, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    return sorted(found, key=lambda mistake: -mistake.count)[:most]


def draw_confusion(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> str | None:
    """An ``<svg>`` element: rows are true classes, columns predicted ones; None for too many classes."""
    number = len(confusion)
    if number > MAX_DRAWN:
        return None
    cell = min(44.0, SIDE / number)
    labelled = cell >= 9
    margin = 8 + (6.6 * min(LABEL_CHARACTERS, max(map(_width, names))) if labelled else 0)
    side = cell * number
    svg = (
        f'<svg class="matrix" viewBox="0 0 {margin + side + 8:g} {margin + side + 8:g}" role="img" '
        f'style="max-width:{margin + side + 8:g}px"><title>Confusion matrix of the test</title>'
        f"<desc>Rows are true classes, columns predicted ones.</desc>"
        f'<g font-size="{min(11.5, cell * 0.8):g}" fill="#374151">'
    )
    parts = [svg]
    for index, (name, row) in enumerate(zip(names, confusion, strict=True)):
        parts += _row(index, name, row, cell, margin)
        if labelled:
            parts += _labels(index, name, cell, margin)
    parts.append(
        f'<rect x="{margin:g}" y="{margin:g}" width="{side:g}" height="{side:g}" fill="none" stroke="#D1D5DB"/>'
        "</g></svg>"
    )
    return "".join(parts)


def _row(index: int, name: str, row: Sequence[int], cell: float, margin: float) -> list[str]:
    total = max(sum(row), 1)
    numbered = len(row) <= MAX_NUMBERED
    size = min(11.5, cell * 0.34)
    parts = []
    for column, count in enumerate(row):
        if not count:
            continue
        share = count / total
        colour = "#0072B2" if column == index else "#D55E00"
        opacity = 0.08 + 0.92 * share if column == index else 0.07 + 0.93 * share
        x, y = margin + column * cell, margin + index * cell
        parts.append(
            f'<rect x="{x:.5g}" y="{y:.5g}" width="{cell:.5g}" height="{cell:.5g}" fill="{colour}" '
            f'fill-opacity="{opacity:.2f}"><title>{escape(name)}: {count:,} of {sum(row):,}</title></rect>'
        )
        if numbered:
            ink = "#fff" if opacity > WHITE_FROM and column == index else "#111827"
            parts.append(
                f'<text x="{x + cell / 2:.5g}" y="{y + cell / 2 + size * 0.36:.5g}" text-anchor="middle" '
                f'font-size="{size:.3g}" fill="{ink}" pointer-events="none">{count}</text>'
            )
    return parts


def _labels(index: int, name: str, cell: float, margin: float) -> list[str]:
    middle = margin + (index + 0.5) * cell + 4
    text = escape(_fit(name))
    return [
        f'<text x="{margin - 6:.5g}" y="{middle:.5g}" text-anchor="end">{text}</text>',
        f'<text transform="translate({middle:.5g} {margin - 6:.5g}) rotate(-90)">{text}</text>',
    ]


def _width(name: str) -> int:
    """Characters, those of wide scripts twice."""
    return sum(2 if ord(character) > 0x2E80 else 1 for character in name)


def _fit(name: str) -> str:
    if _width(name) <= LABEL_CHARACTERS:
        return name
    kept = ""
    for character in name:
        if _width(kept + character) >= LABEL_CHARACTERS:
            break
        kept += character
    return kept.rstrip() + "…"
