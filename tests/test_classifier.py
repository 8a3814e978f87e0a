import copy
import gc
import inspect
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import gcnas
from gcnas.classifier import GCNASClassifier, _AtOnce
from gcnas.config import RunConfig
from gcnas.data.rows import ImageShape
from gcnas.errors import RunFolderError, SpaceError
from gcnas.run.ledger import LedgerReader
from gcnas.run.trial import Trial
from gcnas.space import SearchSpace
from gcnas.space.presets import PRESETS

TINY = {"budget": 1, "epochs": 1, "final_epochs": 2, "threads": 1, "max_params": "20k", "random_state": 0}
IMAGES, LABELS = load_digits(n_class=3).images[:90], load_digits(n_class=3).target[:90]


class OfTables(GCNASClassifier):
    """Takes the tables of scikit-learn's checks, of any number of columns, as images one pixel high."""

    def _shape_of_each(self, shape: tuple[int, ...]) -> ImageShape:
        return (1, shape[1]) if len(shape) == 2 else super()._shape_of_each(shape)


NOT_HELD = {
    "check_methods_subset_invariance": "Probabilities are compared to 1e-7; in single precision, convolutions of "
    "batches of different sizes round differently by a little more.",
}
"""Checks of scikit-learn that do not apply, each with its reason; all others are passed."""


def tiny(**options: Any) -> GCNASClassifier:
    return GCNASClassifier(**{**TINY, **options})


@pytest.fixture(scope="module")
def fitted() -> GCNASClassifier:
    return tiny(budget=2, epochs=2, final_epochs=20).fit(IMAGES, np.array(["nil", "one", "two"])[LABELS])


LEARNT = {"check_classifiers_train": 20}
"""Final epochs for the checks that ask for an accuracy, of 83 % on the training data; two do for the others."""


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [OfTables(**TINY, strategy="random", references=False, batch_size=16)],
    expected_failed_checks=lambda _: NOT_HELD,
)
def test_checks_of_scikit_learn(estimator: GCNASClassifier, check: Any) -> None:
    check(estimator.set_params(final_epochs=LEARNT.get(check.func.__name__, 2)))


def test_the_parameters_are_those_of_a_run() -> None:
    own = {"image_shape", "pixel_range", "random_state", "out", "warm_start_from"}
    for name, parameter in inspect.signature(GCNASClassifier).parameters.items():
        if name not in own:
            config = RunConfig.create(data="x", **{name: parameter.default})
            assert getattr(config, name) == RunConfig.model_fields[name].default


def test_learns(fitted: GCNASClassifier) -> None:
    names = np.array(["nil", "one", "two"])[LABELS]
    assert fitted.classes_.tolist() == ["nil", "one", "two"]
    assert fitted.score(IMAGES, names) > 0.9
    probabilities = fitted.predict_proba(IMAGES)
    assert probabilities.shape == (90, 3)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(90), abs=1e-12)
    assert (fitted.classes_[probabilities.argmax(1)] == fitted.predict(IMAGES)).all()
    assert (fitted.n_features_in_, fitted.image_shape_, fitted.pixel_range_) == (64, (8, 8), (0.0, 16.0))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.reshape(len(x), 64),
        lambda x: x[..., None],
        lambda x: x / 16,
        lambda x: np.round(x * (255 / 16)).astype(np.uint8),
        lambda x: (x - 8).tolist(),
        lambda x: np.repeat(x[..., None], 3, axis=3),
        lambda x: np.repeat(x[:, None], 3, axis=1),
    ],
    ids=["rows", "one channel", "0 to 1", "uint8", "lists of any numbers", "colour", "channels first"],
)
def test_forms_of_the_same_images(fitted: GCNASClassifier, change: Any) -> None:
    """A grey picture is the same whatever its shape and scale, so the network and its answers are."""
    images = change(IMAGES)
    other = clone(fitted).fit(images, fitted.classes_[LABELS])
    assert other.predict_proba(images) == pytest.approx(fitted.predict_proba(IMAGES), abs=1e-5)


def test_all_images_are_used_and_none_is_held_back() -> None:
    estimator = tiny().fit(IMAGES, LABELS)
    with LedgerReader(estimator.run_path_ / "run.db") as ledger:
        counts = ledger.meta()["data"]["counts"]
        kinds = [event.kind for event in ledger.events()]
    assert (sum(counts.values()), counts["test"]) == (90, 0)
    assert kinds == ["delivered"]
    assert (estimator.metrics_["state"], estimator.metrics_["test_accuracy"]) == ("final", None)


@pytest.mark.slow
def test_a_fit_starts_from_earlier_runs(tmp_path: Path) -> None:
    settings = {"references": False, "strategy": "gcnas"}
    tiny(budget=4, out=tmp_path / "old", **settings).fit(IMAGES, LABELS)
    estimator = clone(tiny(warm_start_from=[tmp_path / "old"], **settings)).fit(IMAGES, LABELS)
    (trial,) = gcnas.load(estimator.run_path_).trials
    assert trial.proposal.source == "history"
    with pytest.raises(ValueError, match="'random' cannot start"):
        tiny(warm_start_from=tmp_path / "old", strategy="random").fit(IMAGES, LABELS)


def test_one_worker_where_a_fit_is_to_be_reproducible() -> None:
    """With several, proposals depend on who is done first."""
    assert tiny(random_state=0, budget=5)._options()["workers"] == 1
    for options in ({"random_state": None, "budget": 5}, {"random_state": 0, "budget": "1m"}):
        assert "workers" not in tiny(**options)._options()


def test_report_says_that_nothing_was_tested(tmp_path: Path) -> None:
    estimator = tiny(out=tmp_path / "run").fit(IMAGES, LABELS)
    text = (estimator.run_path_ / "report.html").read_text()
    assert "no test split" in text
    assert "not measured yet" not in text
    assert "no final training" not in text


@pytest.mark.slow
def test_in_cross_validation_a_search_and_a_pipeline() -> None:
    rows = IMAGES.reshape(90, 64)
    scores = cross_val_score(tiny(final_epochs=20), IMAGES, LABELS, cv=2)
    assert scores.mean() > 0.6
    pipeline = make_pipeline(StandardScaler(), tiny(final_epochs=20))
    assert pipeline.fit(rows, LABELS).score(rows, LABELS) > 0.6
    pipeline = make_pipeline(FunctionTransformer(np.flip, kw_args={"axis": 2}), tiny())
    grid = GridSearchCV(pipeline, {"gcnasclassifier__max_params": ["5k", "20k"]}, cv=2).fit(IMAGES, LABELS)
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()
    most = {"5k": 5_000, "20k": 20_000}[grid.best_params_["gcnasclassifier__max_params"]]
    assert grid.best_estimator_[-1].metrics_["parameters"] <= most


@pytest.mark.slow
def test_a_pickle_needs_no_run_folder(fitted: GCNASClassifier, tmp_path: Path) -> None:
    estimator = clone(fitted).fit(IMAGES, LABELS)
    wanted, file = estimator.predict_proba(IMAGES), tmp_path / "estimator.pickle"
    run = estimator.run_path_
    file.write_bytes(pickle.dumps(estimator))
    del estimator
    gc.collect()
    assert not run.parent.exists()
    code = (
        "import pickle, sys, numpy as np\n"
        "from sklearn.datasets import load_digits\n"
        f"estimator = pickle.load(open({str(file)!r}, 'rb'))\n"
        "assert estimator.run_path_ is None\n"
        f"np.save({str(tmp_path / 'p.npy')!r}, estimator.predict_proba(load_digits(n_class=3).images[:90]))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
    assert np.load(tmp_path / "p.npy") == pytest.approx(wanted, abs=1e-6)


def test_a_pickle_of_another_space_is_refused(
    fitted: GCNASClassifier, monkeypatch: pytest.MonkeyPatch, space: SearchSpace
) -> None:
    pickled = pickle.dumps(fitted)
    monkeypatch.setitem(PRESETS, "cnn", space)
    with pytest.raises(SpaceError, match="has changed since"):
        pickle.loads(pickled)  # noqa: S301 - our own


@pytest.fixture
def space() -> SearchSpace:
    from dataclasses import replace

    return replace(PRESETS["cnn"], max_depth=5)


@pytest.mark.slow
def test_temporary_runs_go_with_the_estimator_or_its_next_fit() -> None:
    estimator = tiny().fit(IMAGES, LABELS)
    first = estimator.run_path_
    second = estimator.fit(IMAGES, LABELS).run_path_
    assert (first.parent.exists(), second.exists()) == (False, True)
    copied = copy.deepcopy(estimator)
    assert copied.run_path_ is None
    del copied
    gc.collect()
    assert second.exists()
    del estimator
    gc.collect()
    assert not second.parent.exists()


def test_a_failed_fit_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="at least 2 different images"):
        tiny().fit(IMAGES[:4], [0, 0, 0, 1])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_fit_leaves_the_one_before(fitted: GCNASClassifier) -> None:
    run = fitted.run_path_
    with pytest.raises(ValueError, match="at least 2 different images"):
        fitted.fit(IMAGES[:4], [0, 0, 0, 1])
    with pytest.raises(ValueError, match="at least 2 classes"):
        fitted.fit(np.zeros((4, 49)), [0, 0, 0, 0])
    assert fitted.run_path_ == run
    assert run.exists()
    assert len(fitted.predict(IMAGES)) == len(IMAGES)


def test_a_fit_that_fails_when_it_is_read_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator = tiny().fit(IMAGES, LABELS)
    run = estimator.run_path_

    def fail(_: gcnas.Result) -> None:
        raise MemoryError

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(gcnas.Result, "metrics", property(fail))
    with pytest.raises(MemoryError):
        estimator.fit(IMAGES, LABELS)
    assert (estimator.run_path_, run.exists(), list(tmp_path.iterdir())) == (run, True, [])


def test_an_interrupt_ends_a_cross_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one: a fit that delivered what it had by then would pass for a whole one."""
    begun, heard = [], _AtOnce.trial_finished

    class Interrupted(OfTables):
        def fit(self, X: Any, y: Any) -> Any:
            begun.append(0)
            return super().fit(X, y)

    def interrupt(self: _AtOnce, trial: Trial, best: Trial | None) -> None:
        heard(self, trial, best)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(_AtOnce, "trial_finished", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(Interrupted(**TINY | {"budget": 400}), IMAGES, LABELS, cv=3)
    assert begun == [0]


def test_what_else_uses_torch_goes_on_as_before() -> None:
    """Its random numbers and its threads are those of the whole process."""
    drawn = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        wanted = torch.rand(1).item()
        torch.manual_seed(seed)
        tiny().fit(IMAGES, LABELS)
        drawn.append(torch.rand(1).item())
        assert drawn[-1] == wanted
    assert drawn[0] != drawn[1]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        tiny(threads=1).fit(IMAGES, LABELS)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_copy_has_the_space_of_the_fit(fitted: GCNASClassifier) -> None:
    changed = copy.deepcopy(fitted).set_params(space="mobile")
    assert (copy.deepcopy(changed).predict(IMAGES) == fitted.predict(IMAGES)).all()


@pytest.mark.slow
def test_a_folder_of_the_users_stays(tmp_path: Path) -> None:
    estimator = tiny(out=tmp_path / "run").fit(IMAGES, LABELS)
    assert estimator.run_path_ == tmp_path / "run"
    with pytest.raises(RunFolderError, match="already"):
        estimator.fit(IMAGES, LABELS)
    del estimator
    gc.collect()
    assert gcnas.load(tmp_path / "run").metrics["state"] == "final"


def test_random_state() -> None:
    same = [tiny().fit(IMAGES, LABELS).predict_proba(IMAGES) for _ in range(2)]
    assert (same[0] == same[1]).all()
    for state in (np.random.RandomState(0), None, -1):
        estimator = tiny(random_state=state)
        if state == -1:
            with pytest.raises(ValueError, match="Seed must be"):
                estimator.fit(IMAGES, LABELS)
        else:
            estimator.fit(IMAGES, LABELS)


@pytest.mark.parametrize(
    ("options", "images", "message"),
    [
        ({}, IMAGES.reshape(90, 64)[:, :60], r"image_shape=\(H, W\)"),
        ({"image_shape": (5, 12)}, IMAGES.reshape(90, 64), r"shape \(5, 12\) that image_shape says.*; X holds \(64,\)"),
        ({"image_shape": (4, 16)}, IMAGES, r"X holds \(8, 8\)"),
        ({"image_shape": (8, 4, 2)}, IMAGES.reshape(90, 64), "1, 3 or 4 channels"),
        ({"image_shape": 8}, IMAGES, r"image_shape is the shape of an image, such as \(28, 28\); given: 8"),
        ({"pixel_range": (1, 1)}, IMAGES, "black below white"),
        ({"pixel_range": 255}, IMAGES, "black below white"),
        ({"pixel_range": (0, 128, 255)}, IMAGES, "black below white"),
        ({"budget": "soon"}, IMAGES, "number of evaluations"),
        ({"strategy": "luck"}, IMAGES, "luck"),
        ({"space": "nowhere"}, IMAGES, "nowhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said(options: dict[str, Any], images: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**options).fit(images, LABELS)


@pytest.mark.parametrize("images", [IMAGES[:0], IMAGES[:0].reshape(0, 64)])
def test_no_images_at_all(fitted: GCNASClassifier, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        fitted.predict(images)


def test_flat_rows_with_a_shape() -> None:
    rows = np.repeat(IMAGES, 2, axis=2).reshape(90, -1)
    estimator = tiny(image_shape=(8, 16)).fit(rows, LABELS)
    assert estimator.model_.preprocessing.resolution == (8, 16)
    assert (estimator.predict(rows) == estimator.predict(rows.reshape(90, 8, 16))).all()
    with pytest.raises(ValueError, match=r"shape \(8, 16\)"):
        estimator.predict(rows.reshape(90, 16, 8))


def test_another_scale_is_warned_about(fitted: GCNASClassifier) -> None:
    with pytest.warns(UserWarning, match="these go from 0 to 255 and are cut off there"):
        fitted.predict(IMAGES * (255 / 16))
    with pytest.warns(UserWarning, match=r"these go from 0 to 0\.0627451 and are next to black"):
        fitted.predict(IMAGES / 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.predict(np.zeros((1, 8, 8)))  # nothing says that a black image is of another scale
        fitted.predict(np.full((1, 8, 8), 0.2))  # nor a dark one
    with pytest.raises(ValueError, match="NaN"):
        fitted.predict(np.full((1, 8, 8), np.nan))


def test_a_range_that_was_said_is_no_other_scale() -> None:
    estimator = tiny(pixel_range=(4, 8)).fit(IMAGES, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.predict(IMAGES)
    with pytest.raises(ValueError, match="pixel_range is two numbers"):
        tiny(pixel_range=(0, float("inf"))).fit(IMAGES, LABELS)


def test_an_axis_of_one_channel_makes_no_difference(fitted: GCNASClassifier) -> None:
    expected = fitted.predict_proba(IMAGES)
    assert np.array_equal(fitted.predict_proba(IMAGES[..., None]), expected)
    with pytest.raises(ValueError, match="that was fitted"):
        fitted.predict_proba(IMAGES.reshape(-1, 4, 16))
