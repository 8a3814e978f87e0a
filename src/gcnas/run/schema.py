"""The tables of a ledger, and the way from older ones."""

import re
import sqlite3
from collections.abc import Iterator

SCHEMA_VERSION = 2

_TRIALS = """
CREATE TABLE trials (
    trial INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    source TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'complete', 'failed')),
    architecture TEXT NOT NULL,
    trajectory TEXT NOT NULL,
    depth INTEGER NOT NULL,
    parameters INTEGER NOT NULL,
    multiply_adds INTEGER NOT NULL,
    activations INTEGER NOT NULL,
    epochs INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    score REAL,
    metrics TEXT NOT NULL DEFAULT '{}',
    error_kind TEXT,
    error TEXT,
    seconds REAL,
    elapsed REAL,
    continues INTEGER REFERENCES trials (trial),
    UNIQUE (fingerprint, epochs, seed)
) STRICT;
CREATE TRIGGER finished_is_final BEFORE UPDATE ON trials WHEN OLD.state != 'pending'
    BEGIN SELECT RAISE(ABORT, 'a finished evaluation cannot be changed'); END;
CREATE TRIGGER finished_stays BEFORE DELETE ON trials WHEN OLD.state != 'pending'
    BEGIN SELECT RAISE(ABORT, 'a finished evaluation cannot be deleted'); END;
"""

SCHEMA = (
    _TRIALS
    + """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE rejections (
    id INTEGER PRIMARY KEY,
    trials_before INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE TABLE learning (
    id INTEGER PRIMARY KEY, trials_before INTEGER NOT NULL, figures TEXT NOT NULL
) STRICT;
CREATE TABLE strategy (
    id INTEGER PRIMARY KEY CHECK (id = 1), state TEXT NOT NULL, tensors BLOB NOT NULL
) STRICT;
CREATE TABLE events (
    id INTEGER PRIMARY KEY, elapsed REAL NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
"""
)

FROM_1 = (
    "ALTER TABLE trials RENAME TO trials_1; DROP TRIGGER finished_is_final; DROP TRIGGER finished_stays;",
    _TRIALS,
    "INSERT INTO trials SELECT *, NULL FROM trials_1; DROP TABLE trials_1; PRAGMA user_version = 2;",
)
"""From version 1, in which a network was trained only once."""


_GUARD = re.compile(
    r"CREATE TRIGGER \w+ BEFORE (UPDATE|DELETE) ON trials WHEN OLD\.state != 'pending' "
    r"BEGIN SELECT RAISE\(ABORT, '[^']*'\); END"
)


_INDEX = re.compile(r"CREATE (UNIQUE )?INDEX \w+ ON \w+ ?\([\w, ]+\)", re.IGNORECASE)
"""Of columns alone."""


def foreign_parts(connection: sqlite3.Connection) -> list[str]:
    """What of a ledger's file is no part of a ledger: views, other triggers, virtual tables, computed columns.

    Reading or writing a table of a stranger could execute what they hold.
    """
    found = []
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        text = " ".join(str(sql or "").split())
        ours = {
            "index": sql is None or _INDEX.fullmatch(text) is not None,
            "trigger": _GUARD.fullmatch(text) is not None,
        }.get(kind, False)
        plain = kind == "table" and re.search(r"\b(VIRTUAL|GENERATED|AS)\b", text, re.IGNORECASE) is None
        if not ours and not plain:
            found.append(f"a {kind} {name!r}")
    return found


def statements(script: str) -> Iterator[str]:
    """The single statements of a script."""
    statement = ""
    for line in re.split(r"(?<=[;\n])", script):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
