"""``--signals`` on the command line."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from gcnas.cli.app import app
from gcnas.errors import ConfigurationError
from gcnas.records.evaluation import SIGNAL_SECONDS
from gcnas.run.ledger import LedgerReader

SMALL = [
    "--budget",
    "2",
    "--epochs",
    "1",
    "--final-epochs",
    "1",
    "--threads",
    "1",
    "--no-onnx",
    "--no-report",
    "--no-references",
]


@pytest.mark.parametrize(("given", "kept"), [("synflow, depth", "depth,synflow"), ("none", "none")])
def test_a_search_with_signals(given: str, kept: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["search", "digits", *SMALL, "--max-params", "6k", "--signals", given, "--out", str(run)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert yaml.safe_load((run / "config.yaml").read_text())["signals"] == kept
    with LedgerReader(run / "run.db") as ledger:
        first = ledger.trials()[0].evaluation
    assert first is not None
    assert (SIGNAL_SECONDS in first.metrics) == ("synflow" in kept)


@pytest.mark.parametrize("options", [["--signals", "magic"], ["--signals", "naswot", "--strategy", "random"]])
def test_mistakes(options: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["search", "digits", *options, "--out", str(tmp_path / "run")])
    assert isinstance(result.exception, ConfigurationError)
    assert "signals" in str(result.exception)
    assert not (tmp_path / "run").exists()
