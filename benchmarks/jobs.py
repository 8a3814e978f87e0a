"""What benchmarks of many trainings share: jobs in processes of one thread, and a row in a file for each."""

import argparse
import csv
import fcntl
import io
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeAlias, TypeVar

Result = TypeVar("Result")
Row: TypeAlias = Sequence[object] | Mapping[str, object]
"""Values in the order of the columns, or by their names; what has none stays empty."""


def rows(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a result file; none if there is no such file yet.

    Raises:
        SystemExit: If columns are given and the file has others: said before anything is measured for it.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    # A last line that is no whole one, as a full disk leaves it, is no row.
    reader = csv.DictReader(io.StringIO(content[: content.rfind(b"\n") + 1].decode(), newline=""))
    if columns and reader.fieldnames is not None:  # of a file that was begun there may be nothing yet
        _check(path, reader.fieldnames, columns)
    return list(reader)


def append(path: Path, columns: Sequence[str], row: Row) -> None:
    """Append a row to a result file, and print it."""
    append_rows(path, columns, [row])
    print(" ".join(map(str, _values(columns, row))), flush=True)  # whole, also beside other jobs


def append_rows(path: Path, columns: Sequence[str], added: Iterable[Row]) -> None:
    """Append rows to a result file, one after the other also beside other processes; a new file gets a header.

    Raises:
        SystemExit: If the file has other columns.
    """
    lines = [_values(columns, row) for row in added]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        content = path.read_bytes()
        size = content.rfind(b"\n") + 1
        file.truncate(size)  # a last line that is no whole one
        header = content[:size].partition(b"\n")[0].decode()
        if header:
            _check(path, next(csv.reader([header])), columns)
        text = io.StringIO(newline="")
        ending = "\r\n" if header.endswith("\r") else "\n"
        csv.writer(text, lineterminator=ending).writerows(lines if header else [columns, *lines])
        left = text.getvalue().encode()
        try:
            while left:
                left = left[file.write(left) :]
        except BaseException:
            file.truncate(size)  # some of the rows would pass for all of them
            raise


def replace_rows(path: Path, columns: Sequence[str], new: Iterable[Row]) -> None:
    """Write a result file anew; what stood there stays until all is written."""
    lines = [_values(columns, row) for row in new]
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.{os.getpid()}")
    with written.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *lines])
    written.replace(path)


def refuse_a_part(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse other options than the defaults where they would replace the results that the documents cite.

    Args:
        parser: Of a script that writes its result file anew, with an option ``--out``.
        options: What it has read.
    """
    others = {name: value for name, value in vars(options).items() if value != parser.get_default(name)}
    if others and "out" not in others:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in others)
        parser.error(
            f"{options.out.name} has what the defaults measure; with {names} name another file by --out"
        )


def widen(path: Path, columns: Sequence[str], known: Mapping[str, object]) -> None:
    """Give the rows of a result file from before it had some columns the values that hold for them.

    Args:
        path: The file; no other process may write to it.
        columns: All columns that it is to have.
        known: Those columns, and what the old rows get in them.
    """
    kept = rows(path)
    if kept and list(kept[0]) == [column for column in columns if column not in known]:
        replace_rows(path, columns, [{**row, **known} for row in kept])


def _values(columns: Sequence[str], row: Row) -> list[object]:
    """A row in the order of the columns.

    Raises:
        ValueError: If it does not fit them.
    """
    if isinstance(row, Mapping):
        fits, values = row.keys() <= set(columns), [row.get(column, "") for column in columns]
    else:
        fits, values = len(row) == len(columns), list(row)
    if not fits:
        raise ValueError(f"{row} does not fit the columns {' '.join(columns)}")
    return values


def _check(path: Path, found: Sequence[str], columns: Sequence[str]) -> None:
    if list(found) != list(columns):
        sys.exit(f"{path} has the columns {' '.join(found)}, not {' '.join(columns)}; name another file.")


def each_result(jobs: Mapping[Future[Result], Sequence[object]]) -> Iterator[Result]:
    """Results as they come; tell which jobs fail, and leave with an error when the others are through."""
    failed = 0
    for future in as_completed(jobs):
        try:
            result = future.result()
        except Exception as error:  # noqa: BLE001 - the results of the other jobs are kept whatever it is
            failed += 1
            print(*jobs[future], f"failed: {error!r}", file=sys.stderr, flush=True)
        else:
            yield result
    if failed:
        sys.exit(f"{failed} of {len(jobs)} jobs failed")


def run_each(script: str, jobs: Sequence[Sequence[object]], processes: int) -> None:
    """Run a script with ``--here`` and the arguments of each job, some at a time; leave with an error if any fails."""

    def start(arguments: Sequence[object]) -> int:
        command = [sys.executable, script, "--here", *map(str, arguments)]
        return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode

    with ThreadPoolExecutor(processes) as pool:
        codes = list(pool.map(start, jobs))
    if any(codes):
        sys.exit(f"{sum(map(bool, codes))} of {len(codes)} jobs failed")
