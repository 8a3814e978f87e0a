"""Numbers as people read them."""

import math
import re


def percent(share: float | None) -> str:
    """``98.9 %``; what is not quite all never reads as 100.0 %, and what is not known yet as a dash."""
    if share is None or not math.isfinite(share):
        return "\u2013"
    digits = 1
    while share < 1 and digits < 4 and f"{100 * share:.{digits}f}".startswith("100"):
        digits += 1
    return f"{100 * share:.{digits}f} %"


def points(difference: float) -> str:
    """``+0.4 points``: a difference of two shares in hundredths."""
    return f"{100 * difference:+.1f} points"


def worded(score: float | None, soft: bool) -> str:
    """An accuracy as ``98.9 %``; a soft reward, which may be above 1, as ``1.024``."""
    return f"{score:.3f}" if soft and score is not None and math.isfinite(score) else percent(score)


def whole(number: int | None) -> str:
    """``47,050``."""
    return "\u2013" if number is None else f"{number:,}"


def counted(number: int, noun: str) -> str:
    """``1 candidate`` or ``2,000 candidates``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def short(number: int | None) -> str:
    """``9,800``, ``45 k``, ``0.58 M``, ``9.3 M``, ``120 M`` or ``1.2 G``."""
    if number is None or number < 10_000:
        return whole(number)
    unit, name = (1e3, "k") if number < 1e5 else (1e6, "M") if number < 1e9 else (1e9, "G")
    scaled = number / unit
    digits = 0 if scaled >= 10 else 1 if scaled >= 1 else 2
    return f"{scaled:,.{digits}f} {name}"


def kilobytes(number: int | None) -> str:
    """``12.5 kB`` or ``3,400 kB``."""
    return "\u2013" if number is None else f"{number / 1000:,.{1 if number < 100_000 else 0}f} kB"


def milliseconds(number: float | None) -> str:
    """``0.0374 ms`` or ``12.3 ms``."""
    return "\u2013" if number is None else f"{number:.3g} ms"


def figure(number: float) -> str:
    """``0.33``, ``24`` or ``45 k``: a median of anything."""
    return short(round(number)) if abs(number) >= 100 else f"{number:.2f}".rstrip("0").rstrip(".")


def signed(share: float) -> str:
    """``+12 %``, ``-3.4 %`` or ``same``: a change."""
    if share == 0:
        return "same"
    return f"{100 * share:+.0f} %" if abs(share) >= 0.095 else f"{100 * share:+.1f} %"


def duration(seconds: float | None) -> str:
    """``0.4 s``, ``42 s``, ``3 min 20 s`` or ``1 h 04 min``."""
    if seconds is None:
        return "\u2013"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"


def unbroken(text: str) -> str:
    """The same text with no line break between a number and its unit."""
    return re.sub(r"(?<=\d) (?=(%|[kMGsh]\b|min\b))", "\u00a0", text)


def interval(share: float, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share measured on a number of independent trials."""
    z = 1.96
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    spread = z / (1 + z**2 / trials) * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(0.0, centre - spread), min(1.0, centre + spread)
