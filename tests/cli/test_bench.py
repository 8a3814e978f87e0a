"""`gcnas bench` on a tiny table, with numbers computed again from its raw results."""

import csv
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import pytest
from tests.cli.conftest import RunGcnas
from tests.tabular import tiny

from gcnas.bench import Bench, processes
from gcnas.bench.processes import Task
from gcnas.cli.app import app
from gcnas.cli.bench import _tell
from gcnas.errors import BenchError, ConfigurationError, DataError

QUERIES, SEEDS = 30, 2


def _command(folder: Path) -> list[str]:
    table, description = tiny.write(folder)
    return [
        "bench", "run", "--table", str(table), "--space", str(description), "--strategy", "random",
        "--strategy", "local_search", "--seeds", str(SEEDS), "--queries", str(QUERIES), "--out", "out", "--jobs", "2",
    ]  # fmt: skip


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    return _command(tmp_path)


@pytest.fixture(scope="module")
def ran(gcnas_command: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str, Path]:
    """A command, what it said, and where it wrote; made once, and copied by the test that changes it."""
    folder = tmp_path_factory.mktemp("bench")
    command = _command(folder)
    called = [str(gcnas_command), *command]
    done = subprocess.run(called, cwd=folder, check=True, capture_output=True, text=True, timeout=300)
    return command, done.stdout, folder / "out"


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_bench_and_its_summary(ran: tuple[list[str], str, Path]) -> None:
    _, said, out = ran
    assert len(re.findall(r"^\[\d/4\] tiny (random|local_search) seed [01]: ", said, re.MULTILINE)) == 4
    known = {row.key: row for row in tiny.networks().values() if row.validation is not None}
    optimum = max(row.validation for row in known.values() if row.validation is not None)
    raw = _read(out / "raw.csv")
    summary = {row["strategy"]: row for row in _read(out / "summary.csv")}
    assert set(summary) == {"random", "local_search"}
    for strategy, row in summary.items():
        found, regrets, tests = [], [], []
        for seed in range(SEEDS):
            queries = [q for q in raw if q["strategy"] == strategy and q["seed"] == str(seed)]
            keys = [q["key"] for q in queries]
            assert len(set(keys)) == len(keys) <= QUERIES
            scores = [known[key].validation for key in keys]
            assert [float(q["score"]) for q in queries] == scores
            best = max(scores)
            found.append(scores.index(optimum) + 1 if best == optimum else float("inf"))
            curve = [optimum - max(scores[: n + 1]) for n in range(len(scores))]
            curve += [curve[-1]] * (QUERIES - len(curve))
            regrets.append(curve)
            tests.append(known[keys[scores.index(best)]].test)
        assert row["seeds"] == str(SEEDS)
        middle = median(found) if median(found) < float("inf") else min(found)
        assert row["median_queries"] == ("" if middle == float("inf") else f"{middle:.6g}")
        assert float(row["auc_regret"]) == pytest.approx(sum(map(sum, regrets)) / SEEDS / QUERIES, abs=1e-4)
        assert float(row["regret_20"]) == pytest.approx(sum(c[19] for c in regrets) / SEEDS, abs=1e-4)
        assert float(row["test_of_best"]) == pytest.approx(sum(tests) / SEEDS, abs=1e-3)
        assert row["solved_50"] == ""
        assert 0 < float(row["overhead_ms"]) < 1_000


@pytest.mark.slow
def test_the_same_command_goes_on(
    ran: tuple[list[str], str, Path], run_gcnas: RunGcnas, tmp_path: Path
) -> None:
    command, _, out = ran
    shutil.copytree(out, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "runs").rglob("*.json")}
    raw = (tmp_path / "out" / "raw.csv").read_text()
    lost = next(path for path in before if path.match("local_search/1.json"))
    lost.unlink()
    done = run_gcnas(*command)
    assert re.findall(r"^\[.*", done.stdout, re.MULTILINE)[0].startswith("[4/4] tiny local_search seed 1")
    for path, time in before.items():
        assert path == lost or path.stat().st_mtime_ns == time
    again = (tmp_path / "out" / "raw.csv").read_text()
    # All but the seconds of the run that was done again is the same.
    assert [line.split(",")[:12] for line in again.splitlines()] == [
        line.split(",")[:12] for line in raw.splitlines()
    ]
    (tmp_path / "out" / "summary.csv").unlink()
    run_gcnas("bench", "report", "out", "--against", "random")
    assert {row["strategy"] for row in _read(tmp_path / "out" / "summary.csv")} == {"random", "local_search"}
    assert (tmp_path / "out" / "plots" / "regret-tiny.png").exists()


@pytest.mark.slow
def test_a_table_and_its_description_are_enough(
    run_gcnas: RunGcnas, command: list[str], tmp_path: Path
) -> None:
    table, space = (command[command.index(option) + 1] for option in ("--table", "--space"))
    run_gcnas(
        "bench", "run", "--table", table, "--space", space, "--seeds", "1", "--queries", "3", "--jobs", "1"
    )
    assert [row["strategy"] for row in _read(tmp_path / "bench-results" / "summary.csv")] == ["gcnas"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--strategy": "nobody"}, ["nobody", "random"]),
        ({"--space": "nb202"}, ["nb202", "nas-bench-macro"]),
        ({"--space": "none.yaml"}, ["none.yaml", "cannot be read"]),
        ({"--table": "none.csv"}, ["none.csv", "does not exist"]),
        ({"--seeds": "0"}, ["--seeds"]),
        ({"--jobs": "0"}, ["--jobs"]),
    ],
)
def test_mistakes_of_users(
    change: dict[str, str], words: list[str], run_gcnas: RunGcnas, command: list[str]
) -> None:
    for option, value in change.items():
        command[command.index(option) + 1] = value
    done = run_gcnas(*command, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert all(word in done.stderr for word in ["error:", *words]), done.stderr


def test_a_built_in_table_needs_its_file(run_gcnas: RunGcnas, tmp_path: Path) -> None:
    built_in = ["bench", "run", "--space", "nb201-cifar10", "--strategy", "random", "--out", "out"]
    done = run_gcnas(*built_in, check=False)
    assert done.returncode == 1
    assert "--data DIR" in done.stderr
    (tmp_path / "nb201.csv.gz").write_text("code,c10_val_e200\n")
    done = run_gcnas(*built_in, "--data", ".", check=False)
    assert done.returncode == 1
    assert "--no-checksum" in done.stderr
    assert "nb201-cifar10: 6 decisions, file nb201.csv.gz" in run_gcnas("bench", "spaces").stdout


@pytest.mark.slow
def test_claims_of_the_paper(run_gcnas: RunGcnas, tmp_path: Path) -> None:
    command = [
        "bench",
        "claims",
        "--experiment",
        "E2",
        "--seeds",
        "2",
        "--queries",
        "9",
        "--out",
        "out",
        "--jobs",
        "2",
    ]
    done = run_gcnas(*command)
    assert len(re.findall(r"^\[\d+/36\] grown", done.stdout, re.MULTILINE)) == 36
    assert "E2: The layer extraction block searches depth (C2)." in done.stdout
    runs = _read(tmp_path / "out" / "runs.csv")
    summary = _read(tmp_path / "out" / "E2.csv")
    assert len(runs) == 36
    row = next(row for row in summary if (row["space"], row["arm"], row["measure"]) == (
        "grown", "reinforce:deepest", "depth_last",
    ))  # fmt: skip
    assert float(row["mean"]) == 12
    again = run_gcnas(*command, "--report")
    assert "[" not in again.stdout.splitlines()[0]
    assert _read(tmp_path / "out" / "E2.csv") == summary
    done = run_gcnas("bench", "claims", "--experiment", "E99", "--out", "out", check=False)
    assert (done.returncode, "E99" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_seeds_and_batches_reach_the_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Bench] = []

    def stop(bench: Bench, *_: object) -> None:
        seen.append(bench)
        raise KeyboardInterrupt

    monkeypatch.setattr("gcnas.bench.run_bench", stop)
    monkeypatch.chdir(tmp_path)
    app([*_command(tmp_path), "--first-seed", "7", "--batch", "3"], standalone_mode=False)
    assert (seen[0].first_seed, seen[0].batch, seen[0].seeds) == (7, 3, SEEDS)


@pytest.fixture
def one_of_them_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run is done, all others fail."""

    def results(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, object]]:
        yield tasks[0], processes._run(tasks[0])
        for task in tasks[1:]:
            yield task, processes.Failed("made up")

    monkeypatch.setattr(processes, "_results", results)


@pytest.mark.usefixtures("one_of_them_works")
def test_what_is_there_is_written_though_runs_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match="3 of 4 runs failed"):
        app(_command(tmp_path), standalone_mode=False)
    assert [row["seeds"] for row in _read(tmp_path / "out" / "summary.csv")] == ["1"]


@pytest.mark.usefixtures("one_of_them_works")
def test_the_claims_that_are_there_are_written_though_runs_failed(tmp_path: Path) -> None:
    command = [
        "bench",
        "claims",
        "--experiment",
        "E2",
        "--seeds",
        "1",
        "--queries",
        "3",
        "--out",
        str(tmp_path / "out"),
    ]
    with pytest.raises(BenchError, match="17 of 18 runs failed"):
        app(command, standalone_mode=False)
    assert len(_read(tmp_path / "out" / "runs.csv")) == 1


def test_the_reason_is_told_where_nothing_can_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def results(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, object]]:
        for task in tasks:
            failed = task.strategy == "local_search"
            yield task, processes.Failed("made up") if failed else processes._run(task)

    monkeypatch.setattr(processes, "_results", results)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match="2 of 4 runs failed"):
        app([*_command(tmp_path), "--against", "local_search"], standalone_mode=False)


def test_a_mistyped_rival_is_told_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="no runs of 'randon', only of random, local_search"):
        app([*_command(tmp_path), "--against", "randon"], standalone_mode=False)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out" / "runs" / "tiny" / "optuna%3Atpe").mkdir(parents=True)
    monkeypatch.setattr(processes, "_results", lambda *_: iter(()))
    with pytest.raises(ConfigurationError, match="no runs of 'randon'"):
        app([*_command(tmp_path), "--against", "randon"], standalone_mode=False)
    with pytest.raises(DataError):  # of that one there are runs, here empty ones
        app([*_command(tmp_path), "--against", "optuna:tpe"], standalone_mode=False)


def test_names_of_others_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _tell(1, 2, "\x1b]0;owned\a\x1b[2Jx")
    said = capsys.readouterr().out
    assert said.startswith("[1/2] ")
    assert not {"\x1b", "\a"} & set(said)
