"""Growing a network of a run: each size trained alike, and kept in the form of ``best``."""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gcnas.data import Dataset
from gcnas.data.loading import MIN_SIDE
from gcnas.data.preprocessing import MAX_SIDE
from gcnas.delivery.best import Grown, build_trained, write_model
from gcnas.delivery.final import finalize
from gcnas.errors import (
    CandidateError,
    DataError,
    LimitsTooTightError,
    OtherSplitsError,
    RunFolderError,
    SearchFailedError,
    TimeLimitError,
)
from gcnas.files import read_json
from gcnas.records import Cost, Fidelity, Limits
from gcnas.run.context import Context
from gcnas.run.folder import write_text
from gcnas.run.trial import Trial
from gcnas.space.scaling import TARGET, Coefficients, Scaled, grid, scale_architecture
from gcnas.training.candidate import ACCURACY, CandidateTrainer, TrainedCandidate
from gcnas.training.failure import as_candidate_error
from gcnas.training.memory import memory_errors

GRID_SHARE = 1 / 3
"""Epochs of a training of the grid search, as a share of a full one."""

MOST_GROWTH = 1.25 * TARGET
"""Where rounding makes a network of the grid grow more than this, its accuracy is no fair comparison."""

GRID = "grid.json"

KEPT = (
    "phi",
    "resolution",
    "validation_accuracy",
    "validation_balanced_accuracy",
    "scaled_seconds",
    "scaled_from",
)
"""What ``metrics.json`` of a grown network keeps when it is trained for delivery."""

Note = Callable[[str], None]


@dataclass(frozen=True)
class ScaledRow:
    """What became of one size.

    Attributes:
        phi: How far it is grown; 0 is the network itself, trained alike.
        resolution: Height and width of the images.
        depth: Layers.
        parameters: Parameters.
        multiply_adds: Multiply-adds for one image.
        activations: Most numbers alive at once.
        validation_accuracy: Share of the validation images classified correctly; None if it was not trained.
        epochs: Passes over the training images.
        seconds: Wall clock of the training.
        path: The folder with the network; None if it was not trained.
        reason: Why it was not trained.
    """

    phi: int
    resolution: tuple[int, int]
    depth: int
    parameters: int
    multiply_adds: int
    activations: int
    validation_accuracy: float | None = None
    epochs: int | None = None
    seconds: float | None = None
    path: Path | None = None
    reason: str | None = None


@dataclass
class Scaler:
    """Grows, trains and writes the networks of one call.

    Attributes:
        context: The run.
        trial: The trial whose network is grown.
        images_at: Loads the run's images at a height and width.
        epochs: Passes of each training.
        grid_epochs: Passes of each training of the grid search.
        limits: Bounds of the grown networks.
        deadline: Value of ``time.monotonic()`` when the last training must have ended; infinite for none.
        note: Told what happens.
    """

    context: Context
    trial: Trial
    images_at: Callable[[tuple[int, int]], Dataset]
    epochs: int
    grid_epochs: int
    limits: Limits
    deadline: float
    note: Note

    def search_coefficients(self) -> Coefficients:
        """The coefficients of the grid with the best network at phi 1; trainings of earlier calls are reused.

        Raises:
            LimitsTooTightError: If no network of the grid is within the limits.
            SearchFailedError: If the time is over before the grid is done, or all trainings failed.
            OtherSplitsError: If only networks are left whose images fall into other splits.
        """
        found: list[tuple[float, int, Coefficients]] = []
        failed = False
        other: OtherSplitsError | None = None
        rows = self._grid_rows()
        trained = {(row["fingerprint"], row["stem"], *row["resolution"]): row["accuracy"] for row in rows}
        base = self._cost(self._grown(Coefficients(1, 1, 1), 0)).multiply_adds
        for number, coefficients in enumerate(candidates := grid(), start=1):
            scaled = self._grown(coefficients, 1)
            cost = self._cost(scaled)
            too_large = cost.multiply_adds > MOST_GROWTH * base
            if too_large or self._no_size(scaled) or self.limits.violation(cost):
                continue
            key = (scaled.architecture.fingerprint, scaled.space.stem.filters, *scaled.resolution)
            if key not in trained:
                self.note(f"grid {number} of {len(candidates)}: {_words(coefficients)}")
                try:
                    trained[key] = self._grid_accuracy(scaled)
                except OtherSplitsError as error:
                    self.note(f"left out: {error}")
                    other = error
                    continue
                rows.append(_grid_row(coefficients, scaled, cost, trained[key]))
                self._write_grid(rows)
            if (accuracy := trained[key]) is None:
                failed = True
            else:
                found.append((accuracy, -cost.multiply_adds, coefficients))
        if not found:
            raise other or _nothing_in_grid(self.limits, failed=failed)
        best = max(found, key=lambda entry: entry[:2])
        epochs = f"{self.grid_epochs} epoch{'s' * (self.grid_epochs > 1)}"
        self.note(f"grid search: {_words(best[2])} ({best[0]:.1%} after {epochs})")
        return best[2]

    def check(self, coefficients: Coefficients, phis: Iterable[int]) -> None:
        """See to it that networks of these sizes can be made, before any is trained.

        Raises:
            SpaceError: If one would have too many layers.
        """
        for phi in phis:
            self._grown(coefficients, phi)

    def grow(self, coefficients: Coefficients, phi: int) -> ScaledRow:
        """The network of one size, trained unless a folder of the same one is there."""
        scaled = self._grown(coefficients, phi)
        cost, origin = self._cost(scaled), self._origin(coefficients, phi)
        sizes = (cost.parameters, cost.multiply_adds, cost.activations)
        row = ScaledRow(phi, scaled.resolution, scaled.architecture.depth, *sizes)
        if phi and (broken := self.limits.violation(cost)):
            self.note(f"phi {phi} is left out: beyond the limit on {broken}")
            return replace(row, reason=f"beyond the limit on {broken}")
        if (reason := self._no_size(scaled)) is not None:
            hint = (
                "a smaller --gamma (with --alpha and --beta) grows them less"
                if max(scaled.resolution) > MAX_SIDE
                else "--gamma 1 (with --alpha and --beta) does not grow them"
            )
            self.note(f"phi {phi} is left out: {reason}; {hint}")
            return replace(row, reason=reason)
        path = self.context.folder.scaled / f"phi-{phi}"
        if (known := _known(path, origin)) is not None:
            self.note(f"phi {phi} is there already")
            return replace(
                row,
                validation_accuracy=known["validation_accuracy"],
                epochs=self.epochs,
                seconds=known["scaled_seconds"],
                path=path,
            )
        if _state(path) == "final":
            reason = f"a network delivered before lies in {path}; move or delete that folder first"
            self.note(f"phi {phi} is left out: {reason}")
            return replace(row, reason=reason)
        height, width = scaled.resolution
        self.note(
            f"phi {phi}: {height}x{width} pixels, {cost.parameters:,} parameters, "
            f"{cost.multiply_adds / 1e6:.2f} M multiply-adds, {self.epochs} epoch{'s' * (self.epochs > 1)}"
        )
        begin = time.monotonic()
        try:
            self._seconds_left()
            context = larger_context(self.context, scaled, self.images_at)
            trained = self._train(context, scaled, self.epochs)
        except (CandidateError, OtherSplitsError, DataError) as error:
            reason = _reason(error) if isinstance(error, CandidateError) else str(error)
            self.note(f"phi {phi} is left out: {reason}")
            return replace(row, reason=reason)
        row = replace(
            row,
            validation_accuracy=trained.measurement.accuracy,
            epochs=self.epochs,
            seconds=round(time.monotonic() - begin, 3),
            path=path,
        )
        network = build_trained(context, scaled.architecture, trained.weights)
        metrics = self._metrics(row, scaled, origin, trained)
        write_model(context, path, scaled.architecture, network, metrics, extension=scaled.extension)
        return row

    def _grown(self, coefficients: Coefficients, phi: int) -> Scaled:
        return scale_architecture(self.context.space, self.trial.proposal.architecture, coefficients, phi)

    def _no_size(self, scaled: Scaled) -> str | None:
        """Why images cannot be had at a size; None if they can."""
        if max(scaled.resolution) > MAX_SIDE:
            return f"images of more than {MAX_SIDE} pixels a side"
        known = scaled.resolution == self.context.dataset.preprocessing.resolution
        if not known and min(scaled.resolution) < MIN_SIDE:
            return f"images of fewer than {MIN_SIDE} pixels a side can only be had at their own size"
        return None

    def _cost(self, scaled: Scaled) -> Cost:
        return scaled.space.cost(scaled.architecture)

    def _seconds_left(self) -> float:
        """Seconds until the deadline.

        Raises:
            TimeLimitError: If the time is over; larger images need not be decoded any more.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeLimitError("The time is over.")
        return left

    def _train(self, context: Context, scaled: Scaled, epochs: int) -> TrainedCandidate:
        """Train one network on the search-train split and measure it on validation.

        Raises:
            CandidateError: One of its children, if it fails or the time is over.
        """
        left = self._seconds_left()
        trainer = CandidateTrainer(
            context.space, context.dataset, context.recipe, context.final_platform, context.donor
        )
        fidelity = Fidelity(epochs, context.fidelity.seed)
        with as_candidate_error():
            return trainer(scaled.architecture, fidelity, None if math.isinf(left) else left)

    def _grid_accuracy(self, scaled: Scaled) -> float | None:
        """The run's reward on validation after the short training; None if it failed.

        Raises:
            SearchFailedError: If the time is over.
            OtherSplitsError: If the larger images fall into other splits.
        """
        try:
            self._seconds_left()
            context = larger_context(self.context, scaled, self.images_at)
            found = self._train(context, scaled, self.grid_epochs).measurement
            return found.metrics()[ACCURACY[context.config.reward]]
        except TimeLimitError:
            raise SearchFailedError(
                "The time was over before the grid search was done. Call again, it goes on where it was; or give "
                "--alpha, --beta and --gamma."
            ) from None
        except (CandidateError, DataError) as error:
            self.note(f"left out: {_reason(error) if isinstance(error, CandidateError) else error}")
            return None

    def _origin(self, coefficients: Coefficients, phi: int) -> dict[str, Any]:
        """What a grown network follows from; equal origins are equal networks."""
        # The network itself is the same whatever the coefficients.
        growth = {} if phi == 0 else vars(coefficients)
        return {
            "trial": self.trial.number,
            "fingerprint": self.trial.proposal.fingerprint,
            "phi": phi,
            "epochs": self.epochs,
            **growth,
        }

    def _metrics(
        self, row: ScaledRow, scaled: Scaled, origin: Mapping[str, Any], trained: TrainedCandidate
    ) -> dict[str, Any]:
        return {
            **{name: value for name, value in asdict(row).items() if name not in ("path", "reason")},
            "resolution": list(row.resolution),
            "state": "scaled",
            "trial": self.trial.number,
            "fingerprint": scaled.architecture.fingerprint,
            "classes": list(self.context.dataset.class_names),
            "validation_balanced_accuracy": trained.measurement.balanced_accuracy,
            "validation_images": int(trained.measurement.confusion.sum()),
            "scaled_seconds": row.seconds,
            "scaled_from": dict(origin),
        }

    def _grid_rows(self) -> list[dict[str, Any]]:
        """Rows of an earlier grid search for the same network with the same trainings."""
        path = self.context.folder.scaled / GRID
        document = read_json(path) if path.is_file() else {}
        if not isinstance(document, dict) or document.get("for") != self._grid_key():
            return []
        try:
            # What failed is tried again: it may have been the memory of that day.
            rows = [
                row
                | {
                    "fingerprint": str(row["fingerprint"]),
                    "resolution": [int(side) for side in row["resolution"]],
                    "accuracy": float(row["accuracy"]),
                }
                for row in document["rows"]
                if row["accuracy"] is not None
            ]
            # It was not noted at first: such rows are measured again.
            return [row | {"stem": int(row["stem"])} for row in rows if "stem" in row]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _damaged(path, error) from error

    def _grid_key(self) -> dict[str, Any]:
        return {"fingerprint": self.trial.proposal.fingerprint, "epochs": self.grid_epochs}

    def _write_grid(self, rows: list[dict[str, Any]]) -> None:
        folder = self.context.folder.scaled
        folder.mkdir(exist_ok=True)
        document = {"for": self._grid_key(), "rows": rows}
        write_text(folder / GRID, json.dumps(document, indent=1) + "\n")


def larger_context(base: Context, scaled: Scaled, images_at: Callable[[tuple[int, int]], Dataset]) -> Context:
    """The run with the images and the space of a size, and its own recipe.

    Raises:
        OutOfMemoryError: If the larger images do not fit.
        DataError: If they cannot be stored.
        OtherSplitsError: If the larger images fall into other splits.
    """
    if scaled.resolution == base.dataset.preprocessing.resolution:
        return replace(base, space=scaled.space)
    with memory_errors():
        dataset = images_at(scaled.resolution)
    if dataset.splits != base.dataset.splits:
        raise OtherSplitsError(
            f"At {scaled.resolution[0]}x{scaled.resolution[1]} pixels the images fall into other splits, because "
            "some that were equal no longer are; grow without resolution (gamma 1)."
        )
    flip = base.dataset.mirror if base.config.flip is None else base.config.flip
    return replace(base, config=base.config.changed(flip=flip), dataset=dataset, space=scaled.space)


def deliver_grown(
    context: Context,
    trial_of: Callable[[int], Trial],
    phi: int,
    images_at: Callable[[tuple[int, int]], Dataset],
    **options: Any,
) -> None:
    """Train a grown network for delivery and open the test split, as :func:`finalize` does; its folder is replaced.

    Args:
        context: The run.
        trial_of: The trial of a number.
        phi: How far the network is grown.
        images_at: Loads the run's images at a height and width.
        options: The keywords of :func:`finalize`.

    Raises:
        RunFolderError: If there is none of this size, or its folder is damaged.
        SearchFailedError: If the larger images do not fit into memory.
    """
    path = context.folder.delivered(phi)
    metrics = read_json(path / "metrics.json")
    try:
        origin = metrics["scaled_from"]
        kept = {name: metrics[name] for name in KEPT}
        growth = [float(origin.get(name, 1)) for name in ("alpha", "beta", "gamma")]
        trial = trial_of(int(origin["trial"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _damaged(path, error) from error
    scaled = scale_architecture(context.space, trial.proposal.architecture, Coefficients(*growth), phi)
    try:
        large = larger_context(context, scaled, images_at)
    except CandidateError as error:
        raise SearchFailedError(
            f"The images of phi {phi} cannot be had ({error.kind}: {error}); {path} stays as it is."
        ) from error
    proposal = replace(trial.proposal, architecture=scaled.architecture)
    larger = replace(trial, proposal=proposal, cost=scaled.space.cost(scaled.architecture))
    finalize(large, larger, grown=Grown(path, scaled.extension, kept), **options)


def _damaged(path: Path, error: Exception) -> RunFolderError:
    return RunFolderError(f"{path} is damaged: {error!r}. Delete it and call 'gcnas scale' again.")


def short(epochs: int) -> int:
    """Epochs of a training of the grid search."""
    return max(1, round(epochs * GRID_SHARE))


def _grid_row(coefficients: Coefficients, scaled: Scaled, cost: Cost, accuracy: float | None) -> dict[str, Any]:
    return {
        **vars(coefficients),
        "fingerprint": scaled.architecture.fingerprint,
        "stem": scaled.space.stem.filters,
        "resolution": list(scaled.resolution),
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
        "accuracy": accuracy,
    }


def _nothing_in_grid(limits: Limits, *, failed: bool) -> SearchFailedError | LimitsTooTightError:
    if failed:
        return SearchFailedError("All trainings of the grid search failed; give --alpha, --beta and --gamma.")
    bounds = ", ".join(f"{name} {value:,}" for name, value in vars(limits).items() if value is not None)
    return LimitsTooTightError(
        f"No network that is about twice as dear is within the limits ({bounds or 'none'}); loosen them."
    )


def _state(path: Path) -> str | None:
    """What ``metrics.json`` calls the state of the network in a folder; None if there is none."""
    try:
        metrics = read_json(path / "metrics.json")
    except RunFolderError:
        return None
    return metrics.get("state") if isinstance(metrics, dict) else None


def _known(path: Path, origin: dict[str, Any]) -> dict[str, Any] | None:
    """Metrics of a network that is there already, if it has this origin."""
    try:
        metrics = read_json(path / "metrics.json")
    except RunFolderError:
        return None
    if not isinstance(metrics, dict) or not isinstance(before := metrics.get("scaled_from"), dict):
        return None
    # The same network may have become another trial's.
    if before | {"trial": None} != origin | {"trial": None}:
        return None
    for name in ("validation_accuracy", "scaled_seconds"):
        if name not in metrics:
            raise _damaged(path, KeyError(name))
        if type(metrics[name]) not in (int, float):
            raise _damaged(path, TypeError(f"{name} is no number"))
    known: dict[str, Any] = metrics
    return known


def _reason(error: CandidateError) -> str:
    if isinstance(error, TimeLimitError):
        return "the time was over; call again to train it"
    return f"{error.kind}: {error}"


def _words(coefficients: Coefficients) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in vars(coefficients).items())
