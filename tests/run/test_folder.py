"""The run folder: made, found, held by one process, and its ``best`` replaced as a whole."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gcnas.errors import LimitsTooTightError, RunFolderError
from gcnas.run import folder as folder_module
from gcnas.run.folder import RunFolder, default_path, write_text
from gcnas.run.ledger import Ledger

FILES = ("architecture.json", "metrics.json", "weights.safetensors")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run")
    Ledger(folder.ledger).close()
    return folder


@pytest.fixture
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that cannot exchange two folders in one step."""
    monkeypatch.setattr(folder_module, "_exchange", lambda *_: False)


def fill_with(number: int) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        for name in FILES:
            (folder / name).write_text(f"{number} " * 2_000)

    return fill


def contents(folder: Path) -> set[str]:
    return {(folder / name).read_text().split()[0] for name in FILES}


def names(run: RunFolder) -> set[str]:
    return {item.name for item in run.path.iterdir()}


# --- making and finding


@pytest.mark.parametrize("prepare", [lambda _: None, lambda path: path.mkdir(parents=True)])
def test_create(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    path = tmp_path / "runs" / "digits-1"
    prepare(path)
    assert RunFolder.create(path).logs.is_dir()


@pytest.mark.parametrize("overwrite", [False, True])
def test_create_keeps_other_files(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match=r"already holds other files.*--out"):
        RunFolder.create(tmp_path, overwrite=overwrite)
    with pytest.raises(RunFolderError, match=r"already holds other files.*--out"):
        RunFolder.create(tmp_path / "thesis.tex", overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_create_keeps_a_run_unless_told(run: RunFolder) -> None:
    (run.path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"already holds a run.*gcnas resume.*--overwrite"):
        RunFolder.create(run.path)
    assert (run.path / "notes.txt").exists()
    RunFolder.create(run.path, overwrite=True)
    assert names(run) == {"logs"}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_run_is_back_in_its_place_if_its_successor_cannot_be_made(
    run: RunFolder, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(run)

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises((RunFolderError, KeyboardInterrupt)):
        RunFolder.create(run.path, overwrite=True)
    assert names(run) == before | {".lock"}
    assert [path.name for path in run.path.parent.iterdir()] == [run.path.name]


def test_create_over_a_run_at_work(run: RunFolder) -> None:
    with run.locked(), pytest.raises(RunFolderError, match="Another process"):
        RunFolder.create(run.path, overwrite=True)
    assert run.ledger.is_file()


@pytest.mark.parametrize("overwrite", [False, True])
def test_create_where_a_run_was_stopped_before_it_began(tmp_path: Path, overwrite: bool) -> None:
    """A run that was killed while it read its data can be started again by the same command."""
    first = RunFolder.create(tmp_path / "run")
    with first.locked():
        (first.path / "cache").mkdir()
        write_text(first.config, "data: digits\n")
        (first.path / ".run.db.new").write_bytes(b"")
    RunFolder.create(first.path, overwrite=overwrite)
    (first.path / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="other files"):
        RunFolder.create(first.path, overwrite=overwrite)


def test_create_takes_over_nothing_that_another_run_has_measured(tmp_path: Path) -> None:
    killed = RunFolder.create(tmp_path / "run")
    with killed.locked():
        write_text(killed.config, "data: digits\n")
        known = names(killed)
        old = ("latency.json", "init.safetensors", "init.json", "warm_start.json", ".latency.json.0a1b2c3d")
        for name in old:
            (killed.path / name).write_text("{}")
        with pytest.raises(RunFolderError, match="Another process"):  # it may be alive
            RunFolder.create(killed.path)
        assert names(killed) == known | set(old)
    RunFolder.create(killed.path)
    assert names(killed) == known


def test_a_run_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    write_text(folder.config, "data: digits\n")
    (folder.path / "cache").mkdir()
    with pytest.raises(LimitsTooTightError), folder.begun():
        raise LimitsTooTightError("nothing fits")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kept", ["run.db", "mine.txt"])
def test_a_run_that_is_refused_keeps_what_it_has_not_made_before_its_ledger(tmp_path: Path, kept: str) -> None:
    folder = RunFolder.create(tmp_path / "run")
    (folder.path / kept).mkdir()
    with pytest.raises(LimitsTooTightError), folder.begun():
        raise LimitsTooTightError("nothing fits")
    assert (folder.path / kept).exists()


def test_a_run_that_was_stopped_can_be_called_again(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    write_text(folder.config, "data: digits\n")
    with pytest.raises(KeyboardInterrupt), folder.begun():
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())  # the same command takes the same folder
    killed = RunFolder.create(tmp_path / "run")
    with killed.locked():
        write_text(killed.config, "data: digits\n")
    assert RunFolder.create(killed.path).path.is_dir()


def test_create_does_not_take_a_project_for_such_a_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("something: else")
    (tmp_path / "logs").mkdir()
    with pytest.raises(RunFolderError, match="other files"):
        RunFolder.create(tmp_path)


def test_create_where_nothing_can_be_made() -> None:
    with pytest.raises(RunFolderError, match=r"cannot be made.*--out"):
        RunFolder.create(Path("/proc/run"))


def test_open(run: RunFolder, tmp_path: Path) -> None:
    assert RunFolder.open(run.path).ledger == run.ledger
    with pytest.raises(RunFolderError, match=r"is not a run folder: it has no run\.db"):
        RunFolder.open(tmp_path)


def test_a_run_that_has_evaluated_nothing_yet_is_told_as_such(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    with folder.locked(), pytest.raises(RunFolderError, match=r"still reads the images.*--out .*run"):
        RunFolder.open(folder.path)


def test_default_path_is_free(tmp_path: Path) -> None:
    assert default_path("digits", tmp_path) == tmp_path / "digits-1"
    (tmp_path / "digits-1").mkdir()
    (tmp_path / "digits-2").write_text("")
    assert default_path("digits", tmp_path) == tmp_path / "digits-3"
    assert default_path("/data/My Flowers (2024)/", tmp_path).name == "my-flowers-2024-1"
    assert default_path("<arrays>", tmp_path).name == "arrays-1"
    assert default_path("花", tmp_path).name == "run-1"


# --- one process at a time

HOLD = """
import sys
from pathlib import Path
from gcnas.run.folder import RunFolder
with RunFolder.open(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    run, link = tmp_path / "run", tmp_path / "latest"
    run.mkdir()
    (run / "run.db").write_text("old")
    link.symlink_to(run)
    folder = RunFolder.create(link, overwrite=True)
    (folder.path / "run.db").write_text("new")
    folder.founded()
    assert link.is_symlink()
    assert (link / "run.db").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "run"]


def test_names_that_cannot_be_folders_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("x" * 300, "loop"):
        with pytest.raises(RunFolderError, match="cannot be made"):
            RunFolder.create(tmp_path / name, overwrite=True)


def test_a_run_in_the_current_folder_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.db").write_text("old")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunFolderError, match="is the current folder, so that a run in it cannot be replaced"):
        RunFolder.create(Path(), overwrite=True)
    assert (tmp_path / "run.db").read_text() == "old"


def test_lock_between_processes(run: RunFolder) -> None:
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match="Another process is working on"), run.locked():
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with run.locked():  # the lock of the dead is free
        pass
    with run.locked():
        pass


def test_a_disk_without_locks_is_told_as_such(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunFolderError, match=r"No locks available.*another disk"), run.locked():
        pass


# --- best


@pytest.mark.parametrize("exchange", [True, False])
def test_write_best_replaces_the_whole_folder(
    run: RunFolder, exchange: bool, request: pytest.FixtureRequest
) -> None:
    if not exchange:
        request.getfixturevalue("no_exchange")
    before = names(run)
    run.replace(run.best, fill_with(1))
    (run.best / "left over").touch()
    run.replace(run.best, fill_with(2))
    assert contents(run.best) == {"2"}
    assert {item.name for item in run.best.iterdir()} == set(FILES)
    assert names(run) == before | {"best"}
    assert run.best.stat().st_mode & 0o777 == 0o755


@pytest.mark.slow
def test_reader_never_meets_a_mixture(run: RunFolder) -> None:
    """A reader that holds the folder open reads one version of it, or learns that it is gone."""
    if not folder_module._exchange(run.logs, run.logs):
        pytest.skip("this system cannot exchange two folders in one step")
    run.replace(run.best, fill_with(0))
    problems: list[str] = []
    versions: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if not run.best.is_dir():
                problems.append("best is missing")
            descriptor = os.open(run.best, os.O_RDONLY | os.O_DIRECTORY)
            try:
                found = {_read_in(descriptor, name) for name in FILES}
            except FileNotFoundError:
                continue  # replaced and deleted meanwhile
            finally:
                os.close(descriptor)
            versions.update(found)
            if len(found) != 1:
                problems.append(f"a mixture of {found}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 201):
        run.replace(run.best, fill_with(number))
    done.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert len(versions) > 2


def _read_in(descriptor: int, name: str) -> str:
    with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=descriptor)) as file:
        text = file.read()
    number = text.split()[0]
    assert text == f"{number} " * 2_000
    return number


def test_exchange(tmp_path: Path) -> None:
    left, right = tmp_path / "left", tmp_path / "right"
    left.mkdir()
    (left / "a").touch()
    right.mkdir()
    (right / "b").touch()
    if not folder_module._exchange(left, right):
        pytest.skip("this system cannot exchange two folders in one step")
    assert (left / "b").exists()
    assert (right / "a").exists()
    assert not folder_module._exchange(left, tmp_path / "missing")


DIE = """
import os, sys
from pathlib import Path
from gcnas.run import folder
rename, calls = Path.rename, []
def killed(path, target):
    calls.append(target)
    if len(calls) == int(sys.argv[2]):
        os._exit(9)
    return rename(path, target)
Path.rename = killed
folder._exchange = lambda left, right: False
run = folder.RunFolder.open(Path(sys.argv[1]))
run.replace(run.best, lambda fresh: [(fresh / name).write_text("2 ") for name in sys.argv[3:]])
"""


@pytest.mark.parametrize("step", [1, 2])
def test_kill_between_the_two_renames_is_mended(run: RunFolder, no_exchange: None, step: int) -> None:
    """Without an exchange, the old folder is moved aside first; a kill after that is seen when it is opened."""
    run.replace(run.best, fill_with(1))
    killed = subprocess.run([sys.executable, "-c", DIE, str(run.path), str(step), *FILES])
    assert killed.returncode == 9
    assert run.best.exists() == (step == 1)
    assert contents(RunFolder.open(run.path).best) == {"1"}
    run.replace(run.best, fill_with(3))
    assert contents(run.best) == {"3"}
    assert not (run.path / "best.old").exists()


def test_a_reader_mends_nothing_while_a_process_works(run: RunFolder) -> None:
    """Which may be between its two renames."""
    old = [run.path / "best.old", run.scaled / "phi-1.old"]
    for kept in old:
        kept.mkdir(parents=True)
    with run.locked():
        RunFolder.open(run.path)
        assert all(kept.is_dir() for kept in old)
    RunFolder.open(run.path)
    assert run.best.is_dir()
    assert (run.scaled / "phi-1").is_dir()
    assert not any(kept.exists() for kept in old)


def test_a_reader_that_was_faster_breaks_no_writer(
    run: RunFolder, no_exchange: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was moved aside is back already when the second rename fails."""
    run.replace(run.best, fill_with(1))
    rename = Path.rename

    def late(path: Path, target: Path) -> Path:
        if path.name.startswith(".best."):
            rename(run.path / "best.old", run.best)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(RunFolderError, match="not empty"):
        run.replace(run.best, fill_with(2))
    assert contents(run.best) == {"1"}


def test_failing_second_rename_is_undone(
    run: RunFolder, no_exchange: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.replace(run.best, fill_with(1))
    before, rename = names(run), Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path.name.startswith(".best."):
            raise OSError(errno.EXDEV, "no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(RunFolderError, match="The old one is kept"):
        run.replace(run.best, fill_with(2))
    assert contents(run.best) == {"1"}
    assert names(run) == before


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), RunFolderError),
        (ValueError("no such tensor"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_failing_fill_keeps_the_old_one(
    run: RunFolder, raised: BaseException, seen: type[BaseException]
) -> None:
    def fail(folder: Path) -> None:
        fill_with(2)(folder)
        raise raised

    for before in (None, {"1"}):
        known = names(run)
        with pytest.raises(seen):
            run.replace(run.best, fail)
        assert names(run) == known
        assert (contents(run.best) if run.best.exists() else None) == before
        run.replace(run.best, fill_with(1))


# --- files


def test_write_text(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    assert write_text(path, "ä\n") == path
    write_text(path, os.fsdecode(b"caf\xe9\n"))
    assert path.read_bytes() == b"caf?\n"
    with pytest.raises(RunFolderError, match=r"cannot be written \(No such file"):
        write_text(tmp_path / "missing" / "a.txt", "")


def test_the_old_run_is_back_if_the_new_one_is_refused(run: RunFolder) -> None:
    (run.path / "notes.txt").write_text("mine")
    before = names(run)
    folder = RunFolder.create(run.path, overwrite=True)
    (folder.path / "cache").mkdir()
    with pytest.raises(LimitsTooTightError), folder.begun():
        raise LimitsTooTightError("nothing fits")
    assert names(run) - {".lock"} == before
    assert [path.name for path in run.path.parent.iterdir()] == [run.path.name]


def test_the_new_run_goes_with_its_ledger_if_it_is_refused_before_it_is_founded(run: RunFolder) -> None:
    before, told = names(run), list[str]()
    folder = RunFolder.create(run.path, overwrite=True)
    folder.ledger.write_text("new")
    with pytest.raises(KeyboardInterrupt), folder.begun(told.append):
        raise KeyboardInterrupt
    assert names(run) - {".lock"} == before
    assert run.ledger.read_bytes() != b"new"
    assert len(told) == 1
    assert "is back in its place" in told[0]


def test_half_of_a_run_is_not_put_back(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    folder = RunFolder.create(run.path, overwrite=True)
    folder.ledger.write_text("new")
    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt), folder.begun():
        folder.founded()
    assert folder.ledger.read_text() == "new"


def test_the_old_run_goes_once_the_new_one_is_founded(run: RunFolder) -> None:
    folder = RunFolder.create(run.path, overwrite=True)
    folder.ledger.write_text("new")
    folder.founded()
    assert [path.name for path in run.path.parent.iterdir()] == [run.path.name]
    with pytest.raises(LimitsTooTightError), folder.begun():
        raise LimitsTooTightError("later")
    assert folder.ledger.read_text() == "new"
