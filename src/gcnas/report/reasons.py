"""Why this network: which choices mattered, what the policy prefers, and what lies next to it."""

from dataclasses import dataclass, replace
from pathlib import Path

from gcnas.config import RunConfig
from gcnas.errors import ConfigurationError, GCNASError, RunFolderError
from gcnas.network import weights_bytes
from gcnas.report.alternatives import Alternatives, alternatives
from gcnas.report.importance import Importance, importance
from gcnas.report.preferences import Preferences, preferences
from gcnas.report.record import RunRecord, fitted_space, read_run, run_limits
from gcnas.report.summary import delivered_trial
from gcnas.run.ledger import LedgerReader
from gcnas.run.policy_of_run import policy_of_run
from gcnas.run.trial import Trial
from gcnas.space import SearchSpace


@dataclass(frozen=True)
class Reasons:
    """The reasons for a network, as far as the run tells.

    Attributes:
        importance: Which choices mattered.
        preferences: What the run's policy prefers; None if the strategy has none.
        alternatives: The networks next to the chosen one.
        no_policy: Why there are no preferences; empty if there are.
        soft: Whether the scores are soft rewards, not accuracies.
    """

    importance: Importance
    preferences: Preferences | None
    alternatives: Alternatives
    no_policy: str
    soft: bool = False


def reasons(run: Path, trial: int | None = None, space: SearchSpace | None = None) -> Reasons:
    """The reasons for a network of a run folder.

    Args:
        run: The run folder.
        trial: Number of a complete trial; None takes the network in ``best``.
        space: The run's space; needed only if it is not a preset, since it is code.

    Raises:
        ConfigurationError: If there is no such trial.
        RunFolderError: If there is no readable ledger, no network yet, or the space is not the run's.
    """
    folder = read_run(run)
    chosen = delivered_trial(folder)
    if trial is not None:
        chosen = next((each for each in folder.trials if each.number == trial and each.complete), None)
        if chosen is None:
            raise ConfigurationError(
                f"There is no complete trial {trial}; trials.csv lists all {len(folder.trials)}."
            )
    if chosen is None:
        raise RunFolderError(f"{run} has no network yet; let the search finish a candidate.")
    try:
        fitted = fitted_space(folder.config, folder.meta, space)
    except ValueError as error:
        raise RunFolderError(f"The networks of {run} cannot be read: {error}") from error
    return reasons_of(folder, chosen, fitted)


def reasons_of(folder: RunRecord, chosen: Trial, space: SearchSpace) -> Reasons:
    """The reasons for a trial's network.

    Args:
        folder: The run.
        chosen: The trial.
        space: The run's fitted space.
    """
    found = importance(folder.trials, space)
    limits = run_limits(folder.config)
    file_size = None if limits.size is None else weights_bytes
    limited = replace(space, limits=limits, latency_model=folder.latency, file_size=file_size)
    predict = None if found.without is None else found.without(chosen.proposal.architecture)
    beside = alternatives(chosen, folder.trials, limited, predict)
    try:
        return Reasons(found, _preferences(folder, space), beside, "", folder.soft)
    except (ConfigurationError, RunFolderError) as error:
        return Reasons(found, None, beside, _first_sentence(error), folder.soft)


def _preferences(folder: RunRecord, space: SearchSpace) -> Preferences:
    config = RunConfig.create(**folder.config)
    with LedgerReader(folder.path / "run.db") as ledger:
        policy = policy_of_run(ledger, config, space, None)
        if not ledger.learning():
            raise ConfigurationError(f"The policy of {config.strategy!r} has not learnt from any network yet.")
    return preferences(policy)


def _first_sentence(error: GCNASError) -> str:
    return str(error).split(";")[0].rstrip(".") + "."
