"""What every strategy is: who proposes the next architectures."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, TypeVar

import numpy as np

from gcnas.records import Evaluation, Proposal

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class StrategyState:
    """All that a strategy needs to go on as if it had never stopped.

    Attributes:
        values: JSON data: numbers, strings, lists, objects.
        tensors: Arrays by name, for weights and moments.
    """

    values: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)


class Strategy(ABC):
    """Proposes architectures and learns from their evaluations.

    Contract:
        - ``ask(n)`` gives up to ``n`` proposals; fewer, even none, only if there is nothing left to propose.
        - Every proposal is told once, in any order, with any number of others asked meanwhile. Those that
          broke a limit or repeat an earlier one are told as well, with that state. One for which a run has no time
          left, or no room within limits that are tighter now, is set aside.
        - ``state_dict`` right after any call, given to ``load_state_dict`` of a new strategy of the same space
          and settings, leads to the same later proposals. Proposals asked and not yet told survive this.
        - Nothing else in the process is touched: no global random state, no files.
        - Calls come from one thread.
        - A strategy whose ``multi_fidelity`` is false is told scores of one amount of training only. One where it is
          true is told about the same architecture again after each further training, and reads
          ``evaluation.fidelity``.
    """

    multi_fidelity: ClassVar[bool] = False

    @abstractmethod
    def ask(self, n: int) -> list[Proposal]:
        """Propose up to ``n`` architectures."""

    @abstractmethod
    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Learn what became of earlier proposals."""

    def expect(self, proposals: Sequence[Proposal]) -> None:  # noqa: B027
        """Hear of proposals by others that are under way and will be told; nothing by default."""

    def set_aside(self, proposals: Sequence[Proposal]) -> None:  # noqa: B027
        """Hear of proposals that nobody evaluates for now, so that none is waited for; nothing by default.

        They may be told later all the same.
        """

    def reconsider(self) -> None:  # noqa: B027
        """Hear that limits are others now, so that what broke one may be allowed; nothing by default."""

    def figures(self) -> list[dict[str, float]]:
        """Figures of what was learnt since the last call, one entry for each update; none by default."""
        return []

    @abstractmethod
    def state_dict(self) -> StrategyState:
        """A copy of the whole state."""

    @abstractmethod
    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state."""


def up_to(n: int, propose: Callable[[], Proposal | None]) -> list[Proposal]:
    """``n`` proposals, or those that there are before ``propose`` has none."""
    return [proposal for proposal in islice(iter(propose, None), n) if proposal is not None]


def under(prefix: str, named: Mapping[str, Kept]) -> dict[str, Kept]:
    """What has names with a prefix, by the rest of its name."""
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
