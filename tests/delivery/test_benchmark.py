import csv
import json
import sys
from pathlib import Path

import pytest
import torch

import gcnas
from gcnas.data import load as load_data
from gcnas.delivery import BenchmarkRow, Model, benchmark, check_table_name, forms, write_rows
from gcnas.delivery.benchmark import measure_forms
from gcnas.errors import ConfigurationError, ExportError
from gcnas.result import Result
from gcnas.run.ledger import LedgerReader


def measured(result: Result, **options: int) -> tuple[list[BenchmarkRow], list[str]]:
    notes: list[str] = []
    rows = measure_forms(
        result.model, load_data("digits"), result.run / "best", repetitions=6, note=notes.append, **options
    )
    return rows, notes


def test_every_form_is_measured_on_the_validation_split(result: Result) -> None:
    before = torch.get_num_threads()
    rows, notes = measured(result, threads=1)
    assert notes == []
    assert [row.form for row in rows] == ["PyTorch", "torch.export", "ONNX", "int8 ONNX"]
    validation = load_data("digits").validation()
    for row in rows:
        assert 0 < row.p50_ms <= row.p95_ms <= row.p99_ms
        assert row.images_per_second > 0
        assert (row.images, row.repetitions, row.threads) == (len(validation), 6, 1)
    scores = gcnas.delivery.predict_arrays(result.model, validation.images)
    accuracy = (scores.argmax(1) == validation.labels).mean()
    assert [row.accuracy for row in rows[:3]] == [accuracy] * 3
    assert rows[3].accuracy == pytest.approx(accuracy, abs=0.05)
    best = result.run / "best"
    assert rows[0].bytes == sum((best / name).stat().st_size for name in ("model.py", "weights.safetensors"))
    assert rows[2].bytes == (best / "model.onnx").stat().st_size
    assert rows[3].bytes < rows[2].bytes / 2
    assert rows[2].version.startswith("ONNX Runtime ")
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_the_test_split_stays_shut(result: Result) -> None:
    def openings() -> int:
        with LedgerReader(result.run / "run.db") as ledger:
            return sum(event.kind == "test-opened" for event in ledger.events())

    before = openings()
    gcnas.benchmark(result.run, repetitions=5)
    assert openings() == before


def test_forms_that_cannot_be_made_are_named(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)

    def refuse(_model: Model, _path: Path) -> Path:
        raise ExportError("made up")

    monkeypatch.setattr(benchmark, "export_torch", refuse)
    rows, notes = measured(result)
    assert [row.form for row in rows] == ["PyTorch"]
    assert "torch.export is left out: made up" in notes
    assert any("pip install 'gcnas[onnx]'" in note for note in notes)


def test_a_network_without_integers_keeps_its_onnx_row(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise ExportError("made up")

    whole = (result.run / "best/model.onnx").read_bytes()
    monkeypatch.setattr(forms, "int8_bytes", refuse)
    # Their rows are looked at above.
    monkeypatch.setattr(benchmark, "export_torch", refuse)
    monkeypatch.setattr(benchmark, "model_onnx", lambda *_: whole)
    rows, notes = measured(result)
    assert [row.form for row in rows] == ["PyTorch", "ONNX"]
    assert notes == ["torch.export is left out: made up", "int8 ONNX is left out: made up"]


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"threads": -1}])
def test_numbers_are_positive(result: Result, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="--threads is a number from 1 on"):
        measured(result, **wrong)


def test_tables_hold_every_column(tmp_path: Path) -> None:
    row = BenchmarkRow(
        "ONNX", 1.0, 2.0, 3.0, 4.0, 5, 0.5, 10, 300, 30, 20, 1, "Processor, 2 GHz", 0.5, "ONNX Runtime 1"
    )
    for name in ("t.csv", "t.JSON"):
        write_rows(tmp_path / name, [row, row])
    with (tmp_path / "t.csv").open(newline="") as file:
        assert [line["device"] for line in csv.DictReader(file)] == ["Processor, 2 GHz"] * 2
    assert [BenchmarkRow(**entry) for entry in json.loads((tmp_path / "t.JSON").read_text())] == [row, row]
    with pytest.raises(ConfigurationError, match=r"\.csv or \.json"):
        check_table_name(tmp_path / "t.xlsx")
    with pytest.raises(ExportError, match="cannot be written"):
        write_rows(tmp_path / "none" / "t.csv", [row])
