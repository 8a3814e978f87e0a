"""The few elements that our drawings for pages are made of."""

from html import escape

CHARACTER = 6.6
"""Width of a character of the common size, in pixels."""

WHITE_FROM = 0.88
"""Opacity of blue from which white is read better on it than black."""


def svg(width: float, height: float, title: str) -> str:
    """The head of a picture, to be closed by ``</svg>``; widths and heights are in pixels."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'font-size="11"><title>{escape(title)}</title>'
    )


def text(
    x: float,
    y: float,
    words: str,
    anchor: str,
    colour: str = "#374151",
    size: float = 11,
    *,
    bold: bool = False,
) -> str:
    """Words at a place, escaped; ``anchor`` is ``start``, ``middle`` or ``end``."""
    weight = ' font-weight="650"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}" font-size="{size:g}"{weight}>'
        f"{escape(words)}</text>"
    )
