"""The strategy of a run, with the signals that its configuration names."""

from collections.abc import Callable, Mapping, Sequence

from gcnas.config import RunConfig, stream_seed
from gcnas.records import Architecture
from gcnas.run.context import Context
from gcnas.run.evaluating import for_workers, runs_apart
from gcnas.run.measuring import ApartMeter
from gcnas.run.signal_clock import Meter
from gcnas.space import SearchSpace
from gcnas.strategy import SignalSource, Strategy, create_strategy
from gcnas.strategy.history import PastRun
from gcnas.training.signals import SignalMeter

Measure = Callable[[Architecture], Mapping[str, float]]


def create_searcher(
    config: RunConfig, space: SearchSpace, measure: Measure | None = None, history: Sequence[PastRun] = ()
) -> Strategy:
    """The strategy, without middlewares.

    Args:
        config: The configuration.
        space: Fitted space.
        measure: Measures signals; None where the strategy will not be asked.
        history: Earlier runs that it starts from.
    """
    source = SignalSource(config.proxies, measure or _unknown) if config.proxies else None
    seed = stream_seed(config.seed, "strategy")
    return create_strategy(config.strategy, space, seed, history, facts=config.facts, signals=source)


def create_meter(context: Context) -> Meter | None:
    """What measures the signals of a run; in a process of its own where candidates have theirs.

    None if there are no signals to measure.
    """
    config = context.config
    if not config.proxies:
        return None
    seed = stream_seed(config.seed, "signals") % 2**31
    meter = SignalMeter(for_workers(context.space), context.dataset, config.proxies, seed)
    if not runs_apart(context):
        return meter
    workers = context.workers
    return ApartMeter(meter, context.folder.logs, threads=workers.threads, memory=workers.memory)


def _unknown(_architecture: Architecture) -> Mapping[str, float]:
    return {}
