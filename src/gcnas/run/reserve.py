"""Room on the disk that is kept back for the last words of a run that has none left."""

from contextlib import suppress
from pathlib import Path

BYTES = 65_536
"""Enough for the log of a small transaction."""


class Reserve:
    """A file without content of worth; made if there is room for it.

    Args:
        path: Where.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.release()  # what lies there, a link for one, is not written into
        try:
            with path.open("xb") as file:
                file.write(bytes(BYTES))
        except OSError:
            self.release()

    def release(self) -> None:
        """Give the room to whoever needs it."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
