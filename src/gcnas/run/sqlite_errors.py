"""What the errors of SQLite mean for a ledger."""

import sqlite3

_REFUSALS = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,  # also what a full disk gives where the shared memory of the log is to be mapped
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
}


def is_refusal(error: Exception) -> bool:
    """Whether the system refused to read or write, which says nothing about the content of the file."""
    return _primary_code(error) in _REFUSALS


def is_damage(error: Exception) -> bool:
    """Whether SQLite itself found the file damaged."""
    return _primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _primary_code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
