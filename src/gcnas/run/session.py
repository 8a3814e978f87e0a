"""Opening a run: a new one, or one that goes on; and putting its parts together."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import torch

from gcnas._version import __version__
from gcnas.config import RunConfig, stream_seed
from gcnas.data import Dataset
from gcnas.errors import CandidateError, ConfigurationError, GCNASError, RunFolderError, SearchFailedError
from gcnas.execution import Executor, LateExecutor
from gcnas.records import Architecture
from gcnas.run.amounts import Amounts, choose_amounts
from gcnas.run.checkpoints import Checkpoints
from gcnas.run.context import Context, fit_space, precision_of
from gcnas.run.costs import with_costs
from gcnas.run.driver import Clock, Driver, Stop
from gcnas.run.duration import DurationModel
from gcnas.run.evaluating import check_setup, create_executor, delete_shared_images, runs_apart
from gcnas.run.folder import RunFolder, write_text
from gcnas.run.halving import Ladder, SuccessiveHalving
from gcnas.run.ledger import Ledger, damage
from gcnas.run.middleware import Reconsidering, ReferencesFirst, Unique, WithinLimits, WithinTime
from gcnas.run.observer import Observer
from gcnas.run.recommendation import REFERENCE, TRANSFERRED, is_given
from gcnas.run.repeats import Repeats
from gcnas.run.searcher import create_meter, create_searcher
from gcnas.run.signal_clock import Meter, SignalClock
from gcnas.run.trial import Rejection, Trial
from gcnas.run.workers import Workers, plan_workers, settled
from gcnas.space import SearchSpace
from gcnas.strategy import Strategy, create_strategy, is_own
from gcnas.training import ImageBatches, Platform
from gcnas.training.candidate import build_seeded
from gcnas.training.memory import return_freed_memory
from gcnas.training.platform import choose_device
from gcnas.training.speed import images_per_second

DELIVERY = ("test-opened", "delivered", "scaled")
"""Events at the end of what is no search."""

SPEED_TRIES = 3
"""Random networks whose speed is measured until one of them can be trained."""

CLOCK = "seconds"
"""Fact of the ledger that holds the wall clock of a run with a budget of trials, where it has one."""


def new_context(
    config: RunConfig,
    dataset: Dataset,
    space: SearchSpace,
    folder: RunFolder,
    observer: Observer | None = None,
) -> Context:
    """The surroundings of a new run: the platform is probed, amounts of training are chosen.

    Args:
        config: The configuration.
        dataset: The data.
        space: The space, not yet fitted.
        folder: A new run folder; the configuration is written into it.
        observer: Told what was measured.
    """
    fitted = with_costs(fit_space(space, dataset, config), config.costs, config, folder, observer)
    config = settled(config)
    workers = plan_workers(config, choose_device(config.device))
    _, height, width = dataset.image_shape
    platform = Platform.probe(config.device, workers.threads, precision_of(config, space), min(height, width))
    draft = Context(config, folder, dataset, fitted, platform, Amounts(1, 1))
    images, alone = len(dataset.train_index), draft.final_platform
    share = _share(workers, platform)
    amounts = choose_amounts(
        config,
        images,
        lambda: share * _reference_speed(draft),
        workers.count,
        (lambda: _reference_speed(replace(draft, platform=alone))) if alone != platform else None,
    )
    if (
        share < 1 and amounts.speed is not None and amounts.final_speed is None
    ):  # the final training shares nothing
        amounts = replace(amounts, final_speed=_reference_speed(replace(draft, platform=alone)))
    context = Context(config, folder, dataset, fitted, platform, amounts)
    check_setup(context)
    write_text(folder.config, config.to_yaml())
    return context


def _share(workers: Workers, platform: Platform) -> float:
    """How fast one of several processes is beside one alone, which is what is measured: they may share threads."""
    if workers.cluster is not None or platform.device != "cpu":
        return 1.0
    return min(1.0, workers.all_threads / (workers.count * workers.threads))


def _platform_here(
    known: Platform, config: RunConfig, space: SearchSpace, observer: Observer | None
) -> Platform:
    """The platform that a run began on, or that of this machine where it lacks the device, which is told."""
    try:
        choose_device(known.device)
    except ConfigurationError as error:
        side = min(space.fitted.height, space.fitted.width)
        here = Platform.probe(None, known.threads, precision_of(config, space), side)
        (observer or Observer()).note(f"{error} The run goes on with {here.device!r}.")
        return here
    return known


def known_context(
    config: RunConfig,
    dataset: Dataset,
    space: SearchSpace,
    folder: RunFolder,
    meta: Mapping[str, Any],
    observer: Observer | None = None,
    trials: Sequence[Trial] = (),
    *,
    searching: bool = True,
    other_time: bool = False,
) -> Context:
    """The surroundings of a run that goes on, held against the facts in its ledger.

    Args:
        config: The configuration, with the changes wanted now.
        dataset: The data, loaded again.
        space: The space, not yet fitted.
        folder: The run folder.
        meta: Facts of the ledger.
        observer: Told what was measured.
        trials: Those of the ledger, which say how fast a design trains where that was not measured.
        searching: Whether the search goes on, if it has anything left to do, and not a delivery alone.
        other_time: Whether its wall clock, or the share of the final training, is another one than when it began, and
            so was when it was last given other final epochs.

    Raises:
        RunFolderError: If the data or the space is not the one that the run began with.
    """
    fitted = fit_space(space, dataset, config)
    known = _facts(meta, folder)
    if known.data != dataset.fingerprint:
        raise RunFolderError(
            f"The data of {folder.path} has changed since the run began (or this version reads it otherwise); "
            "a run goes on with the same images and labels only. Start a new one."
        )
    if known.space != fitted.fingerprint:
        raise RunFolderError(
            f"The space of {folder.path} has changed since the run began; a run goes on with the same space "
            "only. Start a new one."
        )
    fitted = with_costs(fitted, config.costs, config, folder, observer, searching=searching)
    platform = _platform_here(known.platform, config, fitted, observer)
    platform = replace(platform, threads=plan_workers(config, platform.device).threads)
    amounts = known.amounts
    if platform.device != known.platform.device and amounts.speed is not None:
        draft = Context(config, folder, dataset, fitted, platform, Amounts(1, 1))
        speed = _share(draft.workers, platform) * _reference_speed(draft)
        amounts = replace(amounts, speed=speed, final_speed=None)
    # Where nothing tells it, a search has no more than its share.
    speed = amounts.speed or _speed_of(trials, len(dataset.train_index)) or 1.0
    final_speed = amounts.final_speed or speed
    asked = config.changed(epochs=amounts.epochs)
    if config.final_epochs is not None and not other_time:  # fewer give a search that is over no time to go on
        asked = asked.changed(final_epochs=max(config.final_epochs, amounts.final_epochs))
    stop = choose_amounts(
        asked,
        len(dataset.train_index),
        lambda: speed,
        math.ceil(final_speed / speed),  # the most that the final training can be faster
        lambda: final_speed,
    )
    # Under a wall clock it may be longer; that of a transfer holds until another budget is given.
    timed = config.budget.seconds is not None or (meta.get(CLOCK) is not None and config.budget.trials == 1)
    amounts = Amounts(
        amounts.epochs,
        config.final_epochs or (amounts.final_epochs if amounts.stretched is timed else stop.final_epochs),
        stop.search_seconds,
        stop.candidate_seconds,
        amounts.speed or _speed_of(trials, len(dataset.train_index)),
        amounts.final_speed,
        config.final_epochs is None and (amounts.stretched or config.budget.seconds is not None),
    )
    context = Context(config, folder, dataset, fitted, platform, amounts)
    if searching:
        check_setup(context)
    return context


@dataclass(frozen=True)
class _Facts:
    """What the ledger says of the beginning: fingerprints of data and space, the platform, amounts of training."""

    data: str
    space: str
    platform: Platform
    amounts: Amounts


def _facts(meta: Mapping[str, Any], folder: RunFolder) -> _Facts:
    with damage(folder.ledger):
        return _Facts(
            str(meta["data"]["fingerprint"]),
            str(meta["space"]),
            Platform(**meta["platform"]),
            Amounts(**meta["amounts"]),
        )


def open_ledger(context: Context) -> Ledger:
    """The ledger of a run, made with the run's facts if there is none."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"version": __version__, "created": created, **context.facts()}
    return Ledger(context.folder.ledger, facts)


def elapsed(ledger: Ledger) -> float:
    """Seconds that a run has been alive, as far as the ledger knows."""
    times = [trial.elapsed for trial in ledger.trials() if trial.elapsed is not None]
    return max([*times, *(event.elapsed for event in ledger.events())], default=0.0)


def delivery_seconds(ledger: Ledger) -> float:
    """Those of them that went into deliveries and not into the search."""
    times = [(trial.elapsed, False) for trial in ledger.trials() if trial.elapsed is not None]
    times += [(event.elapsed, event.kind in DELIVERY) for event in ledger.events()]
    total = before = 0.0
    for time, delivering in sorted(times, key=lambda pair: (pair[0], not pair[1])):
        total += time - before if delivering else 0.0
        before = time
    return total


def open_driver(context: Context, ledger: Ledger, clock: Clock, keep_best: Any, observer: Observer) -> Driver:
    """Put the parts of a run together.

    Args:
        context: The surroundings.
        ledger: Open ledger.
        clock: Seconds of the run.
        keep_best: Writes a trial's network into ``best``: called with the trial and its weights.
        observer: Told what happens.
    """
    torch.set_num_threads(context.platform.threads)
    repeats, delivering = _repeats(context), delivery_seconds(ledger)
    if (search_seconds := context.amounts.search_seconds) is not None:
        # The clock went on while networks were delivered.
        search_seconds += delivering
        context = replace(context, amounts=replace(context.amounts, search_seconds=search_seconds))
    rejections: list[Rejection] = []
    ladder, meter = Ladder(context.rungs), create_meter(context)

    def seconds_left() -> float:
        reserved = 0.0 if repeats is None else repeats.seconds(context.workers.count)
        return _or_infinite(context.amounts.search_seconds) - reserved - clock()

    def over() -> bool:
        return driver.interrupted or seconds_left() <= 0

    def make() -> Executor:
        executor = create_executor(context, observer)
        try:
            context.folder.founded()  # there is something to evaluate, and what evaluates it
        except BaseException:
            executor.close()
            raise
        return executor

    delete_shared_images(context)
    driver = Driver(
        ledger=ledger,
        space=context.space,
        strategy=_strategy(context, ledger, rejections, ladder, repeats, meter, seconds_left, over),
        rejections=rejections,
        executor=LateExecutor(
            make,
            capacity=context.workers.count,
            isolated=runs_apart(context),
        ),
        fidelity=context.fidelity,
        stop=Stop(
            context.config.budget.trials,
            context.amounts.search_seconds,
            context.amounts.candidate_seconds,
            one_at_least=True,
            delivering=delivering,
            repeating=repeats is not None and repeats.under_way(ledger.trials(), ledger.events()),
        ),
        clock=clock,
        keep_best=keep_best,
        observer=observer,
        checkpoints=Checkpoints(context.folder.checkpoints, ladder) if len(ladder.rungs) > 1 else None,
        repeats=repeats,
        signals=None if meter is None else SignalClock(meter),
    )
    return driver


def references(context: Context) -> list[Architecture]:
    """The space's reference designs that exist within the limits."""
    found = (design(context.space) for design in context.space.references.values())
    return [each for each in found if each is not None and context.space.violation(each) is None]


def _repeats(context: Context) -> Repeats | None:
    if context.config.fidelity == "full":
        return None
    seed = stream_seed(context.config.seed, "repeat") % 2**31
    trials, seconds = context.config.budget.trials, context.amounts.search_seconds
    return Repeats(context.fidelity, seed, context.space.limits, trials, seconds)


def try_strategy(context: Context, ledger: Ledger) -> None:
    """See to it that a strategy of the user's own can go on from the state of the run.

    Raises:
        ConfigurationError: If it cannot.
    """
    if is_own(context.config.strategy):
        _strategy(
            context, ledger, [], Ladder(context.rungs), _repeats(context), None, lambda: 0.0, lambda: True
        )


@contextmanager
def _foreign(strategy: str) -> Iterator[None]:
    """Where a strategy of the user's own goes on from its state.

    Raises:
        ConfigurationError: In place of whatever it raises.
    """
    try:
        yield
    except Exception as error:
        raise ConfigurationError(
            f"The strategy {strategy} cannot go on from the state that it left in the run "
            f"({type(error).__name__}: {error}). Undo what has changed in its file, or start a new run."
        ) from error


def _strategy(
    context: Context,
    ledger: Ledger,
    rejections: list[Rejection],
    ladder: Ladder,
    repeats: Repeats | None,
    meter: Meter | None,
    seconds_left: Callable[[], float],
    over: Callable[[], bool],
) -> Strategy:
    config, space, trials = context.config, context.space, ledger.trials()
    strategy = create_searcher(config, space, meter, context.past)
    tell_all = strategy.multi_fidelity
    if config.references:
        source = TRANSFERRED if TRANSFERRED in space.references else REFERENCE
        strategy = ReferencesFirst(strategy, space, references(context), source)
    limit = None if context.amounts.search_seconds is None else context.amounts.candidate_seconds
    strategy = Reconsidering(strategy, asdict(space.limits) | {"seconds": limit})
    strategy = WithinLimits(strategy, rejections, space)
    single = len(ladder.rungs) == 1  # without rungs a strategy may ask for any training
    # What the strategy was told about: not the repeats, and higher rungs only if it compares them.
    rungs = ladder.rungs if tell_all else ladder.rungs[:1]
    told = [
        t
        for t in trials
        if t.fidelity in rungs or (single and not (repeats is not None and repeats.is_repeat(t)))
    ]
    if limit is not None:
        model = DurationModel(space)
        for trial in told:
            if trial.evaluation is not None:
                model.learn(trial.evaluation)
        strategy = WithinTime(strategy, rejections, model, limit, ladder.longest_stretch(), over, own=single)
    strategy = Unique(strategy, rejections, told, context.fidelity if single else None)
    if len(ladder.rungs) > 1:
        strategy = SuccessiveHalving(
            strategy,
            ladder,
            trials,
            limits=space.limits,
            cost=lambda proposal: space.cost(proposal.architecture),
            multi_fidelity=tell_all,
            limit=_or_infinite(context.amounts.candidate_seconds),
            seconds_left=seconds_left,
            over=over,
        )
    if trials:
        state = ledger.strategy_state()
        with _foreign(config.strategy) if is_own(config.strategy) else damage(context.folder.ledger):
            strategy.load_state_dict(state)
    return strategy


def _or_infinite(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds


def _reference_speed(context: Context) -> float:
    """Images a second, on a platform, of the first reference design, or of a drawn network where there is none.

    One that fails, as some with layer types of users may, leaves it to the next.

    Raises:
        SearchFailedError: If all of them fail.
    """
    torch.set_num_threads(context.platform.threads)
    failures: list[str] = []
    for architecture in chain(references(context), _drawn(context.space)):
        try:
            try:
                return _speed(context, architecture)
            finally:
                return_freed_memory()
        except GCNASError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a network raises is its failure
            failures.append(
                f"{error.kind if isinstance(error, CandidateError) else type(error).__name__}: {error}"
            )
    raise SearchFailedError(
        f"All {len(failures)} networks failed whose speed of training was to be measured. The first failure was "
        f"{failures[0]}"
    )


def _speed_of(trials: Sequence[Trial], images: int) -> float | None:
    """Images a second of the first network that nobody had to find, as a candidate."""
    for trial in trials:
        found = trial.evaluation
        if is_given(trial.proposal) and trial.complete and found is not None and found.training_seconds > 0:
            return found.trained_epochs * images / found.training_seconds
    return None


def _drawn(space: SearchSpace) -> Iterator[Architecture]:
    """Some random networks."""
    drawn = create_strategy("random", space, 0)
    for _ in range(SPEED_TRIES):
        yield from (proposal.architecture for proposal in drawn.ask(1))


def _speed(context: Context, architecture: Architecture) -> float:
    network = build_seeded(context.space, architecture, context.dataset, context.platform, seed=0)
    batches = ImageBatches(context.dataset.train(), context.platform, context.recipe.augmentation)
    return images_per_second(network, batches, context.recipe, context.platform)
