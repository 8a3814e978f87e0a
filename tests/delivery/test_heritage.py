import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.delivery.test_distilling import Bar
from tests.delivery.test_final import Notes
from torch import nn

import gcnas
from gcnas.delivery import final
from gcnas.errors import ConfigurationError, RunFolderError
from gcnas.result import Result
from gcnas.training import Recipe


@pytest.fixture
def run(tmp_path: Path, result: Result) -> Path:
    return Path(shutil.copytree(result.run, tmp_path / "run"))


def test_a_final_training_goes_on_from_a_runs_weights(run: Path, result: Result) -> None:
    notes = Notes()
    cold = gcnas.finalize(run, final_epochs=1, onnx=False, report=False).metrics
    warm = gcnas.finalize(
        run, final_epochs=1, onnx=False, init_from=result.run, freeze=2, observer=notes
    ).metrics
    facts = warm["inheritance"]
    assert {part["state"] for part in facts["parts"]} == {"inherited"}
    assert facts["seen"] in notes.notes
    assert "flatter" in (run / "report.html").read_text()
    # Everything was inherited, so there was nothing to train alone.
    assert facts["frozen_epochs"] == 0
    assert warm["test_accuracy"] > cold["test_accuracy"]
    assert any("inherited: stem" in note for note in notes.notes)
    assert "Weights from" in (run / "report.html").read_text()


def test_frozen_layers_stay_while_the_new_ones_are_trained(
    run: Path, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gcnas.delivery import final

    kept: list[tuple[set[str], float]] = []
    plain = final.train

    def spy(network: Any, *args: Any, **options: Any) -> Any:
        trained = {name for name, p in network.named_parameters() if p.requires_grad}
        kept.append((trained, options["recipe"].learning_rate))
        before = {name: p.detach().clone() for name, p in network.named_parameters()}
        log = plain(network, *args, **options)
        moved = {name for name, p in network.named_parameters() if not p.equal(before[name])}
        assert moved <= trained
        return log

    monkeypatch.setattr(final, "train", spy)
    _other_classes(result.run, run.parent / "other")
    options = {"final_epochs": 1, "onnx": False, "report": False, "init_from": run.parent / "other"}
    bar = Bar()
    metrics = gcnas.finalize(run, freeze=2, fine_tune_rate=np.float32(0.5), observer=bar, **options).metrics
    assert bar.shares == sorted(bar.shares)
    assert bar.shares[-1] == pytest.approx(1.0)
    assert any(
        share == pytest.approx(2 / 3) for share in bar.shares
    )  # two of three passes are with frozen layers
    assert metrics["inheritance"]["frozen_epochs"] == 2
    assert metrics["epochs"] == 3
    assert kept[0][0] == {"head.linear.weight", "head.linear.bias"}
    assert len(kept[1][0]) > 2
    assert kept[1][1] == pytest.approx(0.5 * kept[0][1])


def _other_classes(run: Path, copy: Path) -> None:
    shutil.copytree(run, copy)
    metrics = json.loads((copy / "best/metrics.json").read_text())
    metrics["classes"] = [f"other {name}" for name in metrics["classes"]]
    (copy / "best/metrics.json").write_text(json.dumps(metrics))


def test_a_search_inherits_and_goes_on_when_the_donor_is_gone(run: Path, tmp_path: Path) -> None:
    options = {
        "epochs": 1,
        "final_epochs": 1,
        "threads": 1,
        "max_params": "60k",
        "onnx": False,
        "report": False,
    }
    donor = tmp_path / "donor.safetensors"
    shutil.copy(run / "best/weights.safetensors", donor)
    warm = gcnas.search("digits", out=tmp_path / "warm", budget=2, init_from=str(donor), **options)
    cold = gcnas.search("digits", out=tmp_path / "cold", budget=2, **options)
    assert warm.metrics["validation_accuracy"] > cold.metrics["validation_accuracy"]
    assert warm.metrics["inheritance"]["donor"] == str(donor)
    donor.unlink()
    again = gcnas.resume(tmp_path / "warm", budget=3)
    assert again.metrics["inheritance"]["donor"] == str(donor)
    with pytest.raises(ConfigurationError, match="cannot change init_from"):
        gcnas.resume(tmp_path / "warm", init_from="elsewhere")


def test_what_weights_have_seen_is_told(run: Path, result: Result, tmp_path: Path) -> None:
    """Of the same splits, of others of the same classes, and not of other classes."""
    options = {"budget": 1, "epochs": 1, "final_epochs": 1, "threads": 1, "onnx": False, "report": False}
    same, other = Notes(), Notes()
    gcnas.finalize(run, final_epochs=1, onnx=False, report=False, init_from=result.run, observer=same)
    gcnas.search("digits", out=tmp_path / "a", seed=9, init_from=str(result.run), observer=other, **options)
    assert any("validation accuracies flatter" in note for note in same.notes)
    assert any("among those for validation or test" in note for note in other.notes)
    _other_classes(result.run, tmp_path / "other")
    again = Notes()
    same_data = {"out": tmp_path / "c", "init_from": str(result.run), **options}
    seen = gcnas.search("digits", **same_data).metrics["inheritance"]["seen"]
    assert "the test does not" in seen
    finalized = gcnas.finalize(tmp_path / "c", final_epochs=1, onnx=False, report=False, observer=again)
    assert finalized.metrics["inheritance"]["seen"] == seen
    strange = Notes()
    (tmp_path / "other/run.db").unlink()
    gcnas.search("digits", out=tmp_path / "b", init_from=str(tmp_path / "other"), observer=strange, **options)
    assert not any("flatter" in note for note in strange.notes)
    shutil.copy(result.run / "best/weights.safetensors", tmp_path / "bare.safetensors")
    bare = Notes()
    gcnas.finalize(
        run, final_epochs=1, onnx=False, report=False, init_from=tmp_path / "bare.safetensors", observer=bare
    )
    assert any("do not say what their classes were" in note for note in bare.notes)


def test_what_a_run_grows_and_what_teaches_it_begin_with_its_weights_too(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gcnas.delivery import distilling
    from gcnas.training import candidate

    options = {"epochs": 1, "final_epochs": 1, "threads": 1, "onnx": False, "report": False}
    run = gcnas.search("digits", out=tmp_path / "r", budget=1, init_from=str(result.run), **options).run
    donors: list[str] = []
    for module in (candidate, distilling):
        plain = module.inherit

        def spy(*given: Any, plain: Any = plain) -> Any:
            donors.append(given[-1].name)
            return plain(*given)

        monkeypatch.setattr(module, "inherit", spy)
    gcnas.scale(run, 1, alpha=1.2, beta=1.1, gamma=1.0, threads=1)
    assert len(donors) == 2
    model = gcnas.finalize_scaled(run, 1, final_epochs=1)
    assert model is not None
    metrics = json.loads((run / "scaled/phi-1/metrics.json").read_text())
    assert metrics["inheritance"]["donor"] == str(result.run)
    gcnas.finalize(run, distill="larger", temperature=2.0, distill_weight=0.5, final_epochs=1)
    assert donors == [str(result.run)] * 3


def test_weights_that_are_none_are_an_error(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is neither"):
        gcnas.finalize(run, init_from=tmp_path / "nothing")
    with pytest.raises(ConfigurationError, match="is neither"):
        gcnas.finalize(run, init_from="x" * 300)
    with pytest.raises(ConfigurationError, match="is neither"):
        gcnas.search("digits", out=tmp_path / "r", budget=1, init_from=str(tmp_path / "nothing"))
    assert not (tmp_path / "r").exists()
    (tmp_path / "bad.safetensors").write_bytes(b"123")
    with pytest.raises(RunFolderError, match="cannot be taken over"):
        gcnas.finalize(run, init_from=tmp_path / "bad.safetensors")
    for options in ({"freeze": -1}, {"fine_tune_rate": 0.0}, {"fine_tune_rate": 2.0}):
        with pytest.raises(ConfigurationError, match="--f"):
            gcnas.finalize(run, init_from=run, **options)


def test_a_search_fine_tunes_what_it_delivers(run: Path, result: Result, tmp_path: Path) -> None:
    options = {"budget": 1, "epochs": 1, "final_epochs": 1, "threads": 1, "onnx": False, "report": False}
    found = gcnas.search(
        "digits", out=tmp_path / "r", init_from=str(result.run), freeze=0, fine_tune_rate=0.7, **options
    )
    assert found.metrics["inheritance"]["rate"] == 0.7
    # It takes over the same weights when it is delivered again, with other numbers for this time.
    again = gcnas.finalize(tmp_path / "r", fine_tune_rate=0.2)
    assert (again.metrics["inheritance"]["rate"], again.metrics["inheritance"]["donor"]) == (
        0.2,
        found.metrics["inheritance"]["donor"],
    )
    with pytest.raises(ConfigurationError, match="name --init-from"):
        gcnas.finalize(result.run, fine_tune_rate=0.2)
    with pytest.raises(ConfigurationError, match="name init_from"):
        gcnas.search("digits", out=tmp_path / "s", freeze=2, **options)


def test_what_a_layer_type_fixes_is_never_trained() -> None:
    """A parameter that is made without a gradient: not as a new part, and not afterwards."""
    network: Any = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].bias.requires_grad_(False)
    trained: list[set[str]] = []

    def learn(**_: Any) -> Any:
        trained.append({name for name, parameter in network.named_parameters() if parameter.requires_grad})
        return SimpleNamespace(epochs=2)

    for fresh in ({"1.weight", "0.bias"}, {"0.bias"}):
        inherited: Any = SimpleNamespace(fresh=fresh)
        passes = final._frozen(learn, Recipe(), network, 2, inherited, final._Clock(None), 0)
        assert passes == (2 if "1.weight" in fresh else 0)
        now = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        assert now == {"0.weight", "1.weight", "1.bias"}
    assert trained == [{"1.weight"}]
