"""The run folder: where everything of a run lies, written so that no kill leaves a file half done."""

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gcnas.errors import GCNASError, RunFolderError
from gcnas.files import beside, write_atomically

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2

_BEFORE_LEDGER = re.compile(
    r"\.lock|logs|cache|(config\.yaml|latency\.json|warm_start\.json|init\..*)|\.run\.db\.new.*"
    r"|\.(config\.yaml|latency\.json|warm_start\.json|init)\..*"
)
"""What a run that was stopped before it had a ledger leaves behind."""

_OF_THAT_RUN = re.compile(r"\.?(latency\.json|warm_start\.json|init)(\..*)?")
"""What of it another run would take for its own."""

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
"""Errors of a lock that another process holds."""


class RunFolder:
    """Paths of a run folder.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = path / "run.db"
        self.config = path / "config.yaml"
        self.latency = path / "latency.json"
        self.best = path / "best"
        self.logs = path / "logs"
        self.checkpoints = path / "checkpoints"
        self.scaled = path / "scaled"
        self.donor = path / "init.safetensors"
        self.past = path / "warm_start.json"
        self._replaced: Path | None = None

    @classmethod
    def create(cls, path: Path, *, overwrite: bool = False) -> "RunFolder":
        """Make a new run folder.

        Args:
            path: Where; must not exist, be empty, or hold a run that was stopped before it had a ledger.
            overwrite: Whether a run that lies there is replaced: it lies beside, under another name, until the new
                one is :meth:`founded`.

        Raises:
            RunFolderError: If something lies there that may not be deleted, or the folder cannot be made.
        """
        try:
            if overwrite and path.is_symlink():  # a link stays one
                path = path.resolve()
        except (OSError, RuntimeError) as error:  # a name that is too long, a link to itself
            raise RunFolderError(
                f"The run folder {path} cannot be made: {error}. Name another one (--out)."
            ) from error
        folder = cls(path)
        try:
            if overwrite and folder.ledger.is_file():
                with folder.locked():
                    folder._replaced = _put_aside(path)
            if path.exists() and not (path.is_dir() and _is_free(path)):
                is_run = folder.ledger.is_file()
                hint = (
                    f"go on with 'gcnas resume {shlex.quote(str(path))}', or start anew with --overwrite (in Python "
                    "gcnas.resume, with data= if it was arrays, and overwrite=True; each fit of a classifier needs an "
                    "out= of its own)"
                    if is_run
                    else "choose another folder with --out"
                )
                raise RunFolderError(f"{path} already holds {'a run' if is_run else 'other files'}; {hint}.")
            folder._forget()
            folder.logs.mkdir(parents=True, exist_ok=True)
        except BaseException as error:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                folder._put_back()
            if isinstance(error, OSError):
                raise RunFolderError(
                    f"The run folder {path} cannot be made: {error}. Name another one (--out)."
                ) from error
            raise
        return folder

    @classmethod
    def open(cls, path: Path, *, unbegun: bool = False) -> "RunFolder":
        """An existing run folder; swaps of ``best`` and of grown networks that were cut short are undone.

        Args:
            path: Where.
            unbegun: Whether one of a search that was stopped before it had a ledger will do.

        Raises:
            RunFolderError: If there is no run.
        """
        folder = cls(path)
        if unbegun and folder._is_unbegun():
            return folder
        folder.require()
        folder._mend()
        return folder

    @contextmanager
    def begun(self, note: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        """Hold a new run; if it is refused or interrupted before it has a ledger, its folder goes.

        If it replaces another run, that one is back where it was, unless the new one was :meth:`founded`.

        Args:
            note: Told that the other run is back.

        Raises:
            RunFolderError: If another process holds it.
        """
        with self.locked():
            try:
                yield
            except BaseException as error:
                if self._replaced is None:
                    if isinstance(error, GCNASError | KeyboardInterrupt):
                        self._give_up()
                else:
                    shutil.rmtree(self.path, ignore_errors=True)  # of which nothing was evaluated
                    self._put_back()
                    note(
                        f"The run that lay in {self.path} is back in its place; the new one is to be begun again."
                    )
                raise

    def founded(self) -> None:
        """Delete the run that this one replaces, now that it has something to evaluate."""
        replaced, self._replaced = self._replaced, None  # before anything: half of a run is not put back
        if replaced is not None:
            shutil.rmtree(replaced, ignore_errors=True)

    def _put_back(self) -> None:
        """Give the run that this one was to replace its place again, if there is no new one."""
        if self._replaced is not None and (not self.path.exists() or self._give_up()):
            self._replaced.rename(self.path)

    def _give_up(self) -> bool:
        """Delete the folder, if it holds nothing but what a run makes before its ledger."""
        if self.ledger.exists() or not _is_free(self.path):
            return False
        shutil.rmtree(self.path, ignore_errors=True)
        return not self.path.exists()

    def _forget(self) -> None:
        """Delete what a run that never had a ledger has measured or copied."""
        if self.path.exists() and any(_OF_THAT_RUN.fullmatch(item.name) for item in self.path.iterdir()):
            with self.locked():
                if self.ledger.exists():
                    return  # its process was faster
                for item in list(self.path.iterdir()):
                    if _OF_THAT_RUN.fullmatch(item.name):
                        item.unlink()

    def _mend(self) -> None:
        """Put back folders that a killed process moved aside; not those that a living one is replacing."""
        grown = [] if self.scaled.is_symlink() else self.scaled.glob("phi-*.old")
        kept = [self.best.with_name(f"{self.best.name}.old"), *grown]
        cut = [(old, old.with_suffix("")) for old in kept if old.is_dir() and not old.with_suffix("").exists()]
        if cut:
            with contextlib.suppress(RunFolderError), self.locked():
                for old, target in cut:
                    with contextlib.suppress(OSError):
                        old.rename(target)

    def _is_unbegun(self) -> bool:
        """Whether here is what a search leaves that was stopped before it had a ledger."""
        try:
            return not self.ledger.is_file() and (self.path / ".lock").is_file() and _is_free(self.path)
        except OSError:
            return False

    def require(self) -> None:
        """See to it that there is a run.

        Raises:
            RunFolderError: If there is none.
        """
        try:
            found, begun = self.ledger.is_file(), (self.path / ".lock").is_file()
        except OSError as error:  # a folder that may not be entered, a name that is too long
            raise RunFolderError(
                f"{self.path} cannot be read: {error.strerror}. Mend its permissions."
            ) from error
        if not found and begun:
            raise RunFolderError(
                f"{self.path} holds no evaluation: its search still reads the images, or was stopped before it had "
                f"any. Then begin it again with --out {shlex.quote(str(self.path))}."
            )
        if not found:
            raise RunFolderError(f"{self.path} is not a run folder: it has no {self.ledger.name}.")

    def delivered(self, phi: int | None = None) -> Path:
        """Where a network lies: the best, or one that was grown.

        Raises:
            RunFolderError: If there is none yet.
        """
        path = self.best if phi is None else self.scaled / f"phi-{phi}"
        if path.is_dir():
            return path
        if phi is None:
            raise RunFolderError(f"{self.path} has no best network yet; let the search finish a candidate.")
        raise RunFolderError(
            f"There is no {path} yet; make it with 'gcnas scale {shlex.quote(str(self.path))} --phi {max(phi, 1)}'."
        )

    def check_scaled(self) -> None:
        """See to it that grown networks would be written into this run.

        Raises:
            RunFolderError: If they lie elsewhere.
        """
        if self.scaled.is_symlink():
            raise RunFolderError(
                f"{self.scaled} is a link to another place, into which nothing is written; move that folder here, in "
                "the place of the link."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; the lock of a process that dies is free.

        Raises:
            RunFolderError: If another process holds it, or its disk knows no locks.
        """
        try:
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise RunFolderError(
                f"The run folder {self.path} cannot be written: {error.strerror}. Mend that, or copy the folder."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _HELD:
                raise RunFolderError(
                    f"The run folder {self.path} cannot be locked ({error.strerror}); choose one on another disk."
                ) from error
            raise RunFolderError(
                f"Another process is working on {self.path}; wait for it, or stop it first."
            ) from error
        try:
            yield
        finally:
            os.close(descriptor)

    def replace(self, target: Path, fill: Callable[[Path], None]) -> None:
        """Replace a folder of the run as a whole: readers see the old one or the new one, never a mixture.

        Args:
            target: The folder; need not exist.
            fill: Writes the files into the folder that it is given.

        Raises:
            RunFolderError: If the disk refuses; then the old folder stays.
        """
        if target.parent == self.scaled:
            self.check_scaled()
        fresh = beside(self.path / target.name)
        try:
            fresh.mkdir()
            fill(fresh)
            for file in fresh.iterdir():
                _sync(file)
            target.parent.mkdir(exist_ok=True)
            swap(fresh, target, target.with_name(f"{target.name}.old"))
        except OSError as error:
            raise RunFolderError(
                f"{target} cannot be written: {error}. The old one is kept. Make room or mend the permissions, then "
                f"'gcnas resume {shlex.quote(str(self.path))}' goes on."
            ) from error
        finally:
            _remove(fresh)


def _put_aside(path: Path) -> Path:
    """Give a run folder another name beside it, and say which.

    Raises:
        RunFolderError: If it is one that cannot have another name.
    """
    if (there := path.resolve()).is_mount() or there == Path.cwd():
        what = "a mount point" if there.is_mount() else "the current folder"
        raise RunFolderError(
            f"{path} is {what}, so that a run in it cannot be replaced; name a folder inside it (--out), or delete its "
            "files."
        )
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}-replaced-", dir=path.parent))
    try:
        return path.rename(aside)
    except OSError:
        aside.rmdir()
        raise


def _is_free(path: Path) -> bool:
    """Whether a folder holds nothing, or only what a run makes before its ledger (its lock is the first)."""
    names = [item.name for item in path.iterdir()]
    return not names or (".lock" in names and all(_BEFORE_LEDGER.fullmatch(name) for name in names))


def default_path(data: str, root: Path = Path("runs")) -> Path:
    """The first free ``runs/<data>-<n>``."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(data).stem).strip("-").lower() or "run"
    number = 1
    while os.path.lexists(root / f"{stem}-{number}"):  # never raises
        number += 1
    return root / f"{stem}-{number}"


def write_text(path: Path, text: str) -> Path:
    """Replace a text file as a whole, in UTF-8.

    Raises:
        RunFolderError: If the disk refuses; then the old file stays.
    """
    try:
        # Names of files in another encoding hold surrogates and reach error messages.
        write_atomically(path, text.encode("utf-8", errors="replace"))
    except OSError as error:
        raise RunFolderError(
            f"{path} cannot be written ({error.strerror}). Mend the permissions or make room, then write it again."
        ) from error
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def swap(fresh: Path, target: Path, aside: Path) -> None:
    """Put ``fresh`` in the place of ``target``; what was there ends in ``fresh`` or is deleted."""
    if not target.exists():
        fresh.rename(target)
    elif not _exchange(fresh, target):
        # Two renames where the system cannot exchange: RunFolder.open mends a kill between them.
        _remove(aside)
        target.rename(aside)
        try:
            fresh.rename(target)
        except OSError:
            with contextlib.suppress(FileNotFoundError):  # somebody has put it back
                aside.rename(target)
            raise
        _remove(aside)


def _remove(path: Path) -> None:
    """Delete a folder, or a link that is in its place."""
    if path.is_symlink():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def _exchange(left: Path, right: Path) -> bool:
    """Exchange two paths in one step; False where the system (only Linux can) or its files do not allow it."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    result = rename(_AT_FDCWD, os.fsencode(left), _AT_FDCWD, os.fsencode(right), _RENAME_EXCHANGE)
    return bool(result == 0)
