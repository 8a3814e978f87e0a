"""Raw results: a JSON file for each finished run, and one CSV of all queries."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from gcnas.bench.search import MAX_QUERIES, Query, Run
from gcnas.errors import ConfigurationError, DataError
from gcnas.files import read_bounded, write_atomically

RUNS = "runs"
RAW = "raw.csv"
MAX_RUN = 2**30
"""Bytes of the file of a run that are read."""
MAX_NAME = 120
"""Characters of a quoted name that a file's name keeps; disks take 255 bytes, and endings and numbers follow."""

COLUMNS = (
    "space", "strategy", "seed", "query", "key", "score", "test", "best", "regret", "source", "duplicates",
    "infeasible", "overhead_seconds", "simulated_seconds", "budget",
)  # fmt: skip


def run_file(folder: Path, space: str, strategy: str, seed: int) -> Path:
    """Where a run is kept; any characters of the names are allowed."""
    return folder / RUNS / file_name(space) / file_name(strategy) / f"{seed}.json"


def file_name(name: str) -> str:
    """Any name as that of a file or a folder: quoted, neither hidden nor a way up, and short enough for every disk."""
    quoted = quote(name, safe="")
    if quoted.startswith("."):
        quoted = f"%2E{quoted[1:]}"
    if len(quoted) <= MAX_NAME:
        return quoted
    return f"{quoted[:MAX_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say in one sentence that files cannot be written.

    Raises:
        ConfigurationError: In place of an error of the system.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be written: {error.strerror}. What is in it is kept; the same command goes on."
        ) from None


def write_run(folder: Path, run: Run) -> None:
    """Keep a finished run, as a whole or not at all."""
    path = run_file(folder, run.space, run.strategy, run.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(run), separators=(",", ":")).encode())


def read_runs(folder: Path) -> list[Run]:
    """All finished runs, by space, strategy and seed.

    Raises:
        DataError: If a file is damaged.
    """
    runs = [_read_run(path) for path in folder.glob(f"{RUNS}/*/*/*.json") if not path.name.startswith(".")]
    return sorted(runs, key=lambda run: (run.space, run.strategy, run.seed))


def _read_run(path: Path) -> Run:
    try:
        values = json.loads(read_bounded(path, MAX_RUN).decode("utf-8"))
        queries = tuple(Query(**query) for query in values.pop("queries"))
        return _checked(Run(**values, queries=queries))
    except (OSError, OverflowError, RecursionError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise DataError(f"{path} is damaged ({error}). Delete it; the same command runs it again.") from None


def write_raw(folder: Path, runs: Sequence[Run]) -> Path:
    """Write ``raw.csv``, one row for each query."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run in runs:
        writer.writerows(_rows(run))
    write_atomically(folder / RAW, text.getvalue().encode())
    return folder / RAW


def _rows(run: Run) -> Iterable[tuple[object, ...]]:
    best = float("-inf")
    for number, query in enumerate(run.queries, start=1):
        best = max(best, query.score)
        yield (
            run.space, run.strategy, run.seed, number, query.key, query.score,
            "" if query.test is None else query.test, best, round(run.optimum - best, 10), query.source,
            query.duplicates, query.infeasible, round(query.overhead, 7), round(query.clock, 4), run.budget,
        )  # fmt: skip


def read_raw(path: Path) -> list[Run]:
    """The runs of a ``raw.csv``.

    Raises:
        DataError: If it is missing or damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The raw results {path} cannot be read: {error}.") from None
    if not rows or set(rows[0]) != set(COLUMNS):
        raise DataError(f"The raw results {path} must have rows with the columns {', '.join(COLUMNS)}.")
    grouped: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in rows:
        grouped.setdefault((row["space"], row["strategy"], row["seed"]), []).append(row)
    try:
        return [_run(group) for group in grouped.values()]
    except (TypeError, ValueError) as error:
        raise DataError(f"The raw results {path} have a wrong number: {error}.") from None


def _run(rows: list[dict[str, str]]) -> Run:
    rows = sorted(rows, key=lambda row: int(row["query"]))
    first = rows[0]
    if [int(row["query"]) for row in rows] != list(range(1, len(rows) + 1)):
        raise ValueError(
            f"queries of {first['space']}, {first['strategy']}, {first['seed']} are not 1, 2, 3, …"
        )
    queries = tuple(
        Query(
            row["key"], float(row["score"]), float(row["test"]) if row["test"] else None, row["source"],
            int(row["duplicates"]), int(row["infeasible"]), float(row["overhead_seconds"]),
            float(row["simulated_seconds"]),
        )
        for row in rows
    )  # fmt: skip
    optimum = round(float(first["best"]) + float(first["regret"]), 10)
    return _checked(
        Run(first["space"], first["strategy"], int(first["seed"]), int(first["budget"]), optimum, queries)
    )


def _checked(run: Run) -> Run:
    """The run, if its values are such as a search leaves.

    Raises:
        ValueError: If they are not.
    """
    texts = [run.space, run.strategy, *(text for query in run.queries for text in (query.key, query.source))]
    counts = [
        run.seed,
        run.repeats_after,
        *(n for query in run.queries for n in (query.duplicates, query.infeasible)),
    ]
    numbers = [
        run.optimum,
        run.overhead_after,
        *(n for query in run.queries for n in (query.score, query.overhead, query.clock)),
    ]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("names must be texts")
    if not all(type(count) is int and count >= 0 for count in (*counts, run.budget)):
        raise ValueError("counts must be whole numbers from 0")
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise ValueError("scores and seconds must be finite numbers")
    if not all(query.test is None or type(query.test) in (int, float) for query in run.queries):
        raise ValueError("test scores must be numbers")
    if not 1 <= len(run.queries) <= run.budget <= MAX_QUERIES:
        raise ValueError(
            f"there must be 1 to {MAX_QUERIES:,} queries, and no more than the budget of {run.budget}"
        )
    return run
