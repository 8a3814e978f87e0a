import numpy as np
import pytest
from scipy.stats import norm
from tests.strategy.spaces import DEEP, complete

from gcnas.records import Cost, Evaluation, EvaluationState, Fidelity, Limits, Proposal
from gcnas.space import InputShape, LayerType, SearchSpace, Shape, Values
from gcnas.space.presets import CNN
from gcnas.space.presets.cnn import Conv2d
from gcnas.strategy import RandomStrategy
from gcnas.strategy.edits import allowed
from gcnas.strategy.experience import Experience
from gcnas.strategy.tokens import Tokens


def told(count: int) -> Experience:
    experience = Experience(DEEP, Tokens(DEEP))
    for index, proposal in enumerate(RandomStrategy(DEEP, 0).ask(count)):
        experience.add(complete(proposal, float(index % 10)))
    return experience


def test_rows_outlive_growth() -> None:
    experience = told(300)
    proposals = RandomStrategy(DEEP, 0).ask(300)
    assert len(experience) == 300
    assert (experience.tokens == experience.tokens_of([p.architecture for p in proposals])).all()


def test_decisions_lead_to_the_network() -> None:
    experience = told(20)
    for row, proposal in enumerate(RandomStrategy(DEEP, 0).ask(20)):
        assert DEEP.decode(experience.decisions(row).actions) == proposal.architecture


class Skip(LayerType):
    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost()

    def canonical(self, shape: Shape, values: Values) -> None:
        return None


def test_networks_that_lost_layers_are_decided_as_they_were() -> None:
    """Else there would be too few layers: nothing could be learnt from them, and edits would be of other networks."""
    space = SearchSpace("skipping", (Conv2d(), Skip()), min_depth=4, max_depth=4).fit(InputShape(1, 8, 8, 2))
    proposals = [p for p in RandomStrategy(space, 0).ask(40) if p.architecture.depth < 4]
    assert len(proposals) > 5
    experience, loaded = Experience(space, Tokens(space)), Experience(space, Tokens(space))
    for proposal in proposals:
        experience.add(complete(proposal, 0.5))
    loaded.load(experience.arrays())
    for row, proposal in enumerate(proposals):
        for known in (experience, loaded):
            trajectory = known.decisions(row)
            assert allowed(trajectory)
            assert space.decode(trajectory.actions) == proposal.architecture
    older = {name: array for name, array in experience.arrays().items() if not name.startswith("decided")}
    loaded.load(older)
    assert len(loaded) == len(proposals)


def test_failures_count_as_the_worst_of_their_fidelity() -> None:
    experience = Experience(DEEP, Tokens(DEEP))
    first, second, third, fourth = RandomStrategy(DEEP, 0).ask(4)
    experience.add(complete(first, 0.8, epochs=3))
    experience.add(complete(second, 0.5, epochs=3))
    experience.add(Evaluation(third, EvaluationState.FAILED, error_kind="crash", error="made up"))
    experience.add(complete(fourth, 0.1, epochs=1))
    assert experience.epochs.tolist() == [3, 3, 3, 1]
    assert experience.targets == pytest.approx([norm.ppf(5 / 6), norm.ppf(2 / 6), norm.ppf(2 / 6), 0.0])
    assert experience.best(10).tolist() == [0, 1, 3]


def test_more_training_comes_first() -> None:
    experience = Experience(DEEP, Tokens(DEEP))
    for proposal, score, epochs in zip(RandomStrategy(DEEP, 0).ask(3), (0.9, 0.5, 0.6), (1, 9, 9), strict=True):
        experience.add(complete(proposal, score, epochs))
    assert experience.best(2).tolist() == [2, 1]


def test_repeats_bring_nothing() -> None:
    experience = told(3)
    (proposal,) = RandomStrategy(DEEP, 0).ask(1)
    experience.add(Evaluation(proposal, EvaluationState.DUPLICATE, 0.5))
    assert len(experience) == 3


@pytest.mark.parametrize("count", [0, 5, 100])
def test_arrays_hold_everything(count: int) -> None:
    experience, other = told(count), Experience(DEEP, Tokens(DEEP))
    other.load(experience.arrays())
    more = RandomStrategy(DEEP, 1).ask(80)
    for proposal in more:
        experience.add(complete(proposal, 1.5))
        other.add(complete(proposal, 1.5))
    assert all(
        (a == b).all() for a, b in zip(experience.arrays().values(), other.arrays().values(), strict=True)
    )
    assert (experience.targets == other.targets).all()


def test_facts_are_costs_where_there_are_any() -> None:
    space = CNN.fit(InputShape(1, 12, 12, 5), Limits(parameters=50_000))
    experience = Experience(space, Tokens(space))
    proposals = RandomStrategy(space, 0).ask(5)
    facts = experience.facts_of([p.architecture for p in proposals], epochs=7)
    costs = [space.cost(p.architecture) for p in proposals]
    assert facts[:, 0] == pytest.approx(3 / 8)
    assert facts[:, 1] == pytest.approx(np.log10([c.parameters + 1 for c in costs]) / 4)
    assert facts[:, 2] == pytest.approx(np.log10([c.multiply_adds + 1 for c in costs]) / 4)


def six_with_little_training() -> tuple[Experience, list[Proposal]]:
    """Six networks after an epoch, each better than the one before."""
    experience, proposals = Experience(DEEP, Tokens(DEEP)), RandomStrategy(DEEP, 0).ask(6)
    for index, proposal in enumerate(proposals):
        experience.add(complete(proposal, index / 10, epochs=1))
    return experience, proposals


def test_networks_that_went_on_keep_their_places_as_a_group() -> None:
    experience, proposals = six_with_little_training()
    low = experience.targets.copy()
    # The two best go on, and the second overtakes the first.
    experience.add(complete(proposals[5], 0.70, epochs=3))
    experience.add(complete(proposals[4], 0.72, epochs=3))
    assert experience.targets[:6] == pytest.approx(low)
    assert experience.targets[6:] == pytest.approx([low[4], low[5]])
    # Alone on the next rung, it is no middling network.
    experience.add(complete(proposals[4], 0.8, epochs=9))
    assert experience.targets[8] == pytest.approx(low[5])
    # Each network once, with its most training.
    assert experience.best(4).tolist() == [8, 6, 3, 2]


def test_what_broke_a_limit_stands_among_the_least_trained() -> None:
    experience = Experience(DEEP, Tokens(DEEP))
    first, second, third = RandomStrategy(DEEP, 0).ask(3)
    experience.add(complete(first, 0.5, epochs=1))
    experience.add(complete(second, 0.7, epochs=9))
    experience.add(
        Evaluation(third, EvaluationState.INFEASIBLE, error_kind="parameters", error="parameters 9 > 1")
    )
    assert experience.epochs.tolist() == [1, 9, 1]


def test_what_broke_a_limit_can_be_forgotten() -> None:
    drawn = RandomStrategy(DEEP, 0).ask(6)
    experience, without = Experience(DEEP, Tokens(DEEP)), Experience(DEEP, Tokens(DEEP))
    for index, proposal in enumerate(drawn):
        evaluation = complete(proposal, float(index), epochs=3)
        if index in (1, 4):
            evaluation = Evaluation(proposal, EvaluationState.INFEASIBLE, error="activations 9 > 1")
        elif index == 2:
            evaluation = Evaluation(proposal, EvaluationState.FAILED, error_kind="crash", error="made up")
        experience.add(evaluation)
        if index not in (1, 4):
            without.add(evaluation)
    again = Experience(DEEP, Tokens(DEEP))
    again.load(experience.arrays())
    for each in (experience, again):
        assert len(each.targets) == 6
        each.forget_rejected()
        assert all(
            np.array_equal(a, b) for a, b in zip(each.arrays().values(), without.arrays().values(), strict=True)
        )
        assert (each.targets == without.targets).all()


def test_failures_before_any_training_belong_to_the_first_one() -> None:
    first, second, third, fourth = RandomStrategy(DEEP, 0).ask(4)
    early, late = Experience(DEEP, Tokens(DEEP)), Experience(DEEP, Tokens(DEEP))
    failed = Evaluation(third, EvaluationState.INFEASIBLE, error="made up")
    trained = [complete(first, 0.8, epochs=3), complete(second, 0.5, epochs=3), complete(fourth, 0.6, epochs=3)]
    for experience, evaluations in ((early, [failed, *trained]), (late, [*trained, failed])):
        for evaluation in evaluations:
            experience.add(evaluation)
    order = [3, 0, 1, 2]
    assert early.epochs.tolist() == [3] * 4
    assert early.targets[0] == early.targets.min() < -0.4
    assert early.targets == pytest.approx(late.targets[order])
    assert early.facts == pytest.approx(late.facts[order])


def test_what_fails_with_more_training_is_neither_good_nor_a_parent() -> None:
    experience, proposals = six_with_little_training()
    low = experience.targets.copy()
    failed = Evaluation(
        proposals[5], EvaluationState.FAILED, fidelity=Fidelity(3), error_kind="out-of-memory", error="made up"
    )
    experience.add(failed)
    again = Experience(DEEP, Tokens(DEEP))
    again.load(experience.arrays())
    for each in (experience, again):
        assert each.targets[6] == pytest.approx(low.min())
        assert each.best(10).tolist() == [4, 3, 2, 1, 0]
    experience.add(complete(proposals[4], 0.7, epochs=3))
    assert experience.targets[6] == pytest.approx(low.min())
    assert experience.targets[7] == pytest.approx(low[4])
    experience.add(complete(proposals[5], 0.9, epochs=3))  # tried again after a resume
    assert experience.best(2).tolist() == [8, 7]


@pytest.mark.parametrize("loaded", [True, False])
def test_the_best_are_within_limits_that_are_tighter_now(loaded: bool) -> None:
    """Those of an earlier process that the limits leave out; all where fewer than two are left."""
    free = CNN.fit(InputShape(1, 8, 8, 2))
    proposals = RandomStrategy(free, 0).ask(40)
    sizes = np.array([free.cost(proposal.architecture).parameters for proposal in proposals])
    whole = Experience(free, Tokens(free))
    for proposal, size in zip(proposals, sizes, strict=True):
        whole.add(complete(proposal, float(size)))
    order = np.argsort(-sizes, kind="stable")
    assert whole.best(40).tolist() == order.tolist()
    for left in (40, 20, 2, 1, 0):
        bound = int(sizes[order[-left]]) if left else int(sizes.min()) - 1
        assert (sizes <= bound).sum() == left
        space = CNN.fit(free.fitted, Limits(parameters=bound))
        tight = Experience(space, Tokens(space))
        if loaded:
            tight.load(whole.arrays())
        else:
            for proposal, size in zip(proposals, sizes, strict=True):
                tight.add(complete(proposal, float(size)))
        found = tight.best(40).tolist()
        assert found == [row for row in order.tolist() if sizes[row] <= bound or left < 2]
        assert tight.best(1).tolist() == found[:1]
