import optuna
import pytest
from optuna.samplers import BaseSampler

from gcnas.errors import ConfigurationError
from gcnas.strategy import OPTUNA, STRATEGIES, create_strategy
from gcnas.strategy.optuna_samplers import SAMPLERS, UNSUITABLE
from gcnas.testing.strategy import SEARCHED, made_up


def test_the_names() -> None:
    assert set(SAMPLERS) == set(OPTUNA)
    assert {f"optuna:{name}" for name in SAMPLERS} <= set(STRATEGIES)


def test_every_sampler_of_optuna_is_known() -> None:
    made = {type(create(0)) for create in SAMPLERS.values()}
    named = {getattr(optuna.samplers, name) for name in optuna.samplers.__all__ if name.endswith("Sampler")}
    abstract = {optuna.samplers.BaseSampler, optuna.samplers.BaseGASampler}
    assert len(named - made - abstract) == len(UNSUITABLE)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_warns_of_nothing_and_proposes(name: str) -> None:
    assert isinstance(SAMPLERS[name](0), BaseSampler)
    strategy = create_strategy(f"optuna:{name}", SEARCHED, 0)
    fingerprints = set()
    for _ in range(14):
        (proposal,) = strategy.ask(1)
        fingerprints.add(proposal.fingerprint)
        strategy.tell([made_up(proposal)])
    assert len(fingerprints) == 14


@pytest.mark.parametrize("name", UNSUITABLE)
def test_an_unsuitable_sampler_is_an_error_that_says_why(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s)optuna:gp.*optuna:{name}'.*") as caught:
        create_strategy(f"optuna:{name}", SEARCHED, 0)
    assert UNSUITABLE[name] in str(caught.value)


def test_an_unknown_sampler_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(ConfigurationError, match=r"'optuna:nsga3'.*but got 'optuna:magic'"):
        create_strategy("optuna:magic", SEARCHED, 0)
