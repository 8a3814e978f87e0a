"""Strategies and runs made for the tests of the bench."""

from collections.abc import Sequence

from gcnas.bench.search import Query, Run
from gcnas.records import Evaluation, Proposal
from gcnas.strategy import Strategy, StrategyState
from gcnas.tabular import TableSpace


class Listed(Strategy):
    """Proposes given keys one after the other, the last one for ever, and remembers what it is told."""

    def __init__(self, space: TableSpace, keys: Sequence[str]) -> None:
        self._space, self._keys = space, list(keys)
        self.told: list[Evaluation] = []
        self.asked: list[int] = []

    def ask(self, n: int) -> list[Proposal]:
        self.asked.append(n)
        keys = [self._keys.pop(0) if len(self._keys) > 1 else self._keys[0] for _ in range(n)]
        actions = [self._space.code.actions(key) for key in keys]
        architectures = [self._space.decode(action) for action in actions]
        return [Proposal(a, self._space.encode(a), "listed") for a in architectures]

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        self.told += evaluations

    def state_dict(self) -> StrategyState:
        return StrategyState()

    def load_state_dict(self, state: StrategyState) -> None:
        pass


def make_run(
    scores: Sequence[float],
    *,
    strategy: str = "a",
    seed: int = 0,
    space: str = "s",
    budget: int = 10,
    optimum: float = 9.0,
    tests: Sequence[float] | None = None,
) -> Run:
    """A run with these scores."""
    given = tests or [None] * len(scores)
    queries = tuple(
        Query(str(number), score, test, "made", 0, 0, 0.002, float(number))
        for number, (score, test) in enumerate(zip(scores, given, strict=True))
    )
    return Run(space, strategy, seed, budget, optimum, queries)
