"""What a search gives back."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from gcnas.config import RunConfig
from gcnas.delivery import Model, Prediction, image_files, load_best, load_model, predict_files
from gcnas.delivery.best import delivery_in
from gcnas.errors import DataError, RunFolderError
from gcnas.files import read_json
from gcnas.policy import Policy
from gcnas.report import FrontPoint, Reasons, front, reasons
from gcnas.run.folder import RunFolder
from gcnas.run.ledger import LedgerReader
from gcnas.run.policy_of_run import policy_of_run
from gcnas.run.trial import Trial
from gcnas.space import SearchSpace


class Result:
    """A run folder seen from Python.

    Args:
        run: The run folder.
        space: Its space.

    Attributes:
        run: The run folder.
    """

    def __init__(self, run: Path, *, space: SearchSpace) -> None:
        self.run = run
        self._folder = RunFolder(run)
        self._space = space
        self._model: tuple[tuple[int, bytes], Model] | None = None

    @property
    def metrics(self) -> dict[str, Any]:
        """Content of ``best/metrics.json``: accuracies, cost, confusion matrix; empty if nothing finished.

        Raises:
            RunFolderError: If the file is damaged.
        """
        path = self._folder.best / "metrics.json"
        if not path.is_file():
            return {}
        metrics = read_json(path)
        if not isinstance(metrics, dict):
            raise RunFolderError(f"{path} cannot be read: it holds no names and values.")
        return metrics

    @property
    def test_accuracy(self) -> float | None:
        """Share of the test images classified correctly; None before the final training or without a test split."""
        return self.metrics.get("test_accuracy")

    @property
    def validation_accuracy(self) -> float | None:
        """The same for the validation images, as the search trained the network."""
        return self.metrics.get("validation_accuracy")

    @property
    def trials(self) -> list[Trial]:
        """All trials so far."""
        with LedgerReader(self._folder.ledger) as ledger:
            return ledger.trials()

    @property
    def model(self) -> Model:
        """The delivered network with its preprocessing; read anew when another one has been delivered.

        Raises:
            RunFolderError: If there is none yet.
        """
        delivery = delivery_in(self._folder.best)
        if delivery is None:
            return load_best(self._folder, self._space)  # which says what is missing
        if self._model is None or self._model[0] != delivery:
            self._model = (delivery, load_best(self._folder, self._space))
        return self._model[1]

    def scaled(self, phi: int) -> Model:
        """A network that :func:`gcnas.scale` has grown.

        Args:
            phi: How far it is grown.

        Raises:
            RunFolderError: If there is none of this size yet.
        """
        return load_model(self.folder_of(phi), self._space)

    def folder_of(self, phi: int | None = None) -> Path:
        """Where a network of the run lies.

        Args:
            phi: How far it is grown; None for the delivered one.

        Raises:
            RunFolderError: If there is none yet.
        """
        return self._folder.delivered(phi)

    def policy(self, untrained: str | None = None) -> Policy:
        """The policy that the run has learnt so far.

        Args:
            untrained: Name of a strategy whose policy is wanted as it is before any learning.

        Raises:
            ConfigurationError: If the strategy has no policy.
        """
        config = RunConfig.create(**RunConfig.from_yaml(self._folder.config))
        with LedgerReader(self._folder.ledger) as ledger:
            return policy_of_run(ledger, config, self._space, untrained)

    @property
    def strategy(self) -> str:
        """Name of the strategy that the run has."""
        return RunConfig.create(**RunConfig.from_yaml(self._folder.config)).strategy

    @property
    def policy_has_learnt(self) -> bool:
        """Whether the run's policy, if it has one, has learnt from anything so far."""
        with LedgerReader(self._folder.ledger) as ledger:
            return bool(ledger.learning())

    def front(self, against: str = "params") -> tuple[FrontPoint, ...]:
        """The networks that none of the run beats in accuracy at as low a cost, the lowest cost first.

        Args:
            against: ``params``, ``macs``, ``activations``, ``size`` or ``latency``.

        Raises:
            ConfigurationError: If there is no such metric, or the run has no latency model.
        """
        return front(self.run, against, self._space)

    def why(self, trial: int | None = None) -> Reasons:
        """Which choices mattered in the run, what its policy prefers, and what lies next to a network.

        Args:
            trial: Number of the network's trial; None takes the one in ``best``.

        Raises:
            ConfigurationError: If there is no such trial.
            RunFolderError: If there is no network yet.
        """
        return reasons(self.run, trial, self._space)

    def predict(self, images: str | Path | Iterable[str | Path], phi: int | None = None) -> list[Prediction]:
        """Classify image files with the network's own preprocessing.

        Args:
            images: Files, and folders, of which all image files are taken that can be decoded: those of other kinds,
                such as HEIC, are left out (the command ``gcnas predict`` counts them).
            phi: Network that :func:`gcnas.scale` has grown; None for the delivered one.

        Raises:
            DataError: If something else than names of files is given.
        """
        model = self.model if phi is None else self.scaled(phi)
        given: Any = images
        one = isinstance(given, str | Path) or not isinstance(given, Iterable)
        named = [given] if one else list(given)
        if wrong := [each for each in named if not isinstance(each, str | Path)]:
            raise DataError(
                f"Predictions are of files and folders, but got {type(wrong[0]).__name__}. For images in memory there "
                "are result.model.preprocessing.load_image and result.model.network."
            )
        # What does not exist is a prediction with an error, like what is no image.
        paths = [image_files([path]) if _is_folder(path) else [path] for path in map(Path, named)]
        return list(predict_files(model, chain.from_iterable(paths)))

    def __repr__(self) -> str:
        try:
            metrics = self.metrics
        except RunFolderError:
            metrics = {}
        figures = ", ".join(
            f"{name}={metrics[name]}"
            for name in ("test_accuracy", "validation_accuracy", "parameters", "multiply_adds")
            if metrics.get(name) is not None
        )
        return f"Result({str(self.run)!r}{', ' if figures else ''}{figures})"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long: reading it says so
        return False
