"""The latency of the delivered network: measured before it is chosen where there is a limit, and once it is trained."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median

from gcnas.errors import ExportError, LimitsTooTightError
from gcnas.export.onnx_extra import missing_packages
from gcnas.export.onnx_session import OnnxClassifier
from gcnas.export.pixels_in import made_images
from gcnas.export.timing import processor_name, time_undisturbed
from gcnas.run.calibration import measured_latency
from gcnas.run.context import Context
from gcnas.run.ledger import Ledger
from gcnas.run.observer import Observer
from gcnas.run.trial import Trial

KEPT = "latencies"
"""Fact of the ledger that holds what was measured: the processor, and milliseconds by fingerprint."""


def choose_measured(
    context: Context,
    ledger: Ledger,
    trials: Sequence[Trial],
    choose: Callable[[Sequence[Trial]], Trial | None],
    limit: float,
    observer: Observer,
    command: str = "resume",
) -> Trial | None:
    """The first choice whose network is measured within a limit on latency.

    The search only predicts. A network that turns out to be slower than the limit is passed over, and where networks
    are slower than predicted by some factor, so is taken to be what was not measured yet. What was measured stays in
    the ledger: the same run chooses the same network again.

    Args:
        context: The run.
        ledger: Its ledger.
        trials: All trials, with predicted latencies.
        choose: Chooses among trials, by their costs too.
        limit: Milliseconds.
        observer: Told what is passed over, and why.
        command: Which one takes such a limit.

    Returns:
        The trial, as it was given; None if none is within all limits even as predicted.

    Raises:
        LimitsTooTightError: If some are as predicted, but none as measured.
    """
    if missing := missing_packages():
        observer.note(
            f"Latencies are as predicted: {', '.join(missing)} is not installed, so none is measured."
        )
        return choose(trials)
    predicted = {trial.proposal.fingerprint: trial.cost.latency for trial in trials}
    fast = {name: taken for name, taken in _known(ledger).items() if taken <= limit}
    slow: dict[str, float] = {}
    while True:
        best = choose([_corrected(trial, fast, slow, predicted) for trial in trials])
        if best is None and slow:
            least = min(slow.values())
            raise LimitsTooTightError(
                f"None of this run's networks is measured within {limit:g} ms: the fastest that was measured takes "
                f"{least:.4g} ms. Allow more (gcnas {command} RUN --max-latency {1.05 * least:.3g}), search on within "
                "the limit with a larger --budget, or try again on an idle machine."
            )
        if best is None:
            return None
        taken = _measured(context, ledger, best, observer)
        if taken is None or taken <= limit:
            return next(trial for trial in trials if trial.number == best.number)
        observer.note(
            f"Trial {best.number} is passed over: its network takes {taken:.4g} ms, and the limit is {limit:.4g} ms "
            f"(predicted: {predicted[best.proposal.fingerprint] or 0:.4g})."
        )
        slow[best.proposal.fingerprint] = taken


def _corrected(
    trial: Trial, fast: dict[str, float], slow: dict[str, float], predicted: dict[str, float | None]
) -> Trial:
    """A trial with what is known of its latency by now: its measurement, or else the corrected prediction."""
    measured = (fast | slow).get(trial.proposal.fingerprint)
    if trial.cost.latency is None or (measured is None and not slow):
        return trial
    if measured is None:
        factor = median(taken / (predicted[name] or taken) for name, taken in slow.items())
        measured = trial.cost.latency * max(factor, 1.0)
    return replace(trial, cost=replace(trial.cost, latency=measured))


def as_measured(ledger: Ledger, trials: Sequence[Trial]) -> list[Trial]:
    """Trials with the latencies that were measured on this processor, where the others are predicted."""
    known = _known(ledger)
    return [_corrected(trial, known, {}, {}) for trial in trials]


def _known(ledger: Ledger) -> dict[str, float]:
    """Milliseconds that were measured on this processor, by fingerprint."""
    facts = ledger.meta().get(KEPT, {})
    known: dict[str, float] = (
        facts.get("milliseconds", {}) if facts.get("processor") == processor_name() else {}
    )
    return known


def _measured(context: Context, ledger: Ledger, trial: Trial, observer: Observer) -> float | None:
    """Milliseconds of a trial's network, from the ledger or measured now; None if it cannot be measured."""
    name, known = trial.proposal.fingerprint, _known(ledger)
    if name not in known:
        try:
            taken = measured_latency(context.space, trial.proposal.architecture, context.config.latency_threads)
        except ExportError as error:
            observer.note(f"The latency of trial {trial.number} is as predicted: {error}")
            return None
        known = known | {name: taken}
        ledger.set_meta(KEPT, {"processor": processor_name(), "milliseconds": known})
    return float(known[name])


def measure_latency(context: Context, trial: Trial, onnx: bytes, observer: Observer) -> dict[str, float]:
    """Time single images on an ONNX file with the run's number of latency threads.

    Args:
        context: The run.
        trial: The network's trial.
        onnx: The file.
        observer: Told where the network takes longer than the limit, which was measured before it was trained.

    Returns:
        What ``metrics.json`` keeps: median and 95th percentile in milliseconds, the threads, and the prediction
        where there is one.
    """
    threads = context.config.latency_threads
    classify = OnnxClassifier(onnx, threads)
    image = made_images(context.dataset.image_shape, 1)
    (timing,) = time_undisturbed([partial(classify, image)])
    taken, predicted = timing.milliseconds(50), trial.cost.latency
    found = {"latency_ms": taken, "latency_p95_ms": timing.milliseconds(95), "latency_threads": threads}
    limit = context.space.limits.latency
    if limit is not None and taken > limit:
        observer.note(
            f"The delivered network takes {taken:.4g} ms, more than the limit of {limit:.4g} ms (predicted: "
            f"{predicted or 0:.4g}). Measure again on an idle machine with 'gcnas benchmark RUN', or choose "
            "another one with 'gcnas finalize RUN --max-latency'."
        )
    return found if predicted is None else found | {"latency_predicted_ms": predicted}
