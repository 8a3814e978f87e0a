"""Compound scaling of a run's network: larger ones of the same design, trained and placed beside it."""

import math
import re
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from gcnas.api import choose_trial, heritage_of_run, load, write_tables
from gcnas.config import parse_count, parse_seconds
from gcnas.delivery import Model, Refinement
from gcnas.delivery.scaling import ScaledRow, Scaler, deliver_grown, short
from gcnas.errors import ConfigurationError
from gcnas.opening import DataSource, images_at, reopen
from gcnas.records import Limits
from gcnas.run.driver import Clock
from gcnas.run.folder import RunFolder
from gcnas.run.observer import Observer
from gcnas.run.session import elapsed, open_ledger
from gcnas.space import SearchSpace
from gcnas.space.scaling import TARGET, Coefficients
from gcnas.training import torch_as_it_was

MAX_PHI = 10

NEAR = 0.1
"""Coefficients whose growth misses 2 by more than this share are worth a word."""


@torch_as_it_was()
def scale(
    run: str | Path,
    phi: int | str | Iterable[int] = 1,
    *,
    alpha: float | None = None,
    beta: float | None = None,
    gamma: float | None = None,
    trial: int | None = None,
    epochs: int | None = None,
    grid_epochs: int | None = None,
    budget: str | float | None = None,
    max_params: int | str | None = None,
    max_macs: int | str | None = None,
    max_activations: int | str | None = None,
    threads: int | None = None,
    data: DataSource | None = None,
    space: str | SearchSpace | None = None,
    observer: Observer | None = None,
) -> list[ScaledRow]:
    """Grow the network of a run in depth, width and resolution together (EfficientNet, Tan and Le 2019).

    Each grown network is trained with the run's recipe on the search-train split and measured on validation; the test
    split stays closed. It is written to ``scaled/phi-N`` of the run folder in the form of ``best``; one that is there
    already is not trained again. The network itself, trained alike, is ``phi-0``.

    Args:
        run: The run folder.
        phi: How far to grow: a whole number, several of them, or text such as ``"1..3"``.
        alpha: Growth of the depth at phi 1. All three are given, or none; then a small grid search chooses them.
        beta: Growth of the width, likewise.
        gamma: Growth of the resolution, likewise.
        trial: Number of the trial to grow; by default the one that the run recommends.
        epochs: Training of each network; by default the run's full training of a candidate.
        grid_epochs: Training of each network of the grid search; by default a third of that.
        budget: Wall clock for everything, such as ``"20m"``; what is not trained then is left for another call.
        max_params: Most parameters of a grown network. The run's own limits do not hold for these.
        max_macs: Most multiply-adds, likewise.
        max_activations: Most numbers alive at once, likewise.
        threads: CPU threads.
        data: Where the same data is now, as for :func:`resume`. Images smaller than the resolution are enlarged.
        space: The run's space, as for :func:`resume`.
        observer: Told what happens.

    Returns:
        A row for phi 0 and each phi, in this order.

    Raises:
        ConfigurationError: If a number makes no sense.
        LimitsTooTightError: If no network of the grid search is within the limits.
        SearchFailedError: If the time is over before the grid search is done.
        RunFolderError: If the run cannot be gone on with.
    """
    observer = observer or Observer()
    sizes, coefficients = parse_phi(phi), _coefficients(alpha, beta, gamma, observer)
    allowed = parse_seconds(budget)
    deadline = math.inf if allowed is None else time.monotonic() + allowed
    bounds = (
        None if limit is None else parse_count(limit) for limit in (max_params, max_macs, max_activations)
    )
    limits = Limits(*bounds)
    for name, number in (("epochs", epochs), ("grid_epochs", grid_epochs)):
        if number is not None and not 1 <= number <= 100_000:
            raise ConfigurationError(f"{name} is a number from 1 to 100,000, but got {number}.")
    epochs = None if epochs is None else int(epochs)  # of numpy, perhaps
    grid_epochs = None if grid_epochs is None else int(grid_epochs)
    folder = RunFolder.open(Path(run))
    folder.check_scaled()
    with folder.locked():
        changes = {} if threads is None else {"threads": threads}
        context = reopen(folder, data, space, changes, observer, lasting=False)
        with open_ledger(context) as ledger:
            clock = Clock(elapsed(ledger))
            passes = epochs or context.amounts.epochs
            scaler = Scaler(
                context,
                choose_trial(context, ledger, trial, observer=observer),
                partial(images_at, folder, context.config, data),
                passes,
                grid_epochs or short(passes),
                limits,
                deadline,
                observer.note,
            )
            if coefficients is None:
                coefficients = scaler.search_coefficients()
            scaler.check(coefficients, sizes)
            rows = [scaler.grow(coefficients, size) for size in (0, *sizes)]
            words = ", ".join(f"{name} {value:g}" for name, value in vars(coefficients).items())
            ledger.event(clock(), "scaled", f"phi {', '.join(map(str, sizes))}: {words}")
        write_tables(context, observer)
    return rows


@torch_as_it_was()
def finalize_scaled(
    run: str | Path,
    phi: int,
    *,
    seconds: float | str | None = None,
    data: DataSource | None = None,
    space: str | SearchSpace | None = None,
    observer: Observer | None = None,
    **changes: Any,
) -> Model:
    """Train a grown network for delivery, open the test split, and replace its folder; ``best`` stays.

    Args:
        run: The run folder.
        phi: How far the network is grown; :func:`scale` has made it.
        seconds: Wall clock in seconds, or such as ``"10m"``; by default the number of final epochs rules.
        data: Where the same data is now, as for :func:`resume`.
        space: The run's space, as for :func:`resume`.
        observer: Told what happens.
        changes: As for :func:`resume`, for example ``final_epochs=200``; no limits, which the sizes go beyond.

    Raises:
        ConfigurationError: If a limit is given.
        RunFolderError: If there is none of this size.
    """
    seconds = parse_seconds(seconds)
    if limits := [name for name in changes if name.startswith("max_")]:
        raise ConfigurationError(
            f"A grown network is as large as its phi says; it goes with no limit such as {limits[0]}."
        )
    folder = RunFolder.open(Path(run))
    folder.check_scaled()
    with folder.locked():
        observer = observer or Observer()
        context = reopen(folder, data, space, changes, observer, lasting=False)
        with open_ledger(context) as ledger:
            clock = Clock(elapsed(ledger))
            deliver_grown(
                context,
                partial(choose_trial, context, ledger, observer=observer),
                phi,
                partial(images_at, folder, context.config, data),
                log_test=lambda purpose: ledger.event(clock(), "test-opened", f"{purpose}, phi {phi}"),
                seconds=seconds,
                observer=observer,
                refinement=Refinement(heritage=heritage_of_run(context)),
            )
        write_tables(context, observer)
    return load(run, space=context.space).scaled(phi)


def parse_phi(phi: int | str | Iterable[int]) -> tuple[int, ...]:
    """Sizes to grow to, ascending: of ``2``, ``"1..3"``, ``"1,3"`` or several numbers.

    Raises:
        ConfigurationError: If one is no whole number from 1 to :data:`MAX_PHI`.
    """
    found: list[int] = []
    if isinstance(phi, str):
        for part in phi.split(","):
            match = re.fullmatch(r"\s*(\d{1,3})\s*(?:\.\.\s*(\d{1,3})\s*)?", part)
            found += range(int(match[1]), int(match[2] or match[1]) + 1) if match else [0]
    else:
        found = list(phi) if isinstance(phi, Iterable) else [phi]
    if not found or not all(type(size) is int and 1 <= size <= MAX_PHI for size in found):
        raise ConfigurationError(
            f"phi is a whole number from 1 to {MAX_PHI}, or several: 2, 1..3 or 1,3; but got {phi!r}."
        )
    return tuple(sorted(set(found)))


def _coefficients(
    alpha: float | None, beta: float | None, gamma: float | None, observer: Observer
) -> Coefficients | None:
    if alpha is None and beta is None and gamma is None:
        return None
    if alpha is None or beta is None or gamma is None:
        raise ConfigurationError("Give alpha, beta and gamma together, or none of them for the grid search.")
    coefficients = Coefficients(alpha, beta, gamma)
    if abs(coefficients.growth / TARGET - 1) > NEAR:
        observer.note(
            f"alpha x beta^2 x gamma^2 is {coefficients.growth:.2f}; with about 2, each phi doubles the multiply-adds"
        )
    return coefficients
