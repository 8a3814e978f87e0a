"""What every strategy must hold: seeds decide, states carry on, results come in any order, spaces may be small."""

# ruff: noqa: S101 - tests assert

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from gcnas.records import Cost, Evaluation, EvaluationState, Fidelity, LayerAction, LayerMask, Limits, Proposal
from gcnas.space import InputShape, LayerType, Place, SearchSpace, SequenceSpace, Shape, Values, token
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy, Strategy, StrategyState


class Pass(LayerType):
    """A layer without any choice."""

    def output_shape(self, shape: Shape, values: Values) -> Shape:  # noqa: ARG002
        """The shape of the input."""
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:  # noqa: ARG002
        """As many parameters as there are channels."""
        return Cost(shape.channels, shape.numbers)


NETWORKS = CNN.fit(InputShape(1, 12, 12, 5), Limits(parameters=50_000))
"""Networks under a limit, of many depths."""

_KINDS = (
    token("plain"),
    token("wide", {"width": (1, 2, 3)}),
    token("both", {"width": (2, 4), "rate": (0.5, 1.0)}),
)

GIVEN = SequenceSpace(
    "given connections",
    _KINDS,
    min_depth=4,
    max_depth=4,
    window=3,
    places=tuple(
        Place((True, place != 2, True), {1: ((True, True, False),)} if place else {}, reads)
        for place, reads in enumerate([(1,), (1, 2), (1, 3), (1,)])
    ),
)
"""Sequences of one length with given connections, where not everything may stand everywhere."""

SEARCHED = SequenceSpace("searched connections", _KINDS, min_depth=2, max_depth=8, window=3)
"""Sequences of many lengths whose connections are searched; too many to list."""

TINY = SequenceSpace("tiny", (token("a"), token("b")), min_depth=2, max_depth=2, window=1)
"""Four points."""

FEW = SequenceSpace("few", (token("a"), token("b"), token("c")), min_depth=3, max_depth=3, window=1)
"""Twenty-seven points."""

SINGLE = SequenceSpace("single", (token("a"),), min_depth=2, max_depth=2, window=1)
"""One point."""

SINGLE_NETWORK = SearchSpace("single network", (Pass(),), min_depth=2, max_depth=2, window=1).fit(
    InputShape(1, 4, 4, 2)
)
"""One network."""


DESIGN = 10
"""Proposals after which a strategy that learns has used up its first design."""


class StrategyTestCase:
    """Tests of a strategy, for pytest.

    Example:
        >>> from gcnas.strategy import RandomStrategy
        >>> class TestMyStrategy(StrategyTestCase):
        ...     create = RandomStrategy

    Attributes:
        create: Makes a strategy from a fitted space and a seed.
        spaces: Spaces that the tests search.
        told: Evaluations that strategies are told before a test, so that their models are in use.
        ask_seconds: Longest that an ask and the state after it may take after 10,000 evaluations, in seconds of the
            processor.
    """

    create: ClassVar[Callable[[SearchSpace, int], Strategy]]
    spaces: ClassVar[tuple[SearchSpace, ...]] = (NETWORKS, GIVEN, SEARCHED)
    told: ClassVar[int] = 40
    ask_seconds: ClassVar[float] = 2.0

    def test_as_many_proposals_as_asked_for(self) -> None:
        """As long as there is enough left, an ask for n gives n."""
        for space in self.spaces:
            for n in (0, 1, 7):
                assert len(self._new(space).ask(n)) == n, space.name

    def test_proposals_are_points_of_the_space(self) -> None:
        """Every decision is one that its mask allows, and leads to the architecture proposed."""
        for space in self.spaces:
            for proposal in _rounds(self._told(space), 4):
                trajectory = proposal.trajectory
                assert proposal.source
                assert space.decode(trajectory.actions) == proposal.architecture
                assert space.decode(space.encode(proposal.architecture).actions) == proposal.architecture
                assert len(trajectory.masks) == len(trajectory.actions) <= space.max_depth + 1
                for action, mask in zip(trajectory.actions, trajectory.masks, strict=True):
                    _assert_open(action, mask)

    def test_the_seed_decides(self) -> None:
        """Equal seeds lead to equal proposals, others to others in some space at least."""
        differ = False
        for space in self.spaces:
            first, same, other = (_rounds(self._told(space, seed), 3) for seed in (1, 1, 2))
            assert first == same, space.name
            differ = differ or first != other
        assert differ

    def test_a_state_leads_to_the_same_proposals(self) -> None:
        """A strategy that is loaded goes on as the one that never stopped: at first, and with models in use."""
        for space in self.spaces:
            for strategy in (self._new(space), self._told(space)):
                assert _rounds(self._resumed(strategy, space), 2) == _rounds(strategy, 2), space.name
                assert _rounds(self._resumed(strategy, space), 2) == _rounds(strategy, 2), space.name

    def test_a_state_between_asking_and_telling(self) -> None:
        """Proposals asked and not yet told survive."""
        for space in self.spaces:
            strategy = self._told(space)
            pending = strategy.ask(4)
            other = self._resumed(strategy, space)
            results = [made_up(proposal) for proposal in pending]
            for each in (strategy, other):
                each.tell(results[2:])
            other = self._resumed(other, space)
            for each in (strategy, other):
                each.tell(results[:2])
            assert _rounds(strategy, 2) == _rounds(other, 2), space.name

    def test_a_state_is_a_copy(self) -> None:
        """What happens later changes no state that was taken; it may be loaded more than once."""
        for space in self.spaces:
            strategy = self._told(space)
            state = strategy.state_dict()
            text = json.dumps(state.values)
            arrays = {key: array.copy() for key, array in state.tensors.items()}
            asked = _rounds(strategy, 2)
            assert json.dumps(state.values) == text, space.name
            assert all(np.array_equal(state.tensors[key], array) for key, array in arrays.items()), space.name
            strategy.load_state_dict(state)
            assert _rounds(strategy, 2) == asked, space.name

    def test_results_in_any_order(self) -> None:
        """Results come late, in the reverse order, and one by one between asks."""
        for space in self.spaces:
            strategy = self._told(space)
            waiting = strategy.ask(3)
            for _ in range(6):
                waiting += strategy.ask(1)
                strategy.tell([made_up(waiting.pop())])
                strategy.tell([made_up(waiting.pop(0))])
                waiting += strategy.ask(1)
            strategy.tell([made_up(proposal) for proposal in reversed(waiting)])
            assert len(strategy.ask(2)) == 2, space.name

    def test_nothing_but_failures(self) -> None:
        """A strategy that never hears of a score goes on proposing."""
        for space in self.spaces:
            strategy = self._new(space)
            for index in range(15):
                state = EvaluationState.FAILED if index % 2 else EvaluationState.INFEASIBLE
                proposals = strategy.ask(2)
                assert len(proposals) == 2, space.name
                strategy.tell([Evaluation(p, state, error_kind="crash", error="made up") for p in proposals])

    def test_scores_that_are_not_finite(self) -> None:
        """Whoever tells them has evaluated badly; the strategy goes on, and its state stays one that can be stored."""
        for space in self.spaces:
            strategy = self._told(space)
            for score in (math.nan, -math.inf, math.inf):
                told = [
                    Evaluation(proposal, EvaluationState.COMPLETE, score, Fidelity(1))
                    for proposal in strategy.ask(3)
                ]
                strategy.tell(told)
            json.dumps(strategy.state_dict().values, allow_nan=False)
            assert len(_rounds(strategy, 2)) == 6, space.name

    def test_repeats_may_be_told(self) -> None:
        """A repeat may carry the score of what it repeats, or none while that is under way."""
        for space in self.spaces:
            strategy = self._told(space)
            first, second = strategy.ask(2)
            strategy.tell([Evaluation(first, EvaluationState.DUPLICATE, 0.5)])
            strategy.tell([Evaluation(second, EvaluationState.DUPLICATE, error="still under way")])
            strategy.tell([])
            assert len(strategy.ask(2)) == 2, space.name

    def test_what_others_proposed_may_be_told(self) -> None:
        """Designs by people are told as well."""
        for space in self.spaces:
            strategy = self._new(space)
            _rounds(strategy, 1, size=DESIGN)
            references = [replace(proposal, source="reference") for proposal in _random_proposals(space, 5)]
            strategy.tell([Evaluation(p, EvaluationState.COMPLETE, 0.9, Fidelity(1)) for p in references])
            assert len(_rounds(strategy, 2)) == 6, space.name

    def test_results_of_further_training(self) -> None:
        """A strategy that is told about several amounts of training hears of a network after each, failures too."""
        for space in self.spaces:
            strategy = self._told(space)
            if not strategy.multi_fidelity:
                return
            proposals = strategy.ask(4)
            for epochs in (1, 3, 9):
                told = [
                    Evaluation(p, EvaluationState.COMPLETE, 0.5 + epochs / 100, Fidelity(epochs))
                    for p in proposals
                ]
                told[0] = Evaluation(
                    proposals[0], EvaluationState.FAILED, None, Fidelity(epochs), error_kind="crash"
                )
                strategy.tell(told[: 4 - epochs // 3])
                strategy = self._resumed(strategy, space)
                assert len(_rounds(strategy, 1)) == 3, space.name

    def test_news_of_others(self) -> None:
        """It may hear of proposals by others, of some that are set aside, and of other limits, at any time."""
        for space in self.spaces:
            strategy = self._new(space)
            others = [replace(proposal, source="reference") for proposal in _random_proposals(space, 3)]
            strategy.expect(others)
            asked = strategy.ask(2)
            assert len(asked) == 2, space.name
            strategy.set_aside([*asked[:1], *others[:1]])
            strategy.reconsider()
            strategy.tell([made_up(proposal) for proposal in [*others[1:], *asked[1:]]])
            assert len(_rounds(strategy, 2)) == 6, space.name
            strategy.tell([made_up(proposal) for proposal in [*others[:1], *asked[:1]]])
            assert len(_rounds(strategy, 2)) == 6, space.name
            strategy.reconsider()
            assert len(_rounds(self._resumed(strategy, space), 2)) == 6, space.name

    def test_an_exhausted_space(self) -> None:
        """Where every point was proposed a strategy repeats itself or ends; before, it does not end."""
        strategy = self._new(TINY)
        asked: list[Proposal] = []
        for _ in range(30):
            proposals = strategy.ask(2)
            asked += proposals
            if len(proposals) < 2:
                assert len({proposal.fingerprint for proposal in asked}) == 4
            strategy.tell([made_up(proposal) for proposal in proposals])
        assert {len(proposal.architecture.layers) for proposal in asked} == {2}

    def test_a_small_space_of_failures(self) -> None:
        """A strategy that ends without having heard of a score has proposed every point."""
        for seed in range(3):
            strategy = self._new(FEW, seed)
            seen: set[str] = set()
            for _ in range(100):
                proposals = strategy.ask(1)
                if not proposals:
                    assert len(seen) == 27, f"ended after {len(seen)} of 27 points"
                    break
                seen.update(proposal.fingerprint for proposal in proposals)
                strategy.tell([Evaluation(p, EvaluationState.INFEASIBLE, error="made up") for p in proposals])

    def test_one_legal_choice(self) -> None:
        """Where there is nothing to decide the one point is proposed, again or not."""
        for space in (SINGLE, SINGLE_NETWORK):
            strategy = self._new(space)
            (first,) = strategy.ask(1)
            strategy.tell([made_up(first)])
            for proposal in _rounds(strategy, 2):
                assert proposal.architecture == first.architecture

    def test_nothing_global_is_touched(self) -> None:
        """Global random states are neither read nor written, and no other setting of torch is changed."""
        for space in self.spaces:
            before = _global_state(0)
            asked = _rounds(self._told(space), 2)
            assert _global_state() == before, space.name
            _global_state(1)
            assert _rounds(self._told(space), 2) == asked, space.name

    def test_ten_thousand_evaluations(self) -> None:
        """After them an ask is still quick, and so is taking the state."""
        strategy = self._told(SEARCHED, told=10_000)
        for _ in range(3):
            started = time.process_time()
            (proposal,) = strategy.ask(1)
            strategy.state_dict()
            assert time.process_time() - started < self.ask_seconds
            strategy.tell([made_up(proposal)])
        assert len(_rounds(self._resumed(strategy, SEARCHED), 1)) == 3

    def _new(self, space: SearchSpace, seed: int = 0) -> Strategy:
        return type(self).create(space, seed)

    def _told(self, space: SearchSpace, seed: int = 0, told: int | None = None) -> Strategy:
        """A strategy after proposals of its own, more than a first design has, and evaluations of other ones."""
        strategy = self._new(space, seed)
        own = _rounds(strategy, 1, size=DESIGN)[0]
        for proposal in _random_proposals(space, self.told if told is None else told):
            strategy.tell([made_up(replace(proposal, source=own.source))])
        return strategy

    def _resumed(self, strategy: Strategy, space: SearchSpace) -> Strategy:
        """A new strategy with the state as it comes back from a file: real JSON text, and arrays of their own."""
        state = strategy.state_dict()
        values = json.loads(json.dumps(state.values, allow_nan=False))
        assert all(array.dtype.kind in "biuf" for array in state.tensors.values())
        other = self._new(space, 12_345)
        other.load_state_dict(
            StrategyState(values, {key: array.copy() for key, array in state.tensors.items()})
        )
        return other


def made_up(proposal: Proposal) -> Evaluation:
    """A result that depends on the architecture alone; one in eight fails, one in eight breaks a limit."""
    digit = int(proposal.fingerprint[-1], 16) % 8
    if digit == 0:
        return Evaluation(proposal, EvaluationState.FAILED, error_kind="crash", error="made up")
    if digit == 1:
        return Evaluation(proposal, EvaluationState.INFEASIBLE, error_kind="parameters", error="made up")
    score = int(proposal.fingerprint[:8], 16) / 16**8
    return Evaluation(proposal, EvaluationState.COMPLETE, score, Fidelity(epochs=1), {"loss": 1 - score})


def _rounds(strategy: Strategy, n: int, size: int = 3) -> list[Proposal]:
    """What is proposed in some rounds of a search; results come in the reverse order."""
    asked: list[Proposal] = []
    for _ in range(n):
        batch = strategy.ask(size)
        asked += batch
        strategy.tell([made_up(proposal) for proposal in reversed(batch)])
    return asked


def _random_proposals(space: SearchSpace, count: int) -> Sequence[Proposal]:
    # Spaces have no hash. The space is kept beside its proposals so that no other can get its id.
    if id(space) not in _DRAWN:
        _DRAWN[id(space)] = (space, RandomStrategy(space, 7), [])
    _, strategy, drawn = _DRAWN[id(space)]
    drawn += strategy.ask(max(0, count - len(drawn)))
    return drawn[:count]


_DRAWN: dict[int, tuple[SearchSpace, RandomStrategy, list[Proposal]]] = {}


def _assert_open(action: LayerAction, mask: LayerMask) -> None:
    assert mask.types[action.type]
    assert all(flags[i] for i, flags in zip(action.hyperparameters, mask.hyperparameters, strict=True))
    assert all(flag or not chosen for chosen, flag in zip(action.connections, mask.connections, strict=True))


def _global_state(seed: int | None = None) -> list[Any]:
    """The global random states and settings, after seeding if there is a seed."""
    if seed is not None:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global state is what must not be touched
        torch.manual_seed(seed)
    words = tuple(np.random.get_state())[1]  # noqa: NPY002
    settings = [torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()]
    return [random.getstate(), np.asarray(words).tolist(), torch.get_rng_state().tolist(), *settings]
