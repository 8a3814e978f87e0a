"""The ledger: what goes in comes out, all of a transaction or nothing, and readers that harm nobody."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.run.conftest import MakeTrial
from tests.run.toy import TOY

from gcnas.errors import RunFolderError
from gcnas.records import Fidelity, Proposal
from gcnas.run.ledger import Ledger, LedgerReader
from gcnas.run.schema import SCHEMA_VERSION
from gcnas.run.trial import Event, Rejection, Trial
from gcnas.strategy import RandomStrategy, StrategyState

REJECTION = Rejection(1, "0" * 16, "random", "limit", "parameters 91,000 > 60,000")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path, {"name": "toy", "amounts": {"epochs": 3, "share": 0.1}}) as opened:
        yield opened


def finished(ledger: Ledger, *trials: Trial) -> None:
    ledger.commit(pending=[replace(trial, evaluation=None, elapsed=None) for trial in trials])
    ledger.commit(finished=trials)


# --- round trips


def test_trials_round_trip(ledger: Ledger, path: Path, make_trial: MakeTrial) -> None:
    complete, failed, pending = (
        make_trial(1, 0.1 + 0.2),
        make_trial(2, error="no ☂ left\nat all"),
        make_trial(3),
    )
    finished(ledger, complete, failed)
    ledger.commit(pending=[pending])
    with LedgerReader(path) as reader:
        assert reader.trials() == ledger.trials() == [complete, failed, pending]
        read = reader.trials()[0]
    assert read.proposal.architecture.fingerprint == complete.proposal.fingerprint
    assert read.complete
    assert read.score == 0.1 + 0.2
    assert (failed.score, pending.score) == (float("-inf"), float("-inf"))


def test_the_writer_reads_its_trials_once_between_two_transactions(
    ledger: Ledger, make_trial: MakeTrial
) -> None:
    """A resume asks for them from many places."""
    finished(ledger, make_trial(1, 0.5))
    statements: list[str] = []
    ledger._connection.set_trace_callback(statements.append)
    first = ledger.trials()
    first.clear()  # what callers do with their list is theirs
    assert len(ledger.trials()) == 1
    assert sum("FROM trials" in statement for statement in statements) == 1
    ledger.commit(pending=[make_trial(2)])
    assert [trial.number for trial in ledger.trials()] == [1, 2]
    ledger.count_attempts([2])
    assert ledger.trials()[1].attempts == make_trial(2).attempts + 1


def test_rejections_and_events_round_trip(ledger: Ledger, path: Path) -> None:
    other = Rejection(2, "f" * 16, "policy", "duplicate", "")
    ledger.commit(rejections=[REJECTION, other])
    ledger.event(1.25, "resumed", "budget=200, umlaut ä")
    ledger.event(2.5, "test-opened", "final test of trial 3")
    with LedgerReader(path) as reader:
        assert reader.rejections() == [REJECTION, other]
        assert reader.events() == [
            Event(1.25, "resumed", "budget=200, umlaut ä"),
            Event(2.5, "test-opened", "final test of trial 3"),
        ]


def test_facts_round_trip_and_stay(ledger: Ledger, path: Path) -> None:
    assert ledger.meta() == {"name": "toy", "amounts": {"epochs": 3, "share": 0.1}}
    ledger.set_meta("name", ["other", None])
    with Ledger(path, {"name": "ignored"}) as again:
        assert again.meta() == {"name": ["other", None], "amounts": {"epochs": 3, "share": 0.1}}


def test_strategy_state_round_trip(ledger: Ledger, path: Path) -> None:
    random = np.random.default_rng(0)
    table = random.normal(size=(3, 4))
    tensors = {
        "transposed": table.T,
        "every second": table[:, ::2],
        "number": np.array(3),
        "none": np.zeros((0, 2), np.float32),
        "flags": np.array([True, False]),
        "counts": np.array([2**62], np.int64),
    }
    values = {"big": 2**128 - 1, "tiny": 5e-324, "third": 1 / 3, "nested": [{"a": None}, "ü", True]}
    assert ledger.strategy_state() == StrategyState()
    ledger.commit(state=StrategyState(values, tensors))
    with LedgerReader(path) as reader:
        state = reader.strategy_state()
    assert state.values == values
    assert state.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert state.tensors[name].dtype == tensor.dtype, name
        np.testing.assert_array_equal(state.tensors[name], tensor, err_msg=name, strict=True)
    state.tensors["counts"] += 1  # what a strategy loads, it may write into


def test_generator_state_round_trip(ledger: Ledger) -> None:
    """The state of numpy's generator holds numbers of 128 bits."""
    strategy, again = RandomStrategy(TOY, 1), RandomStrategy(TOY, 2)
    strategy.ask(3)
    ledger.commit(state=strategy.state_dict())
    again.load_state_dict(ledger.strategy_state())
    assert again.ask(20) == strategy.ask(20)


def test_file_names_in_another_encoding_are_kept_readable(ledger: Ledger, make_trial: MakeTrial) -> None:
    finished(ledger, make_trial(1, error=os.fsdecode(b"no file caf\xe9.png")))
    (trial,) = ledger.trials()
    assert trial.evaluation is not None
    assert trial.evaluation.error == "no file caf?.png"
    ledger.event(1.0, "resumed", os.fsdecode(b"strategy=caf\xe9.py:S"))
    assert ledger.events()[-1].detail == "strategy=caf?.py:S"


def test_attempts_are_counted_while_pending(ledger: Ledger, make_trial: MakeTrial) -> None:
    finished(ledger, make_trial(1, 0.5))
    ledger.commit(pending=[make_trial(2), make_trial(3)])
    ledger.count_attempts([2, 3])
    ledger.count_attempts([2])
    ledger.take_back_attempts([1, 2])
    ledger.take_back_attempts([3])
    ledger.take_back_attempts([3])
    assert [trial.attempts for trial in ledger.trials()] == [0, 1, 0]


# --- finished evaluations stay


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trials SET score = 1.0 WHERE trial = 1",
        "UPDATE trials SET state = 'pending' WHERE trial = 2",
        "UPDATE OR REPLACE trials SET trial = 9 WHERE trial = 1",
        "DELETE FROM trials WHERE trial = 2",
        "DELETE FROM trials",
    ],
)
def test_finished_evaluations_are_immutable(
    ledger: Ledger, path: Path, make_trial: MakeTrial, statement: str
) -> None:
    trials = [make_trial(1, 0.5), make_trial(2, error="broken")]
    finished(ledger, *trials)
    with closing(sqlite3.connect(path)) as raw, pytest.raises(sqlite3.IntegrityError, match="finished"):
        raw.execute(statement)
    assert ledger.trials() == trials


def test_finishing_twice_is_refused(ledger: Ledger, make_trial: MakeTrial) -> None:
    finished(ledger, make_trial(1, 0.5))
    with pytest.raises(RunFolderError, match="cannot be changed"):
        ledger.commit(finished=[make_trial(1, 0.9)])
    with pytest.raises(RunFolderError, match="cannot be changed"):
        ledger.count_attempts([1])
    assert ledger.trials() == [make_trial(1, 0.5)]


def test_pending_trials_may_be_removed_by_hand(ledger: Ledger, path: Path, make_trial: MakeTrial) -> None:
    """The triggers protect results, not everything."""
    ledger.commit(pending=[make_trial(1)])
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("DELETE FROM trials WHERE trial = 1")
    assert ledger.trials() == []


# --- all or nothing


def test_error_in_the_middle_undoes_everything(ledger: Ledger, make_trial: MakeTrial) -> None:
    ledger.commit(pending=[make_trial(1)], state=StrategyState({"step": 1}))
    calls = [
        {"finished": [make_trial(1, 0.5), make_trial(2, 0.5)]},  # trial 2 is not there
        {"finished": [make_trial(1)]},  # no evaluation
        {"finished": [make_trial(1, 0.5)], "state": StrategyState({"step": object()})},  # no JSON
    ]
    for call in calls:
        with pytest.raises((ValueError, TypeError)):
            ledger.commit(pending=[make_trial(3)], rejections=[REJECTION], **call)
    with pytest.raises(RunFolderError, match=r"UNIQUE constraint.*kept\.$"):  # two trials of one network
        ledger.commit(finished=[make_trial(1, 0.5)], pending=[replace(make_trial(1), number=2)])
    assert ledger.trials() == [make_trial(1)]
    assert ledger.rejections() == []
    assert ledger.strategy_state() == StrategyState({"step": 1})
    finished(ledger, make_trial(4, 0.25))  # and it still works
    assert len(ledger.trials()) == 2


def test_interrupt_in_the_middle_undoes_everything(ledger: Ledger, make_trial: MakeTrial) -> None:
    def interrupted() -> Iterator[Trial]:
        yield make_trial(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.commit(pending=interrupted())  # type: ignore[arg-type]
    assert ledger.trials() == []


# --- readers


def test_reader_and_writer_do_not_wait_for_each_other(
    ledger: Ledger, path: Path, make_trial: MakeTrial
) -> None:
    finished(ledger, make_trial(1, 0.5))
    with LedgerReader(path) as early:
        early.trials()
        with ledger._transaction() as connection:
            connection.execute("INSERT INTO events (elapsed, kind, detail) VALUES (1, 'a', 'b')")
            start = time.monotonic()
            with LedgerReader(path) as reader:
                assert len(reader.trials()) == 1
                assert reader.events() == early.events() == []
            assert time.monotonic() - start < 5
        # A reader in the middle of reading does not stop the writer either.
        rows = early._connection.execute("SELECT * FROM events UNION ALL SELECT * FROM events")
        assert next(rows)[2] == "a"
        start = time.monotonic()
        ledger.event(2.0, "c", "d")
        assert time.monotonic() - start < 5
        rows.close()
        assert [event.kind for event in early.events()] == ["a", "c"]


def test_readers_in_another_thread_see_whole_transactions(ledger: Ledger, path: Path) -> None:
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with LedgerReader(path) as reader:
                state = reader.strategy_state()
                seen.append((state.values.get("step", 0), len(reader.rejections())))

    thread = threading.Thread(target=read)
    thread.start()
    for step in range(1, 101):
        ledger.commit(rejections=[REJECTION] * 3, state=StrategyState({"step": step}))
    done.set()
    thread.join()
    # The rejections are read after the state, so there may be more of them, but never part of a commit.
    assert seen
    assert all(rejections % 3 == 0 and rejections >= 3 * step for step, rejections in seen)


def test_reader_changes_nothing(ledger: Ledger, path: Path) -> None:
    with LedgerReader(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM meta")


@pytest.fixture
def shared(path: Path) -> Iterator[Path]:
    """The file of a ledger in a folder of its own: pytest's lie in one that it closes for other users at any time."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / path.name


@pytest.mark.xdist_group("parents")
def test_read_only_folder(shared: Path, make_trial: MakeTrial) -> None:
    path = shared
    with Ledger(path) as ledger:
        finished(ledger, make_trial(1, 0.5))
    with read_only(path.parent):
        with LedgerReader(path) as reader:
            assert reader.trials() == [make_trial(1, 0.5)]
        with pytest.raises(RunFolderError, match=r"cannot be (opened for writing|written)"):
            Ledger(path)
        with pytest.raises(RunFolderError, match="cannot be written"):
            Ledger(path.parent / "another.db")


@pytest.mark.xdist_group("parents")
def test_a_ledger_that_may_not_be_read_is_told(shared: Path, make_trial: MakeTrial) -> None:
    path = shared
    with Ledger(path) as ledger:
        finished(ledger, make_trial(1, 0.5))
    with read_only(path.parent, of_file=0o000), pytest.raises(RunFolderError, match="check the permissions"):
        LedgerReader(path)


@pytest.mark.xdist_group("parents")
def test_read_only_folder_of_a_run_that_was_killed(shared: Path, make_trial: MakeTrial) -> None:
    """What the dead process wrote last lies in the write-ahead log, and is seen."""
    path = shared
    ledger = Ledger(path)
    finished(ledger, make_trial(1, 0.5))
    folder = path.parent / "copy"
    folder.mkdir()
    for file in path.parent.glob("run.db*"):
        shutil.copy(file, folder)
    ledger.close()
    with read_only(folder), LedgerReader(folder / "run.db") as reader:
        assert len(reader.trials()) == 1


@contextmanager
def read_only(folder: Path, of_file: int = 0o444) -> Iterator[None]:
    """A folder in which nothing can be written, not even by root: it acts as another user meanwhile.

    Parents that this user may not pass are opened for that long, so the tests with it run one after the other.
    """
    user = os.geteuid()
    modes = {item: item.stat().st_mode for item in (folder, *folder.iterdir())}
    parents = {parent: parent.stat().st_mode for parent in folder.parents} if user == 0 else {}
    opened = {parent: mode for parent, mode in parents.items() if mode & 0o055 != 0o055}
    try:
        for item in modes:
            item.chmod(0o555 if item.is_dir() else of_file)
        for parent, mode in opened.items():
            parent.chmod(mode | 0o055)
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        for item, mode in (modes | opened).items():
            item.chmod(mode)


@pytest.mark.xdist_group("parents")
def test_what_was_written_last_is_not_passed_over(shared: Path, make_trial: MakeTrial) -> None:
    """The copy of a killed run without the index of its write-ahead log."""
    path, folder = shared, shared.parent / "copy"
    ledger = Ledger(path)
    finished(ledger, make_trial(1, 0.5))
    folder.mkdir()
    for name in ("run.db", "run.db-wal"):
        shutil.copy(path.with_name(name), folder)
    ledger.close()
    with read_only(folder), pytest.raises(RunFolderError, match=r"run\.db-wal holds what was written last"):
        LedgerReader(folder / "run.db")
    with LedgerReader(folder / "run.db") as reader:
        assert len(reader.trials()) == 1


# --- files that are no good


def test_missing_file(path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"is not a run folder: it has no run\.db"):
        LedgerReader(path)


@pytest.mark.parametrize("opener", [LedgerReader, Ledger])
def test_file_of_something_else(path: Path, opener: type[LedgerReader]) -> None:
    path.write_bytes(b"PK\x03\x04 this is a letter " * 500)
    with pytest.raises(RunFolderError, match=r"run\.db .*not a database"):
        opener(path)


@pytest.mark.parametrize("opener", [LedgerReader, Ledger])
def test_database_of_something_else(path: Path, opener: type[LedgerReader]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(RunFolderError, match="is not a ledger of GC-NAS"):
        opener(path)


@pytest.mark.parametrize("opener", [LedgerReader, Ledger])
def test_newer_version(ledger: Ledger, path: Path, opener: type[LedgerReader]) -> None:
    ledger._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(RunFolderError, match=r"newer version.*install"):
        opener(path)


def test_damaged_pages(path: Path, make_trial: MakeTrial) -> None:
    with Ledger(path) as ledger:
        finished(ledger, *(make_trial(number, 0.5) for number in range(1, 15)))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"is damaged.*gcnas report.*\.recover"):
        Ledger(path)
    with (
        LedgerReader(path) as reader,
        pytest.raises(RunFolderError, match=r"is damaged.*gcnas report.*\.recover"),
    ):
        reader.trials()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO meta VALUES ('a', 'no json')",
        "INSERT INTO strategy VALUES (1, '{}', X'00FF')",
        "INSERT INTO strategy VALUES (1, '{', X'')",
        "UPDATE trials SET architecture = '[]'",
        "UPDATE trials SET architecture = printf('%.*c', 100000, '[')",
        "INSERT INTO meta VALUES ('a', printf('%.*c', 100000, '['))",
        "UPDATE trials SET architecture = '{\"layers\": [{}]}'",
        "UPDATE trials SET trajectory = '{}'",
        "UPDATE trials SET state = 'complete', metrics = '{}', seconds = 1",
        "UPDATE trials SET state = 'complete', score = 0.5, metrics = 'null', seconds = 1",
        "UPDATE trials SET state = 'complete', score = 0.5, metrics = '{\"loss\": \"no\"}', seconds = 1",
        "UPDATE trials SET state = 'failed', metrics = '{}', seconds = NULL",
    ],
)
def test_damaged_values(ledger: Ledger, path: Path, make_trial: MakeTrial, statement: str) -> None:
    ledger.commit(pending=[make_trial(1)])
    ledger._connection.execute(statement)
    with LedgerReader(path) as reader, pytest.raises(RunFolderError, match="is damaged"):
        print(reader.meta(), reader.strategy_state(), reader.trials())


def test_ledger_is_whole_or_not_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process killed while it makes the ledger leaves no half of one, and the next makes it."""
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Ledger(path, {"name": "first"})
    assert not path.exists()
    assert [item.name for item in path.parent.iterdir()] == [".run.db.new"]
    with Ledger(path, {"name": "second"}) as ledger:
        assert ledger.meta() == {"name": "second"}
        assert sorted(item.name for item in path.parent.iterdir()) == [
            ".run.db.reserve",
            "run.db",
            "run.db-shm",
            "run.db-wal",
        ]
    assert [item.name for item in path.parent.iterdir()] == ["run.db"]


# --- no room left


def test_full_database(ledger: Ledger, path: Path, make_trial: MakeTrial) -> None:
    finished(ledger, make_trial(1, 0.5))
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(
        RunFolderError, match=r"cannot be written \(database or disk is full\).*Make room.*resume"
    ):
        ledger.commit(
            pending=[make_trial(2)],
            rejections=[REJECTION] * 2_000,
            state=StrategyState({}, {"weights": np.zeros(100_000)}),
        )
    assert ledger.trials() == [make_trial(1, 0.5)]
    assert ledger.rejections() == []
    ledger._connection.execute("PRAGMA max_page_count = 100000")
    ledger.commit(pending=[make_trial(2)])  # once there is room, it goes on
    assert len(ledger.trials()) == 2


FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from gcnas.errors import RunFolderError
from gcnas.run.ledger import Ledger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Ledger(Path(sys.argv[1])) as ledger:
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
    try:
        for number in range(10_000):
            ledger.event(float(number), "note", "x" * 1_000)
    except RunFolderError as error:
        print(number, error)
        try:
            ledger.event(0.5, "again", "")
        except RunFolderError:
            print("still full")
"""


def test_full_disk(path: Path, make_trial: MakeTrial, proposals: list[Proposal]) -> None:
    """A real refusal of the system, in a process that may write no files larger than 150 kB."""
    with Ledger(path) as ledger:
        finished(ledger, make_trial(1, 0.5))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FILL_THE_DISK, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    first = done.stdout.splitlines()[0]
    assert "cannot be written" in first, done.stdout
    assert "resume" in first
    with Ledger(path) as ledger:
        assert ledger.trials() == [make_trial(1, 0.5)]
        kept = [event.elapsed for event in ledger.events() if event.kind == "note"]
        assert kept == [float(number) for number in range(int(first.split()[0]))]
        ledger.commit(pending=[make_trial(2)])


def test_creation_without_room(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot be written"):
        Ledger(tmp_path / "no such folder" / "run.db")


def test_figures_of_learning_come_back_in_order(tmp_path: Path) -> None:
    figures = [(8, {"entropy": 1.25, "reward": 0.5}), (16, {"entropy": 1.0, "reward": 0.625})]
    with Ledger(tmp_path / "run.db") as ledger:
        for entry in figures:
            ledger.commit(learning=[entry])
    with LedgerReader(tmp_path / "run.db") as reader:
        assert reader.learning() == figures


# --- several trainings of a network


def further(trial: Trial, number: int, fidelity: Fidelity) -> Trial:
    return replace(
        trial, number=number, fidelity=fidelity, evaluation=None, elapsed=None, continues=trial.number
    )


def test_network_that_goes_on_is_a_trial_of_its_own(ledger: Ledger, path: Path, make_trial: MakeTrial) -> None:
    first = make_trial(1, 0.5)
    finished(ledger, first)
    longer = further(first, 2, Fidelity(9, first.fidelity.seed))
    ledger.commit(pending=[longer])
    with LedgerReader(path) as reader:
        assert reader.trials() == [first, longer]
    again = further(first, 3, longer.fidelity)
    with pytest.raises(RunFolderError, match="UNIQUE"):
        ledger.commit(pending=[again])


def of_version_1(path: Path) -> None:
    """Turn a ledger into what version 1 wrote."""
    connection = sqlite3.connect(path, isolation_level=None)
    script = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'trials'").fetchone()[0]
    triggers = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")]
    old = script.replace("fingerprint TEXT NOT NULL", "fingerprint TEXT NOT NULL UNIQUE").replace(
        ",\n    continues INTEGER REFERENCES trials (trial),\n    UNIQUE (fingerprint, epochs, seed)", ""
    )
    assert old.count("UNIQUE") == 1
    connection.execute("ALTER TABLE trials RENAME TO new")
    for name in ("finished_is_final", "finished_stays"):
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(old)
    columns = ", ".join(row[1] for row in connection.execute("PRAGMA table_info(trials)"))
    connection.execute(f"INSERT INTO trials SELECT {columns} FROM new")  # noqa: S608
    connection.execute("DROP TABLE new")
    for trigger in triggers:
        connection.execute(trigger)
    connection.execute("PRAGMA user_version = 1")
    connection.close()


def test_ledger_of_version_1_is_read_and_brought_up_to_date(path: Path, make_trial: MakeTrial) -> None:
    trials = [make_trial(1, 0.5), make_trial(2, error="oh"), make_trial(3)]
    with Ledger(path) as ledger:
        finished(ledger, *trials[:2])
        ledger.commit(pending=trials[2:])
    of_version_1(path)
    with LedgerReader(path) as reader:
        assert reader.trials() == trials
    with Ledger(path) as ledger:
        assert ledger.trials() == trials
        ledger.commit(pending=[further(trials[0], 4, Fidelity(9, 1))])
        with pytest.raises(RunFolderError, match="cannot be changed"), ledger._transaction() as connection:
            connection.execute("UPDATE trials SET score = 1 WHERE trial = 1")
    with Ledger(path) as ledger:
        assert [trial.continues for trial in ledger.trials()] == [None, None, None, 1]
