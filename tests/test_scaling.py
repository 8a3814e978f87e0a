"""Growing the network of a run, from Python."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gcnas
from gcnas.data import Dataset, load
from gcnas.delivery import scaling
from gcnas.delivery.predict import predict_arrays
from gcnas.delivery.scaling import Scaler
from gcnas.errors import (
    ConfigurationError,
    DataError,
    LimitsTooTightError,
    OutOfMemoryError,
    RunFolderError,
    SearchFailedError,
    TimeLimitError,
)
from gcnas.report import write_report
from gcnas.result import Result
from gcnas.run.ledger import LedgerReader
from gcnas.run.observer import Observer
from gcnas.scaling import parse_phi
from gcnas.space.presets import CNN

SMALL = {
    "budget": 1,
    "epochs": 1,
    "final_epochs": 1,
    "threads": 1,
    "onnx": False,
    "report": False,
    "fidelity": "full",
}
GROWTH = {"alpha": 1.4, "beta": 1.2, "gamma": 1.3, "threads": 1}


class Notes(Observer):
    def __init__(self) -> None:
        self.all: list[str] = []

    def note(self, message: str) -> None:
        self.all.append(message)


def _larger() -> tuple[np.ndarray, np.ndarray]:
    """Bright left or bright right halves of 20x20 pixels, with noise."""
    generator = np.random.default_rng(0)
    labels = np.arange(80) % 2
    images = generator.integers(0, 120, (80, 20, 20), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 10 * label : 10 * label + 10] += 100
    return images, labels


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one reference on digits, 8x8 pixels, in the mobile space."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    return gcnas.search("digits", out=path, space="mobile", max_params="20k", **SMALL).run


@pytest.fixture
def own_run(run: Path, tmp_path: Path) -> Path:
    """A copy without what other tests have grown, for tests that change it."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(copy / "scaled", ignore_errors=True)
    return copy


def _metrics(run: Path, phi: int) -> dict[str, Any]:
    return dict(json.loads((run / "scaled" / f"phi-{phi}" / "metrics.json").read_text()))


def test_grown_networks_are_complete_and_not_trained_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: Any) -> None:
        raise AssertionError("the test split was opened")

    monkeypatch.setattr(Dataset, "open_test", closed)
    rows = gcnas.scale(run, "1..2", **GROWTH)
    assert [row.phi for row in rows] == [0, 1, 2]
    assert [row.resolution for row in rows] == [(8, 8), (10, 10), (14, 14)]
    assert rows[0].multiply_adds < rows[1].multiply_adds < rows[2].multiply_adds
    for row in rows:
        metrics = _metrics(run, row.phi)
        assert metrics["validation_accuracy"] == row.validation_accuracy
        assert metrics["parameters"] == row.parameters
        assert "test_accuracy" not in metrics
    notes = Notes()
    assert gcnas.scale(run, (1, 2), observer=notes, **GROWTH) == rows
    assert notes.all[-3:] == ["phi 0 is there already", "phi 1 is there already", "phi 2 is there already"]
    assert not (run / "report.html").exists()  # the run began without
    page = write_report(run).read_text()
    assert "Grown networks" in page
    assert "phi 2" in page


def test_grown_networks_have_the_weights_that_were_measured(run: Path) -> None:
    row = gcnas.scale(run, 1, **GROWTH)[0]
    split = load("digits").validation()
    found = predict_arrays(gcnas.load(run).scaled(0), split.images).argmax(1)
    assert (found == split.labels).mean() == pytest.approx(row.validation_accuracy, abs=0.005)


def test_images_that_are_too_large_are_left_out_with_a_reason(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcnas.delivery.scaling.MAX_SIDE", 9)
    notes = Notes()
    rows = gcnas.scale(run, 2, observer=notes, **GROWTH)
    assert rows[-1].reason == "images of more than 9 pixels a side"
    assert rows[-1].validation_accuracy is None
    assert any("a smaller --gamma" in note for note in notes.all)


def test_tiny_images_are_not_grown(tmp_path: Path) -> None:
    """Images of fewer than 8 pixels a side are taken as they are, but cannot be asked for."""
    images, labels = _larger()
    tiny = np.ascontiguousarray(images[:, ::4, ::4])
    found = gcnas.search((tiny, labels), out=tmp_path / "run", space="mobile", max_params="20k", **SMALL)
    notes = Notes()
    rows = gcnas.scale(found.run, 1, data=(tiny, labels), observer=notes, **{**GROWTH, "gamma": 1.2})
    assert rows[-1].resolution == (6, 6)
    assert "fewer than 8 pixels" in str(rows[-1].reason)
    assert any("--gamma 1 (with --alpha and --beta) does not grow them" in note for note in notes.all)
    (row,) = gcnas.scale(found.run, "1", data=(tiny, labels), **{**GROWTH, "gamma": 1.0})[-1:]
    assert row.validation_accuracy is not None


def breaking(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let trainings on images of 14x14 fail."""
    whole = scaling.CandidateTrainer.__call__

    def call(self: Any, *given: Any) -> Any:
        if self.space.fitted.height > 10:
            raise error
        return whole(self, *given)

    monkeypatch.setattr(scaling.CandidateTrainer, "__call__", call)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("made up"), "crash: RuntimeError: made up"),
        (OutOfMemoryError("Memory ran out."), "out-of-memory: Memory ran out."),
        (TimeLimitError("The time is over."), "the time was over; call again to train it"),
    ],
)
def test_a_size_whose_training_fails_leaves_the_others(
    own_run: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    breaking(monkeypatch, error)
    rows = gcnas.scale(own_run, "1..2", **GROWTH)
    assert [row.resolution for row in rows] == [(8, 8), (10, 10), (14, 14)]
    assert [row.reason for row in rows] == [None, None, reason]
    assert rows[1].validation_accuracy is not None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DataError("There is too little room for the images."), "There is too little room for the images."),
        (MemoryError("99 GB"), "out-of-memory: Memory ran out: 99 GB"),
    ],
)
def test_a_size_whose_images_cannot_be_had_leaves_the_others(
    own_run: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """Nor does it end the grid search, in which no other combination has so large images."""
    whole = gcnas.scaling.images_at

    def refused(*given: Any) -> Any:
        if max(given[-1]) > 10:
            raise error
        return whole(*given)

    monkeypatch.setattr(gcnas.scaling, "images_at", refused)
    rows = gcnas.scale(own_run, "1..2", **GROWTH)
    assert [row.reason for row in rows] == [None, None, reason]
    notes = Notes()
    gcnas.scale(own_run, 1, threads=1, observer=notes)
    assert f"left out: {reason}" in notes.all


def test_a_delivery_whose_images_do_not_fit_is_an_error(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcnas.scale(own_run, 1, **GROWTH)

    def refused(*_: object) -> None:
        raise MemoryError("99 GB")

    monkeypatch.setattr(gcnas.scaling, "images_at", refused)
    with pytest.raises(SearchFailedError, match=r"phi 1 cannot be had \(out-of-memory.*stays as it is"):
        gcnas.finalize_scaled(own_run, 1, final_epochs=1, report=False, onnx=False)


def test_time_that_is_over_within_a_training_ends_the_grid(
    own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def over(*_: object) -> None:
        raise TimeLimitError("The time limit was reached at step 3 of 9.")

    monkeypatch.setattr(scaling.CandidateTrainer, "__call__", over)
    with pytest.raises(SearchFailedError, match="before the grid search was done"):
        gcnas.scale(own_run, 1, threads=1)


def test_a_grown_network_can_be_used_without_the_package_and_with_it(run: Path, tmp_path: Path) -> None:
    import importlib.util

    gcnas.scale(run, 1, **GROWTH)
    spec = importlib.util.spec_from_file_location("grown_model", run / "scaled" / "phi-1" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = gcnas.load(run).scaled(1)
    images = torch.rand(3, *model.image_shape)
    assert model.image_shape == (1, 10, 10)
    with torch.no_grad():
        torch.testing.assert_close(module.load()(images), model.network(images))
    with pytest.raises(RunFolderError, match="gcnas scale"):
        gcnas.load(run).scaled(9)
    # It teaches the network that it was grown from, whose images are smaller.
    for teacher in ("phi=1", run / "scaled" / "phi-1"):
        taught = gcnas.finalize(run, distill=teacher, temperature=2.0, distill_weight=0.5, final_epochs=1)
        assert taught.metrics["distillation"]["teacher"] == str(teacher)
    with pytest.raises(ConfigurationError, match="no network phi=9"):
        gcnas.finalize(run, distill="phi=9")


@pytest.mark.slow
def test_other_coefficients_or_epochs_are_trained_anew(run: Path) -> None:
    gcnas.scale(run, 1, **GROWTH)
    row = gcnas.scale(run, 1, alpha=2.0, beta=1.0, gamma=1.0, threads=1)[1]
    assert row.resolution == (8, 8)
    assert _metrics(run, 1)["scaled_from"]["alpha"] == 2.0
    assert gcnas.scale(run, 1, epochs=np.int64(2), **GROWTH)[1].epochs == 2


def test_a_delivered_network_is_not_replaced_by_a_scaled_one(own_run: Path) -> None:
    gcnas.scale(own_run, 1, **GROWTH)
    gcnas.finalize_scaled(own_run, 1, final_epochs=1, report=False, onnx=False)
    weights = (own_run / "scaled/phi-1/weights.safetensors").read_bytes()
    notes = Notes()
    row = gcnas.scale(own_run, 1, observer=notes, **GROWTH | {"alpha": 2.0})[1]
    assert row.validation_accuracy is None
    assert row.reason.startswith("a network delivered before lies in")
    assert any("phi 1 is left out: a network delivered" in note for note in notes.all)
    assert _metrics(own_run, 1)["state"] == "final"
    assert (own_run / "scaled/phi-1/weights.safetensors").read_bytes() == weights
    path = own_run / "scaled/phi-1/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["scaled_from"]["trial"] = 9  # of which the same network was then
    path.write_text(json.dumps(metrics))
    assert gcnas.scale(own_run, 1, **GROWTH)[1].reason is None  # the same one is there already


def test_notes_of_a_grown_network_name_its_files(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcnas.delivery.final.missing_packages", lambda: ["onnxruntime"])
    gcnas.scale(own_run, 1, **GROWTH)
    notes = Notes()
    gcnas.finalize_scaled(own_run, 1, final_epochs=1, report=False, onnx=True, observer=notes)
    assert any(note.startswith("scaled/phi-1/model.onnx is left out, since onnxruntime") for note in notes.all)


def test_a_grid_goes_on_where_larger_images_fall_into_other_splits(
    own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = scaling.larger_context

    def other(base: Any, scaled: Any, images_at: Any) -> Any:
        dataset = base.dataset
        if scaled.resolution != dataset.preprocessing.resolution:
            return plain(base, scaled, lambda _: replace(dataset, splits="others"))
        return plain(base, scaled, images_at)

    monkeypatch.setattr(scaling, "larger_context", other)
    notes = Notes()
    rows = gcnas.scale(own_run, 1, observer=notes, threads=1)
    assert rows[1].resolution == rows[0].resolution
    assert rows[1].multiply_adds > rows[0].multiply_adds
    rows = gcnas.scale(own_run, "1..2", **GROWTH)
    assert [row.validation_accuracy is None for row in rows] == [False, True, True]
    assert "other splits" in str(rows[2].reason)
    assert any("left out: At" in note and "other splits" in note for note in notes.all)


def test_limits_leave_sizes_out(run: Path) -> None:
    small = gcnas.scale(run, 1, **GROWTH)[1]
    rows = gcnas.scale(run, "1..2", max_params=small.parameters, **GROWTH)
    assert [row.validation_accuracy is not None for row in rows] == [True, True, False]
    assert "parameters" in str(rows[2].reason)
    with pytest.raises(LimitsTooTightError, match="parameters 100"):
        gcnas.scale(run, 1, max_params=100, threads=1)


@pytest.mark.slow
def test_grid_search_is_kept(own_run: Path) -> None:
    notes = Notes()
    gcnas.scale(own_run, 1, threads=1, observer=notes)
    trained = [note for note in notes.all if note.startswith("grid ") and " of 7" in note]
    rows = json.loads((own_run / "scaled" / "grid.json").read_text())["rows"]
    assert len(rows) == len(trained) > 2
    assert all(row["stem"] >= 16 for row in rows)
    assert len({(row["fingerprint"], row["stem"], *row["resolution"]) for row in rows}) == len(rows)
    best = max(row["accuracy"] for row in rows)
    chosen = _metrics(own_run, 1)["scaled_from"]
    assert any(
        row["accuracy"] == best and [row[k] for k in ("alpha", "beta", "gamma")] == [chosen[k] for k in
        ("alpha", "beta", "gamma")] for row in rows
    )  # fmt: skip
    again = Notes()
    gcnas.scale(own_run, 1, threads=1, observer=again)
    assert not [note for note in again.all if " of 7" in note]


def _over(_: Scaler) -> float:
    raise TimeLimitError("The time is over.")


def test_time_that_is_over_leaves_the_rest(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = gcnas.scale(run, 5, budget=1, **(GROWTH | {"alpha": 1.3}))
    assert rows[-1].validation_accuracy is None
    assert "call again" in str(rows[-1].reason)
    with monkeypatch.context() as patched:  # images are not decoded for nothing
        patched.setattr(Scaler, "_seconds_left", _over)
        patched.setattr(scaling, "larger_context", lambda *_: pytest.fail("decoded"))
        assert gcnas.scale(run, 5, **(GROWTH | {"alpha": 1.3}))[-1].reason == rows[-1].reason
    with pytest.raises(SearchFailedError, match="goes on where it was"):
        gcnas.scale(run, 1, epochs=3_000, budget=1, threads=1)


@pytest.mark.slow
def test_larger_images_come_from_the_originals(tmp_path: Path) -> None:
    arrays = _larger()
    run = gcnas.search(arrays, out=tmp_path / "run", resolution=10, **SMALL).run
    with pytest.raises(ConfigurationError, match="arrays"):
        gcnas.scale(run, 1, **GROWTH)
    seen: list[Dataset] = []
    from gcnas.delivery import scaling

    original = scaling.CandidateTrainer

    def spy(space: Any, dataset: Dataset, *rest: Any) -> Any:
        seen.append(dataset)
        return original(space, dataset, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaling, "CandidateTrainer", spy)
        gcnas.scale(run, 1, alpha=1.0, beta=1.0, gamma=2.0, threads=1, data=arrays)
    base, large = seen
    assert (base.preprocessing.resolution, large.preprocessing.resolution) == ((10, 10), (20, 20))
    assert base.labels.tolist() == large.labels.tolist()
    known = {image.tobytes() for image in arrays[0]}
    assert all(image[..., 0].tobytes() in known for image in large.images)


@pytest.mark.slow
def test_a_preset_of_residual_blocks_is_grown_too(tmp_path: Path) -> None:
    run = gcnas.search("digits", out=tmp_path / "run", space=CNN, max_params="20k", **SMALL).run
    row = gcnas.scale(run, 1, **GROWTH)[1]
    assert row.validation_accuracy is not None
    assert gcnas.load(run).scaled(1).architecture.depth == row.depth


@pytest.mark.parametrize(
    ("given", "sizes"),
    [(2, (2,)), ("1..3", (1, 2, 3)), ("3,1", (1, 3)), ([2, 1], (1, 2)), ("1,2..3", (1, 2, 3))],
)
def test_phi_is_one_or_several(given: Any, sizes: tuple[int, ...]) -> None:
    assert parse_phi(given) == sizes


@pytest.mark.parametrize("given", [0, "0", "", "a", "1..", "3..1", 11, 1.5, [], [True], "-1"])
def test_other_phis_are_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="phi is"):
        parse_phi(given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.2}, "together"),
        ({"alpha": 0.5, "beta": 1.0, "gamma": 1.0}, "alpha is a number from 1"),
        ({"epochs": 0}, "epochs is"),
        ({"budget": "200"}, "The wall clock is a time such as"),
        ({"max_params": "many"}, "limit is"),
        ({"trial": 99}, "no complete trial"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        gcnas.scale(run, 1, **options)


def test_a_grown_network_goes_with_no_limits(run: Path) -> None:
    with pytest.raises(ConfigurationError, match="max_params"):
        gcnas.finalize_scaled(run, 1, max_params="1k")


def test_growth_far_from_2_and_events_are_told(run: Path) -> None:
    notes = Notes()
    gcnas.scale(run, 1, alpha=1.0, beta=1.0, gamma=1.0, threads=1, observer=notes)
    assert any("is 1.00" in note for note in notes.all)
    with LedgerReader(run / "run.db") as ledger:
        assert any(event.kind == "scaled" and "alpha 1" in event.detail for event in ledger.events())


def test_results_of_a_run_stay(run: Path) -> None:
    before = (run / "best" / "metrics.json").read_bytes()
    gcnas.scale(run, 1, **GROWTH)
    assert (run / "best" / "metrics.json").read_bytes() == before
    assert isinstance(gcnas.load(run), Result)


@pytest.mark.slow
def test_a_grown_network_is_delivered_on_demand_alone(own_run: Path) -> None:
    row = gcnas.scale(own_run, 1, **GROWTH)[1]
    best = (own_run / "best" / "metrics.json").read_bytes()
    with LedgerReader(own_run / "run.db") as ledger:
        before = sum(event.kind == "test-opened" for event in ledger.events())
    model = gcnas.finalize_scaled(own_run, 1, final_epochs=1, threads=1)
    metrics = _metrics(own_run, 1)
    assert metrics["state"] == "final"
    assert metrics["test_accuracy"] is not None
    assert metrics["validation_accuracy"] == row.validation_accuracy
    assert model.image_shape == (1, 10, 10)
    assert (own_run / "best" / "metrics.json").read_bytes() == best
    with LedgerReader(own_run / "run.db") as ledger:
        openings = [event for event in ledger.events() if event.kind == "test-opened"]
    assert len(openings) == before + 1
    assert "phi 1" in openings[-1].detail
    assert gcnas.scale(own_run, 1, **GROWTH)[1] == row
    with pytest.raises(RunFolderError, match="gcnas scale"):
        gcnas.finalize_scaled(own_run, 9, threads=1)


def test_failed_trainings_of_the_grid_are_tried_again(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Any] = []

    def fail(*_: object) -> None:
        trained.append(None)
        raise OutOfMemoryError("Memory ran out.")

    monkeypatch.setattr(Scaler, "_train", fail)
    for _ in range(2):
        trained.clear()
        with pytest.raises(SearchFailedError, match="All trainings of the grid search failed"):
            gcnas.scale(own_run, 1, threads=1)
        assert len(trained) > 2
    with pytest.raises(LimitsTooTightError, match="parameters 100"):
        gcnas.scale(own_run, 1, max_params=100, threads=1)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        '{"scaled_from": []}',
        (
            '{"scaled_from": [1], "phi": 1, "resolution": 1, "validation_accuracy": 1, "scaled_seconds": 1, '
            '"validation_balanced_accuracy": 1}'
        ),
        (
            '{"scaled_from": {"trial": 1e999}, "phi": 1, "resolution": 1, "validation_accuracy": 1, '
            '"scaled_seconds": 1, "validation_balanced_accuracy": 1}'
        ),
    ],
)
def test_damaged_grown_networks_are_an_error(own_run: Path, content: str) -> None:
    (own_run / "scaled/phi-1").mkdir(parents=True)
    (own_run / "scaled/phi-1/metrics.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"phi-1 is damaged.*gcnas scale"):
        gcnas.finalize_scaled(own_run, 1, threads=1)


def test_a_grown_network_without_its_figures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"scaled_from": {"phi": 1}, "validation_accuracy": 0.5}')
    with pytest.raises(RunFolderError, match=r"is damaged.*scaled_seconds"):
        scaling._known(tmp_path, {"phi": 1})
    assert scaling._known(tmp_path, {"phi": 2}) is None


@pytest.mark.parametrize("rows", ["[7]", "[[]]", "[{}]", '[{"accuracy": 0.5}]', '[{"accuracy": {}}]', "5"])
def test_a_damaged_grid_is_an_error(own_run: Path, rows: str) -> None:
    fingerprint = json.loads((own_run / "best/metrics.json").read_text())["fingerprint"]
    (own_run / "scaled").mkdir(exist_ok=True)
    key = json.dumps({"fingerprint": fingerprint, "epochs": 1})
    (own_run / "scaled/grid.json").write_text(f'{{"for": {key}, "rows": {rows}}}')
    with pytest.raises(RunFolderError, match=r"grid\.json is damaged"):
        gcnas.scale(own_run, 1, grid_epochs=1, threads=1)
