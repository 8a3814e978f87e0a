"""A delivered network for other images: its layers are taken over, its head is new."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from gcnas.api import run_to_the_end
from gcnas.config import RunConfig, parse_seconds
from gcnas.data import Dataset
from gcnas.data.loading import MIN_SIDE
from gcnas.delivery import Model, inherited_from, keep_donor, load_best, tell_seen, transferable
from gcnas.errors import ConfigurationError
from gcnas.execution.cluster import disconnecting
from gcnas.execution.worker import refuse_in_worker
from gcnas.opening import DataSource, find_space, load_data, name_of, saved_config, tell_notices
from gcnas.result import Result
from gcnas.run.amounts import Amounts
from gcnas.run.context import Context
from gcnas.run.driver import Clock
from gcnas.run.folder import RunFolder, default_path, write_text
from gcnas.run.ledger import check_sqlite
from gcnas.run.observer import Observer
from gcnas.run.session import new_context, references
from gcnas.space import SearchSpace
from gcnas.strategy import find_constructor, is_own
from gcnas.training import torch_as_it_was
from gcnas.training.platform import choose_device

KEPT = (
    "strategy",
    "reward",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "mixing",
    "onnx",
    "report",
    "device",
    "precision",
    "threads",
    "seed",
)
"""What the new run takes over from the configuration of the old one, besides the space."""


@disconnecting()
@torch_as_it_was()
def transfer(
    run: str | Path,
    data: DataSource,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    seconds: float | str | None = None,
    freeze: int | None = None,
    fine_tune_rate: float | None = None,
    space: str | SearchSpace | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> Result:
    """Train the network of a run for other images, beginning with its weights, in a new run folder.

    Nothing is searched: the new run has one trial, the network of ``run`` with a head for the new classes, trained for
    the validation accuracy, then for delivery. ``gcnas.resume(out, budget=50)`` searches on from there. The limits of
    ``run`` do not hold; the images get the resolution of its network if that is square, of 8 pixels or more, and no
    other is given.

    Args:
        run: The run folder whose ``best`` is transferred.
        data: The new images, as for :func:`gcnas.search`.
        out: The new run folder; by default the first free ``runs/<data>-<n>``.
        overwrite: Whether a run that lies there is replaced; it is deleted once the new one has begun.
        seconds: Wall clock for everything in seconds, or such as ``"10m"``; by default the number of final epochs
            rules. The first training is about a sixteenth of it, but one epoch, or the epochs given, at least; what
            it leaves is for the final training, which has no less than its share.
        freeze: Epochs of the final training in which only what was not taken over is trained; 0 by default.
        fine_tune_rate: Peak of the learning rate afterwards, as a share of the run's; 0.3 by default.
        space: The run's space; needed only if it is not a preset, since it is code.
        observer: Told what happens.
        options: Other fields of :class:`~gcnas.config.RunConfig`, such as ``final_epochs=50``.

    Raises:
        GCNASError: One of its children, if the run has no network or the images cannot be used.
    """
    refuse_in_worker()
    clock, observer = Clock(), observer or Observer()
    seconds = parse_seconds(seconds)
    source = RunFolder.open(Path(run))
    heritage = inherited_from(source.path, freeze, fine_tune_rate)
    saved = saved_config(source)
    found_space = find_space(saved, space)
    model = load_best(source, found_space)
    tuning = {"freeze": heritage.freeze, "fine_tune_rate": heritage.rate}
    if "device" not in options:
        options["device"] = _device_here(saved.device, observer)
    if is_own(saved.strategy) and "strategy" not in options:
        observer.note(
            f"The strategy of {run} is code ({saved.strategy}): what searches on from here is another one."
        )
    config = _config(saved, model, str(run), name_of(data), options | tuning)
    find_constructor(config.strategy)
    check_sqlite()
    found_space = transferable(model.architecture, found_space)
    folder = RunFolder.create(Path(out) if out else default_path(config.data), overwrite=overwrite)
    with folder.begun(observer.note):
        dataset = load_data(config, data, folder)
        tell_notices(dataset, observer)
        context = _begun(config, dataset, found_space, folder, seconds)
        context = replace(context, donor=heritage.donor)
        keep_donor(folder, heritage.donor, model.architecture)
        tell_seen(heritage.donor, dataset, observer.note)
        return run_to_the_end(context, clock, observer, seconds=seconds)


def _device_here(device: str | None, observer: Observer) -> str | None:
    """The device of the other run, or that of this machine where it lacks it, which is told."""
    if device is not None:
        try:
            choose_device(device)
        except ConfigurationError as error:
            observer.note(f"{error} The new run takes {choose_device()!r}.")
            return None
    return device


def _begun(
    config: RunConfig, dataset: Dataset, space: SearchSpace, folder: RunFolder, seconds: float | None
) -> Context:
    """The new run; within a wall clock its first training is as long as that of a candidate in such a search."""
    context = new_context(
        config if seconds is None else config.changed(budget=f"{seconds}s"), dataset, space, folder
    )
    references(context)  # a network that is beyond limits is refused before anything is written
    # A search that goes on from here has as many workers as any other.
    write_text(folder.config, config.changed(workers=None).to_yaml())
    if seconds is None:
        return context
    amounts = context.amounts
    limit = config.candidate_seconds
    kept = Amounts(amounts.epochs, amounts.final_epochs, candidate_seconds=limit, stretched=amounts.stretched)
    return replace(context, config=config, amounts=kept)


def _config(saved: RunConfig, model: Model, run: str, data: str, options: dict[str, Any]) -> RunConfig:
    fixed = {
        "data": data,
        "space": saved.space,
        "init_from": run,
        "budget": 1,
        "workers": 1,
        "references": True,
        "warm_start": (),
    }
    if wrong := fixed.keys() & options.keys():
        raise ConfigurationError(f"A transfer decides {', '.join(sorted(wrong))} itself; leave it out.")
    kept = {name: getattr(saved, name) for name in KEPT}
    if is_own(
        saved.strategy
    ):  # code is not executed because a run folder names it; and a transfer searches nothing
        del kept["strategy"]
    height, width = model.preprocessing.resolution
    # Only squares that are not too small can be asked for; else the new images have the resolution that is found.
    shape = {"resolution": height if height == width >= MIN_SIDE else None, "fidelity": "full"}
    return RunConfig.create(**(kept | shape | options | fixed))
