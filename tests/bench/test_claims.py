import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gcnas.bench import claims as module
from gcnas.bench import find_claims, processes, run_claims, seeds_there, tables_there, write_claims
from gcnas.bench.arms import create_arm
from gcnas.bench.claims import find
from gcnas.bench.comparison import holm
from gcnas.bench.experiments import EXPERIMENTS, Experiment
from gcnas.bench.landscape import LANDSCAPES
from gcnas.bench.measures import MEASURES
from gcnas.bench.memory import MemoryTask
from gcnas.bench.processes import Task
from gcnas.bench.raw import run_file
from gcnas.bench.summary import Cell
from gcnas.bench.tables import built_in
from gcnas.errors import BenchError, ConfigurationError, DataError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """An experiment of three cheap arms."""
    arms = ("random", "reinforce:table", "reinforce:lstm")
    pairs = (("reinforce:lstm", "random"), ("reinforce:lstm", "reinforce:table"))
    made = Experiment(
        "E2", "Something.", arms, ("grown-small", "nb201-cifar10"), pairs, ("auc_regret", "depth_gap")
    )
    monkeypatch.setitem(EXPERIMENTS, "E2", made)
    return made


SEARCHES = {name: each for name, each in EXPERIMENTS.items() if each.kind == "search"}


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=list(EXPERIMENTS))
def test_arms_are_named_once(experiment: Experiment) -> None:
    assert {arm for pair in experiment.pairs for arm in pair} <= set(experiment.arms)
    assert len(set(experiment.arms)) == len(experiment.arms)


@pytest.mark.parametrize("experiment", SEARCHES.values(), ids=list(SEARCHES))
def test_experiments_fit_together(experiment: Experiment) -> None:
    assert set(experiment.measures) <= set(MEASURES)
    assert set(experiment.spaces) <= {*LANDSCAPES, *built_in()}
    # Depth and connections vary in at least one space of each.
    assert set(experiment.spaces) & set(LANDSCAPES)
    space = LANDSCAPES["grown-small"].load().space
    for arm in experiment.arms:
        create_arm(arm, space, 0)


def test_runs_that_experiments_share_are_done_once() -> None:
    claims = find_claims(["E1", "E5"], seeds=2)
    assert not claims.left_out
    tasks = claims.tasks()
    assert len(set(tasks)) == len(tasks)
    both = {(task.table.name, task.strategy) for task in tasks}
    assert len(tasks) == 2 * len(both)
    assert both == {(task.table.name, task.strategy) for task in find_claims(["E1"], seeds=1).tasks()}
    assert {task.table.name for task in tasks} == {"grown", "grown-small"}
    assert [task.seed for task in tasks] == sorted(task.seed for task in tasks)


def test_from_runs_to_tables(small: Experiment, in_process: list[Task], tmp_path: Path) -> None:
    claims = find_claims(["E2"], seeds=4, queries=12)
    lines: list[str] = []
    run_claims(claims, tmp_path, progress=lambda n, total, line: lines.append(f"{n}/{total} {line}"))
    assert len(in_process) == len(lines) == 12
    in_process.clear()
    run_claims(find_claims(["E2"], seeds=5, queries=12), tmp_path)
    assert {task.seed for task in in_process} == {4}
    (finding,) = write_claims(claims, tmp_path)
    with (tmp_path / "runs.csv").open(newline="") as file:
        measured = list(csv.DictReader(file))
    assert len(measured) == 12
    assert {row["seed"] for row in measured} == {"0", "1", "2", "3"}
    for row in finding.summary:
        own = [m[str(row["measure"])] for m in measured if (m["space"], m["arm"]) == (row["space"], row["arm"])]
        values = [float(value) for value in own if value]
        assert row["seeds"] == len(values)
        assert row["mean"] == pytest.approx(np.mean(values), rel=1e-4)
        assert row["median"] == pytest.approx(np.median(values), rel=1e-4)
        assert float(str(row["mean_low"])) <= float(str(row["mean"])) <= float(str(row["mean_high"]))
    with (tmp_path / "E2-depths.csv").open(newline="") as file:
        depths = list(csv.DictReader(file))
    for arm in ("top 1 %", *small.arms):
        shares = [float(row["share_last"]) for row in depths if row["arm"] == arm]
        assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert (tmp_path / "E2-tests.csv").exists()


def test_tests_are_paired_and_corrected_within_a_space_and_a_measure() -> None:
    generator = np.random.default_rng(0)
    rows: list[dict[str, Cell]] = []
    values = {
        (space, arm): generator.normal(i, 1, 9) for i, (space, arm) in enumerate(["sa", "sb", "sc", "ta", "tb"])
    }
    for (space, arm), column in values.items():
        rows += [
            {"space": space, "arm": arm, "seed": seed, "auc_regret": float(value)}
            for seed, value in enumerate(column)
        ]
    # A seed that only one arm has, and a measure that a run lacks.
    rows += [{"space": "s", "arm": "a", "seed": 9, "auc_regret": 1.0}]
    rows += [{"space": "s", "arm": "b", "seed": 9, "auc_regret": None}]
    experiment = Experiment("E", "", ("a", "b", "c"), ("s", "t"), (("a", "b"), ("a", "c")), ("auc_regret",))
    finding = find(experiment, rows)
    assert [(row["space"], row["rival"], row["pairs"]) for row in finding.tests] == [
        ("s", "b", 9), ("s", "c", 9), ("t", "b", 9),
    ]  # fmt: skip
    raw = [
        float(stats.wilcoxon(values[space, "a"] - values[space, rival]).pvalue)
        for space, rival in ("sb", "sc", "tb")
    ]
    assert [row["p"] for row in finding.tests] == pytest.approx(raw)
    assert [row["p_holm"] for row in finding.tests] == pytest.approx([*holm(raw[:2]), *holm(raw[2:])])
    assert finding.tests[0]["mean_difference"] == pytest.approx((values["s", "a"] - values["s", "b"]).mean())
    assert finding.tests[0]["lower"] == int((values["s", "a"] < values["s", "b"]).sum())
    assert next(row["seeds"] for row in finding.summary if row["arm"] == "b") == 9


def test_a_report_measures_nothing(
    small: Experiment, in_process: list[Task], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(EXPERIMENTS, "E8", replace(small, name="E8"))
    monkeypatch.setattr("gcnas.bench.window_cost.window_costs", lambda: [{"m": 1}])
    claims = find_claims(["E8"], seeds=1, queries=4)
    run_claims(claims, tmp_path)
    write_claims(claims, tmp_path, costs=False)
    assert not (tmp_path / "E8-cost.csv").exists()
    write_claims(claims, tmp_path)
    assert (tmp_path / "E8-cost.csv").read_text() == "m\n1\n"


def test_a_run_that_fails_costs_that_run_only(
    small: Experiment, in_process: list[Task], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(task: Task) -> object:
        return processes.Failed("no luck") if task.strategy == "random" else original(task)

    original = processes._run
    monkeypatch.setattr(processes, "_run", run)
    with pytest.raises(BenchError, match="1 of 3 runs"):
        run_claims(find_claims(["E2"], seeds=1, queries=4), tmp_path)
    (finding,) = write_claims(find_claims(["E2"], seeds=1, queries=4), tmp_path)
    assert {row["arm"] for row in finding.summary} == {"reinforce:table", "reinforce:lstm"}
    assert [row["rival"] for row in finding.tests] == ["reinforce:table"] * 2


def test_tasks_of_memory_beside_searches(
    small: Experiment, in_process: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """E6 learns tasks instead of searching; its runs are kept, summarised and tested like the others."""
    few = [
        MemoryTask(depth, 2, "likelihood", controller, seed, updates)
        for seed in (0, 1)
        for depth, controller, updates in ((8, "rnn", 2), (8, "stacked-2", 80))
    ]
    monkeypatch.setattr(module, "memory_tasks", lambda _: few)
    claims = find_claims(["E2", "E6"], seeds=1, queries=4)
    lines: list[str] = []
    run_claims(claims, tmp_path, progress=lambda n, total, line: lines.append(f"{n}/{total} {line}"))
    assert len(in_process) == 3 + 4
    assert lines[-1].startswith("7/7 repeat-8-2 likelihood:stacked-2 seed 1: solved after ")
    in_process.clear()
    run_claims(claims, tmp_path)
    assert in_process == []
    searches, memory = write_claims(claims, tmp_path)
    assert {row["space"] for row in searches.summary} == {"grown-small"}
    solved = {row["arm"]: row["mean"] for row in memory.summary if row["measure"] == "solved"}
    assert solved == {"likelihood:rnn": 0.0, "likelihood:stacked-2": 1.0}
    assert memory.tests == []
    with (tmp_path / "E6-runs.csv").open(newline="") as file:
        assert [row["solved"] for row in csv.DictReader(file)] == ["0", "1"] * 2
    file_of_one = few[0].file(tmp_path)
    values = json.loads(file_of_one.read_text())
    for content in ("{", "[" * 100_000, json.dumps(values | {"updates": 1e999})):
        file_of_one.write_text(content)
        with pytest.raises(DataError, match="damaged"):
            write_claims(claims, tmp_path)
    file_of_one.unlink()
    assert len(write_claims(claims, tmp_path)) == 2


def test_what_a_folder_holds(tmp_path: Path) -> None:
    claims = find_claims(["E1", "E6"])
    assert (seeds_there(tmp_path), tables_there(claims, tmp_path)) == (0, [])
    for path in (MemoryTask(8, 2, "sample", "rnn", 2, 1).file(tmp_path), run_file(tmp_path, "grown", "a:b", 1)):
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    assert (seeds_there(tmp_path), tables_there(claims, tmp_path)) == (3, [])
    for space in ("nb201-cifar10", "elsewhere"):
        path = run_file(tmp_path, space, "a:b", 11)
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    assert seeds_there(tmp_path) == 12
    with_table = [name for name, each in EXPERIMENTS.items() if "nb201-cifar10" in each.spaces]
    assert tables_there(find_claims(with_table[:1]), tmp_path) == ["nb201-cifar10"]
    assert tables_there(find_claims(["E6"]), tmp_path) == []


def test_mistakes(in_process: list[Task], small: Experiment, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="E77"):
        find_claims(["E77"])
    with pytest.raises(ConfigurationError, match="--seeds"):
        find_claims(["E2"], seeds=0)
    with pytest.raises(ConfigurationError, match="--jobs"):
        run_claims(find_claims(["E2"]), tmp_path, jobs=0)
    with pytest.raises(ConfigurationError, match="does not exist"):
        find_claims(["E1"], tmp_path / "nowhere")
    with pytest.raises(DataError, match="no finished run"):
        write_claims(find_claims(["E2"]), tmp_path)
    run_claims(find_claims(["E2"], seeds=1, queries=3), tmp_path)
    with pytest.raises(ConfigurationError, match="queries 3, not 4"):
        run_claims(find_claims(["E2"], seeds=1, queries=4), tmp_path)


def test_all_experiments_but_the_tuning_by_default() -> None:
    names = [experiment.name for experiment in find_claims().experiments]
    assert names == [name for name in EXPERIMENTS if name != "tuning"]
    assert tuple(names) == module.DEFAULT


def test_tables_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    claims = find_claims(["E4"], tmp_path, seeds=1)
    assert claims.left_out == ("nas-bench-macro",)
    assert set(claims.problems) == {"grown", "grown-wide"}
    with pytest.raises(ConfigurationError, match="does not exist"):
        find_claims(["E4"], tmp_path / "nowhere", seeds=1)


def test_the_tables_of_the_page_are_those_of_the_results(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, repository / "benchmarks" / "claims_tables.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
