"""The ledger: a run's single record, an SQLite file with a single writer.

One transaction holds the results that arrived, the state of the strategy that has learnt from them, and the
proposals now pending. A run killed at any instant therefore resumes to the same proposals. Where many results arrive
at once, :mod:`gcnas.run.group` decides which of them share a transaction.
"""

import json
import math
import os
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from gcnas.errors import DamagedLedgerError, RunFolderError, SpaceError
from gcnas.files import is_file
from gcnas.records import Architecture
from gcnas.run.reserve import Reserve
from gcnas.run.rows import ODD_VALUES, finish_trial, insert_trial, moment, trial_of
from gcnas.run.schema import FROM_1, SCHEMA, SCHEMA_VERSION, foreign_parts, statements
from gcnas.run.sqlite_errors import is_damage, is_refusal
from gcnas.run.trial import Event, Rejection, Trial
from gcnas.strategy import StrategyState

MAX_ATTEMPTS = 2
"""An evaluation during which the process died is repeated once, then failed."""


LEAST_SQLITE = (3, 37)
"""The first version with strict tables."""

_WAY_OUT = "Make room or mend the permissions, then resume."


def _damaged(path: Path, error: Exception) -> DamagedLedgerError:
    run = path.parent
    return DamagedLedgerError(
        f"{path} is damaged ({error}); the run cannot go on from it, {run / 'best'} is as it was. "
        f"'gcnas report {shlex.quote(str(run))}' writes the trials that can still be read into a table; "
        f"'sqlite3 {shlex.quote(str(path))} .recover' saves the rest."
    )


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Where something is made of what a ledger holds: values that do not fit say that it is damaged.

    Raises:
        DamagedLedgerError: In place of the errors that such values cause.
    """
    try:
        yield
    except ODD_VALUES as error:
        raise _damaged(path, error) from error


class LedgerReader:
    """Read-only view of a ledger; never locks or harms the run that writes it.

    Args:
        path: The ``run.db`` of a run folder.

    Raises:
        RunFolderError: If the file is missing, no ledger, or written by a newer version.
        DamagedLedgerError: If it is damaged; the methods that read raise it too.
    """

    def __init__(self, path: Path) -> None:
        if not is_file(path):
            raise RunFolderError(f"{path.parent} is not a run folder: it has no {path.name}.")
        check_sqlite()
        self._path = path
        self._connection = self._connect()
        try:
            self._check_version()
        except RunFolderError:
            self._connection.close()
            raise

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def _check_version(self) -> None:
        with self._reading():
            version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise RunFolderError(
                f"{self._path} was written by a newer version of GC-NAS (ledger {version}, this version reads up "
                f"to {SCHEMA_VERSION}); install a newer version to use it."
            )
        if version < 1:
            raise RunFolderError(f"{self._path} is not a ledger of GC-NAS.")
        with self._reading():
            foreign = foreign_parts(self._connection)
        if foreign:
            raise RunFolderError(
                f"{self._path} holds {foreign[0]}, which no ledger of GC-NAS has and which might be executed; it is "
                "not read. If you have put it there, drop it (sqlite3 run.db)."
            )

    def _connect(self) -> sqlite3.Connection:
        # A live ledger needs its -shm file; without write access to the folder only an immutable view works.
        for mode in ("mode=ro", "mode=ro&immutable=1"):
            if "immutable" in mode and os.access(self._path, os.R_OK) and self._has_more():
                raise RunFolderError(
                    f"{self._path}-wal holds what was written last, and cannot be read here; copy the run folder to "
                    "where you may write."
                )
            try:
                connection = sqlite3.connect(
                    f"{self._path.resolve().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=30
                )
            except sqlite3.OperationalError:  # the file may be seen, but not opened
                continue
            try:
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            except sqlite3.OperationalError:
                connection.close()
            except sqlite3.DatabaseError as error:
                connection.close()
                raise self._damaged(error) from error
            else:
                return connection
        raise RunFolderError(f"{self._path} cannot be read; check the permissions of the run folder.")

    def _has_more(self) -> bool:
        """Whether something was written that is not in the file itself yet."""
        try:
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size > 0
        except OSError:
            return False

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, SafetensorError, SpaceError, *ODD_VALUES) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> RunFolderError:
        if is_refusal(error):
            return RunFolderError(f"{self._path} cannot be read ({error}). {_WAY_OUT}")
        return _damaged(self._path, error)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def meta(self) -> dict[str, Any]:
        """Facts fixed when the run began, by name."""
        with self._reading():
            rows = self._connection.execute("SELECT name, value FROM meta").fetchall()
            return {name: json.loads(value) for name, value in rows}

    def trials(self) -> list[Trial]:
        """All trials in the order of their numbers."""
        with self._reading():
            self._connection.row_factory = sqlite3.Row
            rows = self._connection.execute("SELECT * FROM trials ORDER BY trial").fetchall()
            self._connection.row_factory = None
            return [trial_of(row) for row in rows]

    def scores(self, most: int) -> list[tuple[Architecture, int, float]]:
        """Architecture, epochs and score of the newest complete trials, at most so many."""
        with self._reading():
            which = "state = 'complete' ORDER BY trial DESC LIMIT ?"
            query = f"SELECT architecture, epochs, score FROM trials WHERE {which}"  # noqa: S608 - all of it is here
            rows = self._connection.execute(query, (most,)).fetchall()
            found = [(Architecture.from_json(json.loads(a)), int(epochs), float(s)) for a, epochs, s in rows]
            return [row for row in found if math.isfinite(row[2])]

    def rejections(self) -> list[Rejection]:
        """All proposals that were not evaluated, in order."""
        with self._reading():
            query = "SELECT trials_before, fingerprint, source, reason, detail FROM rejections ORDER BY id"
            return [Rejection(*row) for row in self._connection.execute(query)]

    def events(self) -> list[Event]:
        """All events in order."""
        with self._reading():
            query = "SELECT elapsed, kind, detail FROM events ORDER BY id"
            return [Event(moment(elapsed), *row) for elapsed, *row in self._connection.execute(query)]

    def learning(self) -> list[tuple[int, dict[str, float]]]:
        """Figures of the strategy's updates in order, each with the number of trials before it."""
        with self._reading():
            query = "SELECT trials_before, figures FROM learning ORDER BY id"
            return [(trials, json.loads(figures)) for trials, figures in self._connection.execute(query)]

    def strategy_state(self) -> StrategyState:
        """State of the strategy after all results in the ledger."""
        with self._reading():
            row = self._connection.execute("SELECT state, tensors FROM strategy").fetchone()
            return StrategyState() if row is None else StrategyState(json.loads(row[0]), load_tensors(row[1]))


class Ledger(LedgerReader):
    """The writer of a ledger; there is one per run, held by the driver.

    Args:
        path: The ``run.db``, made if it does not exist.
        meta: Facts to fix when the ledger is made; ignored where it exists.

    Raises:
        RunFolderError: As for :class:`LedgerReader`, or if the folder cannot be written.
    """

    def __init__(self, path: Path, meta: Mapping[str, Any] | None = None) -> None:
        if path.is_symlink():
            raise RunFolderError(f"{path} is a link to another place, into which nothing is written.")
        if not path.exists():
            _create(path, meta or {})
        super().__init__(path)
        self._trials: list[Trial] | None = None
        self._migrate()
        self._reserve = Reserve(path.with_name(f".{path.name}.reserve"))

    def trials(self) -> list[Trial]:
        """All trials in the order of their numbers; read from the file once between two transactions."""
        if self._trials is None:
            self._trials = super().trials()
        return list(self._trials)

    def close(self) -> None:
        """Close the file."""
        self._reserve.release()
        super().close()

    def _migrate(self) -> None:
        """Bring a ledger of an older version to this one, in one transaction."""
        with self._reading():
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version < SCHEMA_VERSION:
            with self._transaction() as connection:
                for statement in statements("\n".join(FROM_1)):
                    connection.execute(statement)

    def _connect(self) -> sqlite3.Connection:
        connection = _open_writer(self._path)
        try:
            if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("its pages do not fit together")
        except sqlite3.DatabaseError as error:
            connection.close()
            raise self._damaged(error) from error
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._trials = None
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise self._damaged(error) from error
            raise RunFolderError(
                f"{self._path} cannot be written ({error}). Everything up to here is kept."
                + (f" {_WAY_OUT}" if is_refusal(error) else "")
            ) from error

    def commit(
        self,
        *,
        finished: Sequence[Trial] = (),
        pending: Sequence[Trial] = (),
        rejections: Sequence[Rejection] = (),
        learning: Sequence[tuple[int, Mapping[str, float]]] = (),
        state: StrategyState | None = None,
    ) -> None:
        """Write in one transaction what finished, what is pending from now on, and what the strategy learnt.

        Args:
            finished: Trials with their evaluations; each must be pending in the ledger, or new.
            pending: New trials, with the attempts made or about to be made.
            rejections: Proposals that were not evaluated.
            learning: Figures of the strategy's updates, each with the number of trials before it.
            state: The strategy after all of this.

        Raises:
            RunFolderError: If the file cannot be written; then nothing of it is.
        """
        with self._transaction() as connection:
            for trial in pending:
                insert_trial(connection, trial)
            for trial in finished:
                finish_trial(connection, trial)
            connection.executemany(
                "INSERT INTO rejections (trials_before, fingerprint, source, reason, detail) "
                "VALUES (?, ?, ?, ?, ?)",
                [(r.trials_before, r.fingerprint, r.source, r.reason, r.detail) for r in rejections],
            )
            connection.executemany(
                "INSERT INTO learning (trials_before, figures) VALUES (?, ?)",
                [(trials, json.dumps(figures)) for trials, figures in learning],
            )
            if state is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO strategy VALUES (1, ?, ?)",
                    (json.dumps(state.values), save_tensors(_contiguous(state.tensors))),
                )

    def count_attempts(self, trials: Iterable[int]) -> None:
        """Count one more attempt to evaluate each of these pending trials."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE trials SET attempts = attempts + 1 WHERE trial = ?", [(trial,) for trial in trials]
            )

    def take_back_attempts(self, trials: Iterable[int]) -> None:
        """Count one attempt less for those of the trials that are still pending; called when a run ends."""
        self._reserve.release()  # it may end because the disk is full
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE trials SET attempts = attempts - 1 WHERE trial = ? AND state = 'pending' AND attempts > 0",
                [(trial,) for trial in trials],
            )

    def event(self, elapsed: float, kind: str, detail: str) -> None:
        """Remember an event."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO events (elapsed, kind, detail) VALUES (?, ?, ?)",
                (elapsed, kind, detail.encode(errors="replace").decode()),  # file names need not be UTF-8
            )

    def set_meta(self, name: str, value: Any) -> None:
        """Set or change a fact."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))


def check_sqlite() -> None:
    """See to it that SQLite knows the tables of a ledger.

    Raises:
        RunFolderError: If it is too old.
    """
    if sqlite3.sqlite_version_info < LEAST_SQLITE:
        raise RunFolderError(
            f"This Python has SQLite {sqlite3.sqlite_version}, but a ledger needs {'.'.join(map(str, LEAST_SQLITE))} "
            "or newer. Use another Python, such as one from python.org, conda or uv."
        )


def _open_writer(path: Path) -> sqlite3.Connection:
    connection = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may cost the last few transactions, never what they leave: an earlier state of the run, which
        # goes on from there to the same results. Waiting for the disk at each would cost more than all the rest.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.DatabaseError as error:
        if connection is not None:
            connection.close()
        raise RunFolderError(f"{path} cannot be opened for writing ({error}). {_WAY_OUT}") from error
    return connection


def _create(path: Path, meta: Mapping[str, Any]) -> None:
    """Make a ledger under another name and rename it: a kill leaves a whole one or none."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        for leftover in path.parent.glob(f"{fresh.name}*"):
            leftover.unlink()
        _fill(fresh, meta)
        fresh.replace(path)
    except (OSError, sqlite3.DatabaseError) as error:
        raise RunFolderError(f"{path} cannot be written ({error}). {_WAY_OUT}") from error


def _fill(path: Path, meta: Mapping[str, Any]) -> None:
    # Without a write-ahead log the whole content is in the one file that is renamed.
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements(SCHEMA):
            connection.execute(statement)
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)", [(name, json.dumps(value)) for name, value in meta.items()]
        )
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    finally:
        connection.close()


def _contiguous(tensors: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    # safetensors writes the memory of an array as it lies, which scrambles a transposed one.
    return {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
