"""Errors of a network's own code, and of PyTorch on it, as the reason why a form of it cannot be written."""

from collections.abc import Iterator
from contextlib import contextmanager

from gcnas.errors import ExportError


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Turn whatever is raised inside into an :class:`~gcnas.errors.ExportError`.

    Layer types of users are foreign code: they may raise anything, and a trained network must not be lost by it.

    Args:
        what: Begins the message.
    """
    try:
        yield
    except ExportError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ExportError(f"{what}: {': '.join([type(error).__name__, *lines[:1]])[:400]}") from error
