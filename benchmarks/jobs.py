"""What benchmarks of many trainings share: jobs in processes of one thread, and a row in a file for each."""

import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a result file; none if there is no such file yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, columns: Sequence[str], row: Sequence[object]) -> None:
    """Append a row to a result file, and print it."""
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if fresh:
            writer.writerow(columns)
        writer.writerow(row)
    print(" ".join(map(str, row)), flush=True)  # whole, also beside other jobs


def run_each(script: str, jobs: Sequence[Sequence[object]], processes: int) -> None:
    """Run a script with ``--here`` and the arguments of each job, some at a time; leave with an error if any fails."""

    def start(arguments: Sequence[object]) -> int:
        command = [sys.executable, script, "--here", *map(str, arguments)]
        return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode

    with ThreadPoolExecutor(processes) as pool:
        codes = list(pool.map(start, jobs))
    if any(codes):
        sys.exit(f"{sum(map(bool, codes))} of {len(codes)} jobs failed")
