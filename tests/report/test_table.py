import csv
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.report.conftest import MakeRun, likely_score

from gcnas.errors import DamagedLedgerError, RunFolderError
from gcnas.records import Proposal
from gcnas.report import rescue_trials, write_trials_csv
from gcnas.report.record import read_run
from gcnas.report.table import COLUMNS


def outcome(proposal: Proposal, number: int) -> Any:
    messages = {2: "=cmd|' /C calc'!A0", 3: "  @SUM(A1)\nsecond line", 4: 'loss is \u2212inf, "quoted"; comma'}
    if number in messages:
        return "crash", messages[number]
    return None if number > 9 else likely_score(proposal, number)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_holds_every_trial(make_run: MakeRun) -> None:
    run = make_run(trials=12, outcome=outcome)
    written = rows(write_trials_csv(run))
    trials = read_run(run).trials
    assert tuple(written[0]) == COLUMNS
    assert [int(row["trial"]) for row in written] == [trial.number for trial in trials]
    for row, trial in zip(written, trials, strict=True):
        assert row["fingerprint"] == trial.proposal.fingerprint
        assert int(row["parameters"]) == trial.cost.parameters
        assert int(row["epochs"]) == 8
        if trial.complete:
            assert float(row["score"]) == trial.score
            assert row["state"] == "complete"
        else:
            assert row["score"] == ""
    assert [row["state"] for row in written[-3:]] == ["pending"] * 3
    assert written[-1]["seconds"] == ""


def test_formulas_are_neutralised(make_run: MakeRun) -> None:
    written = rows(write_trials_csv(make_run(outcome=outcome)))
    assert written[1]["error"] == "'=cmd|' /C calc'!A0"
    assert written[2]["error"] == "'@SUM(A1) second line"
    assert written[3]["error"] == 'loss is \u2212inf, "quoted"; comma'
    assert not [v for row in written for v in row.values() if v.startswith(("=", "+", "-", "@"))]


def test_same_ledger_same_bytes_and_nothing_left_behind(make_run: MakeRun) -> None:
    run = make_run()
    first = write_trials_csv(run).read_bytes()
    assert write_trials_csv(run).read_bytes() == first
    assert not list(run.glob(".*"))


def test_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        write_trials_csv(tmp_path)


def test_folder_that_cannot_be_written(make_run: MakeRun) -> None:
    run = make_run()
    (run / "trials.csv").mkdir()
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_trials_csv(run)
    assert not list(run.glob(".*"))


def test_trials_of_a_damaged_ledger_go_into_a_table_of_their_own(make_run: MakeRun) -> None:
    run = make_run(outcome=outcome)
    whole = rows(write_trials_csv(run))
    with closing(sqlite3.connect(run / "run.db", isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER finished_is_final")
        connection.execute("UPDATE trials SET trajectory = '{' WHERE trial = 2")
    with pytest.raises(DamagedLedgerError, match="gcnas report"):
        write_trials_csv(run)
    path, count = rescue_trials(run)
    assert path == run / "trials-rescued.csv"
    assert rows(path) == whole[:1] + whole[2:]
    assert count == len(whole) - 1
    assert rows(run / "trials.csv") == whole
