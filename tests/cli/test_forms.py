"""`gcnas export` and `gcnas benchmark` with the extra `onnx`, which the wheel's environment lacks."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import gcnas
from gcnas.cli import main

SMALL = {"budget": 1, "epochs": 2, "final_epochs": 2, "threads": 1}

pytestmark = pytest.mark.xdist_group("forms")
"""The run is made once."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "digits"
    gcnas.search("digits", out=run, **SMALL)
    return run


@dataclass(frozen=True)
class Said:
    stdout: str
    stderr: str


Call = Callable[..., Said]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Runs the command in `tmp_path`, 80 columns wide; its exit code must be `code`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str | Path, code: int = 0) -> Said:
        monkeypatch.setattr(sys, "argv", ["gcnas", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_code:
            main()
        said = Said(*capfd.readouterr())
        assert exit_code.value.code == code, said.stderr
        return said

    return run


def test_integers_say_what_they_cost(run: Path, call: Call, tmp_path: Path) -> None:
    done = call("export", run, "--format", "int8", "--max-drop", "10")
    assert done.stdout == "digits-int8.onnx\n"
    assert "accuracy on 359 validation images: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "digits-int8.onnx").is_file()
    wrong = call("export", run, "--format", "int8", "--max-drop", "-1", code=1)
    assert "--max-drop is a number of points from 0 to 100" in wrong.stderr
    assert "'tflite' is not one of" in call("export", run, "--format", "tflite", code=2).stderr


@pytest.mark.parametrize("form", ["onnx", "zip"])
def test_nothing_but_the_path_is_said(run: Path, call: Call, form: str) -> None:
    done = call("export", run, "--format", form)
    assert (done.stdout, done.stderr) == (f"digits.{form}\n", "")


def test_benchmark_is_a_plain_table_of_80_columns(run: Path, call: Call, tmp_path: Path) -> None:
    done = call("benchmark", run, "--repetitions", "20", "--threads", "2", "--out", "t.json")
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["form", "p50", "ms", "p95", "ms", "p99", "ms", "images/s", "kB", "accuracy"]
    assert [line.split()[0] for line in lines[1:5]] == ["PyTorch", "torch.export", "ONNX", "int8"]
    words = " ".join(done.stdout.split())
    for fact in (
        "20 calls after 20 to warm up",
        "2 threads",
        "359 validation images",
        "ONNX Runtime ",
        "Load average",
    ):
        assert fact in words
    assert lines[-1] == "t.json"
    assert len(json.loads((tmp_path / "t.json").read_text())) == 4


def test_mistakes_end_in_one_sentence_before_anything_is_measured(
    run: Path, call: Call, tmp_path: Path
) -> None:
    assert ".csv or .json" in call("benchmark", run, "--out", "t.xlsx", code=1).stderr
    wrong = call("benchmark", run, "--repetitions", "0", code=1).stderr
    assert "--repetitions is a number from 1 on" in wrong
    assert "not a run folder" in call("benchmark", tmp_path, code=1).stderr


def test_without_the_extra_a_run_says_so_once(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    options = ["--budget", "1", "--epochs", "1", "--final-epochs", "1", "--threads", "1", "--out", "run"]
    done = call("search", "digits", *options)
    assert done.stdout.count("model.onnx") == 1
    assert done.stdout.count("onnxruntime is not installed: pip install 'gcnas[onnx]'") == 1
    assert not (tmp_path / "run/best/model.onnx").exists()
    refused = call("export", "run", "--format", "zip", code=1)
    assert "pip install 'gcnas[onnx]'" in refused.stderr
    table = call("benchmark", "run", "--repetitions", "5")
    assert "int8 ONNX are left out" in table.stderr
    assert "PyTorch" in table.stdout
