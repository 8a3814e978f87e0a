"""The whole way of the data, in a few calls: search, resume, finalize, load."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gcnas.config import RunConfig, parse_seconds
from gcnas.delivery import (
    Heritage,
    Lesson,
    Refinement,
    heritage_of,
    inherited_from,
    keep_donor,
    read_donor,
    tell_seen,
    write_searched,
)
from gcnas.delivery import finalize as deliver
from gcnas.delivery.best import delivered_trial
from gcnas.delivery.latency import as_measured, choose_measured
from gcnas.errors import ConfigurationError, RunFolderError
from gcnas.execution.cluster import disconnecting
from gcnas.execution.worker import refuse_in_worker
from gcnas.opening import (
    ARRAYS,
    DataSource,
    find_space,
    load_data,
    name_of,
    past_runs,
    reopen,
    saved_config,
    space_name,
    tell_notices,
)
from gcnas.records import METRICS, Limits
from gcnas.report import write_report, write_trials_csv
from gcnas.report.front import accuracies
from gcnas.result import Result
from gcnas.run.calibration import check_extra
from gcnas.run.context import Context
from gcnas.run.costs import priced, with_costs
from gcnas.run.driver import Clock
from gcnas.run.folder import RunFolder, default_path, write_text
from gcnas.run.interrupts import graceful_interrupts
from gcnas.run.ledger import Ledger, check_sqlite
from gcnas.run.observer import Observer
from gcnas.run.past import keep_past
from gcnas.run.recommendation import images_behind, nothing_within, recommend
from gcnas.run.session import (
    CLOCK,
    delivery_seconds,
    elapsed,
    new_context,
    open_driver,
    open_ledger,
    try_strategy,
)
from gcnas.run.trial import RESUMED, Trial, changed, decisive
from gcnas.space import SearchSpace
from gcnas.strategy import find_constructor
from gcnas.training import torch_as_it_was


@disconnecting()
@torch_as_it_was()
def search(
    data: DataSource,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    space: str | SearchSpace = "cnn",
    observer: Observer | None = None,
    **options: Any,
) -> Result:
    """Search a network for images, train it, and leave everything in a run folder.

    Args:
        data: ``"digits"``, an image folder, a CSV or npz file, or arrays.
        out: The run folder; by default the first free ``runs/<data>-<n>``.
        overwrite: Whether a run that lies there is replaced; it is deleted once the new one has begun.
        space: Name of a preset, ``FILE.py:NAME``, or a space.
        observer: Told what happens.
        options: The other fields of :class:`~gcnas.config.RunConfig`, such as ``budget="10m"`` or
            ``max_params="100k"``.

    Returns:
        The delivered network with its figures.

    Raises:
        GCNASError: One of its children, if something the user gave cannot be used.
        KeyboardInterrupt: After a second interrupt; nothing finished is lost.
    """
    refuse_in_worker()
    clock, observer = Clock(), observer or Observer()
    config = RunConfig.create(data=name_of(data), space=space_name(space), **options)
    find_constructor(config.strategy)
    check_sqlite()
    found_space = find_space(config, space)
    if "latency" in config.costs:
        check_extra()  # before images are read
    donor = None if config.init_from is None else read_donor(Path(config.init_from))
    past = past_runs(config, found_space)
    folder = RunFolder.create(Path(out) if out else default_path(config.data), overwrite=overwrite)
    with folder.begun(observer.note):
        dataset = load_data(config, data, folder)
        tell_notices(dataset, observer)
        context = replace(new_context(config, dataset, found_space, folder, observer), donor=donor, past=past)
        if donor is not None:
            keep_donor(folder, donor)
            tell_seen(donor, dataset, observer.note)
        if past:
            keep_past(folder, past)
        return run_to_the_end(context, clock, observer)


@disconnecting()
@torch_as_it_was()
def resume(
    run: str | Path,
    *,
    data: DataSource | None = None,
    space: str | SearchSpace | None = None,
    observer: Observer | None = None,
    **changes: Any,
) -> Result:
    """Go on with a run that was stopped or killed, or whose budget is raised.

    Args:
        run: The run folder.
        data: Where the same data is now; needed only if it moved, or was given as arrays.
        space: The run's space; needed only if it is not a preset, since it is code.
        observer: Told what happens.
        changes: Fields of the configuration that may change: the budget, the limits, the amount of training of
            the delivered network and whether it mixes images (one that was delivered already is trained anew), the
            workers, their memory, the cluster, the threads. A strategy that is code is named again (``strategy=``).

    Raises:
        GCNASError: One of its children, if the run cannot go on.
        KeyboardInterrupt: After a second interrupt; nothing finished is lost.
    """
    refuse_in_worker()
    observer = observer or Observer()
    folder = RunFolder.open(Path(run))
    with folder.locked():
        with Ledger(folder.ledger) as ledger:
            clock = Clock(elapsed(ledger))
        context = reopen(folder, data, space, changes, observer)
        return run_to_the_end(context, clock, observer, changes)


@torch_as_it_was()
def finalize(
    run: str | Path,
    *,
    trial: int | None = None,
    max_params: int | str | None = None,
    max_macs: int | str | None = None,
    max_activations: int | str | None = None,
    max_size: int | str | None = None,
    max_latency: float | None = None,
    seconds: float | str | None = None,
    data: DataSource | None = None,
    space: str | SearchSpace | None = None,
    observer: Observer | None = None,
    distill: Any = None,
    temperature: float | None = None,
    distill_weight: float | None = None,
    init_from: str | Path | None = None,
    freeze: int | None = None,
    fine_tune_rate: float | None = None,
    **changes: Any,
) -> Result:
    """Train one network of a run for delivery, open the test split, and replace ``best``.

    The limits here choose among the run's networks; those of the run itself stay as they are.

    Args:
        run: The run folder.
        trial: Number of the trial; by default the one that the run recommends within all limits.
        max_params: Most parameters, such as ``"20k"``.
        max_macs: Most multiply-adds, for one image.
        max_activations: Most numbers alive at once, for one image.
        max_size: Most bytes of the file of weights.
        max_latency: Most milliseconds of one image: the choice is by prediction, and measured before it is trained.
        seconds: Wall clock in seconds, or such as ``"10m"``; by default the number of final epochs rules.
        data: Where the same data is now, as for :func:`resume`.
        space: The run's space, as for :func:`resume`.
        observer: Told what happens.
        distill: A teacher: ``"larger"`` (the network grown to four to five times its multiply-adds, trained first),
            ``"ensemble"`` (the run's three best, likewise), ``"trial=N"``, ``"phi=N"``, another run folder, an ONNX
            file, or a module that maps images ``B x C x H x W`` in [0, 1] to logits: itself, or as ``"FILE.py:NAME"``.
        temperature: Of the distillation; None chooses on validation.
        distill_weight: Share of the teacher in the loss; None chooses on validation.
        init_from: A run folder or a safetensors file whose weights are taken over where they fit.
        freeze: Epochs in which only what was not taken over is trained; 0 by default.
        fine_tune_rate: Peak of the learning rate afterwards, as a share of the run's; 0.3 by default.
        changes: As for :func:`resume`, for example ``final_epochs=200``; they hold for this time only.

    Raises:
        GCNASError: One of its children, if there is no such trial, it was not trained successfully, or none is within
            the limits.
    """
    asked = {
        name: value
        for name, value in (
            ("max_params", max_params),
            ("max_macs", max_macs),
            ("max_activations", max_activations),
            ("max_size", max_size),
            ("max_latency", max_latency),
        )
        if value is not None
    }
    if trial is not None and asked:
        raise ConfigurationError(f"Give a trial or limits to choose by, not both: got {trial} and {asked}.")
    wanted = RunConfig.create(data=ARRAYS, **asked)
    seconds = parse_seconds(seconds)
    observer = observer or Observer()
    lesson = _lesson(distill, temperature, distill_weight)
    heritage = None if init_from is None else inherited_from(init_from, freeze, fine_tune_rate)
    folder = RunFolder.open(Path(run))
    with folder.locked():
        context = reopen(folder, data, space, changes, observer, lasting=False)
        if heritage is not None:
            tell_seen(heritage.donor, context.dataset, observer.note)
        heritage = heritage or heritage_of_run(context, freeze, fine_tune_rate)
        more = wanted.costs - context.config.costs
        context = replace(context, space=with_costs(context.space, more, context.config, folder, observer))
        with open_ledger(context) as ledger:
            passes = context.passes_in(seconds, 1.0 if lesson is None else lesson.own_share)
            chosen = choose_trial(context, ledger, trial, wanted.limits, observer, passes)
            teachers = accuracies(ledger.trials(), context.config.model_dump())
            refinement = Refinement(lesson, heritage, teachers)
            # What is measured after the training is held against these limits too.
            limits = context.space.limits.within(wanted.limits)
            limited = replace(context, space=replace(context.space, limits=limits))
            known = context.lasting(passes, chosen.fidelity.epochs)
            lasting = trial is None and chosen.proposal.fingerprint in known
            clock = Clock(elapsed(ledger))
            _deliver(limited, ledger, clock, chosen, seconds, observer, refinement, lasting=lasting)
        write_tables(context, observer)
    return Result(folder.path, space=context.space)


def _lesson(teacher: Any, temperature: float | None, weight: float | None) -> Lesson | None:
    if teacher is not None:
        return Lesson(teacher, temperature, weight)
    if temperature is not None or weight is not None:
        raise ConfigurationError("A temperature or a weight is for a teacher; name one with --distill.")
    return None


def heritage_of_run(context: Context, freeze: int | None = None, rate: float | None = None) -> Heritage | None:
    """What the run itself took over, taken over again; other numbers hold for this time.

    Raises:
        ConfigurationError: If it took over nothing, and a number is given.
    """
    config = context.config
    if context.donor is not None:
        return heritage_of(
            context.donor,
            config.freeze if freeze is None else freeze,
            config.fine_tune_rate if rate is None else rate,
        )
    if freeze is not None or rate is not None:
        raise ConfigurationError("--freeze and --fine-tune-rate are for weights taken over: name --init-from.")
    return None


def load(run: str | Path, *, space: str | SearchSpace | None = None) -> Result:
    """The result of a run, finished or not, for reading and predicting.

    Args:
        run: The run folder.
        space: The run's space; needed only if it is not a preset, since it is code.

    Raises:
        RunFolderError: If there is no run.
    """
    folder = RunFolder.open(Path(run))
    return Result(folder.path, space=find_space(saved_config(folder), space))


def run_to_the_end(
    context: Context,
    clock: Clock,
    observer: Observer,
    changes: dict[str, Any] | None = None,
    *,
    seconds: float | None = None,
) -> Result:
    """Search, deliver, report: what a new run and one that goes on share.

    Args:
        context: The run.
        clock: Its seconds.
        observer: Told what happens.
        changes: What changed, if it goes on.
        seconds: Wall clock of search and delivery beside a budget of trials; kept until the budget is changed.
    """
    folder, config = context.folder, context.config
    try:
        with open_ledger(context) as ledger:
            if changes is not None:
                try_strategy(context, ledger)  # before anything is written
                ledger.event(clock(), RESUMED, changed(changes))
                write_text(
                    folder.config, config.to_yaml()
                )  # not before: the ledger tells what is still to be done
                # Without being asked for: the machine may be another one now.
                ledger.event(clock(), "workers", str(context.workers))
            elif context.past:
                starts = (f"{run.name} ({len(run.targets)} networks)" for run in context.past)
                ledger.event(clock(), "warm-start", ", ".join(starts))

            kept = ledger.meta().get(CLOCK)
            if seconds is None and "budget" not in (changes or {}):
                seconds = kept
            if seconds != kept:
                ledger.set_meta(CLOCK, seconds)

            reasons: set[str] = set()
            stays, spare = _delivered_stays(context, ledger), dict[str, Any]()

            def keep_best(trial: Trial, weights: Any) -> None:
                if stays:
                    spare.clear()
                    spare[trial.proposal.fingerprint] = weights
                    return
                reason = write_searched(context, trial, weights)
                if reason is not None and reason not in reasons:
                    reasons.add(reason)
                    observer.note(f"best/model.py is left out: {reason}")

            done = sum(trial.evaluation is not None for trial in ledger.trials())
            earlier = delivery_seconds(ledger)
            left = _seconds_left(context, clock() - earlier, seconds, again=changes is not None)
            observer.started(folder.path, done, config.budget.trials, left, context.workers.count)
            driver = open_driver(context, ledger, clock, keep_best, observer)
            with graceful_interrupts(driver, observer):
                driver.run()
                asked = _asked(ledger)
                # Asked for once more by its length: the clock of the search is no reason to cut it.
                by_length = "final_epochs" in asked and bool(_deliveries(ledger))
                passes = context.passes_in(None) if by_length else None
                chosen = choose_trial(context, ledger, observer=observer, passes=passes)
                limits = bool({f"max_{metric}" for metric in METRICS} & asked)
                if {"final_epochs", "mixing"} & asked or not _delivered(ledger, chosen, limits):
                    spent, again = clock() - earlier, changes is not None
                    left = _seconds_left(context, spent, seconds, again=again, stopped=driver.interrupted)
                    left = None if by_length else left
                    lasting = chosen.proposal.fingerprint in context.lasting(passes, chosen.fidelity.epochs)
                    searched = spare.get(chosen.proposal.fingerprint)
                    _deliver(context, ledger, clock, chosen, left, observer, lasting=lasting, searched=searched)
    finally:
        write_tables(context, observer)
    observer.finished(folder.path)
    return Result(folder.path, space=context.space)


def _deliver(
    context: Context,
    ledger: Ledger,
    clock: Clock,
    trial: Trial,
    seconds: float | None,
    observer: Observer,
    refinement: Refinement | None = None,
    **facts: Any,
) -> None:
    refinement = refinement or Refinement(heritage=heritage_of_run(context))
    deliver(
        context,
        trial,
        log_test=lambda purpose: ledger.event(clock(), "test-opened", purpose),
        seconds=seconds,
        observer=observer,
        refinement=refinement,
        **facts,
    )
    ledger.event(clock(), "delivered", f"trial {trial.number}")


def _delivered_stays(context: Context, ledger: Ledger) -> bool:
    """Whether what lies in ``best`` was trained for delivery and is within the limits: another delivery replaces it."""
    number = delivered_trial(context.folder)
    trials = priced(context.space, ledger.trials())
    here = [trial for trial in trials if trial.number == number]
    return any(context.space.limits.violation(t.cost) is None for t in as_measured(ledger, here))


def _asked(ledger: Ledger) -> set[str]:
    """Options that were changed since the last delivery, also in a process that was stopped before the next."""
    names: set[str] = set()
    for event in ledger.events():
        if event.kind == "delivered":
            names.clear()
        names |= event.options
    return names


def _deliveries(ledger: Ledger) -> list[str]:
    """Trials that were delivered since the last evaluation, in order."""
    newest = max((trial.elapsed or 0.0 for trial in ledger.trials()), default=0.0)
    return [event.detail for event in ledger.events() if event.kind == "delivered" and event.elapsed >= newest]


def _delivered(ledger: Ledger, best: Trial, limits: bool) -> bool:
    """Whether nothing happened since this network was delivered.

    Another one that was delivered on demand after it stays, unless limits were given now: it may be beyond them.
    """
    deliveries, this = _deliveries(ledger), f"trial {best.number}"
    return this in deliveries and (not limits or deliveries[-1] == this)


def _seconds_left(
    context: Context,
    spent: float,
    seconds: float | None = None,
    *,
    again: bool = False,
    stopped: bool = False,
) -> float | None:
    """Wall clock for the delivery: what is left, and after a search that was stopped no more than the share for it.

    A run that goes on has its share again, however much it has spent.
    """
    budget = context.config.budget.seconds if seconds is None else seconds
    if budget is None:
        return None
    share = context.config.final_share * budget
    left = max(budget - spent, share if again or seconds is not None else 1.0)
    return min(left, share) if stopped else left


def choose_trial(
    context: Context,
    ledger: Ledger,
    number: int | None = None,
    within: Limits | None = None,
    observer: Observer | None = None,
    passes: float | None = None,
) -> Trial:
    """The trial of a number, or the one that the run recommends within its limits and these.

    Its latency is measured where one is limited.

    Args:
        context: The run.
        ledger: Its ledger.
        number: The trial; None for the recommended one.
        within: Limits beside the run's.
        observer: Told what was measured.
        passes: Of the final training that follows; those expected of the run's own by default.

    Raises:
        GCNASError: One of its children, if there is none.
    """
    trials = priced(context.space, ledger.trials())
    if number is None:
        limits = context.space.limits if within is None else context.space.limits.within(within)
        if within is not None and within != Limits():
            # A limit takes the place of a soft target: what the front shows is what it chooses from.
            trials = accuracies(trials, context.config.model_dump())
        images = images_behind(context.dataset.validation().labels, context.config.reward)

        def choose(trials: Sequence[Trial]) -> Trial | None:
            epochs = next((trial.fidelity.epochs for trial in decisive(trials, limits)), None)
            known = context.lasting(passes, epochs)
            return recommend(trials, limits, validation_images=images, lasting=known)

        if limits.latency is None:
            best = choose(trials)
        else:
            # A limit of a delivery alone is no matter of the run.
            command = "resume" if limits.latency == context.space.limits.latency else "finalize"
            told = observer or Observer()
            best = choose_measured(context, ledger, trials, choose, limits.latency, told, command)
        if best is None:
            raise nothing_within(trials, context.space.limits, within or Limits())
        return best
    complete = {trial.number: trial for trial in trials if trial.complete}
    if number not in complete:
        raise ConfigurationError(
            f"There is no complete trial {number}; there are {len(complete)}, see trials.csv."
        )
    return complete[number]


def write_tables(context: Context, observer: Observer) -> None:
    """Write ``trials.csv`` and the report anew; where that fails, the observer is told: the network is there."""
    folder = context.folder
    try:
        if folder.ledger.is_file():
            write_trials_csv(folder.path)
            if context.config.report:
                write_report(folder.path, space=context.space)
    except RunFolderError as error:
        observer.note(str(error))
