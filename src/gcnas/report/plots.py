"""Plots of a run as ``<svg>`` elements for an HTML page; the same run gives the same text."""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gcnas.records import EvaluationState
from gcnas.report.curves import averaged, best_so_far, pareto_front, with_score
from gcnas.report.scaled import ScaledNetwork
from gcnas.report.summary import RunSummary, given_kind, is_reference
from gcnas.run.trial import Trial, decisive

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_POINTS = 1_500
"""Most trials shown as points; the rest is thinned out evenly."""
MAX_SOURCES = 6
BLUE, VERMILLION, GREEN, GREY, BLACK = "#0072B2", "#D55E00", "#009E73", "#8A93A0", "#1F2937"
STYLES = (
    (BLUE, "o"),
    (GREEN, "s"),
    ("#CC79A7", "^"),
    ("#B8860B", "v"),
    ("#56B4E9", "P"),
    (GREY, "X"),
)
"""Colour (distinguishable when colour-blind) and marker of each source but the reference designs."""
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11.0,
    "text.parse_math": False,
    "axes.unicode_minus": False,
    "path.simplify": False,
}


def accuracy_against_trials(trials: Sequence[Trial], summary: RunSummary) -> str | None:
    """Scores in the order of the trials with the best so far; None without any score."""
    if summary.best is None:
        return None
    with _style("trials"):
        figure, axes = _figure()
        shown = _thinned(trials, _improvements(trials))
        floor = _floor(trials)
        _points(axes, shown, lambda trial: float(trial.number), floor)
        failed = [t.number for t in shown if t.evaluation and t.evaluation.state is EvaluationState.FAILED]
        if failed:
            axes.plot(
                failed, [0.02] * len(failed), "x", color=VERMILLION, markersize=5, label="failed",
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        _step(axes, summary.curve, BLACK, "-", "best so far")
        if summary.other_curve:
            _step(axes, summary.other_curve, "#B8860B", "--", "other run, best so far")
        if summary.other_expected:
            x, y = zip(*summary.other_expected, strict=True)
            axes.plot(x, y, ":", color="#B8860B", linewidth=1.8, label="random search, expected best")
        if (given := summary.best_reference) is not None:
            axes.axhline(
                given.score, color=VERMILLION, linewidth=1, linestyle=(0, (5, 4)),
                label="best reference" if is_reference(given) else given_kind(given), zorder=1,
            )  # fmt: skip
        axes.set_xlabel("trial")
        ends = [curve[-1][1] for curve in (summary.other_curve, summary.other_expected) if curve]
        _cut(axes, min([floor, *ends, *([] if given is None else [given.score])]))
        _finish(axes, summary.reward, summary.soft)
        return _svg(figure, f"{summary.reward.capitalize()} against trials")


def accuracy_against_parameters(
    trials: Sequence[Trial], summary: RunSummary, limit: int | None = None
) -> str | None:
    """Scores against parameters with the Pareto front and the delivered network; None without any score."""
    if summary.best is None:
        return None
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    with _style("parameters"):
        figure, axes = _figure()
        front = pareto_front(trials)
        kept = {trial.number for trial in front}
        floor = _floor(trials)
        _points(axes, _thinned(trials, kept), lambda trial: float(trial.cost.parameters), floor)
        axes.plot(
            [trial.cost.parameters for trial in front], [trial.score for trial in front],
            color=BLACK, linewidth=1.4, drawstyle="steps-post", label="Pareto front",
        )  # fmt: skip
        if summary.delivered is not None and summary.delivered.complete:
            name = summary.delivered.proposal.fingerprint
            means = (t.score for t in averaged(decisive(trials)) if t.proposal.fingerprint == name)
            axes.plot(
                summary.delivered.cost.parameters, next(means, summary.delivered.score), "*", color="#F0B400",
                markersize=17, markeredgecolor=BLACK, markeredgewidth=0.9, linestyle="none", zorder=6,
                label="delivered" if summary.state == "final" else "best",
            )  # fmt: skip
        sizes = [trial.cost.parameters for trial in trials if trial.complete]
        if max(sizes) > 10 * max(min(sizes), 1):
            axes.set_xscale("log")
            steps = (1.0, 2.0, 5.0) if max(sizes) < 50 * min(sizes) else (1.0, 3.0)
            axes.xaxis.set_major_locator(LogLocator(subs=steps if max(sizes) < 2000 * min(sizes) else (1.0,)))
            axes.xaxis.set_minor_formatter(NullFormatter())
        if limit is not None:
            axes.axvline(limit, color=GREY, linewidth=1, linestyle=":", label="limit", zorder=1)
        axes.xaxis.set_major_formatter(FuncFormatter(_tick))
        axes.set_xlabel("parameters")
        _cut(axes, floor)
        _finish(axes, summary.reward)
        return _svg(figure, f"{summary.reward.capitalize()} against parameters")


def accuracy_against_multiply_adds(trials: Sequence[Trial], networks: Sequence[ScaledNetwork]) -> str | None:
    """Validation accuracy of grown networks against multiply-adds, before the run's candidates; None without any."""
    if not networks:
        return None
    from matplotlib.ticker import FuncFormatter, NullFormatter

    with _style("scaled"):
        figure, axes = _figure()
        # Those of the grown networks are accuracies, whatever the search had for its reward.
        candidates = [
            with_score(trial, trial.evaluation.metrics.get("accuracy", trial.score))
            for trial in decisive(trials)
            if trial.evaluation is not None
        ]
        floor = _floor(candidates) if candidates else 0.0
        candidates = [trial for trial in _thinned(candidates, set()) if trial.score >= floor]
        axes.scatter(
            [trial.cost.multiply_adds for trial in candidates], [trial.score for trial in candidates],
            s=20, color=GREY, alpha=0.5, linewidths=0, label="candidates of the search",
        )  # fmt: skip
        for number, alike in enumerate(grown_alike(networks)):
            axes.plot(
                [n.multiply_adds for n in alike], [n.accuracy for n in alike], "o-", color=BLUE, linewidth=1.6,
                markersize=7, label="_" if number else "grown", zorder=4,
            )  # fmt: skip
        for network in networks:
            axes.annotate(
                f"phi {network.phi}", (network.multiply_adds, network.accuracy), xytext=(5, 6),
                textcoords="offset points", fontsize=10,
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(float(f"{value:.2g}"))))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("multiply-adds")
        _finish(axes, "validation accuracy")
        return _svg(figure, "Validation accuracy of grown networks against multiply-adds")


def grown_alike(networks: Sequence[ScaledNetwork]) -> list[list[ScaledNetwork]]:
    """Those of one network with equal training and coefficients, each time with the network itself."""
    kinds = dict.fromkeys((n.trial, n.epochs, n.growth) for n in networks if n.growth)
    joined = {kind[:2] for kind in kinds}
    kinds |= dict.fromkeys((n.trial, n.epochs, "") for n in networks if (n.trial, n.epochs) not in joined)
    return [
        [n for n in networks if (n.trial, n.epochs) == (trial, epochs) and n.growth in ("", growth)]
        for trial, epochs, growth in kinds
    ]


def _figure() -> "tuple[Figure, Axes]":
    # Imported here: matplotlib takes most of a second, and a status line needs none of it.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E5E7EB", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _improvements(trials: Sequence[Trial]) -> set[int]:
    return {number for number, _ in best_so_far(trials)}


def _thinned(trials: Sequence[Trial], kept: set[int]) -> list[Trial]:
    """At most some :data:`MAX_POINTS` finished trials: those kept, reference designs, and every k-th other."""
    finished = [trial for trial in trials if trial.evaluation is not None]
    step = -(-len(finished) // MAX_POINTS)
    return [
        trial
        for index, trial in enumerate(finished)
        if index % step == 0 or trial.number in kept or is_reference(trial)
    ]


def _floor(trials: Sequence[Trial]) -> float:
    """Lowest score drawn to scale: networks that learnt nothing would flatten all others."""
    scores = sorted(trial.score for trial in trials if trial.complete)
    best, middle = scores[-1], scores[len(scores) // 2]
    return max(scores[0], best - 5 * max(best - middle, 0.02))


def _points(axes: "Axes", trials: Sequence[Trial], position: Callable[[Trial], float], floor: float) -> None:
    found = Counter(trial.proposal.source for trial in trials if trial.complete and not is_reference(trial))
    most = MAX_SOURCES if len(found) <= MAX_SOURCES else MAX_SOURCES - 1
    sources = sorted(source for source, _ in found.most_common(most))
    groups: list[tuple[str, str, str, list[Trial]]] = []
    for (colour, marker), source in zip(STYLES, sources, strict=False):
        members = [t for t in trials if t.complete and t.proposal.source == source]
        groups.append((source, colour, marker, members))
    if others := [t for t in trials if t.complete and t.proposal.source in found.keys() - set(sources)]:
        groups.append(("others", *STYLES[-1], others))
    references = [trial for trial in trials if trial.complete and is_reference(trial)]
    groups.append(("reference design", VERMILLION, "D", references))
    size, opacity = (26, 0.75) if len(trials) < 300 else (14, 0.5)
    for source, colour, marker, members in groups:
        inside = [trial for trial in members if trial.score >= floor]
        if inside:
            axes.scatter(
                [position(trial) for trial in inside], [trial.score for trial in inside],
                s=46 if marker == "D" else size, marker=marker, color=colour, linewidths=0, zorder=3,
                alpha=1 if marker == "D" else opacity, label=_plain(source),
            )  # fmt: skip
    below = [trial for trial in trials if trial.complete and trial.score < floor]
    if below:
        axes.scatter(
            [position(trial) for trial in below], [floor] * len(below), marker=7, s=30, color=GREY,
            linewidths=0, label="lower than drawn",
        )  # fmt: skip


def _cut(axes: "Axes", floor: float) -> None:
    """Lines end where points do."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, floor - 0.05 * (high - floor)), high)


def _step(axes: "Axes", curve: Sequence[tuple[int, float]], colour: str, line: str, label: str) -> None:
    x, y = zip(*curve, strict=True)
    axes.plot(x, y, line, color=colour, linewidth=1.8, drawstyle="steps-post", label=label, zorder=4)


def _tick(value: float, _: int | None = None) -> str:
    """``500``, ``20 k`` or ``1.5 M``."""
    return f"{value:g}" if value < 1e3 else f"{value / 1e3:g} k" if value < 1e6 else f"{value / 1e6:g} M"


def _plain(text: str) -> str:
    """Characters that the plot's font surely has."""
    return text.encode("ascii", "replace").decode()[:30].lstrip("_") or "?"


def _finish(axes: "Axes", reward: str, soft: bool = False) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_ylabel(reward)
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g}" if soft else f"{100 * value:g} %")
    )
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, fontsize=10,
        handlelength=1.8, columnspacing=1.4,
    )  # fmt: skip


@contextmanager
def _style(name: str) -> Iterator[None]:
    """Settings of a plot; its name makes ids that no other plot on the page has."""
    import matplotlib as mpl

    settings: Any = {**SETTINGS, "svg.hashsalt": name}
    with mpl.rc_context(settings):
        yield


def _svg(figure: "Figure", title: str) -> str:
    """The figure's ``<svg>`` element, without what only a file of its own needs and without ids of groups."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    text = text.replace("xlink:href", "href").replace("DejaVu Sans", "system-ui")
    box = re.search(r'viewBox="[^"]*"', text)
    frame = f'<svg class="plot" {box[0] if box else ""} role="img" aria-label="{title}">'
    return re.sub(r"<svg[^>]*>", lambda _: frame, text, count=1)
