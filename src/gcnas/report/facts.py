"""The table of facts at the head of the report."""

from collections.abc import Callable
from statistics import mean
from typing import Any

from gcnas.report.numbers import counted, duration, interval, milliseconds, percent, short, whole, worded
from gcnas.report.record import Delivered, RunRecord
from gcnas.report.summary import RunSummary

Facts = list[tuple[str, str]]

MOST_DIGITS = 18
"""Of a budget that is put into words; a longer one is shown as it is."""


def facts(folder: RunRecord, summary: RunSummary) -> list[tuple[str, Facts]]:
    """Groups of facts, each a heading and pairs of name and value; what is not known is left out."""
    groups = [
        ("Network", _network(folder, summary)),
        ("Search", _search(folder, summary)),
        ("Data and device", _data(folder)),
    ]
    return [(heading, pairs) for heading, pairs in groups if pairs]


def _network(folder: RunRecord, summary: RunSummary) -> Facts:
    delivered, trial = folder.delivered, summary.delivered
    pairs = _accuracies(folder, delivered)
    if delivered is None and trial is not None:
        pairs = [
            ("Test accuracy", "not measured yet"),
            (summary.reward.capitalize(), worded(trial.score, summary.soft)),
        ]
    if trial is not None:
        config, cost = folder.config, trial.cost
        pairs += [
            ("Parameters", whole(cost.parameters) + _limit(cost.parameters, config.get("max_params"), whole)),
            ("Multiply-adds", short(cost.multiply_adds) + _limit(cost.multiply_adds, config.get("max_macs"))),
            (
                "Peak activations",
                short(cost.activations) + _limit(cost.activations, config.get("max_activations")),
            ),
            *_measured(folder),
            ("Layers", str(trial.proposal.architecture.depth)),
            ("Found as", f"trial {trial.number} ({trial.proposal.source})"),
        ]
    if delivered is not None and delivered.final and delivered.epochs is not None:
        mixed = ", images mixed" if delivered.mixed else ""
        passes = delivered.epochs
        epochs = f"{passes:.2g} epochs" if passes < 1 else counted(round(passes), "epoch")
        pairs.append(("Final training", f"{epochs} in {duration(delivered.seconds)}{mixed}"))
    elif delivered is not None and delivered.final:
        pairs.append(("Final training", "none: weights as the search trained them"))
    if delivered is not None and delivered.teacher is not None:
        pairs.append(("Teacher", delivered.teacher))
    if delivered is not None and delivered.inheritance is not None:
        pairs.append(("Weights from", delivered.inheritance))
    if folder.forms:
        pairs.append(
            ("Files in best/", ", ".join(f"{name} {size / 1000:,.0f} kB" for name, size in folder.forms))
        )
    return pairs


def _measured(folder: RunRecord) -> Facts:
    """Size and latency: what was measured, what was predicted, and the limits."""
    delivered, config = folder.delivered, folder.config
    pairs: Facts = []
    weights = dict(folder.forms).get("weights.safetensors")
    if weights is not None and config.get("max_size") is not None:
        pairs.append(("File of weights", f"{weights:,} bytes" + _limit(weights, config["max_size"], whole)))
    if delivered is None or delivered.latency is None:
        return pairs
    limit = config.get("max_latency")
    threads = counted(delivered.latency_threads or 1, "thread")
    words = (
        f"{milliseconds(delivered.latency)} (95th percentile {milliseconds(delivered.latency_p95)}), {threads}"
    )
    if isinstance(limit, int | float):
        words += _bound(milliseconds(limit), within=delivered.latency <= limit)
    pairs.append(("Latency", words))
    if delivered.latency_predicted is not None:
        pairs.append(("Predicted", milliseconds(delivered.latency_predicted)))
    return pairs


def _accuracies(folder: RunRecord, delivered: Delivered | None) -> Facts:
    if delivered is None:
        return []
    test, validation = delivered.test_accuracy, delivered.validation_accuracy
    untested = "no test split" if delivered.final else "not measured yet"
    pairs = [("Test accuracy", untested if test is None else percent(test))]
    if test is not None and delivered.test_images:
        low, high = interval(test, delivered.test_images)
        images = whole(delivered.test_images)
        pairs.append(("95 % interval", f"{100 * low:.1f} to {100 * high:.1f} %, {images} images"))
    pairs += _balanced("Test, balanced", delivered.test_balanced_accuracy, test)
    if validation is not None:
        where = ", in the search" if delivered.final else " accuracy"  # the final training sees these images
        pairs.append((f"Validation{where}", percent(validation) + _again(folder, delivered)))
    return pairs + _balanced("Validation, balanced", delivered.validation_balanced_accuracy, validation)


def _again(folder: RunRecord, delivered: Delivered) -> str:
    """The mean over all trainings of the network with other seeds, if there are several."""
    own = next((trial for trial in folder.trials if trial.number == delivered.trial), None)
    if own is None:
        return ""
    network, epochs = own.proposal.fingerprint, own.fidelity.epochs
    values = [
        trial.evaluation.metrics["accuracy"]
        for trial in folder.trials
        if trial.evaluation is not None
        and trial.complete
        and trial.proposal.fingerprint == network
        and trial.fidelity.epochs == epochs
        and "accuracy" in trial.evaluation.metrics
    ]
    return f" (mean of {len(values)} trainings {percent(mean(values))})" if len(values) > 1 else ""


def _balanced(name: str, balanced: float | None, plain: float | None) -> Facts:
    """Balanced accuracy where it reads differently from the plain one."""
    return [] if balanced is None or percent(balanced) == percent(plain) else [(name, percent(balanced))]


def _limit(value: int, limit: Any, form: Callable[[int], str] = short) -> str:
    """A limit behind a value; in full where both would read the same."""
    if type(limit) is not int:
        return ""
    return _bound(whole(limit) if form(value) == form(limit) else form(limit), within=value <= limit)


def _bound(limit: str, *, within: bool) -> str:
    return f" (\u2264\u00a0{limit})" if within else f", above the limit of {limit}"


def _search(folder: RunRecord, summary: RunSummary) -> Facts:
    pairs = [
        ("Strategy", str(folder.config.get("strategy", "unknown"))),
        ("Space", str(folder.config.get("space", "unknown"))),
        *([("Soft target", str(folder.config["soft"]))] if folder.config.get("soft") else []),
        ("Trained", whole(summary.complete)),
        ("Failed", whole(summary.failed)),
        ("Pending", whole(summary.pending)),
        ("Repeated", whole(summary.duplicates)),
        ("Beyond a limit", whole(summary.rejected)),
        ("Time", duration(summary.elapsed)),
    ]
    if summary.budget is not None:
        pairs.append(("Budget", _budget(summary.budget)))
    epochs = sorted({trial.fidelity.epochs for trial in folder.trials})
    if epochs:
        span = whole(epochs[0]) if len(epochs) == 1 else f"{whole(epochs[0])} to {whole(epochs[-1])}"
        pairs.append(("Epochs each", span))
    pairs.append(("Effort", summary.effort))
    if summary.anew:
        pairs.append(("Checkpoint gone", counted(summary.anew, "trial") + " began anew"))
    if "seed" in folder.config:
        pairs.append(("Seed", str(folder.config["seed"])))
    return pairs


def _budget(budget: str) -> str:
    """The budget as it was written, ``200`` or ``600s``, in words."""
    if len(budget) > MOST_DIGITS:
        return budget
    if budget.isdecimal():
        return counted(int(budget), "evaluation")
    seconds = budget.removesuffix("s")
    return duration(float(seconds)) if seconds.replace(".", "", 1).isdecimal() else budget


def _data(folder: RunRecord) -> Facts:
    data, meta = folder.data, folder.meta
    image, classes, counts = meta.get("image"), data.get("classes"), data.get("counts")
    platform = meta.get("platform")
    pairs: Facts = []
    if "name" in data:
        pairs.append(("Data", str(data["name"])))
    if isinstance(image, dict):
        sides = (str(image.get(name, "?")) for name in ("channels", "height", "width"))
        pairs.append(("Images", " \u00d7 ".join(sides)))
    if isinstance(classes, list):
        pairs.append(("Classes", whole(len(classes))))
    if "mirror" in data:
        pairs.append(("Mirrored in training", "left to right" if data["mirror"] else "no"))
    if isinstance(counts, dict):
        pairs += [
            (f"Split {split}", f"{whole(n) if isinstance(n, int) else n} images") for split, n in counts.items()
        ]
    if isinstance(platform, dict):
        known = {name: value for name, value in platform.items() if name != "autocast"}
        pairs += [(str(name).replace("_", " ").capitalize(), str(value)) for name, value in known.items()]
        pairs.append(("Training in", "bfloat16" if platform.get("autocast") else "float32"))
    return pairs
