"""What a controller remembers over 8 to 128 layers: tasks of experiment E6, and where their runs are kept.

``repeat-N-t``: networks of N layers of 4 types. Blocks of t layers are given, at random for each sample anew, and
learnt from by nobody; after each, t layers are decided, and each should have the type of the layer t before it. With
t = N / 2 the first half is given and the second should repeat it. A constant answer, or any that forgets, matches one
in four. Only types are decided, so the GCN is its layer extraction block and the RNN takes one step a layer.

``announced-N``: networks of N / 4 to N layers with searched connections, drawn whole, by the policies as searches use
them. The type of the first layer announces the depth, N / 4, N / 2, 3 N / 4 or N; all else is random. A policy that
forgets the first layer is right one time in four at best. It is learnt by likelihood alone: by reward, always the same
first layer and depth would do.

Ways of learning:

- ``sample`` (``repeat`` alone): REINFORCE as strategies do it, one credit for all decisions of a sample;
- ``step`` (``repeat`` alone): REINFORCE where a layer's credit is its own match, which is less noisy in long sequences;
- ``likelihood``: maximum likelihood of right networks, which needs no exploration: memory alone.

A run is solved when at least 95 % match among 64 samples drawn from the policy; it then ends.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from gcnas.bench.raw import file_name
from gcnas.bench.summary import Cell
from gcnas.errors import DataError
from gcnas.files import write_atomically

TYPES = 4
DEPTHS = (8, 16, 32, 64, 128)
UPDATES = {
    "rnn": (1_200, 1_200, 1_200, 600, 600),
    "stacked": (600, 600, 600, 300, 300),
    "recurrent": (600, 600, 600, 200, 100),
}
"""Most updates at each depth; the RNN needs many, and those of ``recurrent`` are slow."""

RNN = "rnn"
CONTROLLERS = (
    RNN,
    *(f"{memory}-{window}" for memory in ("stacked", "recurrent") for window in (1, 2, 4, 8)),
    "stacked-4-plain",
    "recurrent-4-plain",
)
"""The recurrent one, and the graph policy by memory and m; ``-plain`` is without the summary of older nodes."""

ANNOUNCED = (RNN, "stacked-2", "stacked-4", "recurrent-2", "recurrent-4")
ANNOUNCED_DEPTHS = (8, 32)
MOST_SEEDS = 3
MEASURES = ("solved", "matched", "samples", "gradient_start", "gradient_end")
"""Of each run:

- ``solved``: whether it was
- ``matched``: share of decided layers, or of depths, that were right at the end
- ``samples``: until it was solved, or out of updates
- ``gradient_start``, ``gradient_end``: of log p(layer N) by the embedding of layer 1, divided by that by the embedding
  of layer N - 1 (``repeat`` alone)
"""

FOLDER = "memory"


@dataclass(frozen=True)
class MemoryTask:
    """One run: what is to be remembered, how it is learnt, by whom.

    Attributes:
        depth: N.
        lag: t; 0 for ``announced``.
        learning: ``likelihood``, ``sample`` or ``step``.
        controller: One of :data:`CONTROLLERS`.
        seed: Seed of weights and samples.
        updates: Most gradient steps.
    """

    depth: int
    lag: int
    learning: str
    controller: str
    seed: int
    updates: int

    @property
    def space(self) -> str:
        """Name of the task."""
        return f"repeat-{self.depth}-{self.lag}" if self.lag else f"announced-{self.depth}"

    @property
    def arm(self) -> str:
        """How it is learnt, and by whom."""
        return f"{self.learning}:{self.controller}"

    @property
    def name(self) -> str:
        """Task, arm and seed."""
        return f"{self.space} {self.arm} seed {self.seed}"

    def file(self, folder: Path) -> Path:
        """Where the run is kept."""
        return folder / FOLDER / self.space / file_name(self.arm) / f"{self.seed}.json"

    def run(self) -> dict[str, Cell]:
        """Learn until solved or out of updates; the measures."""
        # Imported here: torch takes a second.
        from gcnas.bench.memory_learning import learn

        return learn(self)

    def keep(self, folder: Path, result: dict[str, Cell]) -> None:
        """Write the measures, as a whole or not at all."""
        path = self.file(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"updates": self.updates, **result}).encode())

    def outcome(self, result: dict[str, Cell]) -> str:
        """What it came to, in a few words."""
        matched = f"{float(result['matched'] or 0.0):.0%} right"
        return f"solved after {result['samples']} samples" if result["solved"] else matched

    def row(self, folder: Path) -> dict[str, Cell]:
        """Task, arm, seed and measures of the finished run.

        Raises:
            DataError: If the file is damaged, or of a run with other limits.
        """
        path = self.file(folder)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            updates = int(values["updates"])
            measures: dict[str, Cell] = {
                name: None if values[name] is None else float(values[name]) for name in MEASURES
            }
        except (OSError, OverflowError, RecursionError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path} is damaged ({error!r}). Delete it; the same command runs it again."
            ) from None
        if updates != self.updates:
            raise DataError(
                f"{path} had {updates} updates, not {self.updates}. Delete it; the same command runs it again."
            )
        return {"space": self.space, "arm": self.arm, "seed": self.seed, **measures}


def memory_tasks(seeds: int) -> list[MemoryTask]:
    """All runs of E6, one seed after the other.

    Args:
        seeds: How many; more than :data:`MOST_SEEDS` are not done, since each takes some 20 minutes.
    """
    return [task for seed in range(min(seeds, MOST_SEEDS)) for task in _of_seed(seed)]


def _of_seed(seed: int) -> Iterator[MemoryTask]:
    for depth, controller in product(DEPTHS, CONTROLLERS):
        slow = controller.startswith("recurrent")
        updates = UPDATES[controller.split("-")[0]][DEPTHS.index(depth)]
        for lag in (2, depth // 2):
            for learning, deepest in (("likelihood", 128), ("step", 16 if slow else 32), ("sample", 8)):
                if depth <= deepest:
                    yield MemoryTask(depth, lag, learning, controller, seed, updates)
        if controller in ANNOUNCED and depth in ANNOUNCED_DEPTHS:
            yield MemoryTask(depth, 0, "likelihood", controller, seed, updates)
