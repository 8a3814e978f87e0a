import csv
from pathlib import Path
from statistics import fmean

import pytest
from tests.bench.made import make_run

from gcnas.bench import write_report
from gcnas.bench.raw import read_raw, write_raw, write_run
from gcnas.bench.search import Run
from gcnas.errors import ConfigurationError, DataError


def _runs() -> list[Run]:
    """Budget 160: seed 0 finds the optimum at query 40, seed 1 at 120, seed 2 never, seed 3 runs out of ideas."""
    climbing = [5 + number / 100 for number in range(160)]
    optimum, more = 9.0, {"budget": 160, "optimum": 9.0}
    return [
        make_run([*climbing[:39], optimum], tests=[50.0] * 39 + [70.0], **more),
        make_run([*climbing[:119], optimum], seed=1, tests=[50.0] * 119 + [60.0], **more),
        make_run(climbing, seed=2, tests=[100.0 - score for score in climbing], **more),
        make_run([6.0], seed=3, tests=[20.0], **more),
        *(make_run([7.0], strategy="other:x/y", seed=seed, **more) for seed in range(4)),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for run in _runs():
        write_run(tmp_path, run)
    return tmp_path


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_summary_by_hand(folder: Path) -> None:
    write_report(folder, plots=False)
    first, other = _read(folder / "summary.csv")
    assert (first["space"], first["strategy"], first["seeds"], first["queries"]) == ("s", "a", "4", "160")
    # Half of the runs found it: the lower middle value.
    assert float(first["median_queries"]) == 120
    assert float(first["mean_queries"]) == (40 + 120 + 160 + 160) / 4
    assert [float(first[f"solved_{n}"]) for n in (50, 100, 150)] == [0.25, 0.25, 0.5]
    assert float(first["exhausted"]) == 0.25
    # Regret after 50 queries: 0, 9 - 5.49, the same, 3.
    assert float(first["regret_50"]) == pytest.approx((0 + 3.51 + 3.51 + 3) / 4)
    assert float(first["regret_150"]) == pytest.approx((0 + 0 + 9 - 6.49 + 3) / 4)
    assert float(first["test_of_best"]) == pytest.approx((70 + 60 + (100 - 6.59) + 20) / 4)
    assert float(first["overhead_ms"]) == pytest.approx(2.0)
    assert float(first["regret_50_low"]) <= float(first["regret_50"]) <= float(first["regret_50_high"])
    assert other["median_queries"] == other["test_of_best"] == ""
    assert (float(other["solved_150"]), float(other["auc_regret"])) == (0, 2)


def test_cells_beyond_a_short_budget_are_empty(tmp_path: Path) -> None:
    write_run(tmp_path, make_run([1.0] * 10))
    write_report(tmp_path, plots=False)
    (row,) = _read(tmp_path / "summary.csv")
    assert row["solved_50"] == row["regret_20"] == row["regret_150"] == ""
    assert float(row["regret_10"]) == float(row["regret_end"]) == 8


def test_raw_results_are_enough_for_the_same_report(folder: Path, tmp_path: Path) -> None:
    write_report(folder, plots=False)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "raw.csv").write_bytes((folder / "raw.csv").read_bytes())
    write_report(alone, plots=False)
    for name in ("summary.csv", "tests.csv", "curves.csv"):
        assert (alone / name).read_text() == (folder / name).read_text()


def test_raw_results_come_back(tmp_path: Path) -> None:
    runs = _runs()
    assert read_raw(write_raw(tmp_path, runs)) == runs
    rows = _read(tmp_path / "raw.csv")
    assert len(rows) == sum(len(run.queries) for run in runs)
    assert [row["best"] for row in rows[:2]] == ["5.0", "5.01"]
    text = (tmp_path / "raw.csv").read_text().replace(",2,1,", ",3,1,", 1)
    (tmp_path / "raw.csv").write_text(text)
    with pytest.raises(DataError, match="not 1, 2, 3"):
        read_raw(tmp_path / "raw.csv")


def test_curves_hold_the_mean_regret_after_each_query(folder: Path) -> None:
    write_report(folder, plots=False)
    rows = [row for row in _read(folder / "curves.csv") if row["strategy"] == "a"]
    assert [int(row["query"]) for row in rows] == list(range(1, 161))
    assert float(rows[0]["regret"]) == pytest.approx(fmean([4, 4, 4, 3]))
    assert all(float(row["low"]) <= float(row["regret"]) + 1e-6 for row in rows)


def test_tests_and_plots_are_written(folder: Path) -> None:
    write_report(folder)
    rows = _read(folder / "tests.csv")
    assert [(row["metric"], row["strategy"], row["rival"], row["pairs"]) for row in rows] == [
        ("auc_regret", "a", "other:x/y", "4"),
        ("queries", "a", "other:x/y", "4"),
    ]
    assert all(0 < float(row["p"]) <= float(row["p_holm"]) <= 1 for row in rows)
    for name in ("regret-s", "solved-s"):
        assert (folder / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "other:x/y" in (folder / "plots" / f"{name}.svg").read_text()


def test_a_single_strategy_has_no_tests(tmp_path: Path) -> None:
    write_run(tmp_path, make_run([9.0]))
    write_report(tmp_path)
    assert _read(tmp_path / "tests.csv") == []
    assert (tmp_path / "tests.csv").read_text().startswith("metric,space,")


def test_against_a_strategy_without_runs(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="nobody"):
        write_report(folder, "nobody")
