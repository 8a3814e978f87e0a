"""Random search: the yardstick of every other strategy."""

from collections.abc import Sequence

import numpy as np

from gcnas.records import Evaluation, LayerAction, Proposal, Trajectory
from gcnas.space import Growth, SearchSpace
from gcnas.space.growth import CONNECTION_RATE
from gcnas.strategy.base import Strategy, StrategyState
from gcnas.strategy.drawing import any_open, grow
from gcnas.strategy.edits import architecture_of


class RandomStrategy(Strategy):
    """Draws depth, types, hyper-parameters and connections uniformly among what the masks leave open.

    The depth is drawn first, uniformly between the space's bounds, so that it does not depend on how many layer
    types there are. A layer that breaks a limit is drawn again; limits can end a network earlier. Connections are
    drawn with :data:`CONNECTION_RATE`.

    Args:
        space: Fitted space.
        seed: Seed of the generator.
    """

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        self._space = space
        self._random = np.random.Generator(np.random.PCG64(seed))

    def ask(self, n: int) -> list[Proposal]:
        """Draw ``n`` architectures."""
        return [self._propose() for _ in range(n)]

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Do nothing: random search does not learn."""

    def state_dict(self) -> StrategyState:
        """State of the generator."""
        return StrategyState({"generator": self._random.bit_generator.state})

    def load_state_dict(self, state: StrategyState) -> None:
        """Set the generator."""
        self._random.bit_generator.state = state.values["generator"]

    def _propose(self) -> Proposal:
        trajectory = self._draw()
        return Proposal(architecture_of(self._space, trajectory), trajectory, "random")

    def _draw(self) -> Trajectory:
        depth = int(self._random.integers(self._space.min_depth, self._space.max_depth + 1))
        return grow(self._space, depth, self._layer)

    def _layer(self, growth: Growth) -> LayerAction:
        code = self._pick(growth.type_mask()[:-1])
        mask = growth.layer_mask(code)
        return LayerAction(
            code,
            tuple(self._pick(flags) for flags in mask.hyperparameters),
            tuple(int(flag and self._random.random() < CONNECTION_RATE) for flag in mask.connections),
        )

    def _pick(self, flags: Sequence[bool]) -> int:
        return any_open(flags, self._random)
