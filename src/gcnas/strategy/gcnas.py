"""The strategy ``gcnas``: the paper's policy, made to learn from few trainings."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gcnas.policy import GCNPolicy, Policy
from gcnas.records import Evaluation, EvaluationState, Proposal, Trajectory
from gcnas.records.signals import USUAL_FACTS
from gcnas.space import SearchSpace, SequenceSpace
from gcnas.space.growth import CONNECTION_RATE
from gcnas.strategy.acquisition import (
    beliefs,
    expected_improvement,
    expected_mean,
    mixed_improvement,
    thompson,
)
from gcnas.strategy.base import Strategy, StrategyState, under
from gcnas.strategy.edits import Sketches, allowed, architecture_of, mutate, neighbours, regrown
from gcnas.strategy.experience import Experience
from gcnas.strategy.history import Elite, History, PastRun
from gcnas.strategy.imitation import Imitation, ImitationFigures, ImitationSettings
from gcnas.strategy.latin import latin
from gcnas.strategy.learned_kernel import Belief
from gcnas.strategy.optimizer_state import load_moments, moments
from gcnas.strategy.random import RandomStrategy
from gcnas.strategy.signals import Signals, SignalSource
from gcnas.strategy.surrogate import Surrogate, SurrogateSettings
from gcnas.strategy.tokens import LISTED, Rows, Tokens, all_rows

START, POLICY, EDIT, HISTORY = "start", "policy", "edit", "history"

LAST_DRAWS = 1_000
"""Random draws before a space counts as exhausted."""

KNOWN = ("proposed", "rejected")
"""Arrays of fingerprints in the state."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GCNASSettings:
    """How the strategy spends a round of proposals.

    Attributes:
        start: Proposals before anything is learnt, at least half of them a Latin design.
        inherited: How many of the best networks of earlier runs come before them, where there are such; the others are
            those of a search without earlier runs.
        edited: How many of the ``start`` first ones, at most half, are one edit away from the best network that is
            known by then, where there is one, such as a design by people.
        samples: Candidates drawn from the policy.
        parents: Best networks whose edits are candidates.
        neighbours: Most one-edit neighbours of each parent.
        grown: How many of them are grown where that takes time: in spaces whose masks depend on more than the place.
        mutants: Candidates two edits away from a parent.
        random: Candidates drawn at random.
        climbs: How often the edits of the most promising candidates become candidates too.
        climbers: How many candidates are edited in each climb.
        picks: How proposals are chosen: by ``improvement``, ``thompson`` or ``mean``, in turns.
        together: Proposals of a round, chosen by as many rules before anything is learnt anew, where not more are
            wanted at once.
        facts: What the critics see of a network besides its decisions, where networks cost something.
        finalists: Candidates by each rule whose signals are measured before the rule chooses among all of these.
        drawn: Networks drawn for each of the first ones that is an edit, since some are known or break a limit, and for
            each that is chosen by its signals.
        large: Whether half of the first networks are the largest of those drawn, where sizes are known. Measured on
            tables only, so it is off where networks are trained.
        surrogate: How the models are fitted.
        imitation: How the policy learns.
    """

    start: int = 8
    inherited: int = 3
    edited: int = 4
    samples: int = 128
    parents: int = 6
    neighbours: int = 32
    grown: int = 8
    mutants: int = 32
    random: int = 32
    climbs: int = 2
    climbers: int = 8
    picks: tuple[str, ...] = ("improvement", "thompson", "mean")
    together: int = 3
    facts: tuple[str, ...] = USUAL_FACTS
    finalists: int = 3
    drawn: int = 4
    large: bool = False
    surrogate: SurrogateSettings = field(default_factory=SurrogateSettings)
    imitation: ImitationSettings = field(default_factory=ImitationSettings)


ONE_AT_A_TIME = GCNASSettings(
    samples=64,
    mutants=16,
    random=16,
    climbers=4,
    together=1,
    large=True,
    surrogate=SurrogateSettings(critic_steps=(60, 3), process_steps=(60, 3)),
    imitation=ImitationSettings(steps=(20, 1)),
)
"""Rounds of one proposal, each cheaper."""


def usual_settings(space: SearchSpace) -> GCNASSettings:
    """One proposal a round where masks depend on the place alone and rounds are cheap; three in other spaces."""
    return ONE_AT_A_TIME if isinstance(space, SequenceSpace) else GCNASSettings()


@dataclass(frozen=True)
class Candidates:
    """Networks that may be proposed, and what is believed of them.

    Attributes:
        pool: n networks.
        members: Predictions of the critics, (E, n).
        process: Belief of the Gaussian process, (n); None if there is none.
    """

    pool: list[Proposal]
    members: Floats
    process: Belief | None

    def joined(self, other: "Candidates") -> "Candidates":
        """These and others."""
        process = self.process
        if process is not None and other.process is not None:
            process = process.joined(other.process)
        return Candidates([*self.pool, *other.pool], np.concatenate([self.members, other.members], 1), process)


class GCNASStrategy(Strategy):
    """Proposes what a policy, edits of the best and chance offer, and what critics believe in.

    In each round an ensemble of graph-convolution critics and a Gaussian process are fitted to the normal scores of all
    evaluations, and the policy to the best networks. The candidates climb: edits of the most promising ones join them.
    In turns the one with the highest expected improvement is proposed, the best by one plausible belief (Thompson
    sampling), and the one with the highest expected score; one or three in a round.

    Args:
        space: Fitted space.
        seed: Seed of everything.
        settings: How a round is spent; :func:`usual_settings` if not given.
        policy: Makes the policy.
        history: Earlier runs to start from.
        signals: What is measured, of networks that were evaluated and of the few that are about to be, for the critics;
            None for nothing.
    """

    multi_fidelity = True

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        settings: GCNASSettings | None = None,
        policy: Callable[[SearchSpace], Policy] = GCNPolicy,
        history: Sequence[PastRun] = (),
        signals: SignalSource | None = None,
    ) -> None:
        self._space, self.settings = space, settings or usual_settings(space)
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._generator = torch.Generator().manual_seed(seed)
        self._chance = RandomStrategy(space, seed)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed those of GPUs too
            self.policy = policy(space)
            tokens = Tokens(space)
            self._signals = Signals(signals)
            self._experience = Experience(space, tokens, self.settings.facts, self._signals)
            facts = self._experience.width
            self._surrogate = Surrogate(tokens, facts, self._generator, self.settings.surrogate)
        self._imitation = Imitation(self.policy, self.settings.imitation)
        self._history = History(space, tokens, history) if history else None
        self._queue: deque[Proposal] = deque()
        self._elites: dict[int, Trajectory] = {}
        self._proposed: set[str] = set()
        self._rejected: set[str] = set()
        self._started = False
        self._expected: set[str] = set()
        self._owed = 0
        self._turn = 0
        self._rounds: list[ImitationFigures] = []

    def ask(self, n: int) -> list[Proposal]:
        """The next proposals of the round; a new round is planned where they run out."""
        proposals: list[Proposal] = []
        while len(proposals) < n:
            if not self._queue:
                self._queue.extend(self._plan(n - len(proposals)))
            if not self._queue:
                break
            proposals.append(self._queue.popleft())
        return proposals

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Remember results; models are fitted when the next round is planned."""
        # Those that others proposed, such as designs by people; what crashed is not built again here.
        finished = [e for e in evaluations if e.state is EvaluationState.COMPLETE]
        self._signals.measure(evaluation.proposal.architecture for evaluation in finished)
        for evaluation in evaluations:
            self._experience.add(evaluation)
            self._proposed.add(evaluation.proposal.fingerprint)
            if evaluation.state is EvaluationState.INFEASIBLE:
                self._rejected.add(evaluation.proposal.fingerprint)
            if not evaluation.repeats_unfinished:
                self._expected.discard(evaluation.proposal.fingerprint)

    def expect(self, proposals: Sequence[Proposal]) -> None:
        """Wait for designs by people with the edits of the best of them."""
        fingerprints = {proposal.fingerprint for proposal in proposals}
        self._expected |= fingerprints
        self._proposed |= fingerprints

    def set_aside(self, proposals: Sequence[Proposal]) -> None:
        """Wait no longer for designs by people that are among them."""
        self._expected -= {proposal.fingerprint for proposal in proposals}

    def reconsider(self) -> None:
        """Forget what broke a limit: it may be proposed again."""
        self._experience.forget_rejected()
        self._proposed -= self._rejected
        self._rejected.clear()
        self._elites.clear()  # rows are others now

    def figures(self) -> list[dict[str, float]]:
        """Figures of the policy's learning, one entry for each round since the last call."""
        figures, self._rounds = [asdict(figure) for figure in self._rounds], []
        return figures

    def _plan(self, wanted: int) -> list[Proposal]:
        """The next round: a first design, then some picks at a time, more where several are wanted at once."""
        if not self._started:
            self._started = True
            if first := self._new(self._first()):
                return first
        if self._owed and not self._expected:
            owed, self._owed = self._owed, 0
            if edits := self._new(self._edited(owed)):
                return edits
        if len(self._experience.best(2)) < 2:
            return self._new(self._chance.ask(2)) or self._new(self._left()[:2])
        if self._history is not None:
            self._history.weigh(self._experience)
        self._surrogate.fit(self._experience, self._inherited_target(self._experience.tokens))
        parents = self._learn()
        pool = self._pool(parents)
        pool = pool or self._left()
        return self._pick(pool, self._rules(wanted)) if pool else []

    def _left(self) -> list[Proposal]:
        """What many random draws find that was not proposed before; if nothing, what is left in a list of all."""
        return self._allowed(self._new(self._chance.ask(LAST_DRAWS), mark=False)) or self._listed()

    def _listed(self) -> list[Proposal]:
        """Points of a small space that were not proposed before."""
        tokens = Tokens(self._space)
        rows = all_rows(tokens, LISTED)
        if rows is None:
            return []
        found = (regrown(self._space, tokens.decode(row), self._random) for row in rows)
        proposals = (self._proposal(trajectory, "random") for trajectory in found if trajectory is not None)
        return self._allowed(self._new(proposals, mark=False))

    def _first(self) -> list[Proposal]:
        """What earlier runs found, then edits of the best design that is known, and a Latin design.

        The edits come later where designs are under way, as with several workers. Half of the Latin design is chosen by
        its signals, where there are any, else by its sizes, where they are known and the settings say so: larger
        networks tend to be better.
        """
        s = self.settings
        # Earlier runs may mislead: a warm start knows all that a cold one would know.
        elites = [] if self._history is None else self._history.elites
        inherited = self._new(self._inherited(elites), mark=False)[: s.inherited]
        edited = min(s.edited, s.start // 2)
        self._owed = edited if self._expected else 0
        first = [] if self._owed else self._edited(edited)
        count = s.start - len(first) - self._owed
        by_size = s.large and self._experience.sized
        chosen = count // 2 if self._signals.count or by_size else 0
        design = [*inherited, *first, *self._latin(count - chosen)]
        if chosen:
            taken = {proposal.fingerprint for proposal in design}
            drawn = self._allowed(p for p in self._latin(s.drawn * chosen) if p.fingerprint not in taken)
            design += self._promising(drawn)[:chosen]
        known = {proposal.fingerprint for proposal in inherited}
        # An earlier run with the same seed has begun with the same networks.
        return inherited + [p for p in design[len(inherited) :] if p.fingerprint not in known]

    def _edited(self, count: int) -> list[Proposal]:
        """Different networks one edit away from the best one known, each kind of edit as likely as the others."""
        known = self._experience.best(len(self._experience))
        if not len(known):
            return []
        # By targets: the one with the most training need not be the best yet.
        best = known[np.argmax(self._experience.targets[known])]
        parent = self._experience.decisions(int(best))
        drawn = (mutate(self._space, parent, self._random) for _ in range(self.settings.drawn * count))
        allowed = self._allowed(self._proposal(trajectory, EDIT) for trajectory in drawn)
        return self._new(allowed, mark=False)[:count]

    def _latin(self, count: int) -> list[Proposal]:
        """That many networks; where limits are no masks, others in place of those that break one."""
        found: list[Proposal] = []
        for _ in range(self.settings.drawn):
            design = latin(self._space, count - len(found), self._random, CONNECTION_RATE)
            found += self._allowed(self._proposal(trajectory, START) for trajectory in design)
            if len(found) == count:
                break
        return found

    def _promising(self, drawn: list[Proposal]) -> list[Proposal]:
        """Different networks by the mean of their signals, the best first, or by the mean rank of their sizes.

        Signals that are unknown are mediocre.
        """
        drawn = list({proposal.fingerprint: proposal for proposal in drawn}.values())
        architectures = [proposal.architecture for proposal in drawn]
        if not drawn:
            return []
        if not self._signals.count:
            sizes = self._experience.sizes_of(architectures)
            # How many are smaller, and equal ones by half: ranks, without scipy.stats, which takes long to import.
            ranks = (sizes[None] < sizes[:, None]).sum(1) + (sizes[None] <= sizes[:, None]).sum(1)
            return [drawn[index] for index in np.argsort(-ranks.sum(1), kind="stable")]
        self._signals.measure(architectures)
        scores = np.nan_to_num(self._signals.scores(self._signals.values(architectures))).mean(1)
        return [drawn[index] for index in np.argsort(-scores, kind="stable")]

    def _learn(self) -> list[Trajectory]:
        """Fit the policy to the best networks, which are given back, the best first."""
        s = self.settings.imitation
        rows = self._experience.best(max(s.elites, self.settings.parents))
        known, self._elites = self._elites, {}
        for row in rows.tolist():
            self._elites[row] = known[row] if row in known else self._experience.decisions(row)
        trajectories = list(self._elites.values())
        targets = self._experience.targets[rows]
        usable = [index for index, t in enumerate(trajectories[: s.elites]) if allowed(t)]
        if usable:
            steps = s.steps[int(bool(self._imitation.optimizer.state))]
            elites, goals = [trajectories[index] for index in usable], targets[usable]
            if self._history is not None:
                elites, goals = self._history.joined(elites, goals, s.elites)
            self._rounds.append(self._imitation.learn(elites, goals, steps))
        return trajectories[: self.settings.parents]

    def _pool(self, parents: Sequence[Trajectory]) -> list[Proposal]:
        """Candidates that were not proposed before."""
        s = self.settings
        sampled = self.policy.sample(s.samples, self._generator) if s.samples else []
        candidates = [self._proposal(trajectory, POLICY) for trajectory in sampled]
        if self._history is not None and self._history.trusted:
            candidates += self._inherited(self._history.trusted_elites)
        for parent in parents:
            candidates += self._edits(parent, EDIT)
        for index in range(s.mutants if parents else 0):
            parent = parents[index % len(parents)]
            candidates.append(self._proposal(mutate(self._space, parent, self._random, edits=2), EDIT))
        return self._allowed(self._new([*candidates, *self._chance.ask(s.random)], mark=False))

    def _allowed(self, candidates: Iterable[Proposal]) -> list[Proposal]:
        """Those that break no limit: the masks look at one decision at a time and let some through that do."""
        return [proposal for proposal in candidates if self._space.violation(proposal.architecture) is None]

    def _edits(self, parent: Trajectory, source: str) -> list[Proposal]:
        """Networks one edit away from another.

        Where the layers after an edit must be grown again, only the edits are that the process finds most promising
        as they are.
        """
        s = self.settings
        process = self._surrogate.process if "process" in s.surrogate.parts else None
        if isinstance(self._space, SequenceSpace) or process is None:
            found = islice(neighbours(self._space, parent, self._random), s.neighbours)
            return [self._proposal(trajectory, source) for trajectory in found]
        sketches = Sketches(self._space, parent, self._random, s.neighbours)
        if not sketches.actions:
            return []
        rows = self._experience.rows_of(sketches.actions)
        belief = process.predict(rows)
        belief = Belief(belief.mean + self._inherited_target(rows), belief.deviation)
        promising = np.argsort(-expected_improvement(belief, self._best_target()), kind="stable")[: s.grown]
        grown = [sketches.grown(int(index)) for index in promising]
        return [self._proposal(trajectory, source) for trajectory in grown if trajectory is not None]

    def _best_target(self) -> float:
        """Of a network that did not fail; the one with the most training need not be the best yet."""
        known = self._experience.best(len(self._experience))
        return float(self._experience.targets[known].max())

    def _inherited(self, elites: Sequence[Elite]) -> list[Proposal]:
        """The best networks of earlier runs."""
        return [self._proposal(elite.trajectory, HISTORY) for elite in elites]

    def _inherited_target(self, tokens: Rows) -> Floats | float:
        """What earlier runs say about tokens (n, N, J), which the models need not learn; 0 where there are none."""
        return 0.0 if self._history is None else self._history.predict(tokens)

    def _proposal(self, trajectory: Trajectory, source: str) -> Proposal:
        return Proposal(architecture_of(self._space, trajectory), trajectory, source)

    def _new(self, candidates: Iterable[Proposal], *, mark: bool = True) -> list[Proposal]:
        """The first of each network that was not proposed before."""
        fresh = {p.fingerprint: p for p in reversed(list(candidates)) if p.fingerprint not in self._proposed}
        if mark:
            self._proposed.update(fresh)
        return list(reversed(fresh.values()))

    def _pick(self, pool: list[Proposal], rules: Sequence[str]) -> list[Proposal]:
        """One candidate by each rule: the highest improvement, mean, or value in one plausible world."""
        candidates = self._climb(Candidates(pool, *self._believe(pool)))
        if self._signals.count:
            candidates = self._finalists(candidates, rules)
        picked: list[int] = []
        for rule in rules:
            worth = self._worth(candidates, rule)
            worth[picked] = -np.inf
            picked.append(int(np.argmax(worth)))
        return self._new([candidates.pool[index] for index in dict.fromkeys(picked)])

    def _rules(self, wanted: int) -> list[str]:
        """Those whose turn it is: each once where so many proposals are wanted, as by several workers."""
        rules = self.settings.picks
        count = max(self.settings.together, min(wanted, len(rules)))
        turns = range(self._turn, self._turn + count)
        self._turn = turns.stop % len(rules)
        return [rules[turn % len(rules)] for turn in turns]

    def _climb(self, candidates: Candidates) -> Candidates:
        """Add the edits of the most promising candidates, and theirs; they count for the source of what was edited."""
        known = {proposal.fingerprint for proposal in candidates.pool} | self._proposed
        for _ in range(self.settings.climbs):
            half = self.settings.climbers // 2
            ranked = [
                np.argsort(-self._worth(candidates, rule), kind="stable") for rule in ("improvement", "mean")
            ]
            fresh: dict[str, Proposal] = {}
            for index in dict.fromkeys(int(i) for order in ranked for i in order[:half]):
                parent = candidates.pool[index]
                proposals = self._edits(parent.trajectory, parent.source)
                fresh |= {p.fingerprint: p for p in self._allowed(proposals) if p.fingerprint not in known}
            if not fresh:
                break
            known |= fresh.keys()
            pool = list(fresh.values())
            candidates = candidates.joined(Candidates(pool, *self._believe(pool)))
        return candidates

    def _finalists(self, candidates: Candidates, rules: Sequence[str]) -> Candidates:
        """The best candidates by each of some rules, and what is believed of them when their signals are known."""
        count = self.settings.finalists
        orders = [np.argsort(-self._worth(candidates, rule), kind="stable")[:count] for rule in rules]
        pool = [candidates.pool[index] for index in dict.fromkeys(int(i) for order in orders for i in order)]
        self._signals.measure(proposal.architecture for proposal in pool)
        return Candidates(pool, *self._believe(pool, measured=True))

    def _believe(self, pool: Sequence[Proposal], *, measured: bool = False) -> tuple[Floats, Belief | None]:
        architectures = [proposal.architecture for proposal in pool]
        tokens = self._experience.tokens_of(architectures)
        facts = self._experience.facts_of(architectures, measured=measured)
        members, process = self._surrogate.believe(tokens, facts)
        shift = self._inherited_target(tokens)
        if process is not None:
            process = Belief(process.mean + shift, process.deviation)
        return members + shift, process

    def _worth(self, candidates: Candidates, rule: str) -> Floats:
        if rule == "thompson":
            return thompson(candidates.members, candidates.process, self._random)
        models = beliefs(candidates.members, candidates.process)
        if rule == "mean":
            return expected_mean(models)
        return mixed_improvement(models, self._best_target())

    def state_dict(self) -> StrategyState:
        """All data, weights and moments, the generators, and what is proposed and not asked for."""
        values = {
            "random": self._random.bit_generator.state,
            "chance": self._chance.state_dict().values,
            "queue": [[p.trajectory.to_json(), p.source] for p in self._queue],
            "started": self._started,
            "expected": sorted(self._expected),
            "owed": self._owed,
            "turn": self._turn,
        }
        tensors = {f"policy.{name}": t for name, t in self.policy.state_dict().items()}
        tensors |= {f"imitation.{name}": t for name, t in moments(self._imitation.optimizer).items()}
        tensors |= {f"surrogate.{name}": t for name, t in self._surrogate.tensors().items()}
        tensors["generator"] = self._generator.get_state()
        arrays = {name: np.array(t.detach().numpy()) for name, t in tensors.items()}
        arrays |= {f"experience.{name}": array for name, array in self._experience.arrays().items()}
        arrays |= {"proposed": _numbers(self._proposed), "rejected": _numbers(self._rejected)}
        return StrategyState(json.loads(json.dumps(values)), arrays)

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state."""
        values: dict[str, Any] = state.values
        self._random.bit_generator.state = values["random"]
        self._chance.load_state_dict(StrategyState(values["chance"]))
        trajectories = [(Trajectory.from_json(data), source) for data, source in values["queue"]]
        self._queue = deque(self._proposal(trajectory, source) for trajectory, source in trajectories)
        self._started, self._turn = bool(values["started"]), int(values.get("turn", 0))
        self._elites, self._rounds = {}, []
        self._expected, self._owed = set(values.get("expected", ())), int(values.get("owed", 0))
        none = np.zeros(0, np.uint64)
        self._proposed, self._rejected = (_texts(state.tensors.get(name, none)) for name in KNOWN)
        self._experience.load(under("experience.", state.tensors))
        tensors = {n: torch.from_numpy(np.array(a)) for n, a in state.tensors.items() if n not in KNOWN}
        self.policy.load_state_dict(under("policy.", tensors))
        load_moments(self._imitation.optimizer, under("imitation.", tensors))
        self._surrogate.load(under("surrogate.", tensors))
        self._generator.set_state(tensors["generator"])


def _numbers(fingerprints: set[str]) -> NDArray[np.uint64]:
    """Fingerprints as an array, in an order of their own."""
    return np.frombuffer(bytes.fromhex("".join(sorted(fingerprints))), np.uint64).copy()


def _texts(numbers: NDArray[np.generic]) -> set[str]:
    digits = numbers.astype(np.uint64).tobytes().hex()
    return {digits[start : start + 16] for start in range(0, len(digits), 16)}
