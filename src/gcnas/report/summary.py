"""What a run found, in a few facts and sentences."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gcnas.network import weights_bytes
from gcnas.records import EvaluationState, Limits
from gcnas.report.curves import Curve, best_so_far, expected_best, with_score
from gcnas.report.numbers import counted, percent, points, short, whole, worded
from gcnas.report.record import Delivered, RunRecord, fitted_space, read_run, run_limits
from gcnas.report.scaled import MOST
from gcnas.run.costs import priced
from gcnas.run.recommendation import BALANCED, REFERENCE, TRANSFERRED, best_design, contenders, is_given, margin
from gcnas.run.trial import Event, Rejection, Trial, decisive
from gcnas.space import SearchSpace

NOT_COMPARABLE = (
    "Networks and reference designs are not compared: which of them are within the limits on size or latency cannot be "
    "told without the run's space and its latency model."
)


@dataclass(frozen=True)
class FailureKind:
    """Failures of one kind: how many, and the first one's trial and message."""

    kind: str
    count: int
    trial: int
    message: str


@dataclass(frozen=True)
class LimitRejections:
    """Proposals beyond one limit: how many, and the first one's figures."""

    limit: str
    count: int
    example: str


@dataclass(frozen=True)
class RunSummary:
    """The facts of a run.

    Attributes:
        name: Name of the run folder.
        state: ``empty`` (no network yet), ``search`` (best of the search so far) or ``final``.
        sentence: The result in one line.
        comparison: The best searched network beside the best that nobody had to find; None while neither is there, or
            where ``comparable`` is false.
        comparable: Whether it can be told which networks are within the limits; those on size and latency need the
            space.
        reward: What the scores are, in words.
        soft: Whether they are soft rewards, not accuracies.
        trials: Number of trials, pending ones included.
        complete: Number of trials with a score.
        architectures: Number of networks looked at.
        full_trainings: Epochs of all trials together, as a multiple of a candidate's full training; None if the run
            does not say how long that is.
        anew: Number of trials that had to begin anew because their checkpoint was gone.
        pending: Number of trials without a result.
        failures: Failed trials by kind, the most frequent first.
        duplicates: Proposals that repeated an earlier one.
        limits: Proposals beyond a limit, by limit.
        best: Trial of the best score among those with the deciding amount of training, like the two that follow.
        delivered: Trial that ``best/`` holds; the best one while ``best/`` does not say.
        best_reference: Best trial among the networks that nobody had to find: reference designs, a transferred one.
        curve: Best score so far by trial.
        elapsed: Seconds of the run so far.
        budget: Budget as configured, such as ``200`` or ``600s``; None if unknown.
        test_openings: Every opening of the test split.
        other_name: Name of the run compared with.
        other_curve: Best score so far by trial of that run.
        other_expected: Where that run is random search with one training for all: its mean best score over all orders
            of its proposals.
        data_notices: What the user should know about the data.
        notices: What is missing in the run folder or does not fit together.
    """

    name: str
    state: str
    sentence: str
    comparison: str | None
    comparable: bool
    reward: str
    soft: bool
    trials: int
    complete: int
    architectures: int
    full_trainings: float | None
    anew: int
    pending: int
    failures: tuple[FailureKind, ...]
    duplicates: int
    limits: tuple[LimitRejections, ...]
    best: Trial | None
    delivered: Trial | None
    best_reference: Trial | None
    curve: Curve
    elapsed: float
    budget: str | None
    test_openings: tuple[Event, ...]
    other_name: str | None
    other_curve: Curve
    other_expected: Curve
    data_notices: tuple[str, ...]
    notices: tuple[str, ...]

    @property
    def failed(self) -> int:
        """Number of failed trials."""
        return sum(failure.count for failure in self.failures)

    @property
    def effort(self) -> str:
        """What the search cost, in words."""
        networks = f"{counted(self.architectures, 'network')} looked at"
        if self.full_trainings is None:
            return networks
        return f"{networks}, for {self.full_trainings:.1f} full trainings of a candidate"

    @property
    def rejected(self) -> int:
        """Number of proposals beyond a limit."""
        return sum(limit.count for limit in self.limits)


def summarize(
    run: RunRecord | Path, against: RunRecord | Path | None = None, space: SearchSpace | None = None
) -> RunSummary:
    """Compute the summary of a run folder.

    Args:
        run: The run folder, or what was read from it.
        against: Another run to compare with, usually random search.
        space: The run's space, if the caller has it; needed only for limits on size and latency if it is not a preset.

    Raises:
        RunFolderError: If a folder holds no readable ledger.
    """
    folder = run if isinstance(run, RunRecord) else read_run(run)
    other = read_run(against) if isinstance(against, Path) else against
    comparable = decisive(folder.trials)
    best = _best(comparable)
    delivered = delivered_trial(folder)
    # As the run decides: within its limits, by means where networks were trained again.
    limits = run_limits(folder.config)
    known, decided = _priced(folder, limits, space)
    compared = [with_score(*pair) for pair in contenders(known, limits)]
    design = best_design(known, limits)
    reference = None if design is None else with_score(*design)
    searched = _best([trial for trial in compared if not is_given(trial.proposal)])
    budget = folder.config.get("budget")
    return RunSummary(
        name=folder.name,
        state="empty" if best is None and folder.delivered is None else _state(folder.delivered),
        sentence=_sentence(folder, delivered),
        comparison=_comparison(folder, _with_mean(delivered, compared), reference, searched)
        if decided
        else None,
        comparable=decided,
        reward=folder.reward,
        soft=folder.soft,
        trials=len(folder.trials),
        complete=sum(trial.complete for trial in folder.trials),
        architectures=len({trial.proposal.fingerprint for trial in folder.trials}),
        full_trainings=_full_trainings(folder),
        anew=sum(_began_anew(trial) for trial in folder.trials),
        pending=sum(trial.evaluation is None for trial in folder.trials),
        failures=_failures(folder.trials),
        duplicates=sum(rejection.reason == "duplicate" for rejection in folder.rejections),
        limits=_limits(folder.rejections),
        best=best,
        delivered=delivered,
        best_reference=reference if decided else None,
        curve=best_so_far(folder.trials),
        elapsed=_elapsed(folder),
        budget=None if budget is None else str(budget),
        test_openings=tuple(event for event in folder.events if event.kind == "test-opened"),
        other_name=None if other is None else other.name,
        other_curve=() if other is None else best_so_far(other.trials),
        other_expected=() if other is None else _expected_random(other),
        data_notices=tuple(map(str, told)) if isinstance(told := folder.data.get("notices"), list) else (),
        notices=folder.missing + _mismatches(folder, other) + (() if decided else (NOT_COMPARABLE,)),
    )


def _priced(folder: RunRecord, limits: Limits, given: SearchSpace | None) -> tuple[Sequence[Trial], bool]:
    """Complete trials with their sizes and predicted latencies where these are limited, and whether they are known.

    The ledger has neither.
    """
    complete = [trial for trial in folder.trials if trial.complete]
    if limits.size is None and limits.latency is None:
        return complete, True
    if limits.latency is not None and folder.latency is None:
        return complete, False
    try:
        space = fitted_space(folder.config, folder.meta, given)
        size = None if limits.size is None else weights_bytes
        return priced(replace(space, file_size=size, latency_model=folder.latency), complete), True
    # A space that has changed, or code that is not executed; a user's own layer types may raise anything.
    except Exception:  # noqa: BLE001
        return complete, False


def _with_mean(trial: Trial | None, compared: Sequence[Trial]) -> Trial | None:
    """A trial with the score by which its network is compared, where it is."""
    if trial is None:
        return None
    name = trial.proposal.fingerprint
    return with_score(trial, next((t.score for t in compared if t.proposal.fingerprint == name), trial.score))


def is_reference(trial: Trial) -> bool:
    """Whether the trial is a design by people, evaluated before the search."""
    return trial.proposal.source == REFERENCE


def given_kind(trial: Trial) -> str:
    """What a network is called that nobody had to find."""
    return "transferred network" if trial.proposal.source == TRANSFERRED else "reference design"


def _best(trials: Sequence[Trial]) -> Trial | None:
    """The trial of the highest score, the earliest among equals."""
    return max(trials, key=lambda trial: (trial.score, -trial.number), default=None)


def _full_trainings(folder: RunRecord) -> float | None:
    amounts = folder.meta.get("amounts")
    full = amounts.get("epochs") if isinstance(amounts, dict) else None
    if not isinstance(full, int) or not 1 <= full <= MOST:
        return None
    # How far those came that failed is not known.
    return sum(t.evaluation.trained_epochs for t in folder.trials if t.complete and t.evaluation) / full


def _began_anew(trial: Trial) -> bool:
    evaluation = trial.evaluation
    return (
        trial.continues is not None
        and trial.complete
        and evaluation is not None
        and (evaluation.trained_epochs >= trial.fidelity.epochs)
    )


def delivered_trial(folder: RunRecord) -> Trial | None:
    """The trial that ``best/`` holds; the best one while ``best/`` does not say."""
    return _named_trial(folder) or _best(decisive(folder.trials))


def _named_trial(folder: RunRecord) -> Trial | None:
    number = None if folder.delivered is None else folder.delivered.trial
    return next((trial for trial in folder.trials if trial.number == number), None)


def _state(delivered: Delivered | None) -> str:
    return "final" if delivered is not None and delivered.final else "search"


def _elapsed(folder: RunRecord) -> float:
    times = [trial.elapsed for trial in folder.trials if trial.elapsed is not None]
    return max(times + [event.elapsed for event in folder.events], default=0.0)


def _sentence(folder: RunRecord, trial: Trial | None) -> str:
    delivered = folder.delivered
    if trial is None and delivered is None:
        return _nothing_yet(folder)
    parameters = delivered.parameters if delivered else None
    multiply_adds = delivered.multiply_adds if delivered else None
    if trial is not None:
        parameters = trial.cost.parameters if parameters is None else parameters
        multiply_adds = trial.cost.multiply_adds if multiply_adds is None else multiply_adds
    size = f"with {whole(parameters)} parameters and {short(multiply_adds)} multiply-adds"
    if trial is not None and delivered is not None and delivered.trial not in (None, trial.number):
        trial = None  # best/ holds another one, of which the ledger does not know yet
    number = trial.number if trial else delivered.trial if delivered else None
    source = trial.proposal.source if trial else delivered.source if delivered else None
    finished = max((trial.number for trial in folder.trials if trial.evaluation is not None), default=0)
    origin = f"trial {whole(number)} of {whole(max(finished, number or 0))} (source {source or 'unknown'})"
    if delivered is not None and delivered.test_accuracy is not None:
        tested, balanced = f"Test accuracy {percent(delivered.test_accuracy)}", delivered.test_balanced_accuracy
        if folder.config.get("reward") == BALANCED and balanced is not None:
            tested = f"Balanced test accuracy {percent(balanced)} (plain {percent(delivered.test_accuracy)})"
        return f"{tested} {size}, found as {origin}."
    if trial is not None and not trial.complete:
        trial = None  # its score is not in the ledger yet
    score = trial.score if trial else delivered.validation_accuracy if delivered else None
    state = _state(delivered)
    lack = "no test split" if state == "final" else "no final training and no test yet"
    value = worded(score, folder.soft and trial is not None)
    return f"{folder.reward.capitalize() if trial else 'Validation accuracy'} {value} {size}, {origin}; {lack}."


def _nothing_yet(folder: RunRecord) -> str:
    if not folder.trials:
        return "No network yet: no candidate was proposed."
    failed = sum(trial.evaluation is not None for trial in folder.trials)
    pending = len(folder.trials) - failed
    return f"No network yet: {counted(failed, 'candidate')} failed, {whole(pending)} pending."


def _comparison(
    folder: RunRecord, delivered: Trial | None, reference: Trial | None, searched: Trial | None
) -> str | None:
    def score(trial: Trial) -> str:
        return worded(trial.score, folder.soft)

    if reference is None:
        return (
            None if searched is None else "No reference design was evaluated, so there is none to compare with."
        )
    design = given_kind(reference)
    best = f"best {design}" if is_reference(reference) else design  # of those there is one
    given = delivered is not None and is_given(delivered.proposal)
    final = _state(folder.delivered) == "final"  # while it searches, best/ is what leads so far
    chosen = given and delivered is not None and delivered.number == reference.number
    lasting = None if folder.delivered is None else folder.delivered.lasting
    reason = ""
    if given and final and delivered is not None:
        reason = _reason(delivered, score(delivered), lasting, earlier=_went_on(folder))
    if searched is None:
        only = f"No searched network is among those compared; the {best} has {score(reference)}."
        return only if chosen else only + reason
    difference = searched.score - reference.score
    images = _validation_images(folder)
    end = f", so the {design} was delivered." if chosen and final else "." if chosen else f".{reason}"
    if (
        difference > 0
        and given
        and images is not None
        and difference <= margin(reference.score, _behind(folder, images))
    ):
        close = "not clearly above" if folder.soft else "within one standard error of"
        return (
            f"The best searched network (trial {searched.number}, {score(searched)}) is {close} the {best} "
            f"(trial {reference.number}, {score(reference)}){end}"
        )
    if difference > 0:
        gain = f"{difference:+.3f}" if folder.soft else points(difference)
        sentence = (
            f"Search improved on the {best} (trial {reference.number}, "
            f"{score(reference)}) by {gain} of {folder.reward}: trial {searched.number} has {score(searched)}."
        )
        if (
            delivered is not None
            and delivered.complete
            and not given
            and delivered.proposal.fingerprint != searched.proposal.fingerprint
        ):
            sentence += f" In best/ is trial {delivered.number} ({score(delivered)})."
        return sentence + (reason or _noise(folder, reference.score, difference))
    return (
        f"No searched network beat the {design} (trial {reference.number}, {score(reference)}; "
        f"best searched: trial {searched.number}, {score(searched)}){end}"
    )


def _went_on(folder: RunRecord) -> bool:
    """Whether anything was evaluated after the last delivery."""
    delivered = max((event.elapsed for event in folder.events if event.kind == "delivered"), default=math.inf)
    return any(trial.elapsed is not None and trial.elapsed > delivered for trial in folder.trials)


def _reason(delivered: Trial, score: str, lasting: bool | None, *, earlier: bool) -> str:
    """Why a network was delivered that nobody had to find, and that does not have the best score.

    Args:
        delivered: The network.
        score: Its score, in words.
        lasting: Whether it was preferred as one that gains most from a long training; None if nobody knows.
        earlier: Whether it was delivered before the search went on.
    """
    why = {
        True: "it reaches more than others in a long training",
        False: "chosen by hand, or by a limit",
        None: "it reaches more than others in a long training, or was chosen by hand or by a limit",
    }[lasting]
    if earlier and not lasting:
        why = "before the search went on"
    return f" Delivered was trial {delivered.number} ({score}), a {given_kind(delivered)}: {why}."


def _noise(folder: RunRecord, accuracy: float, difference: float) -> str:
    """A warning where the difference is within the standard error of an accuracy on so few images."""
    images = _validation_images(folder)
    if images is None or folder.soft or not 0 <= accuracy <= 1:
        return ""
    behind = _behind(folder, images)
    error = math.sqrt(accuracy * (1 - accuracy) / behind)
    if difference >= 2 * error:
        return ""
    return (
        f" That is little: an accuracy measured on {whole(images)} images"
        f"{', some classes of which have few,' if behind < images else ''} has a standard error of {100 * error:.1f} "
        "points."
    )


def _validation_images(folder: RunRecord) -> int | None:
    counts = folder.data.get("counts")
    images = counts.get("validation") if isinstance(counts, dict) else None
    return images if isinstance(images, int) and 1 <= images <= MOST else None


def _behind(folder: RunRecord, images: int) -> float:
    """Images behind a score, which are fewer than those of the split where it is a mean over unequal classes."""
    behind = folder.data.get("behind")
    return float(behind) if isinstance(behind, int | float) and 0 < behind <= images else float(images)


def _failures(trials: Sequence[Trial]) -> tuple[FailureKind, ...]:
    failed = [t for t in trials if t.evaluation is not None and t.evaluation.state is EvaluationState.FAILED]
    kinds = Counter(_kind(trial) for trial in failed)
    firsts: dict[str, Trial] = {}
    for trial in failed:
        firsts.setdefault(_kind(trial), trial)
    return tuple(
        FailureKind(kind, count, firsts[kind].number, _message(firsts[kind]))
        for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    )


def _kind(trial: Trial) -> str:
    return (trial.evaluation.error_kind if trial.evaluation else None) or "unknown"


def _message(trial: Trial) -> str:
    return (trial.evaluation.error if trial.evaluation else None) or "no message"


def _limits(rejections: Sequence[Rejection]) -> tuple[LimitRejections, ...]:
    """Groups by the first word of the detail, which names the limit: ``parameters 91,234 > 78,000``."""
    groups: dict[str, list[str]] = {}
    for rejection in rejections:
        if rejection.reason != "duplicate":
            groups.setdefault((rejection.detail.split() or [rejection.reason])[0], []).append(rejection.detail)
    return tuple(
        LimitRejections(limit, len(details), details[0])
        for limit, details in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def _expected_random(other: RunRecord) -> Curve:
    if other.config.get("strategy") != "random":
        return ()
    drawn = [trial for trial in other.trials if trial.complete and not is_given(trial.proposal)]
    if len({trial.fidelity.epochs for trial in drawn}) > 1:
        return ()  # those with more training were no chance draws
    scores: dict[str, float] = {}
    first: dict[str, int] = {}
    for trial in drawn:  # not the repeats
        scores.setdefault(trial.proposal.fingerprint, trial.score)
        first.setdefault(trial.proposal.fingerprint, trial.number)
    numbers = [first[name] for name in scores]  # of the trials in which so many were known
    return tuple((numbers[count - 1], best) for count, best in expected_best(list(scores.values())))


def _training(folder: RunRecord) -> str:
    """How long candidates are trained."""
    amounts = folder.meta.get("amounts")
    epochs = amounts.get("epochs", "?") if isinstance(amounts, dict) else "?"
    return f"{epochs} epochs, {folder.config.get('fidelity', '?')}"


def _mismatches(folder: RunRecord, other: RunRecord | None) -> tuple[str, ...]:
    notices = []
    delivered, trial = folder.delivered, _named_trial(folder)
    if delivered is not None and trial is None:
        notices.append("best/metrics.json names a trial that is not in the ledger.")
    elif (
        delivered is not None
        and trial is not None
        and delivered.fingerprint
        not in (
            None,
            trial.proposal.fingerprint,
        )
    ):
        notices.append("best/metrics.json and the ledger name different networks for the delivered trial.")
    if other is not None and other.data.get("fingerprint") != folder.data.get("fingerprint"):
        notices.append(f"The run {other.name} compared with used other data; the two curves do not compare.")
    if other is not None and other.reward != folder.reward:
        notices.append(
            f"The run {other.name} compared with maximised {other.reward}; the curves do not compare."
        )
    if other is not None and (ours := _training(folder)) != (theirs := _training(other)):
        notices.append(
            f"Candidates of the run {other.name} compared with got other trainings ({theirs}, here {ours}); the curves "
            "do not compare."
        )
    return tuple(notices)
