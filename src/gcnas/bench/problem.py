"""What a bench searches: a table of trained networks, or a formula."""

from typing import Protocol

from gcnas.bench.landscape import LandscapeSpace
from gcnas.records import Architecture, Fidelity
from gcnas.tabular import TableSpace
from gcnas.tabular.table import Entry


class Problem(Protocol):
    """Scores of the networks of a space."""

    @property
    def space(self) -> TableSpace | LandscapeSpace:
        """The space; it has a name, and a key for each architecture."""

    @property
    def fidelity(self) -> Fidelity:
        """The full training."""

    @property
    def best(self) -> float:
        """Highest score that a search can find."""

    def entry(self, architecture: Architecture, epochs: int | None = None) -> Entry | None:
        """What is known about an architecture; None if it is infeasible."""

    def test(self, architecture: Architecture) -> float | None:
        """Its test score; None where there is none."""


class ProblemReference(Protocol):
    """All that a process needs to load a problem."""

    @property
    def name(self) -> str:
        """Name of the space."""

    def load(self) -> Problem:
        """The problem; kept for the next call."""

    def identity(self) -> dict[str, str]:
        """What tells this problem from others of its name."""
