"""Reading what a damaged ledger still holds."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gcnas.errors import SpaceError
from gcnas.run.rows import ODD_VALUES, trial_of
from gcnas.run.schema import foreign_parts
from gcnas.run.trial import Trial

MAX_MISSES = 1_000
MAX_GAP = 100_000
"""Behind so many numbers in a row without a readable trial there is no other."""


def readable_trials(path: Path) -> list[Trial]:
    """The trials of a ledger that can still be read, in the order of their numbers.

    The table is read from both ends up to the damage, and what lies between one by one: a trial is found as long as
    its own page and those above it in the tree are sound. Nothing is written.

    Args:
        path: The ``run.db`` of a run folder.
    """
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        if _has_foreign_parts(connection):
            return []
        connection.row_factory = sqlite3.Row
        found = {row["trial"]: row for row in _rows(connection)}
    trials = (_trial(found[number]) for number in sorted(found))
    return [trial for trial in trials if trial is not None]


def _has_foreign_parts(connection: sqlite3.Connection) -> bool:
    try:
        return bool(foreign_parts(connection))
    except sqlite3.DatabaseError:  # where not even that can be read there is nothing else either
        return True


def _rows(connection: sqlite3.Connection) -> Iterator[sqlite3.Row]:
    low, high = 0, None
    for row in _until_damage(connection, "SELECT * FROM trials ORDER BY trial"):
        low = row["trial"]
        yield row
    for row in _until_damage(connection, "SELECT * FROM trials WHERE trial > ? ORDER BY trial DESC", low):
        high = row["trial"]
        yield row
    number, misses = low + 1, 0
    # Behind damage a number may be any.
    end = high if high is not None and high - low <= MAX_GAP else None
    while misses < MAX_MISSES if end is None else number < end:
        rows = list(_until_damage(connection, "SELECT * FROM trials WHERE trial = ?", number))
        yield from rows
        number, misses = number + 1, 0 if rows else misses + 1


def _until_damage(connection: sqlite3.Connection, query: str, *values: int) -> Iterator[sqlite3.Row]:
    try:
        yield from connection.execute(query, values)
    except sqlite3.DatabaseError:
        return


def _trial(row: sqlite3.Row) -> Trial | None:
    try:
        return trial_of(row)
    except (SpaceError, *ODD_VALUES):
        return None
