"""A small space without training, a strategy that learns, and a run of both that can be killed anywhere."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from gcnas.errors import NotFiniteError
from gcnas.execution import Evaluated, Executor, Job, SerialExecutor
from gcnas.records import Architecture, Cost, Evaluation, Fidelity, LayerAction, Limits, Proposal
from gcnas.run.checkpoints import Checkpoints
from gcnas.run.driver import Clock, Driver, Stop
from gcnas.run.halving import Ladder, SuccessiveHalving
from gcnas.run.ledger import Ledger, LedgerReader
from gcnas.run.middleware import ReferencesFirst, Unique, WithinLimits
from gcnas.run.observer import Observer
from gcnas.run.repeats import Repeats
from gcnas.run.trial import Rejection, Trial
from gcnas.space import Choice, InputShape, LayerType, SearchSpace, Shape, Values
from gcnas.strategy import RandomStrategy, Strategy, StrategyState


class Dot(LayerType):
    filters = Choice(2, 4, 8)

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape.strided(values["filters"])

    def cost(self, shape: Shape, values: Values) -> Cost:
        weights = shape.channels * values["filters"]
        return Cost(weights, weights * shape.height * shape.width)


class Half(LayerType):
    stride = Choice(1, 2)

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape.strided(shape.channels, values["stride"])

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost(shape.channels, shape.numbers)


SPACE = SearchSpace("toy", (Dot(), Half()), min_depth=1, max_depth=3, window=2)
IMAGE = InputShape(1, 4, 4, 3)
# No mask covers activations, so that some proposals of any strategy break this limit.
TOY = SPACE.fit(IMAGE, Limits(activations=450))


def luck(architecture: Architecture, salt: str = "") -> float:
    """A number in [0, 1) that only depends on the architecture."""
    return int(sha256(f"{salt}{architecture.fingerprint}".encode()).hexdigest()[:12], 16) / 2**48


def evaluate(job: Job) -> Evaluated:
    """The score of a candidate; some fail in one of two ways."""
    architecture = job.proposal.architecture
    fate = luck(architecture, "fate")
    if fate < 0.1:
        raise NotFiniteError("The training loss became nan at step 10.")
    if fate < 0.2:
        raise ValueError("a layer that cannot be")
    score = luck(architecture)
    if job.fidelity != RUNGS[-1]:
        score *= 0.5 + 0.1 * job.fidelity.epochs / 9 + 0.1 * luck(architecture, str(job.fidelity))
    if job.keep is not None:
        job.keep.parent.mkdir(exist_ok=True)
        fresh = job.keep.with_name(f".{job.keep.name}")
        fresh.write_text(architecture.fingerprint)
        fresh.replace(job.keep)
    if job.start is not None and job.start.exists():
        assert job.start.read_text() == architecture.fingerprint
        score += 1e-6  # what had to begin anew would end elsewhere
    return score, {"accuracy": score, "loss": 1 / (score + 0.1)}, {"weight": np.array([score])}


class Learner(Strategy):
    """Proposals that depend on every evaluation told so far, on their order and their number."""

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        self._space, self._digest, self._asked = space, sha256(str(seed).encode()).hexdigest(), 0
        self._weights = np.zeros((2, 3))

    def ask(self, n: int) -> list[Proposal]:
        return [self._propose() for _ in range(n)]

    def _propose(self) -> Proposal:
        random = np.random.default_rng([int(self._digest, 16) % 2**63, self._asked])
        self._asked += 1
        growth = self._space.start()
        for _ in range(random.integers(1, self._space.max_depth + 1)):
            code = int(self._weights.sum() * 1e6 + random.integers(5)) % len(self._space.layer_types)
            choices = self._space.layer_types[code].choices
            indices = tuple(int(random.integers(len(choice))) for choice in choices)
            growth = growth.add(LayerAction(code, indices, (int(random.integers(2)),)))
        return Proposal(growth.architecture, growth.stop(), "learner")

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        for e in evaluations:
            fact = (self._digest, e.proposal.fingerprint, str(e.state), e.score, e.error_kind, dict(e.metrics))
            self._digest = sha256(repr(fact).encode()).hexdigest()
            # Not contiguous, so that a ledger that forgets strides is found out.
            self._weights = (self._weights.T.copy() * 0.9 + luck(e.proposal.architecture, "step")).T
            self._weights[0] *= 1.5

    def state_dict(self) -> StrategyState:
        return StrategyState(
            {"digest": int(self._digest, 16), "asked": self._asked}, {"weights": self._weights.T.copy().T}
        )

    def load_state_dict(self, state: StrategyState) -> None:
        self._digest, self._asked = f"{state.values['digest']:064x}", state.values["asked"]
        self._weights = state.tensors["weights"]


class AllRungs(Learner):
    """Learns from every amount of training."""

    multi_fidelity = True


STRATEGIES: dict[str, Callable[[SearchSpace, int], Strategy]] = {
    "learner": Learner,
    "all-rungs": AllRungs,
    "random": RandomStrategy,
}
RUNGS = [Fidelity(1, 7), Fidelity(3, 7), Fidelity(9, 7)]


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Doom:
    """When to kill: at the n-th transaction, evaluation or writing of the best (counted from 1)."""

    before_commit: int = 0
    after_commit: int = 0
    evaluation: int = 0
    best_written: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def reach(self, moment: str) -> None:
        self.counts[moment] = self.counts.get(moment, 0) + 1
        if self.counts[moment] == getattr(self, moment):
            raise Killed(f"{moment} {self.counts[moment]}")


class MortalLedger(Ledger):
    """A ledger whose process can be killed at a commit: the files then stay as they were at that instant."""

    def __init__(self, path: Path, doom: Doom) -> None:
        self._doom, self._corpse = doom, path.parent / "corpse"
        super().__init__(path, {"name": "toy"})
        # A process that dies loses nothing that it has written; only a machine that does would.
        self._connection.execute("PRAGMA synchronous = OFF")

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with super()._transaction() as connection:
            yield connection
            self._reach("before_commit")
        self._reach("after_commit")

    def _reach(self, moment: str) -> None:
        try:
            self._doom.reach(moment)
        except Killed:
            # What rolls back from now on, a kill would not have: the files of this instant are what is left.
            self._corpse.mkdir()
            for file in self._path.parent.glob("run.db*"):
                shutil.copy(file, self._corpse)
            raise

    def bury(self) -> None:
        """Close the files; if the process was killed at a commit, put back those of that instant."""
        self.close()
        if self._corpse.exists():
            for file in self._path.parent.glob("run.db*"):
                file.unlink()
            for file in self._corpse.iterdir():
                file.rename(self._path.parent / file.name)
            self._corpse.rmdir()


def run_toy(
    folder: Path,
    strategy: str = "learner",
    *,
    doom: Doom | None = None,
    trials: int = 12,
    space: SearchSpace = TOY,
    seconds: float | None = None,
    score: Callable[[Job], Evaluated] = evaluate,
    clock: Clock | None = None,
    observer: Observer | None = None,
    prepare: Callable[[Driver], None] = lambda _: None,
    executor: Executor | None = None,
    ladder: bool = False,
) -> Trial:
    """A run with new objects on the ledger in a folder, begun or gone on with; on three rungs if there is a ladder."""
    doom = doom or Doom()
    rungs = Ladder(RUNGS if ladder else RUNGS[-1:])
    ledger = MortalLedger(folder / "run.db", doom)
    rejections: list[Rejection] = []

    def mortal(job: Job) -> Evaluated:
        doom.reach("evaluation")
        return score(job)

    def keep_best(trial: Trial, weights: Mapping[str, Any]) -> None:
        (folder / "best.txt").write_text(f"{trial.number} {weights['weight'][0]!r}")
        doom.reach("best_written")

    try:
        driver = Driver(
            ledger=ledger,
            space=space,
            strategy=toy_strategy(ledger, strategy, space, rejections, rungs),
            rejections=rejections,
            executor=executor or SerialExecutor(mortal),
            fidelity=RUNGS[-1],
            stop=Stop(trials, seconds),
            clock=clock or Clock(),
            keep_best=keep_best,
            observer=observer or Observer(),
            checkpoints=Checkpoints(folder / "checkpoints", rungs) if ladder else None,
            repeats=Repeats(RUNGS[-1], 8, space.limits, trials, None) if ladder else None,
        )
        prepare(driver)
        return driver.run()
    finally:
        ledger.bury()


def toy_strategy(
    ledger: Ledger, name: str, space: SearchSpace, rejections: list[Rejection], ladder: Ladder
) -> Strategy:
    """A strategy with its middlewares in the state that the ledger holds."""
    references = [space.decode([LayerAction(0, (index,), (0,))]) for index in range(2)]
    strategy: Strategy = ReferencesFirst(STRATEGIES[name](space, 3), space, references)
    strategy = WithinLimits(strategy, rejections, space)
    trials = ledger.trials()
    multi_fidelity = STRATEGIES[name](space, 3).multi_fidelity
    told = ladder.rungs if multi_fidelity else ladder.rungs[:1]
    strategy = Unique(strategy, rejections, [t for t in trials if t.fidelity in told])
    if len(ladder.rungs) > 1:
        strategy = SuccessiveHalving(
            strategy,
            ladder,
            trials,
            limits=space.limits,
            cost=lambda proposal: space.cost(proposal.architecture),
            multi_fidelity=multi_fidelity,
        )
    if trials:
        strategy.load_state_dict(ledger.strategy_state())
    return strategy


def read_run(folder: Path) -> dict[str, Any]:
    """All that a run left, but seconds and attempts."""
    with LedgerReader(folder / "run.db") as ledger:
        trials, rejections, state = ledger.trials(), ledger.rejections(), ledger.strategy_state()
    return {
        "trials": [row(trial) for trial in trials],
        "rejections": rejections,
        "values": state.values,
        "tensors": {name: tensor.tolist() for name, tensor in state.tensors.items()},
        "checkpoints": sorted(path.name for path in (folder / "checkpoints").glob("*")),
        "best": (folder / "best.txt").read_text() if (folder / "best.txt").exists() else None,
    }


def row(trial: Trial) -> tuple[Any, ...]:
    """A trial without seconds and attempts."""
    evaluation = trial.evaluation
    facts = (trial.number, trial.proposal, trial.cost, trial.fidelity, trial.continues)
    if evaluation is None:
        return facts
    error = (evaluation.error or "").splitlines()[-1:]
    return (*facts, evaluation.state, evaluation.score, dict(evaluation.metrics), evaluation.error_kind, error)
