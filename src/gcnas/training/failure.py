"""What a training may raise."""

from collections.abc import Iterator
from contextlib import contextmanager

from gcnas.errors import CandidateError, GCNASError


@contextmanager
def as_candidate_error() -> Iterator[None]:
    """Let whatever a training or a test raises end that one alone: layer types and teachers of users are foreign code.

    Raises:
        CandidateError: In place of what is no error of this package.
    """
    try:
        yield
    except (GCNASError, CandidateError):
        raise
    except Exception as error:
        raise CandidateError(f"{type(error).__name__}: {error}") from error
