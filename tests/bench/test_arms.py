import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gcnas.bench.arms import ARMS, CHANGES, RATES, RIVALS, TUNED, create_arm, rates_tried
from gcnas.bench.controllers import CONTROLLERS
from gcnas.bench.landscape import GROWN_SMALL
from gcnas.errors import ConfigurationError
from gcnas.records.signals import USUAL_FACTS
from gcnas.space import SequenceSpace, token
from gcnas.strategy import STRATEGIES, RandomStrategy
from gcnas.strategy.gcnas import GCNASSettings, GCNASStrategy, usual_settings
from gcnas.strategy.reinforce import ReinforceStrategy

SPACE = GROWN_SMALL.load().space
RIVALS_TUNED = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "tune_rivals.csv"
TUNING = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "claims" / "tuning.csv"


@pytest.mark.parametrize("name", [name for name in ARMS if not name.startswith(("screening", "gcnas"))])
def test_every_arm_proposes(name: str) -> None:
    strategy = create_arm(name, SPACE, 0)
    proposals = strategy.ask(8)
    assert len(proposals) == 8
    depths = {proposal.architecture.depth for proposal in proposals}
    expected = {"deepest": {4}, "growing-depth": {1}}.get(name.partition(":")[2], {1, 2, 3, 4})
    assert depths <= expected


def test_critics_choose_among_what_the_controller_draws() -> None:
    for name in RIVALS:
        strategy = create_arm(f"screening:{name}", SPACE, 0)
        assert isinstance(strategy, GCNASStrategy)
        settings = strategy.settings
        assert (settings.parents, settings.mutants, settings.climbs, settings.random) == (0, 0, 0, 0)
        assert strategy.settings.samples == GCNASSettings().samples
        assert type(strategy.policy) is type(CONTROLLERS[name](SPACE))


def test_one_part_of_the_default_strategy_is_changed() -> None:
    sequence = SequenceSpace("words", (token("a"), token("b")), min_depth=1, max_depth=5, window=1)
    seen = set()
    for change in ["three", *CHANGES]:
        strategy = create_arm(f"gcnas:{change}", sequence, 0)
        assert isinstance(strategy, GCNASStrategy)
        seen.add(strategy.settings)
    assert len(seen) == len(CHANGES) + 1
    assert usual_settings(sequence) not in seen
    assert GCNASSettings() in seen


def test_learning_rates() -> None:
    strategy = create_arm("reinforce:lstm", SPACE, 0)
    assert isinstance(strategy, ReinforceStrategy)
    assert strategy.settings.learning_rate == RATES["reinforce"]["lstm"]
    strategy = create_arm("reinforce:lstm@0.02", SPACE, 0)
    assert isinstance(strategy, ReinforceStrategy)
    assert strategy.settings.learning_rate == 0.02
    # A variant learns as what it is a variant of.
    strategy = create_arm("reinforce:fused", SPACE, 0)
    assert isinstance(strategy, ReinforceStrategy)
    assert strategy.settings.learning_rate == RATES["reinforce"]["gcn"]
    for rates in RATES.values():
        assert set(rates) == set(RIVALS)
        assert all(rate in rates_tried(name) for name, rate in rates.items())


def test_learning_rates_are_those_of_the_tuning() -> None:
    areas: dict[str, dict[str, dict[float, float]]] = defaultdict(lambda: defaultdict(dict))
    with TUNING.open(newline="") as file:
        for row in csv.DictReader(file):
            arm, rate = row["arm"].split("@")
            if row["measure"] == "auc_regret":
                areas[arm][row["space"]][float(rate)] = float(row["mean"])
    for learner, rates in RATES.items():
        for name, chosen in rates.items():
            tried = rates_tried(name)
            columns = [[space[rate] for rate in tried] for space in areas[f"{learner}:{name}"].values()]
            ranks = np.argsort(np.argsort(columns, axis=1), axis=1).mean(0)
            assert chosen == tried[int(ranks.argmin())], (learner, name)


def test_rivals_are_tuned_as_the_results_say() -> None:
    regrets: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    with RIVALS_TUNED.open(newline="") as file:
        for row in csv.DictReader(file):
            regrets[row["rival"]][row["space"]][row["setting"]].append(float(row["mean_regret"]))
    for rival, values in TUNED.items():
        ranks: dict[str, float] = defaultdict(float)
        for settings in regrets[rival].values():
            means = {name: np.mean(found) for name, found in settings.items()}
            for name, mean in means.items():
                ranks[name] += sum(other < mean for other in means.values())
        assert ranks[" ".join(f"{name}={value}" for name, value in values.items())] == min(ranks.values())


def test_strategies_are_arms_too() -> None:
    assert isinstance(create_arm("random", SPACE, 0), RandomStrategy)
    assert not set(ARMS) & set(STRATEGIES)
    assert type(create_arm("optuna:random", SPACE, 0)) is type(STRATEGIES["optuna:random"](SPACE, 0))


@pytest.mark.parametrize(
    "name",
    [
        "nobody",
        "reinforce:nobody",
        "reinforce:gcn@fast",
        "gcnas:no-policy@0.1",
        "gcn@-1",
        "reinforce:deepest@0.1",
    ],
)
def test_unknown_arms(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        create_arm(name, SPACE, 0)


def test_sizes_can_be_left_out() -> None:
    strategy = create_arm("gcnas:no-sizes", SPACE, 0)
    assert isinstance(strategy, GCNASStrategy)
    assert (strategy.settings.facts, strategy.settings.large) == ((), False)
    assert replace(strategy.settings, facts=USUAL_FACTS) == replace(usual_settings(SPACE), large=False)
