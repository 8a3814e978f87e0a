"""The search as an estimator of scikit-learn: fit, predict, cross-validate."""

import math
import numbers
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from gcnas.api import search
from gcnas.config import Budget
from gcnas.data.rows import ImageShape, Range, image_shape, pixels, resized, value_range
from gcnas.delivery import pack, predict_arrays, unpack
from gcnas.errors import ConfigurationError, DataError, SpaceError
from gcnas.run.observer import Observer
from gcnas.space import SearchSpace, load_space

FAR_OUTSIDE = 2.0
"""Values so many ranges beyond those of ``fit`` are of another scale, and warned about."""

FAR_INSIDE, WIDE = 0.01, 16.0
"""So are fractions that fill no more than this share of the range, from its lower end, if the range is as wide."""


class _AtOnce(Observer):
    """An interrupt ends a fit, and with it a cross-validation, instead of delivering what was found by then."""

    at_once = True


class GCNASClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A small convolutional network, searched and trained by ``fit``.

    All of X serves the search and the final training: a share of it is the validation split of the search, and no
    test split is taken away, because scikit-learn's users cut their own.

    Args:
        budget: Candidates (``20``) or wall clock (``"10m"``) of each ``fit``; a cross-validation spends it once a fold.
        max_params: Most parameters of the network, such as ``"100k"``.
        max_macs: Most multiply-adds for one image.
        max_activations: Most numbers alive at once for one image.
        max_size: Most bytes of the file of weights.
        max_latency: Most milliseconds of one image with ONNX Runtime on this device.
        soft: A target that may be missed at a price, such as ``"macs=5M:-0.07"``.
        strategy: Who proposes.
        space: A preset, ``FILE.py:NAME``, or a space; one that is defined in a notebook needs ``threads=1``.
        epochs: Training of each candidate; None chooses.
        final_epochs: Training of the network delivered; None chooses.
        reward: ``accuracy`` or ``balanced-accuracy`` on the validation split.
        references: Whether designs by people are evaluated first.
        warm_start_from: Run folders of earlier searches in the same space, from which the strategy starts. It has
            nothing to do with scikit-learn's ``warm_start``, which goes on with the same model.
        resolution: Side of the square images that networks see; None keeps sizes up to 64 and infers others.
        flip: Whether images are mirrored left to right in training; None measures whether that keeps the label.
        validation_fraction: Share of X that scores candidates.
        batch_size: Images of a training step.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of the stochastic gradient descent.
        image_shape: Shape of each image, ``(H, W)`` or ``(H, W, C)``, where X has flat rows that are not square.
        pixel_range: The values of X that are black and white; None takes 0 and 255 for uint8, 0 and 1 for numbers
            between, else the smallest and the largest value of the X of ``fit``.
        threads: CPU threads; None takes all cores. Set 1 where ``n_jobs`` fits several at once.
        device: ``cpu``, ``cuda``, …; None chooses.
        precision: What training computes in; ``auto`` is ``bfloat16`` where that is faster.
        random_state: An integer makes ``fit`` reproducible under a budget of candidates, with one worker; it is the
            seed of the run.
        out: The run folder, for a single ``fit``: one that exists is refused. None makes a temporary one.

    Attributes:
        classes_: Labels, sorted.
        n_features_in_: Values of each image.
        feature_names_in_: Names of the columns, where X was a table with names.
        image_shape_: Shape of each image in X.
        pixel_range_: The values that are black and white.
        model_: The trained network with its preprocessing, on the CPU.
        metrics_: Accuracy on the validation split, parameters, multiply-adds and more, as in ``metrics.json``.
        space_: The space that the network is of.
        run_path_: The run folder with the ledger and the exportable ``best/``, and with ``report.html`` where ``out``
            was given. A temporary one is removed with the estimator or by its next ``fit``. None in a copy and after
            unpickling: predicting needs no run folder.
    """

    def __init__(
        self,
        *,
        budget: int | str | Budget = "10m",
        max_params: int | str | None = None,
        max_macs: int | str | None = None,
        max_activations: int | str | None = None,
        max_size: int | str | None = None,
        max_latency: float | None = None,
        soft: str | None = None,
        strategy: str = "gcnas",
        space: str | SearchSpace = "cnn",
        epochs: int | None = None,
        final_epochs: int | None = None,
        reward: Literal["accuracy", "balanced-accuracy"] = "accuracy",
        references: bool = True,
        warm_start_from: str | Path | Sequence[str | Path] | None = None,
        resolution: int | None = None,
        flip: bool | None = None,
        validation_fraction: float = 0.2,
        batch_size: int = 64,
        learning_rate: float = 0.1,
        weight_decay: float = 2e-3,
        image_shape: ImageShape | None = None,
        pixel_range: Range | None = None,
        threads: int | None = None,
        device: str | None = None,
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        random_state: int | np.random.RandomState | None = None,
        out: str | Path | None = None,
    ) -> None:
        self.budget = budget
        self.max_params = max_params
        self.max_macs = max_macs
        self.max_activations = max_activations
        self.max_size = max_size
        self.max_latency = max_latency
        self.soft = soft
        self.strategy = strategy
        self.space = space
        self.epochs = epochs
        self.final_epochs = final_epochs
        self.reward = reward
        self.references = references
        self.warm_start_from = warm_start_from
        self.resolution = resolution
        self.flip = flip
        self.validation_fraction = validation_fraction
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.image_shape = image_shape
        self.pixel_range = pixel_range
        self.threads = threads
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.out = out

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's names
        """Search a network on the images and train it on all of them.

        Args:
            X: Images ``(N, H, W)``, ``(N, H, W, C)`` or ``(N, C, H, W)`` with 1, 3 or 4 channels, or flat rows
                ``(N, H * W)``; any numbers.
            y: Labels ``(N,)`` of any kind; each class needs two different images or more.

        Raises:
            ValueError: X, y or a parameter cannot be used.
            GCNASError: No network was found, or the run folder cannot be written.
        """
        with _value_errors():
            return self._fit(X, y)

    def _fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        X, shape = _flat(X)  # noqa: N806
        before = dict(self.__dict__)
        try:
            return self._fit_to(X, y, shape)
        except BaseException:
            # The fit before this one, if there is one, stays as it was.
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fit_to(self, X: Any, y: Any, shape: tuple[int, ...] | None) -> Self:  # noqa: N803
        rows, y = validate_data(self, X, y)
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise DataError(f"A classifier needs at least 2 classes; y has 1 class, {classes[0]}.")
        found_shape = self._shape_of_each(shape or rows.shape)
        values = value_range(rows) if self.pixel_range is None else _checked_range(self.pixel_range)
        images = {"images": pixels(rows, found_shape, values), "labels": labels, "class_names": _names(classes)}
        run = tempfile.mkdtemp(prefix="gcnas-") if self.out is None else None
        removal = None if run is None else weakref.finalize(self, shutil.rmtree, run, ignore_errors=True)
        try:
            out = self.out if run is None else Path(run) / "run"
            result = search(images, out=out, observer=_AtOnce(), **self._options())
            model, metrics = result.model, result.metrics
        except BaseException:
            if removal is not None:
                removal()
            raise
        self._forget_run()
        self._removal = removal
        self.classes_, self.image_shape_, self.pixel_range_ = classes, found_shape, values
        self.model_, self.metrics_, self.run_path_, self.space_ = model, metrics, result.run, self.space
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities ``(N, K)`` of the classes, in the order of ``classes_``.

        Raises:
            ValueError: The images are not like those of ``fit``.
            sklearn.exceptions.NotFittedError: Before ``fit``.
        """
        check_is_fitted(self)
        X, shape = _flat(X)  # noqa: N806
        rows = validate_data(self, X, reset=False)
        with _value_errors():
            image_shape(shape or rows.shape, self.image_shape_)
        self._warn_of_another_scale(rows)
        images = pixels(rows, self.image_shape_, self.pixel_range_)
        model = self.model_
        images = resized(images, model.preprocessing.resolution, model.preprocessing.channels)
        probabilities = predict_arrays(model, images).astype(np.float64)
        # The sum of single-precision numbers is 1 to seven digits only.
        normalised: np.ndarray = probabilities / probabilities.sum(axis=1, keepdims=True)
        return normalised

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable label of each image, ``(N,)``.

        Raises:
            ValueError: The images are not like those of ``fit``.
            sklearn.exceptions.NotFittedError: Before ``fit``.
        """
        probabilities = self.predict_proba(X)
        labels: np.ndarray = self.classes_[probabilities.argmax(axis=1)]
        return labels

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        # A copy must neither point to a folder that vanishes with the original nor remove it.
        state.pop("_removal", None)
        if "model_" in state:
            state |= {"model_": pack(state["model_"]), "run_path_": None}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "model_" in state:
            # The parameter may be another one by now.
            space = self.space_ if isinstance(self.space_, SearchSpace) else load_space(self.space_)
            self.model_ = unpack(state["model_"], space)

    def _shape_of_each(self, shape: tuple[int, ...]) -> ImageShape:
        try:
            given = None if self.image_shape is None else tuple(self.image_shape)
        except TypeError:
            raise ConfigurationError(
                f"image_shape is the shape of an image, such as (28, 28); given: {self.image_shape!r}."
            ) from None
        return image_shape(shape, given)

    def _options(self) -> dict[str, Any]:
        """The keywords of the search."""
        own = {"image_shape", "pixel_range", "random_state", "out", "warm_start_from"}
        options = {name: value for name, value in self.get_params(deep=False).items() if name not in own}
        options |= {"warm_start": self.warm_start_from, "seed": _seed(self.random_state), "test_fraction": 0.0}
        if isinstance(self.random_state, numbers.Integral) and Budget.parse(self.budget).seconds is None:
            # With several, proposals depend on who is done first.
            options["workers"] = 1
        # Nobody reads the files of a temporary run.
        return options | dict.fromkeys(("onnx", "report"), self.out is not None)

    def _forget_run(self) -> None:
        """Remove the temporary folder of an earlier fit."""
        if (removal := getattr(self, "_removal", None)) is not None:
            removal()

    def _warn_of_another_scale(self, rows: np.ndarray) -> None:
        if self.pixel_range is not None:
            return  # as it was said
        low, high = self.pixel_range_
        reach = FAR_OUTSIDE * (high - low)
        outside = rows.min() < low - reach or rows.max() > high + reach
        inside = (
            high - low >= WIDE
            and low < rows.max() <= low + FAR_INSIDE * (high - low)
            and bool((rows % 1).any())
        )
        if outside or inside:
            effect = "are cut off there" if outside else "are next to black"
            warnings.warn(
                f"Images go from {low:g} to {high:g} as in fit; these go from {rows.min():g} to {rows.max():g} and "
                f"{effect}. Bring them to one scale, or set pixel_range.",
                UserWarning,
                stacklevel=3,
            )


@contextmanager
def _value_errors() -> Iterator[None]:
    """What the user gave wrongly is a ValueError, as everywhere in scikit-learn."""
    try:
        yield
    except (ConfigurationError, DataError, SpaceError) as error:
        raise ValueError(str(error)) from error


def _flat(X: Any) -> tuple[Any, tuple[int, ...] | None]:  # noqa: N803
    """Images as rows ``(N, F)``, and the shape that they had; what is not of images stays as it is."""
    if getattr(X, "ndim", 0) <= 2 and not (isinstance(X, list | tuple) and np.ndim(X) > 2):
        return X, None
    images = np.asarray(X)
    return images.reshape(len(images), math.prod(images.shape[1:])), images.shape


def _seed(random_state: int | np.random.RandomState | None) -> int:
    if isinstance(random_state, numbers.Integral) and random_state >= 0:
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def _checked_range(values: Range) -> Range:
    try:
        low, high = map(float, values)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(high - low) and low < high):
        raise ConfigurationError(f"pixel_range is two numbers, black below white; given: {values!r}.")
    return low, high


def _names(classes: np.ndarray) -> list[str]:
    """Labels as different texts."""
    names = [str(label) for label in classes]
    return names if len(set(names)) == len(names) else [f"{name} ({place})" for place, name in enumerate(names)]
