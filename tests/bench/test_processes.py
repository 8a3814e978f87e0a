import errno
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.tabular import tiny

from gcnas.bench import Bench, TableReference, find_tables, processes, run_bench, write_report
from gcnas.bench.processes import Task
from gcnas.bench.raw import file_name
from gcnas.bench.search import Run
from gcnas.errors import BenchError, ConfigurationError, DataError
from gcnas.strategy import STRATEGIES


def _bench(reference: TableReference, *strategies: str, **more: int) -> Bench:
    return Bench((reference,), strategies or ("random",), **({"seeds": 2, "queries": 8} | more))


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json")}


def test_finished_runs_are_not_done_again(
    tiny_reference: TableReference, in_process: list[Task], tmp_path: Path
) -> None:
    run_bench(_bench(tiny_reference), tmp_path)
    before = _files(tmp_path)
    in_process.clear()
    lines: list[str] = []
    run_bench(
        _bench(tiny_reference, seeds=4),
        tmp_path,
        progress=lambda n, total, line: lines.append(f"{n}/{total} {line}"),
    )
    assert [task.seed for task in in_process] == [2, 3]
    assert lines[0].startswith("3/4 tiny random seed 2: ")
    after = _files(tmp_path)
    assert before.items() <= after.items()
    in_process.clear()
    run_bench(_bench(tiny_reference, seeds=1, first_seed=3), tmp_path)
    assert in_process == []


def test_a_run_that_was_cut_short_leaves_nothing(
    tiny_reference: TableReference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def results(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, object]]:
        yield tasks[0], processes._run(tasks[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "_results", results)
    with pytest.raises(KeyboardInterrupt):
        run_bench(_bench(tiny_reference), tmp_path)
    assert len(_bench(tiny_reference).tasks(tmp_path)) == 1
    assert [row["seeds"] for row in write_report(tmp_path, plots=False)] == [1]


def test_runs_of_a_seed_follow_one_another(tiny_reference: TableReference, tmp_path: Path) -> None:
    tasks = _bench(tiny_reference, "random", "reinforce").tasks(tmp_path)
    assert [(task.seed, task.strategy) for task in tasks] == [
        (0, "random"), (0, "reinforce"), (1, "random"), (1, "reinforce"),
    ]  # fmt: skip


def test_a_run_that_fails_costs_that_run_only(
    tiny_reference: TableReference, in_process: list[Task], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(space: object, seed: int) -> object:
        if seed == 1:
            raise RuntimeError("no luck")
        return STRATEGIES["random"](space, seed)

    monkeypatch.setitem(STRATEGIES, "fails", fails)
    with pytest.raises(BenchError) as caught:
        run_bench(_bench(tiny_reference, "random", "fails", seeds=3), tmp_path)
    assert "1 of 6" in str(caught.value)
    assert "no luck" in str(caught.value)
    assert "Traceback" in (tmp_path / "failures.txt").read_text()
    assert {row["strategy"]: row["seeds"] for row in write_report(tmp_path, plots=False)} == {
        "random": 3,
        "fails": 2,
    }
    monkeypatch.setitem(STRATEGIES, "fails", STRATEGIES["random"])
    run_bench(_bench(tiny_reference, "random", "fails", seeds=3), tmp_path)
    assert not (tmp_path / "failures.txt").exists()


def test_a_strategy_of_a_file_runs_in_processes_of_its_own(
    tiny_reference: TableReference, tmp_path: Path
) -> None:
    file = Path(shutil.copy(Path(__file__).parents[2] / "examples" / "my_strategy.py", tmp_path))
    name, out = f"{file}:Climber", tmp_path / "out"
    run_bench(_bench(tiny_reference, name, "random"), out, jobs=2)
    rows = write_report(out, plots=False)
    assert {row["strategy"]: row["seeds"] for row in rows} == {name: 2, "random": 2}
    run_bench(_bench(tiny_reference, name, "random"), out)  # nothing is missing
    file.write_text(file.read_text() + "\n")
    with pytest.raises(ConfigurationError, match="before its file was changed"):
        run_bench(_bench(tiny_reference, name, "random", seeds=3), out)


def test_a_folder_of_other_settings(
    tiny_reference: TableReference, in_process: list[Task], tmp_path: Path
) -> None:
    run_bench(_bench(tiny_reference, seeds=1), tmp_path / "out")
    with pytest.raises(ConfigurationError, match="queries 8, not 9"):
        run_bench(_bench(tiny_reference, queries=9), tmp_path / "out")
    with pytest.raises(ConfigurationError, match="batch 1, not 2"):
        run_bench(_bench(tiny_reference, batch=2), tmp_path / "out")
    table, description = tiny.write(tmp_path)
    description.write_text(tiny.DESCRIPTION.replace("reward: validation", "reward: test"))
    with pytest.raises(ConfigurationError, match="another table"):
        run_bench(_bench(find_tables([str(description)], [table])[0]), tmp_path / "out")
    for content in ("{", "[" * 100_000):
        (tmp_path / "out" / "bench.json").write_text(content)
        with pytest.raises(ConfigurationError, match="damaged"):
            run_bench(_bench(tiny_reference), tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        run_bench(_bench(tiny_reference), tmp_path / "file")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"seeds": 0}, "--seeds"),
        ({"queries": 0}, "--queries"),
        ({"batch": 0}, "--batch"),
        ({"first_seed": -1}, "-1"),
    ],
)
def test_numbers_out_of_range(
    more: dict[str, int], words: str, tiny_reference: TableReference, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        run_bench(_bench(tiny_reference, **more), tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_are_checked_before_anything_runs(tiny_reference: TableReference, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nobody"):
        run_bench(_bench(tiny_reference, "random", "nobody"), tmp_path)
    with pytest.raises(ConfigurationError, match="once"):
        run_bench(_bench(tiny_reference, "random", "random"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_results_that_are_damaged(
    tiny_reference: TableReference, in_process: list[Task], tmp_path: Path
) -> None:
    run_bench(_bench(tiny_reference, seeds=1), tmp_path)
    (path,) = (tmp_path / "runs").rglob("0.json")
    whole = json.loads(path.read_text())
    write_report(tmp_path, plots=False)
    query = whole["queries"][0]
    wrong = [
        {"more": 1}, {"queries": []}, {"budget": 0}, {"budget": "8"}, {"budget": 10**13}, {"optimum": None},
        {"queries": [query | {"score": "x"}]}, {"queries": [query | {"score": float("nan")}]}, {"space": 7},
        {"queries": [query | {"test": "x"}]}, {"seed": -1}, {"seed": True},
    ]  # fmt: skip
    wrong.append({"optimum": 10**400})
    for content in ("{", "[" * 100_000, json.dumps([]), "{}", *(json.dumps(whole | each) for each in wrong)):
        path.write_text(content)
        with pytest.raises(DataError, match="Delete it"):
            write_report(tmp_path)
    raw = tmp_path / "raw.csv"
    text = raw.read_text()
    shutil.rmtree(tmp_path / "runs")
    write_report(tmp_path, plots=False)
    for budget in ("0", "10000000000000"):
        raw.write_text(text.replace(",8\n", f",{budget}\n"))
        with pytest.raises(DataError, match="no more than the budget"):
            write_report(tmp_path)


@pytest.mark.parametrize("name", ["..", ".", "가나다라마바사아자차" * 20, "a/b:c"])
def test_any_name_is_a_folder(in_process: list[Task], tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    table, description = tiny.write(tmp_path / "in")
    text = description.read_text()
    description.write_text(text.replace("name: tiny\n", f"name: {json.dumps(name)}\n"))
    (reference,) = find_tables([str(description)], [Path(table)])
    run_bench(_bench(reference, seeds=1), tmp_path / "out")
    assert [row["space"] for row in write_report(tmp_path / "out")] == [name]
    assert len(list((tmp_path / "out" / "runs").glob("*/random/0.json"))) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"bench.json", "runs", "raw.csv", "plots"}
    assert not list((tmp_path / "out").glob("*/0.json"))


def test_names_of_files_differ() -> None:
    long = "가" * 60
    names = ["a", "A", ".a", "%2Ea", long, long + "나", long + "다"]
    assert len({file_name(name) for name in names}) == len(names)
    assert max(len(file_name(name)) for name in names) < 150


def test_the_report_of_a_folder_without_runs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"raw\.csv"):
        write_report(tmp_path)
    (tmp_path / "raw.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="columns"):
        write_report(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(DataError, match="no finished run"):
        write_report(tmp_path)


def test_a_full_disk_is_told_in_one_sentence(
    tiny_reference: TableReference, in_process: list[Task], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_bench(_bench(tiny_reference, seeds=1), tmp_path)
    before = _files(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gcnas.bench.raw.write_atomically", full)
        with pytest.raises(ConfigurationError, match="cannot be written: No space left on device"):
            run_bench(_bench(tiny_reference, seeds=2), tmp_path)
    assert _files(tmp_path) == before
    run_bench(_bench(tiny_reference, seeds=2), tmp_path)
    assert len(_files(tmp_path)) == len(before) + 1


DRIVER = """
import os, time
from dataclasses import dataclass
from gcnas.bench.processes import _results

@dataclass(frozen=True)
class Long:
    name: str = "long"
    def run(self):
        print(os.getpid(), flush=True)
        time.sleep(600)

if __name__ == "__main__":
    list(_results([Long()], 1))
"""


def test_processes_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        worker = int(driver.stdout.readline())
        driver.kill()
        # Closed by the worker's end, a moment before it counts as ended.
        assert driver.stdout.read() == ""
    end = time.monotonic() + 10
    while _is_running(worker) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _is_running(worker)


def _is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # gone, before it was opened or since
        return False


def test_results_without_their_runs_are_not_replaced(
    tiny_reference: TableReference, in_process: list[Task], tmp_path: Path
) -> None:
    run_bench(_bench(tiny_reference), tmp_path / "all")
    write_report(tmp_path / "all", plots=False)
    (tmp_path / "kept").mkdir()
    shutil.copy(tmp_path / "all" / "raw.csv", tmp_path / "kept")
    with pytest.raises(ConfigurationError, match="without the runs behind them"):
        run_bench(_bench(tiny_reference, "reinforce"), tmp_path / "kept")
    assert {row["strategy"] for row in write_report(tmp_path / "kept", plots=False)} == {"random"}
    # As a bench is left whose many files were deleted.
    shutil.rmtree(tmp_path / "all" / "runs")
    with pytest.raises(ConfigurationError, match="without the runs behind them"):
        run_bench(_bench(tiny_reference, "reinforce"), tmp_path / "all")
    assert {row["strategy"] for row in write_report(tmp_path / "all", plots=False)} == {"random"}


def test_a_strategy_whose_file_is_changed_meanwhile_is_not_kept(
    tiny_reference: TableReference, in_process: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(shutil.copy(Path(__file__).parents[2] / "examples" / "my_strategy.py", tmp_path))
    name, out = f"{file}:Climber", tmp_path / "out"
    keep, whole = Task.keep, file.read_text()

    def edit(self: Task, folder: Path, result: Run) -> None:
        keep(self, folder, result)
        file.write_text(f"{whole}\n# another one\n")

    monkeypatch.setattr(Task, "keep", edit)
    with pytest.raises(BenchError, match="was changed while the bench goes on"):
        run_bench(_bench(tiny_reference, name, seeds=3), out)
    assert len(list((out / "runs").rglob("*.json"))) == 1
    monkeypatch.setattr(Task, "keep", keep)
    file.write_text(whole)
    # One that has read another content than is there when it ends.
    search = processes.search_table
    task = Task(tiny_reference, name, 5, 8, 1, processes._digest(name))

    def undone(*given: Any) -> Run:
        file.write_text(f"{whole}\n# another one\n")
        try:
            return search(*given)
        finally:
            file.write_text(whole)

    file.write_text(f"{whole}\n# another one\n")
    monkeypatch.setattr(processes, "search_table", undone)
    with pytest.raises(ConfigurationError, match="was changed while the bench goes on"):
        task.run()
    monkeypatch.setattr(processes, "search_table", search)
    file.write_text(whole)
    run_bench(_bench(tiny_reference, name, seeds=3), out)
    assert len(list((out / "runs").rglob("*.json"))) == 3
