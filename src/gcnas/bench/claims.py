"""Running the experiments that decide the paper's claims, and their tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from gcnas.bench.comparison import holm, paired
from gcnas.bench.curves import interval, mean_interval
from gcnas.bench.experiments import DEFAULT, EXPERIMENTS, Experiment
from gcnas.bench.landscape import LANDSCAPES, Landscape
from gcnas.bench.measures import depth_shares, measure, thirds, top_depth_shares
from gcnas.bench.memory import FOLDER as MEMORY
from gcnas.bench.memory import MemoryTask, memory_tasks
from gcnas.bench.problem import ProblemReference
from gcnas.bench.processes import (
    BEHIND,
    RUNS_TABLE,
    Progress,
    Task,
    Work,
    check_numbers,
    run_tasks,
    take_folder,
)
from gcnas.bench.raw import RUNS, file_name, read_runs, run_file, writing
from gcnas.bench.search import Run
from gcnas.bench.summary import Cell, write_table
from gcnas.bench.tables import built_in, find_available, find_tables
from gcnas.errors import ConfigurationError, DataError

Rows = list[dict[str, Cell]]

MEMORY_TABLE = "E6-runs.csv"


@dataclass(frozen=True)
class Claims:
    """What is to be run.

    Attributes:
        experiments: Which.
        problems: By name; experiments leave out spaces that are not there.
        seeds: Number of seeds, from 0.
        queries: Budget of each run.
        left_out: Tables of which there is no file.
    """

    experiments: tuple[Experiment, ...]
    problems: dict[str, ProblemReference]
    seeds: int = 10
    queries: int = 150
    left_out: tuple[str, ...] = ()

    def spaces(self, experiment: Experiment) -> list[str]:
        """Spaces of an experiment that are there."""
        return [space for space in experiment.spaces if space in self.problems]

    def memory_tasks(self) -> list[MemoryTask]:
        """The runs of E6, if it is wanted."""
        wanted = any(experiment.kind == "memory" for experiment in self.experiments)
        return memory_tasks(self.seeds) if wanted else []

    def tasks(self) -> list[Task]:
        """All searches, each once; those of a seed follow one another, so that pairs are complete."""
        wanted = dict.fromkeys(
            (space, arm)
            for experiment in self.experiments
            for space in self.spaces(experiment)
            for arm in experiment.arms
        )
        return [
            Task(self.problems[space], arm, seed, self.queries, 1)
            for seed in range(self.seeds)
            for space, arm in wanted
        ]


def find_claims(
    names: Sequence[str] = (),
    data: Path | None = None,
    seeds: int = 10,
    queries: int = 150,
    *,
    checksum: bool = True,
) -> Claims:
    """The experiments that a user names.

    Args:
        names: Of experiments; all but the tuning if there are none.
        data: Folder of the tables; without it there are only synthetic problems.
        seeds: Number of seeds.
        queries: Budget of each run.
        checksum: Whether the tables must be those that were checked.

    Raises:
        ConfigurationError: If a name, a number or a folder is wrong.
    """
    check_numbers(seeds=seeds, queries=queries)
    for name in names:
        if name not in EXPERIMENTS:
            raise ConfigurationError(f"An experiment is one of {', '.join(EXPERIMENTS)}, but got {name!r}.")
    experiments = tuple(EXPERIMENTS[name] for name in dict.fromkeys(names or DEFAULT))
    spaces = dict.fromkeys(space for experiment in experiments for space in experiment.spaces)
    problems: dict[str, ProblemReference] = {name: LANDSCAPES[name] for name in spaces if name in LANDSCAPES}
    tables = [name for name in spaces if name in built_in()]
    left_out: tuple[str, ...] = ()
    if data is not None and tables:
        there = find_available(tables, data)
        left_out = tuple(name for name in tables if name not in there)
        found = find_tables(there, (), data, checksum=checksum) if there else []
        problems |= {table.name: table for table in found}
    return Claims(experiments, problems, seeds, queries, left_out)


def run_claims(claims: Claims, folder: Path, jobs: int = 1, progress: Progress | None = None) -> None:
    """Do the runs that ``folder`` does not hold yet.

    Args:
        claims: What to run.
        folder: Where finished runs are kept.
        jobs: Processes, of one thread each.
        progress: Told the number of runs that are done, of all, and what the last one came to.

    Raises:
        ConfigurationError: If the folder holds runs with other settings.
        DataError: If a table cannot be used.
        BenchError: If runs failed; all others are done and kept.
    """
    check_numbers(jobs=jobs)
    tables = {name: problem.identity() for name, problem in claims.problems.items()}
    searches, memory = claims.tasks(), claims.memory_tasks()
    kept = (BEHIND if searches else {}) | ({MEMORY_TABLE: MEMORY} if memory else {})
    take_folder(folder, {"format": 1, "queries": claims.queries, "batch": 1, "tables": tables}, kept)
    missing: list[Work[Any]] = [
        task for task in searches if not run_file(folder, task.table.name, task.strategy, task.seed).exists()
    ]
    missing += [task for task in memory if not task.file(folder).exists()]
    run_tasks(missing, len(searches) + len(memory), folder, jobs, progress)


def seeds_there(folder: Path) -> int:
    """How many seeds, from 0, the runs in a folder have; 0 where there are none."""
    names = [path.stem for kind in (RUNS, MEMORY) for path in folder.glob(f"{kind}/*/*/*.json")]
    return 1 + max((int(name) for name in names if name.isdecimal()), default=-1)


def tables_there(claims: Claims, folder: Path) -> list[str]:
    """The tables of these experiments that were not given, and on which there are runs in a folder."""
    wanted = dict.fromkeys(space for experiment in claims.experiments for space in experiment.spaces)
    return [
        name for name in wanted if name not in claims.problems and (folder / RUNS / file_name(name)).is_dir()
    ]


@dataclass(frozen=True)
class Finding:
    """The tables of one experiment.

    Attributes:
        experiment: Which.
        summary: A row for each space, arm and measure.
        tests: A row for each space, pair and measure.
    """

    experiment: Experiment
    summary: Rows
    tests: Rows


def write_claims(claims: Claims, folder: Path, *, costs: bool = True) -> list[Finding]:
    """Write ``runs.csv``, and for each experiment its summary and tests; also depths (E2), runs (E6), costs of m (E8).

    Args:
        claims: The experiments.
        folder: Where the runs are; runs of other experiments in it are left out.
        costs: Whether the costs of m are measured, where they are not in the folder yet.

    Raises:
        DataError: If there are no runs, or they are damaged.
        ConfigurationError: If the folder cannot be written.
    """
    wanted = {(task.table.name, task.strategy, task.seed) for task in claims.tasks()}
    runs = [run for run in read_runs(folder) if (run.space, run.strategy, run.seed) in wanted]
    remembered = [task.row(folder) for task in claims.memory_tasks() if task.file(folder).exists()]
    if not runs and not remembered:
        raise DataError(f"{folder} holds no finished run of these experiments.")
    rows: Rows = []
    for name, problem in claims.problems.items():
        here = [run for run in runs if run.space == name]
        rows += measure(here, problem.load()) if here else []
    findings = [
        find(experiment, remembered if experiment.kind == "memory" else rows)
        for experiment in claims.experiments
    ]
    names = [experiment.name for experiment in claims.experiments]
    with writing(folder):
        for name, table in ((RUNS_TABLE, rows), (MEMORY_TABLE, remembered)):
            if table:
                write_table(folder / name, table)
        for finding in findings:
            for kind, table in (("", finding.summary), ("-tests", finding.tests)):
                if table:
                    write_table(folder / f"{finding.experiment.name}{kind}.csv", table)
        if "E2" in names:
            _write_depths(claims, runs, folder)
        if "E8" in names and costs and not (folder / "E8-cost.csv").exists():
            # Imported here: torch takes a second.
            from gcnas.bench.window_cost import window_costs

            write_table(folder / "E8-cost.csv", window_costs())
    return findings


def find(experiment: Experiment, rows: Rows) -> Finding:
    """The tables of an experiment from the measures of all runs; Holm's correction is within a space and a measure."""
    summary = [
        _summary(space, arm, name, values)
        for space in experiment.spaces
        for arm in experiment.arms
        for name in experiment.measures
        if len(values := _values(rows, space, arm, name))
    ]
    tests: Rows = []
    for space, name in product(experiment.spaces, experiment.measures):
        found = [_test(rows, space, arm, rival, name) for arm, rival in experiment.pairs]
        here = [test for test in found if test]
        corrected = holm([float(test["p"]) for test in here])  # type: ignore[arg-type]
        tests += [test | {"p_holm": p} for test, p in zip(here, corrected, strict=True)]
    return Finding(experiment, summary, tests)


def _values(rows: Rows, space: str, arm: str, name: str) -> dict[int, float]:
    """A measure by seed, of the runs that have it."""
    return {
        int(row["seed"]): float(row[name])  # type: ignore[arg-type]
        for row in rows
        if row["space"] == space and row["arm"] == arm and row[name] is not None
    }


def _summary(space: str, arm: str, name: str, by_seed: dict[int, float]) -> dict[str, Cell]:
    values = np.array(list(by_seed.values()))
    low, high = mean_interval(values)
    median_low, median_high = interval(values, lambda resampled: np.asarray(np.median(resampled, -1)))
    return {
        "space": space,
        "arm": arm,
        "measure": name,
        "seeds": len(values),
        "mean": float(values.mean()),
        "mean_low": float(low),
        "mean_high": float(high),
        "median": float(np.median(values)),
        "median_low": median_low,
        "median_high": median_high,
    }


def _test(rows: Rows, space: str, arm: str, rival: str, name: str) -> dict[str, Cell]:
    """Paired test of two arms over the seeds that both have; empty if there are none."""
    ours, theirs = (_values(rows, space, each, name) for each in (arm, rival))
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return {}
    difference = np.array([ours[seed] - theirs[seed] for seed in seeds])
    return {
        "space": space,
        "arm": arm,
        "rival": rival,
        "measure": name,
        **paired(difference, below="lower", above="higher"),
    }


def _write_depths(claims: Claims, runs: Sequence[Run], folder: Path) -> None:
    """``E2-depths.csv``: share of each depth among the first and last third of the queries and in the top 1 %."""
    experiment, rows = EXPERIMENTS["E2"], []
    for space in claims.spaces(experiment):
        problem: Any = claims.problems[space].load()
        if not isinstance(problem, Landscape):
            continue
        rows += _depth_rows(space, "top 1 %", top_depth_shares(problem), None)
        for arm in experiment.arms:
            own = [thirds(run) for run in runs if run.space == space and run.strategy == arm]
            if own:
                first, last = (
                    np.mean([depth_shares(parts[index], problem) for parts in own], 0) for index in (0, 2)
                )
                rows += _depth_rows(space, arm, last, first)
    if rows:
        write_table(folder / "E2-depths.csv", rows)


def _depth_rows(space: str, arm: str, last: Any, first: Any) -> Rows:
    return [
        {
            "space": space,
            "arm": arm,
            "depth": depth,
            "share_last": float(share),
            "share_first": None if first is None else float(first[depth]),
        }
        for depth, share in enumerate(last)
    ]
