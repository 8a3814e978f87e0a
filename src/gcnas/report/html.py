"""``report.html``: a whole run on one page that needs no network and no script."""

from collections.abc import Mapping
from dataclasses import dataclass
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
from gcnas.report.layers import LayerRow, describe, layer_table
from gcnas.report.plots import accuracy_against_parameters, accuracy_against_trials
from gcnas.report.record import RunRecord, read_run
from gcnas.report.summary import RunSummary, summarize
from gcnas.run.folder import write_text
from gcnas.run.trial import decisive
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import PRESETS

TOP = 10
MAX_CLASSES = 200
"""Most lines of the table of classes; the ones recognised worst."""
MAX_MESSAGE = 4_000
MAX_NOTICES = 50


@dataclass(frozen=True)
class _Network:
    """The drawn network; markup and rows are empty where there is none."""

    drawing: Markup
    rows: tuple[LayerRow, ...]
    line: str
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
    summary = summarize(folder, None if against is None else read_run(against))
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
        "whole": numbers.whole,
        "short": numbers.short,
        "counted": numbers.counted,
        "duration": numbers.duration,
        "unbroken": numbers.unbroken,
    }
    return environment.get_template(template).render(context)


def _context(folder: RunRecord, summary: RunSummary, space: SearchSpace | None) -> dict[str, Any]:
    network = _network(folder, summary, space)
    data_notices = [str(notice) for notice in folder.data.get("notices") or ()]
    limit = folder.config.get("max_params")
    return {
        "summary": summary,
        "facts": facts(folder, summary),
        "trials_plot": _markup(accuracy_against_trials(folder.trials, summary)),
        "parameters_plot": _markup(
            accuracy_against_parameters(folder.trials, summary, limit if isinstance(limit, int) else None)
        ),
        "is_random": folder.config.get("strategy") == "random",
        "network": network,
        "test": _test(folder),
        "top": sorted(decisive(folder.trials), key=lambda trial: (-trial.score, trial.number))[:TOP],
        "describe": describe,
        "failures": [(failure, failure.message[:MAX_MESSAGE]) for failure in summary.failures],
        "notices": [*summary.notices, *([network.notice] if network.notice else [])],
        "data_notices": data_notices[:MAX_NOTICES],
        "more_data_notices": max(len(data_notices) - MAX_NOTICES, 0),
        "config": yaml.safe_dump(folder.config, sort_keys=False, allow_unicode=True) if folder.config else None,
        "version": folder.meta.get("version", "unknown"),
        "created": folder.meta.get("created", "unknown"),
    }


def _markup(svg: str | None) -> Markup | None:
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
        "matrix": _markup(draw_confusion(delivered.confusion, names)),
        "classes": classes if len(classes) <= MAX_CLASSES else ranked[:MAX_CLASSES],
        "left_out": max(len(classes) - MAX_CLASSES, 0),
        "mistakes": mistakes(delivered.confusion, names),
    }


def _network(folder: RunRecord, summary: RunSummary, given: SearchSpace | None) -> _Network:
    architecture = folder.architecture
    if summary.delivered is not None:
        architecture = summary.delivered.proposal.architecture
    if architecture is None:
        return _Network(Markup(), (), "", None)
    try:
        space = fitted_space(folder.config, folder.meta, given)
        return _drawn(architecture, space, None)
    # A user's own layer types are foreign code: whatever they raise, the report is written.
    except Exception as error:  # noqa: BLE001
        notice = f"The network is drawn without shapes and costs of its layers: {error or type(error).__name__}"
        return _drawn(architecture, None, notice)


def _drawn(architecture: Architecture, space: SearchSpace | None, notice: str | None) -> _Network:
    drawing = Markup(draw(architecture, space))  # noqa: S704 - all texts in it are escaped
    return _Network(drawing, tuple(layer_table(architecture, space)), describe(architecture), notice)


def fitted_space(
    config: Mapping[str, Any], meta: Mapping[str, Any], given: SearchSpace | None = None
) -> SearchSpace:
    """The space of a run, fitted to its images.

    Args:
        config: The resolved configuration.
        meta: Facts of the ledger.
        given: The space, if the caller has it; else only a preset is looked up, and no file executed.

    Raises:
        ValueError: If it is not the one that the run used, or the run does not say which it used.
    """
    image = meta.get("image")
    if "space" not in config or not isinstance(image, dict):
        raise ValueError("the run folder does not say which space and which images it used.")
    name = str(config["space"])
    if given is None and name not in PRESETS:
        raise ValueError(f"its space {name} is code, which is executed only if it is named again with --space.")
    space = (given or PRESETS[name]).fit(InputShape(**image))
    if meta.get("space") not in (None, space.fingerprint):
        raise ValueError(f"the space {config['space']} is not the one that the run used; it has changed since.")
    return space
