"""What is still read of a damaged ledger."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from tests.run.conftest import MakeTrial

from gcnas.errors import DamagedLedgerError
from gcnas.run import salvage
from gcnas.run.ledger import Ledger, LedgerReader
from gcnas.run.salvage import readable_trials
from gcnas.run.trial import Trial

PAGE = 4_096
COUNT = 60


@pytest.fixture
def trials(tmp_path: Path, make_trial: MakeTrial) -> list[Trial]:
    made = [make_trial(number, number / 100) for number in range(1, COUNT + 1)]
    with Ledger(tmp_path / "run.db", {"name": "toy"}) as ledger:
        ledger.commit(pending=[replace(trial, evaluation=None, elapsed=None) for trial in made])
        ledger.commit(finished=made)
    return made


def leaves(path: Path) -> list[int]:
    """Pages of the table of trials that hold rows and nothing else, in the order of the rows."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT pageno FROM dbstat WHERE name = 'trials' AND pagetype = 'leaf' ORDER BY path"
        try:
            return [number for (number,) in connection.execute(query)]
        except sqlite3.OperationalError as error:
            pytest.skip(f"this SQLite cannot say where its pages are: {error}")


def damage(path: Path, *pages: int) -> None:
    content = bytearray(path.read_bytes())
    for page in pages:
        content[(page - 1) * PAGE : page * PAGE] = b"\x5a" * PAGE
    path.write_bytes(content)


@pytest.mark.parametrize("places", [[0], [-1], [5], [2, 5], [0, 4, -1]])
def test_all_trials_on_sound_pages_are_read(tmp_path: Path, trials: list[Trial], places: list[int]) -> None:
    path = tmp_path / "run.db"
    pages = leaves(path)
    assert len(pages) > 6
    damage(path, *(pages[place] for place in places))
    with pytest.raises(DamagedLedgerError, match=r"is damaged.*gcnas report"):
        Ledger(path)
    with LedgerReader(path) as reader, pytest.raises(DamagedLedgerError, match=r"is damaged.*gcnas report"):
        reader.trials()
    found = readable_trials(path)
    assert all(trial == trials[trial.number - 1] for trial in found)
    most = max(2, 2 * COUNT // len(pages) + 2)  # rows of a page
    assert COUNT - most * len(places) <= len(found) < COUNT
    assert [trial.number for trial in found] == sorted(trial.number for trial in found)


def test_a_number_beyond_all_reason_is_not_counted_up_to(
    tmp_path: Path, trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER finished_is_final")
        connection.execute("UPDATE trials SET trial = ? WHERE trial = ?", (2**50, COUNT))
    read = salvage._until_damage

    def damaged(connection: sqlite3.Connection, query: str, *values: int) -> Iterator[sqlite3.Row]:
        """As if the pages behind the fifth row could be read from the end only, and there one row."""
        rows = read(connection, query, *values)
        return islice(rows, {"trial": 5, "trial DESC": 1}.get(query.partition("ORDER BY ")[2]))

    monkeypatch.setattr(salvage, "_until_damage", damaged)
    assert [trial.number for trial in readable_trials(path)] == [*range(1, COUNT), 2**50]


def test_trials_with_damaged_values_are_left_out(tmp_path: Path, trials: list[Trial]) -> None:
    path = tmp_path / "run.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER finished_is_final")
        connection.execute("UPDATE trials SET architecture = '{' WHERE trial = 7")
        connection.execute("UPDATE trials SET metrics = CAST(X'FF00FF' AS TEXT) WHERE trial = 9")
    assert [t.number for t in readable_trials(path)] == [n for n in range(1, COUNT + 1) if n not in (7, 9)]


def test_nothing_is_read_of_what_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(b"\x5a" * 50_000)
    assert readable_trials(path) == []


def test_damage_met_while_a_run_writes_is_no_lack_of_room(tmp_path: Path, trials: list[Trial]) -> None:
    with Ledger(tmp_path / "run.db") as ledger:
        damage(tmp_path / "run.db", *leaves(tmp_path / "run.db")[3:])
        ledger._connection.execute("PRAGMA cache_size = 0")
        with pytest.raises(DamagedLedgerError, match="is damaged"):
            ledger.take_back_attempts(range(1, COUNT + 1))
