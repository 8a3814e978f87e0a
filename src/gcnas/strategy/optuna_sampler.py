"""The strategy ``gcnas`` as a sampler for people's own studies of Optuna."""

import json
import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gcnas.records import Evaluation, EvaluationState, Fidelity, Proposal, Trajectory
from gcnas.strategy.gcnas import GCNASSettings, GCNASStrategy
from gcnas.strategy.latin import latin
from gcnas.strategy.optuna_space import StudySpace, is_decision, joined

AT_ONCE = 1_000
"""Characters of a proposal that are noted under one name with its trial: storages have room for some 2,000."""

RECENT = 20
"""Complete trials with a parameter whose ranges are joined: a range that depends on another parameter stays whole, and
what the user wants no longer is gone after so many."""

_NOTED = "gcnas:proposal"
_SEEDS = 2**31

_LOCK = threading.Lock()
"""One proposal at a time: torch has one global generator, which a new policy borrows."""


class GCNASSampler(BaseSampler):
    """Lets the strategy ``gcnas``, a policy with critics and edits, search any study of Optuna.

    A parameter is a layer of a sequence: a categorical one with one decision, a number with up to three that cut its
    range into finer and finer bins. A proposal is made by a :class:`~gcnas.strategy.gcnas.GCNASStrategy` that is made
    anew from the study's trials and a seed. So the sampler keeps nothing, many threads and processes may share a study,
    and a study that is resumed gets the proposals of one that never stopped, if its sampler has the same seed.

    Being made anew takes time that grows with the study, seconds a proposal where there are thousands of trials: it is
    meant for trials that take longer.

    Pruned trials count by their last value but not as better than the worst complete one; failed ones, those that break
    a constraint, and those that are under way as the worst. Parameters that only some trials have are proposed together
    with the others; values that make no difference are recognised if one parameter decides whether they do. Categorical
    parameters of more than 200 choices are left to the independent sampler.

    Example:
        >>> import optuna
        >>> from gcnas import GCNASSampler
        >>> study = optuna.create_study(sampler=GCNASSampler(seed=0))
        >>> study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=30)

    Args:
        seed: Seed of all proposals; one is drawn if it is None.
        n_startup_trials: Finished trials before the strategy proposes. The first one is random, the others try
            all values of each parameter about equally often.
        ignore_failed: Whether failed trials are no experience, as for the samplers of Optuna.
        independent_sampler: Draws parameters that were not seen before; at random if it is None.
        settings: How the strategy spends a round.
    """

    def __init__(
        self,
        seed: int | None = None,
        *,
        n_startup_trials: int = 10,
        ignore_failed: bool = False,
        independent_sampler: BaseSampler | None = None,
        settings: GCNASSettings | None = None,
    ) -> None:
        if n_startup_trials < 1:
            raise ValueError(f"n_startup_trials must be at least 1, but got {n_startup_trials}.")
        self._seed = _drawn() if seed is None else seed
        self._startup, self._ignore_failed = n_startup_trials, ignore_failed
        self._independent = independent_sampler
        self._settings = settings or GCNASSettings()

    def reseed_rng(self) -> None:
        """Draw another seed for parameters that were not seen before; proposals have one for each trial anyway."""
        if self._independent is not None:
            self._independent.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """All parameters of the complete trials, each with all of the range that it had in the newest of them.

        A value outside the range of the trial that asks is drawn by the independent sampler.

        Raises:
            ValueError: If the study has several objectives.
        """
        self._raise_error_if_multi_objective(study)
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        found: dict[str, BaseDistribution] = {}
        times: Counter[str] = Counter()
        for each in reversed(complete):
            for name, distribution in each.distributions.items():
                if times[name] < RECENT:
                    found[name] = joined(distribution, found.get(name, distribution))
                times[name] += 1
        return {name: found[name] for name in sorted(found) if is_decision(found[name])}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value for a parameter that no complete trial has.

        Raises:
            ValueError: If the study has several objectives.
        """
        self._raise_error_if_multi_objective(study)
        sampler = self._independent
        if sampler is None:
            # The same for a trial whatever was drawn before, so that a resumed study goes on as it would have.
            digest = sha256(f"{self._seed} {trial.number} {param_name}".encode()).digest()
            sampler = RandomSampler(seed=int.from_bytes(digest[:4], "big"))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values for the parameters seen so far.

        Raises:
            ValueError: If the study has several objectives.
        """
        self._raise_error_if_multi_objective(study)
        if not search_space:
            return {}
        with _LOCK:
            values = self._sample(study, trial.number, search_space)
            written = json.dumps({name: search_space[name].to_internal_repr(v) for name, v in values.items()})
            # The parameters of a trial under way reach the storage one after the other, later than others ask.
            for part, start in enumerate(range(0, len(written), AT_ONCE)):
                name, text = f"{_NOTED}:{part}", written[start : start + AT_ONCE]
                study._storage.set_trial_system_attr(trial._trial_id, name, text)  # noqa: SLF001
        return values

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Nothing but what the independent sampler does."""
        if self._independent is not None:
            self._independent.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Nothing but what the independent sampler does."""
        if self._independent is not None:
            self._independent.after_trial(study, trial, state, values)

    def _sample(
        self, study: Study, number: int, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        trials = [t for t in study.get_trials(deepcopy=False) if t.number != number]
        space = StudySpace(search_space, [t for t in trials if t.state is TrialState.COMPLETE])
        random = np.random.Generator(np.random.PCG64([self._seed, number]))
        known = self._evaluations(space, trials, study.direction)
        finished = sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials)
        found = None
        # Of equal scores nothing can be learnt.
        if finished >= self._startup and len({e.score for e in known if e.score is not None}) > 1:
            proposals = self._proposed(space, known, int(random.integers(_SEEDS)))
            # The picks of a round, each by its own rule, take turns.
            found = proposals[number % len(proposals)].trajectory if proposals else None
        return space.decode(found or self._start(space, number), random)

    def _start(self, space: StudySpace, number: int) -> Trajectory:
        """A point of the first design, or of another like it when that is used up."""
        design = np.random.Generator(np.random.PCG64([self._seed, number // self._startup, 1]))
        return latin(space.space, self._startup, design, 0.0)[number % self._startup]

    def _evaluations(
        self, space: StudySpace, trials: Sequence[FrozenTrial], direction: StudyDirection
    ) -> list[Evaluation]:
        """What is known of each trial that is a point of the space."""
        sign = 1.0 if direction is StudyDirection.MAXIMIZE else -1.0
        complete = [
            t for t in trials if t.state is TrialState.COMPLETE and max(_constraints(t), default=0.0) <= 0
        ]
        finite = [t for t in complete if t.value is not None and math.isfinite(t.value)]
        worst = min((_score(t, sign) for t in finite), default=math.inf)
        found = []
        for trial in trials:
            ignored = self._ignore_failed and trial.state is TrialState.FAIL
            values = _values(trial, space)
            if trial.state is TrialState.WAITING or ignored or not space.holds(values):
                continue
            trajectory = space.encode(values, trial.number)
            proposal = Proposal(space.space.decode(trajectory.actions), trajectory, "study")
            found.append(_evaluation(proposal, trial, sign, worst))
        return found

    def _proposed(self, space: StudySpace, known: Sequence[Evaluation], seed: int) -> list[Proposal]:
        """What the strategy proposes in a round; nothing if nothing is left."""
        settings = replace(self._settings, start=0)
        strategy = GCNASStrategy(space.space, seed, settings)
        strategy.tell(known)
        return strategy.ask(len(settings.picks))


def _values(trial: FrozenTrial, space: StudySpace) -> dict[str, Any]:
    """What is known of a trial's parameters; of one that is under way or did not get to all of them, what was proposed.

    A complete one has all that it needs.
    """
    if trial.state is TrialState.COMPLETE:
        return trial.params
    return space.external(_noted(trial.system_attrs)) | trial.params


def _noted(attributes: Mapping[str, Any]) -> dict[str, float]:
    """What was proposed for a trial; nothing if it is not written in full yet."""
    parts: list[str] = []
    while isinstance(part := attributes.get(f"{_NOTED}:{len(parts)}"), str):
        parts.append(part)
    try:
        found: dict[str, float] = json.loads("".join(parts) or "{}")
    except ValueError:
        return {}
    return found


def _evaluation(proposal: Proposal, trial: FrozenTrial, sign: float, worst: float) -> Evaluation:
    """A trial as the strategy sees it; ``worst`` is the lowest finite score of a complete one that breaks nothing."""
    if max(_constraints(trial), default=0.0) <= 0:
        if trial.state is TrialState.COMPLETE:
            return Evaluation(proposal, EvaluationState.COMPLETE, _score(trial, sign), Fidelity(1))
        if trial.state is TrialState.PRUNED and trial.last_step is not None:
            score = min(worst, _finite(sign * trial.intermediate_values[trial.last_step]))
            return Evaluation(proposal, EvaluationState.COMPLETE, score, Fidelity(1))
    return Evaluation(proposal, EvaluationState.FAILED, None, Fidelity(1), error_kind="crash")


def _constraints(trial: FrozenTrial) -> Sequence[float]:
    """Numbers that are positive where a constraint is broken; versions before 5 of Optuna keep them elsewhere."""
    found = getattr(trial, "constraints", None)
    return list(found.values()) if found else trial.system_attrs.get("constraints") or ()


def _score(trial: FrozenTrial, sign: float) -> float:
    return -math.inf if trial.value is None else _finite(sign * trial.value)


def _finite(score: float) -> float:
    """Only ranks count, so the largest number stands for infinity; what is not a number is the worst."""
    return float(np.nan_to_num(score, nan=-np.inf))


def _drawn() -> int:
    return int(np.random.default_rng().integers(_SEEDS))
