"""The policy that a run has learnt so far."""

from gcnas.config import RunConfig, stream_seed
from gcnas.errors import ConfigurationError
from gcnas.policy import Policy
from gcnas.run.ledger import LedgerReader, damage
from gcnas.run.middleware import of_strategy
from gcnas.run.searcher import create_searcher
from gcnas.space import InputShape, SearchSpace
from gcnas.strategy import Strategy, StrategyState, create_strategy, is_own
from gcnas.strategy.gcnas import GCNASStrategy
from gcnas.strategy.reinforce import ReinforceStrategy


def policy_of_run(ledger: LedgerReader, config: RunConfig, space: SearchSpace, strategy: str | None) -> Policy:
    """The policy in a run's ledger, or an untrained one.

    Args:
        ledger: The run's ledger.
        config: Its configuration.
        space: Its space, not yet fitted.
        strategy: Name of a strategy whose untrained policy is wanted; None takes the run's own, trained one.

    Raises:
        ConfigurationError: If the strategy has no policy.
        DamagedLedgerError: If what is stored does not fit the policy.
    """
    meta = ledger.meta()
    with damage(ledger.path):
        image = InputShape(**{name: int(number) for name, number in meta["image"].items()})
    fitted = space.fit(image, config.limits)
    searcher: Strategy | None = None
    if strategy is not None:
        searcher = create_strategy(strategy, fitted, stream_seed(config.seed, "strategy"))
    elif not is_own(config.strategy):  # code is not executed because a run folder names it
        searcher = create_searcher(config, fitted)
    else:
        raise ConfigurationError(
            f"The strategy {config.strategy} is code, which is not executed here, so that its policy is not known; "
            "name one that has a policy with --untrained, for example --untrained reinforce."
        )
    if not isinstance(searcher, ReinforceStrategy | GCNASStrategy):
        raise ConfigurationError(
            f"The strategy {strategy or config.strategy!r} has no policy; name one that has with --untrained, for "
            "example --untrained reinforce."
        )
    state = ledger.strategy_state()
    if strategy is None and state.values:
        with damage(ledger.path):
            values = of_strategy(state.values, references=config.references)
            searcher.load_state_dict(StrategyState(values, state.tensors))
    return searcher.policy
