"""``report.html``: a whole run on one page that needs no network and no script."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from gcnas.records import Architecture
from gcnas.report import numbers
from gcnas.report.confusion import class_accuracies, class_names, draw_confusion, mistakes
from gcnas.report.drawing import draw
from gcnas.report.facts import facts
from gcnas.report.front import FrontRow, accuracies, fronts
from gcnas.report.heat_map import Column, heat_map
from gcnas.report.layers import LayerRow, describe, layer_table
from gcnas.report.plots import (
    MAX_POINTS,
    accuracy_against_multiply_adds,
    accuracy_against_parameters,
    accuracy_against_trials,
)
from gcnas.report.preferences import SAMPLES, Preferences
from gcnas.report.reasons import Reasons, reasons_of
from gcnas.report.record import RunRecord, fitted_space, read_run
from gcnas.report.scaled import scaled_networks
from gcnas.report.summary import RunSummary, summarize
from gcnas.run.folder import write_text
from gcnas.run.trial import Trial, decisive
from gcnas.space import SearchSpace
from gcnas.space.load import in_file
from gcnas.space.presets import PRESETS

TOP = 10
MAX_CLASSES = 200
"""Most lines of the table of classes; the ones recognised worst."""
MAX_FRONT = 60
"""Most networks in the table of what accuracy costs."""

MAX_MESSAGE = 4_000
MAX_NOTICES = 50


@dataclass(frozen=True)
class _Network:
    """The drawn network; markup and rows are empty where there is none."""

    drawing: Markup
    rows: tuple[LayerRow, ...]
    notice: str | None


def write_report(run: Path, against: Path | None = None, space: SearchSpace | None = None) -> Path:
    """Write ``report.html`` in a run folder.

    Whatever the run folder lacks is left out and named in the report.

    Args:
        run: The run folder.
        against: Folder of a run to compare with, usually random search on the same data.
        space: The run's space; needed for shapes and costs of layers if it is not a preset. A space that the
            configuration names in a Python file is not executed.

    Raises:
        RunFolderError: If there is no readable ledger or the folder cannot be written.
    """
    folder = read_run(run)
    summary = summarize(folder, None if against is None else read_run(against), space)
    text = render("template.html", _context(folder, summary, space))
    return write_text(run / "report.html", text + "\n")


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page from a template of this folder; every text in the context is escaped."""
    environment = Environment(
        loader=FunctionLoader(lambda name: files("gcnas.report").joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": numbers.percent,
        "quoted": shlex.quote,
        "worded": numbers.worded,
        "whole": numbers.whole,
        "short": numbers.short,
        "counted": numbers.counted,
        "duration": numbers.duration,
        "kilobytes": numbers.kilobytes,
        "milliseconds": numbers.milliseconds,
        "unbroken": numbers.unbroken,
        "figure": numbers.figure,
        "signed": numbers.signed,
    }
    return environment.get_template(template).render(context)


def _context(folder: RunRecord, summary: RunSummary, space: SearchSpace | None) -> dict[str, Any]:
    network = _network(folder, summary, space)
    why, lacking = _why(folder, summary, space)
    limit = folder.config.get("max_params")
    plain, plain_summary = _plain(folder, summary, space)
    return {
        "summary": summary,
        "facts": facts(folder, summary),
        "trials_plot": markup(accuracy_against_trials(folder.trials, summary)),
        "parameters_plot": markup(
            accuracy_against_parameters(plain.trials, plain_summary, limit if isinstance(limit, int) else None)
        ),
        "front": (shown := _spread(front := fronts(folder, space), summary.delivered)),
        "more_front": len(front) - len(shown),
        "latency_model": None if folder.latency is None else folder.latency.sentence,
        "thinned": sum(trial.evaluation is not None for trial in folder.trials) > MAX_POINTS,
        "is_random": folder.config.get("strategy") == "random",
        "network": network,
        "why": why,
        "preferences": None if why is None or why.preferences is None else markup(_preferred(why.preferences)),
        "samples": SAMPLES,
        "shown_choices": TOP,
        "test": _test(folder),
        "caveats": () if folder.delivered is None else folder.delivered.caveats,
        "tested": None if folder.delivered is None else folder.delivered.test_accuracy,
        "scaled": (grown := scaled_networks(folder.path)),
        "scaled_plot": markup(accuracy_against_multiply_adds(plain.trials, grown)),
        "top": sorted(decisive(folder.trials), key=lambda trial: (-trial.score, trial.number))[:TOP],
        "describe": describe,
        "failures": [(failure, failure.message[:MAX_MESSAGE]) for failure in summary.failures],
        "notices": [*summary.notices, *filter(None, (network.notice, lacking))],
        "data_notices": summary.data_notices[:MAX_NOTICES],
        "more_data_notices": max(len(summary.data_notices) - MAX_NOTICES, 0),
        "forms": {name for name, _ in folder.forms},
        "own_space": _own_space(str(folder.config.get("space", ""))),
        "config": yaml.safe_dump(folder.config, sort_keys=False, allow_unicode=True) if folder.config else None,
        "version": folder.meta.get("version", "unknown"),
        "created": folder.meta.get("created", "unknown"),
    }


def _spread(rows: Sequence[FrontRow], delivered: Trial | None) -> list[FrontRow]:
    """At most :data:`MAX_FRONT` rows from all over them, the most accurate network and the delivered one among them."""
    if len(rows) <= MAX_FRONT:
        return list(rows)
    best = max(row.point.accuracy for row in rows)
    kept = {round(place * (len(rows) - 1) / (MAX_FRONT - 3)) for place in range(MAX_FRONT - 2)}
    kept.add(next(place for place, row in enumerate(rows) if row.point.accuracy == best))
    kept |= {place for place, row in enumerate(rows) if delivered and row.point.trial == delivered.number}
    return [rows[place] for place in sorted(kept)]


def _own_space(name: str) -> str:
    """The option that names a space which is code, for commands that need it."""
    if not name or name in PRESETS:
        return ""
    return f" --space {'FILE.py:NAME' if in_file(name) is None else shlex.quote(name)}"


def _plain(folder: RunRecord, summary: RunSummary, space: SearchSpace | None) -> tuple[RunRecord, RunSummary]:
    """The run with accuracies for scores, where the search maximised a soft reward."""
    if folder.config.get("soft") is None:
        return folder, summary
    trials = tuple(accuracies(folder.trials, folder.config))
    plain = replace(folder, trials=trials, config=folder.config | {"soft": None})
    return plain, summarize(plain, space=space)


def markup(svg: str | None) -> Markup | None:
    """Pictures of ours, in which all texts are already escaped."""
    return None if svg is None else Markup(svg)  # noqa: S704


def _test(folder: RunRecord) -> dict[str, Any] | None:
    delivered = folder.delivered
    if delivered is None or delivered.confusion is None:
        return None
    names = class_names(delivered.confusion, delivered.classes)
    classes = class_accuracies(delivered.confusion, names)
    ranked = sorted(classes, key=lambda entry: (entry.accuracy is None, entry.accuracy or 0.0))
    return {
        "matrix": markup(draw_confusion(delivered.confusion, names)),
        "classes": classes if len(classes) <= MAX_CLASSES else ranked[:MAX_CLASSES],
        "left_out": max(len(classes) - MAX_CLASSES, 0),
        "mistakes": mistakes(delivered.confusion, names),
    }


def _network(folder: RunRecord, summary: RunSummary, given: SearchSpace | None) -> _Network:
    architecture = folder.architecture
    if summary.delivered is not None:
        architecture = summary.delivered.proposal.architecture
    if architecture is None:
        return _Network(Markup(), (), None)
    try:
        space = fitted_space(folder.config, folder.meta, given)
        return _drawn(architecture, space, None)
    # A user's own layer types are foreign code: whatever they raise, the report is written.
    except Exception as error:  # noqa: BLE001
        notice = f"The network is drawn without shapes and costs of its layers: {error or type(error).__name__}"
        return _drawn(architecture, None, notice)


def _why(
    folder: RunRecord, summary: RunSummary, given: SearchSpace | None
) -> tuple[Reasons | None, str | None]:
    """The reasons for the network, or what stands in their way."""
    if summary.delivered is None:
        return None, None
    try:
        return reasons_of(folder, summary.delivered, fitted_space(folder.config, folder.meta, given)), None
    # A user's own layer types are foreign code: whatever they raise, the report is written.
    except Exception as error:  # noqa: BLE001
        return None, f"Why this network: left out, because {error or type(error).__name__}"


def _preferred(preferences: Preferences) -> str:
    columns = [Column(dict(zip(preferences.names, row, strict=True))) for row in preferences.probabilities]
    return heat_map("Type probabilities by position", preferences.names, columns)


def _drawn(architecture: Architecture, space: SearchSpace | None, notice: str | None) -> _Network:
    drawing = Markup(draw(architecture, space))  # noqa: S704 - all texts in it are escaped
    return _Network(drawing, tuple(layer_table(architecture, space)), notice)
