"""Every command, from the wheel, on real files: what it writes, what it says, how it ends."""

import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import RunGcnas
from typer.main import get_command

from gcnas.cli.app import app
from gcnas.run.folder import RunFolder
from gcnas.run.ledger import LedgerReader

SMALL = ("--budget", "4", "--epochs", "1", "--final-epochs", "1", "--threads", "1")


def _draw_images(folder: Path, count: int = 24) -> Path:
    """Two classes that anybody can tell apart: bright above, bright below."""
    generator = np.random.default_rng(0)
    for name in ("above", "below"):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 90, (12, 12), dtype=np.uint8)
            rows = slice(0, 6) if name == "above" else slice(6, 12)
            pixels[rows] += 150
            Image.fromarray(pixels).save(folder / name / f"{index}.PNG")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _draw_images(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="session")
def finished(gcnas_command: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the image folder, made once and copied by the tests that change it."""
    run = tmp_path_factory.mktemp("runs") / "photos"
    command = [gcnas_command, "search", photos, *SMALL, "--max-params", "60k", "--out", run]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=300)
    return run


@pytest.fixture
def run_copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def _rows(run: Path) -> list[dict[str, str]]:
    with (run / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_search_leaves_a_working_network(finished: Path, photos: Path) -> None:
    metrics = json.loads((finished / "best/metrics.json").read_text())
    assert metrics["state"] == "final"
    assert 0 <= metrics["test_accuracy"] <= 1
    assert 0 <= metrics["validation_accuracy"] <= 1
    assert metrics["parameters"] <= 60_000
    assert sum(map(sum, metrics["test_confusion"])) == metrics["test_images"]
    assert (finished / "report.html").stat().st_size > 10_000
    rows = _rows(finished)
    assert [row["trial"] for row in rows] == ["1", "2", "3", "4"]
    wanted = "trial fingerprint source depth parameters multiply_adds epochs score state error seconds"
    assert set(wanted.split()) <= set(rows[0])


def test_model_file_needs_only_torch(finished: Path, run_gcnas: RunGcnas, photos: Path, tmp_path: Path) -> None:
    image = photos / "above" / "0.PNG"
    run_gcnas("predict", finished, image, "--csv", tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    code = (
        "import sys, json, torch, numpy, pathlib\n"
        "from PIL import Image\n"
        "sys.modules['gcnas'] = None\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import model\n"
        "pixels = numpy.asarray(Image.open(sys.argv[2]).convert('L'), dtype='float32') / 255\n"
        "logits = model.load()(torch.from_numpy(pixels)[None, None])\n"
        "print(json.dumps([model.CLASSES, logits.softmax(1)[0].tolist()]))\n"
    )
    command = [sys.executable, "-c", code, str(finished / "best"), str(image)]
    classes, probabilities = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert classes == ["above", "below"]
    assert [float(row[name]) for name in classes] == pytest.approx(probabilities, abs=1e-5)


def test_plain_lines_in_a_pipe(run_gcnas: RunGcnas, tmp_path: Path) -> None:
    done = run_gcnas("search", "digits", *SMALL, "--resolution", "8", timeout=240)
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("run folder: runs/digits-1\n")
    assert "trial 4/4" in done.stdout
    assert "test accuracy" in done.stdout
    assert (tmp_path / "runs/digits-1/best/model.py").is_file()


def test_status_and_report(run_copy: Path, run_gcnas: RunGcnas) -> None:
    status = run_gcnas("status", run_copy).stdout
    assert "4 complete, 0 failed, 0 pending" in status
    assert max(map(len, status.splitlines())) <= 80
    (run_copy / "report.html").unlink()
    (run_copy / "trials.csv").unlink()
    run_gcnas("report", run_copy, "--against", run_copy)
    assert "The other run is" in (run_copy / "report.html").read_text()
    assert len(_rows(run_copy)) == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "command",
    ["status", *(pytest.param(each, marks=pytest.mark.slow) for each in ("why", "front")), "predict"],
)
def test_a_full_disk_behind_the_output_is_told(
    finished: Path, gcnas_command: Path, photos: Path, command: str
) -> None:
    files = [next(path for path in photos.rglob("*.*") if path.is_file())] if command == "predict" else []
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [gcnas_command, command, finished, *files],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert (
        done.stderr
        == "error: The output cannot be written: No space left on device. Make room and try again.\n"
    )


def test_without_an_output_commands_do_their_work(finished: Path, gcnas_command: Path, tmp_path: Path) -> None:
    """Standard output may be closed, as some wrappers leave it."""
    for arguments, code, words in (
        (["status", finished], 0, ""),
        (["status", tmp_path], 1, "is not a run folder"),
    ):
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", gcnas_command, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == code
        assert words in done.stderr
        assert "Traceback" not in done.stderr


FAILING = """
import sys
from gcnas.cli import app
from gcnas.errors import SearchFailedError

def failing():
    sys.stdout.write("printed before")
    raise SearchFailedError("the real reason")

app.app = failing
app.main()
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_error_is_told_whatever_is_behind_the_output() -> None:
    for behind in ("> /dev/full", "| true"):
        command = f'"{sys.executable}" -c "$0" {behind}; exit "${{PIPESTATUS[0]}}"'
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            ["bash", "-c", command, FAILING], stderr=subprocess.PIPE, text=True, check=False, env=buffered
        )
        assert (done.returncode, done.stderr) == (3, "error: the real reason\n")


def test_status_says_what_is_odd_about_the_data(run_gcnas: RunGcnas, photos: Path, tmp_path: Path) -> None:
    odd = shutil.copytree(photos, tmp_path / "odd")
    (odd / "above" / "IMG.heic").write_bytes(b"x")
    run_gcnas(
        "search",
        odd,
        *("--budget", "1", "--epochs", "1", "--final-epochs", "1", "--threads", "1", "--no-report"),
        *("--out", "run"),
        cwd=tmp_path,
    )
    text = " ".join(run_gcnas("status", "run", cwd=tmp_path).stdout.split())
    assert "data 1 file is left out by its name: 1 .heic" in text


def test_why(finished: Path, run_gcnas: RunGcnas) -> None:
    said = run_gcnas("why", finished).stdout
    assert "Too few evaluations of equal training to tell: 4" in said
    assert "The policy of 'gcnas' has not learnt from any network yet." in said
    assert "as it is" in said
    assert max(map(len, said.splitlines())) <= 80
    refused = run_gcnas("why", finished, "--trial", "9", check=False)
    assert refused.returncode == 1
    assert "no complete trial 9" in refused.stderr


@pytest.mark.slow
def test_scale(run_copy: Path, run_gcnas: RunGcnas) -> None:
    growth = ("--alpha", "1.2", "--beta", "1.1", "--gamma", "1.15", "--epochs", "1", "--threads", "1")
    done = run_gcnas("scale", run_copy, "--phi", "1", *growth)
    assert "14x14" in done.stdout
    assert "phi 1: 14x14 pixels" in done.stderr
    assert (run_copy / "scaled" / "phi-1" / "model.py").is_file()
    assert "phi 1 is there already" in run_gcnas("scale", run_copy, "--phi", "1", *growth).stderr
    nothing = run_gcnas("scale", run_copy, "--phi", "2", *growth, "--max-params", "10", check=False)
    assert nothing.returncode == 3
    assert "No size that was asked for was trained (phi 2: beyond the limit on parameters" in nothing.stderr
    assert "networks:" not in nothing.stdout
    image = run_copy / "image.png"
    Image.fromarray(np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)).save(image)
    own, grown = (run_gcnas("predict", run_copy, image, *phi).stdout for phi in ((), ("--phi", "1")))
    assert own != grown
    refused = run_gcnas("scale", run_copy, "--phi", "many", *growth, check=False)
    assert refused.returncode == 1
    assert "1..3" in refused.stderr
    assert f"report:   {run_copy / 'report.html'}" in done.stdout
    (run_copy / "report.html").unlink()
    config = (run_copy / "config.yaml").read_text()
    (run_copy / "config.yaml").write_text(config.replace("report: true", "report: false"))
    assert "report:" not in run_gcnas("scale", run_copy, "--phi", "1", *growth).stdout
    delivered = run_gcnas("finalize", run_copy, "--phi", "1", "--final-epochs", "1", "--threads", "1")
    assert "test accuracy" in delivered.stdout
    assert not (run_copy / "report.html").exists()
    both = run_gcnas("finalize", run_copy, "--phi", "1", "--trial", "1", check=False)
    assert both.returncode == 1
    assert "Traceback" not in both.stderr


def test_predict_passes_over_broken_files(
    finished: Path, photos: Path, run_gcnas: RunGcnas, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    shutil.copytree(photos / "above", folder)
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "phone.HEIC").write_bytes(b"an image that is not decoded")
    done = run_gcnas("predict", finished, folder)
    assert "passed over: 1 file is left out by its name: 1 .heic." in done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 24
    assert {line.split("\t")[1] for line in lines} <= {"above", "below"}
    assert "broken.png" in done.stderr
    failed = run_gcnas("predict", finished, folder / "broken.png", check=False)
    assert failed.returncode == 1
    assert "None of the 1 files" in failed.stderr


def test_predict_prints_names_that_are_not_utf_8(finished: Path, photos: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.png"
    shutil.copy(photos / "above" / "0.PNG", os.fsdecode(name))
    command = [sys.executable, "-m", "gcnas", "predict", str(finished), os.fsdecode(name)]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    for options in ([], ["--csv", "-"]):
        done = subprocess.run([*command, *options], capture_output=True, env=strict)
        assert done.returncode == 0, done.stderr
        assert name in done.stdout


def test_an_encoding_that_lacks_letters_ends_nothing(finished: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "gcnas", "front", str(finished)]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"--max-params ? the run's choice" in b" ".join(done.stdout.split())


def test_predict_finds_all_files_first(
    finished: Path, photos: Path, run_gcnas: RunGcnas, tmp_path: Path
) -> None:
    image = photos / "above" / "0.PNG"
    done = run_gcnas("predict", finished, image, "none.png", "--csv", "p.csv", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "There is no file none.png" in done.stderr
    assert not (tmp_path / "p.csv").exists()
    (row,) = csv.DictReader(run_gcnas("predict", finished, image, "--csv", "-").stdout.splitlines())
    assert row["path"] == str(image)
    assert float(row["above"]) + float(row["below"]) == pytest.approx(1, abs=1e-5)
    done = run_gcnas("predict", finished, image, "--csv", "no/p.csv", check=False)
    assert "no/p.csv cannot be written: No such file or directory." in done.stderr


@pytest.mark.slow
def test_export_both_formats(finished: Path, run_gcnas: RunGcnas, tmp_path: Path) -> None:
    run_gcnas("export", finished, "--format", "torch", "--out", "net.pt2")
    run_gcnas("export", finished, "--format", "python", "--out", "net")
    assert sorted(p.name for p in (tmp_path / "net").iterdir()) == [
        "metrics.json",
        "model.py",
        "preprocessing.json",
        "weights.safetensors",
    ]
    code = (
        "import sys, torch\n"
        "sys.modules['gcnas'] = None\n"
        "sys.path.insert(0, 'net')\n"
        "import model\n"
        "images = torch.rand(5, 1, 12, 12)\n"
        "program = torch.export.load('net.pt2').module()\n"
        "assert (program(images) - model.load()(images)).abs().max() < 1e-5\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


@pytest.mark.slow
def test_finalize_another_trial(run_copy: Path, photos: Path, run_gcnas: RunGcnas) -> None:
    run_gcnas("finalize", run_copy, "--trial", "3", "--final-epochs", "2", timeout=240)
    metrics = json.loads((run_copy / "best/metrics.json").read_text())
    assert metrics["trial"] == 3
    assert metrics["epochs"] == 2
    with LedgerReader(run_copy / "run.db") as ledger:
        openings = [event.detail for event in ledger.events() if event.kind == "test-opened"]
    assert openings[-1] == "final test of trial 3"
    missing = run_gcnas("finalize", run_copy, "--trial", "99", check=False)
    assert missing.returncode == 1
    assert "no complete trial 99" in missing.stderr


def test_front_and_finalize_within_a_limit(run_copy: Path, run_gcnas: RunGcnas, tmp_path: Path) -> None:
    table = run_gcnas("front", run_copy, "--against", "size", "--csv", "front.csv").stdout
    assert "kB" in table
    assert max(map(len, table.splitlines())) <= 80
    dearest = run_gcnas("front", run_copy, "--against", "activations").stdout
    assert max(map(len, dearest.splitlines())) <= 80
    assert "activations" in dearest.splitlines()[0]
    with (tmp_path / "front.csv").open(newline="") as file:
        least = next(csv.DictReader(file))
    alone = run_gcnas("front", run_copy, "--against", "size", "--csv", "-").stdout
    assert alone == (tmp_path / "front.csv").read_text()
    config = (run_copy / "config.yaml").read_text()
    run_gcnas("finalize", run_copy, "--max-size", least["size"], timeout=240)
    metrics = json.loads((run_copy / "best/metrics.json").read_text())
    assert metrics["parameters"] == int(least["parameters"])
    assert (run_copy / "best/weights.safetensors").stat().st_size == int(least["size"])
    assert (run_copy / "config.yaml").read_text() == config
    none = run_gcnas("finalize", run_copy, "--max-params", "10", check=False)
    assert none.returncode == 3
    assert "is within --max-params 10 (the least is" in none.stderr
    assert run_gcnas("front", run_copy, "--against", "flops", check=False).returncode == 2
    unknown = run_gcnas("front", run_copy, "--against", "latency", check=False)
    assert unknown.returncode == 1
    assert "has no latency model" in unknown.stderr
    assert " Validation accuracy after" in " " + " ".join(table.split())
    (run_copy / "config.yaml").write_text(config.replace("reward: accuracy", "reward: balanced-accuracy"))
    assert "Balanced validation accuracy after" in " ".join(run_gcnas("front", run_copy).stdout.split())


def test_finalize_with_a_teacher_and_trained_weights(run_copy: Path, run_gcnas: RunGcnas) -> None:
    options = ("--distill", "trial=1", "--temperature", "2", "--distill-weight", "0.5", "--freeze", "1")
    done = run_gcnas(
        "finalize", run_copy, "--final-epochs", "2", "--init-from", run_copy, *options, timeout=240
    )
    assert "Teacher: trial 1; temperature 2, weight 0.5" in done.stdout
    assert "inherited: stem" in done.stdout
    metrics = json.loads((run_copy / "best/metrics.json").read_text())
    assert metrics["distillation"]["teacher"] == "trial 1"
    wrong = run_gcnas("finalize", run_copy, "--distill", "nobody", check=False)
    assert wrong.returncode == 1
    assert "A teacher is 'larger'" in wrong.stderr


@pytest.mark.slow
def test_transfer_to_other_images(run_copy: Path, run_gcnas: RunGcnas, tmp_path: Path) -> None:
    options = ("--epochs", "1", "--final-epochs", "2", "--freeze", "1")
    done = run_gcnas("transfer", run_copy, "digits", "--out", "moved", *options, timeout=240)
    assert "fresh: head" in done.stdout
    assert json.loads((tmp_path / "moved/best/metrics.json").read_text())["inheritance"]["frozen_epochs"] == 1


def test_resume_raises_the_budget(run_copy: Path, run_gcnas: RunGcnas) -> None:
    before = _rows(run_copy)
    done = run_gcnas("resume", run_copy, "--budget", "6", timeout=240)
    assert "4 trials done already" in done.stdout
    rows = _rows(run_copy)
    assert len(rows) == 6
    assert rows[:4] == before
    again = run_gcnas("resume", run_copy, timeout=240)
    assert "final training" not in again.stdout


def test_resume_refuses_other_data(run_copy: Path, run_gcnas: RunGcnas, tmp_path: Path) -> None:
    other = _draw_images(tmp_path / "photos", count=20)
    done = run_gcnas("resume", run_copy, "--data", other, "--budget", "6", check=False)
    assert done.returncode == 1
    assert "has changed since the run began" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_sample_from_a_policy(run_gcnas: RunGcnas, finished: Path, tmp_path: Path) -> None:
    run_gcnas(
        "search",
        "digits",
        *SMALL,
        "--no-onnx",
        "--no-report",
        "--strategy",
        "reinforce",
        "--out",
        "policy",
        timeout=240,
    )
    done = run_gcnas("sample", "policy", "-n", "3")
    assert done.stdout.count("layers, ") == 3
    assert "10^-" in done.stdout
    assert "has learnt nothing yet" in done.stdout
    assert run_gcnas("sample", "policy", "-n", "3").stdout == done.stdout
    explained = run_gcnas("explain", "policy", "--trial", "1").stdout
    layers = 6  # trial 1 is the ResNet-9
    assert explained.count("composition graph") == layers
    assert "has learnt nothing yet" in explained
    assert f"{layers + 1}. STOP" in explained
    assert run_gcnas("explain", "policy", "--trial", "1", "--html", "one.html").stdout == "one.html\n"
    assert (tmp_path / "one.html").read_text(encoding="utf-8").count("<h3>Composition graph</h3>") == layers + 1
    refused = run_gcnas("explain", "policy", "--html", "nowhere/one.html", check=False)
    assert refused.returncode == 1
    assert "nowhere/one.html cannot be written" in refused.stderr.replace("\n", " ")
    least = ("--budget", "1", "--no-references", "--no-onnx", "--no-report")
    run_gcnas("search", "digits", *SMALL, *least, "--strategy", "random", "--out", "chance", timeout=240)
    refused = run_gcnas("sample", "chance", check=False)
    assert refused.returncode == 1
    assert "has no policy" in refused.stderr
    for strategy in ("reinforce-rnn", "gcnas"):
        untrained = run_gcnas("sample", finished, "--untrained", strategy, "-n", "2").stdout
        assert untrained.count("layers, ") == 2


def test_clean_frees_what_a_search_left_that_never_began(run_gcnas: RunGcnas, tmp_path: Path) -> None:
    """It was killed while it decoded its images."""
    for name in ("some", "all"):
        folder = RunFolder.create(tmp_path / name)
        with folder.locked():
            (folder.path / "cache").mkdir()
            (folder.path / "cache" / "images.npy").write_bytes(b"x" * 2_000_000)
    assert run_gcnas("clean", tmp_path / "some").stdout.startswith("freed 2.0 MB")
    assert run_gcnas("clean", tmp_path / "all", "--all", "--yes").returncode == 0
    assert not (tmp_path / "all").exists()
    (tmp_path / "mine").mkdir()
    refused = run_gcnas("clean", tmp_path / "mine", "--all", check=False)
    assert refused.returncode == 1
    assert "not a run folder" in refused.stderr


def test_names_of_files_cannot_drive_the_terminal(photos: Path, run_gcnas: RunGcnas, tmp_path: Path) -> None:
    """What clears a screen, sets a title or writes into the clipboard is spelt out."""
    folder = Path(shutil.copytree(photos, tmp_path / "mine"))
    hostile = (folder / "above").rename(folder / "x\x1b[2J\x9b1m")
    (hostile / "bad\x1b]0;t\x07.jpg").write_bytes(b"\xff\xd8 cut short")
    done = run_gcnas("data", "check", folder)
    said = done.stdout + done.stderr
    assert "x\\x1b[2J\\x9b1m" in said
    assert "bad\\x1b]0;t\\x07.jpg" in said
    assert not [sign for sign in said if (ord(sign) < 32 and sign not in "\n\t") or 127 <= ord(sign) < 160]


def test_data_check(photos: Path, run_gcnas: RunGcnas, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(photos, tmp_path / "mine"))
    (folder / "above" / "bad.jpg").write_bytes(b"\xff\xd8 cut short")
    shutil.copy(folder / "above" / "1.PNG", folder / "above" / "again.png")
    done = run_gcnas("data", "check", folder)
    assert "bad.jpg" in done.stdout
    assert "above" in done.stdout
    assert f"gcnas search {folder} --budget 10m" in done.stdout
    done = run_gcnas(
        "data", "check", folder, "--resolution", "16", "--channels", "grey", "--test-fraction", "0"
    )
    assert "16x16 grey" in done.stdout
    assert (
        f"gcnas search {folder} --resolution 16 --channels grey --test-fraction 0.0 --budget 10m" in done.stdout
    )
    for number in range(24):
        (folder / "below" / f"bad{number}.jpg").write_bytes(b"\xff\xd8 cut short")
    found = run_gcnas("data", "check", folder).stdout
    lines = [line for line in found.splitlines() if line.startswith("broken ")]
    assert len(lines) == 25
    assert all(line.count(".jpg: ") == 1 for line in lines)
    refused = run_gcnas("data", "check", folder, "--channels", "blue", check=False)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr


def test_damaged_ledger_gives_what_it_still_holds(run_copy: Path, photos: Path, run_gcnas: RunGcnas) -> None:
    before = _rows(run_copy)
    with closing(sqlite3.connect(run_copy / "run.db", isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER finished_is_final")
        connection.execute("UPDATE trials SET architecture = '{' WHERE trial = 2")
    for command in ("status", "resume", "finalize", "front", "why", "explain"):
        refused = run_gcnas(command, run_copy, check=False)
        assert refused.returncode == 1, command
        assert "is damaged" in refused.stderr, command
        assert f"gcnas report {run_copy}" in refused.stderr, command
    done = run_gcnas("report", run_copy, check=False)
    assert done.returncode == 1
    assert "3 trials can still be read" in done.stderr
    with (run_copy / "trials-rescued.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == before[:1] + before[2:]
    assert _rows(run_copy) == before
    image = photos / "above" / "0.PNG"
    assert run_gcnas("predict", run_copy, image).stdout.startswith(str(image))
    run_gcnas("export", run_copy, "--format", "python", "--out", run_copy / "form")
    assert (run_copy / "form").is_dir()


def test_damaged_configuration_is_told(run_copy: Path, run_gcnas: RunGcnas) -> None:
    for content in (b"data: [", b"\xff\xfe", b"", b"data: digits\nbudget: 4\nwarp: 9"):
        (run_copy / "config.yaml").write_bytes(content)
        refused = run_gcnas("resume", run_copy, check=False)
        assert refused.returncode == 1
        assert "config.yaml is damaged, or of a newer version" in refused.stderr
        assert "Mend it by hand" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert "complete" in run_gcnas("status", run_copy).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search", "nowhere"], "there is no nowhere"),
        (["search", "digits", "--budget", "10x"], "A budget is"),
        (["status", "."], "is not a run folder"),
    ],
)
def test_simple_mistakes_are_told_before_the_slow_imports(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    code = "import sys; sys.modules['torch'] = sys.modules['scipy'] = None; from gcnas.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert words in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_clean(run_copy: Path, run_gcnas: RunGcnas) -> None:
    (run_copy / "cache").mkdir(exist_ok=True)
    (run_copy / "cache" / "x.npy").write_bytes(bytes(2_000_000))
    assert "freed 2.0 MB" in run_gcnas("clean", run_copy).stdout
    assert not (run_copy / "cache").exists()
    assert (run_copy / "best" / "model.py").is_file()
    asked = run_gcnas("clean", run_copy, "--all", check=False)  # nobody answers
    assert (asked.returncode, run_copy.exists()) == (1, True)
    run_gcnas("clean", run_copy, "--all", "--yes")
    assert not run_copy.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["search", "nowhere"], 1, "nowhere"),
        (["search", "empty"], 1, "empty"),
        (["search", "digits", "--budget", "10x"], 1, "A budget is"),
        (["search", "digits", "--max-params", "-5"], 1, "A limit is"),
        (["search", "digits", "--strategy", "magic"], 1, "magic"),
        (["search", "digits", "--space", "none.py:SPACE"], 1, "none.py"),
        (["search", "digits", "--device", "cuda:7", "--budget", "2"], 1, "cuda:7"),
        (
            ["search", "digits", "--max-params", "200", "--strategy", "random", "--budget", "2"],
            3,
            "parameters",
        ),
        (["search", "digits", "--out", "empty/..", "--budget", "2"], 1, "already holds"),
        (["search", "x" * 300], 1, "x" * 60),
        (["status", "x" * 300], 1, "x" * 60),
        (["search", "digits", "--init-from", "x" * 300], 1, "x" * 60),
        (["search", "digits", "--warm-start", "x" * 300], 1, "x" * 60),
        (["search", "digits", "--space", "x" * 300 + ".py:SPACE"], 1, "x" * 60),
        (["search", "digits", "--config", "code.yaml"], 1, "executed only if you name it again"),
        (["sample", "empty", "--seed", "99999999999999999999"], 2, "--seed"),
        (["status", "empty"], 1, "not a run folder"),
        (["resume", "empty"], 1, "not a run folder"),
        (["predict", "empty", "x.png"], 1, "not a run folder"),
        (["clean", "empty"], 1, "not a run folder"),
        (["search"], 2, "DATA"),
        (["serch"], 2, "serch"),
    ],
)
def test_mistakes_end_in_one_sentence(
    run_gcnas: RunGcnas, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "evil.py").write_text("open('executed', 'w')")
    (tmp_path / "code.yaml").write_text("space: evil.py:SPACE")
    done = run_gcnas(*arguments, check=False)
    assert done.returncode == code
    assert not (tmp_path / "executed").exists()
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.startswith("error: ")
        assert "\n\n" not in done.stderr.strip()


@contextmanager
def _started(gcnas: Path, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A search of digits, which ends with the block at the latest."""
    command = [str(gcnas), "search", "digits", *arguments, "--out", str(folder), "--threads", "1"]
    environment = os.environ | {"COLUMNS": "80"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for_trials(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (folder / "run.db").is_file():
            with LedgerReader(folder / "run.db") as ledger:
                if sum(trial.complete for trial in ledger.trials()) >= count:
                    return
        time.sleep(0.1)
    pytest.fail(f"no {count} trials after two minutes")


@pytest.mark.slow
def test_one_interrupt_delivers(gcnas_command: Path, tmp_path: Path) -> None:
    options = ("--budget", "500", "--epochs", "1", "--final-epochs", "1", "--no-onnx", "--no-report")
    with _started(gcnas_command, tmp_path / "run", *options) as process:
        _wait_for_trials(tmp_path / "run", 2)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Stopping" in output
    metrics = json.loads((tmp_path / "run/best/metrics.json").read_text())
    assert metrics["test_accuracy"] is not None


def test_two_interrupts_stop_and_resume_goes_on(
    gcnas_command: Path, run_gcnas: RunGcnas, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    options = ("--budget", "500", "--epochs", "8", "--final-epochs", "1", "--no-onnx")
    with _started(gcnas_command, run, *options) as process:
        _wait_for_trials(run, 1)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert any("Stopping" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "gcnas resume" in errors
    assert "Traceback" not in errors
    assert (run / "best/model.py").is_file()
    assert (run / "report.html").is_file()
    done = len([row for row in _rows(run) if row["state"] == "complete"])
    run_gcnas("resume", run, "--budget", str(done + 1), timeout=240)
    assert len(_rows(run)) == done + 1


def test_second_driver_is_refused(gcnas_command: Path, run_gcnas: RunGcnas, tmp_path: Path) -> None:
    with _started(gcnas_command, tmp_path / "run", "--budget", "500", "--epochs", "1"):
        _wait_for_trials(tmp_path / "run", 1)
        second = run_gcnas("resume", tmp_path / "run", check=False)
        assert second.returncode == 1
        assert "Another process" in second.stderr
        assert "complete" in run_gcnas("status", tmp_path / "run").stdout


def test_help_names_every_command(run_gcnas: RunGcnas) -> None:
    text = run_gcnas("--help").stdout
    names = list(get_command(app).commands)  # type: ignore[attr-defined]
    assert {"search", "data", "bench"} <= set(names)
    for command in names:
        assert re.search(rf"^\W*{command} ", text, re.MULTILINE), command
        assert run_gcnas(command, "--help").stdout
    assert "130" in text
    assert run_gcnas("--version").stdout.startswith("gcnas 0.")
