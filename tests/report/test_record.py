import json
from pathlib import Path

import pytest
from tests.report.conftest import MakeRun

from gcnas.errors import RunFolderError
from gcnas.report import reasons, summarize, write_report
from gcnas.report.record import read_run


def test_whole_folder(make_run: MakeRun) -> None:
    folder = read_run(make_run())
    assert folder.name == "run"
    assert folder.missing == ()
    assert folder.reward == "validation accuracy"
    assert folder.delivered is not None
    assert folder.delivered.final
    assert folder.architecture is not None
    assert folder.architecture.fingerprint == folder.delivered.fingerprint


def test_missing_parts_are_named(make_run: MakeRun) -> None:
    run = make_run(best=False)
    (run / "config.yaml").unlink()
    assert read_run(run).missing == (
        "config.yaml is missing.",
        "best/metrics.json is missing.",
        "best/architecture.json is missing.",
    )


def test_files_of_the_network_are_listed_with_their_sizes(make_run: MakeRun) -> None:
    run = make_run()
    (run / "best/model.onnx").write_bytes(bytes(12_345))
    assert dict(read_run(run).forms)["model.onnx"] == 12_345
    assert "model.onnx 12 kB" in write_report(run).read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"3"])
def test_damaged_parts_are_named(make_run: MakeRun, content: bytes) -> None:
    run = make_run()
    for name in ("config.yaml", "best/metrics.json", "best/architecture.json"):
        (run / name).write_bytes(content)
    folder = read_run(run)
    assert len(folder.missing) == 3
    assert (folder.delivered, folder.architecture, folder.config) == (None, None, {})


def test_facts_of_another_kind_are_none(make_run: MakeRun) -> None:
    data: dict[str, object] = {"name": "pets", "fingerprint": "0", "classes": ["a", "b", "c"], "notices": 5}
    data["counts"] = {"train": 600, "validation": 150, "test": 200}
    image = {"channels": 1, "height": 28, "width": 28, "classes": 3, "depth": 2}
    run = make_run(meta={"data": data, "image": image})
    assert summarize(run).data_notices == ()
    with pytest.raises(RunFolderError, match="does not say which images"):
        reasons(run)


@pytest.mark.parametrize(
    "names", [("epochs", "seconds", "test_accuracy", "multiply_adds", "parameters"), ("trial",)]
)
def test_huge_numbers_are_no_figures(make_run: MakeRun, names: tuple[str, ...]) -> None:
    run = make_run()
    path = run / "best/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | dict.fromkeys(names, 10**400)))
    assert read_run(run).delivered is not None
    summarize(run)
    write_report(run)


@pytest.mark.parametrize(
    "matrix", [None, [], [[1, 2], [3]], [[1, -2], [3, 4]], [[0, 0], [0, 0]], [["a"]], "ab", [1, 2], [[True]]]
)
def test_unusable_values_are_none(make_run: MakeRun, matrix: object) -> None:
    run = make_run()
    path = run / "best/metrics.json"
    broken = {
        "test_accuracy": float("nan"),
        "test_confusion": matrix,
        "trial": "7",
        "epochs": True,
        "classes": 3,
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | broken))
    delivered = read_run(run).delivered
    assert delivered is not None
    assert (delivered.test_accuracy, delivered.confusion, delivered.trial) == (None, None, None)
    assert (delivered.epochs, delivered.classes) == (None, ())


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        read_run(tmp_path)
