"""``trials.csv``: all trials of a run for a spreadsheet or pandas."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from gcnas.report.layers import describe
from gcnas.run.folder import write_text
from gcnas.run.ledger import LedgerReader
from gcnas.run.salvage import readable_trials
from gcnas.run.trial import Trial

COLUMNS = (
    "trial",
    "fingerprint",
    "source",
    "depth",
    "parameters",
    "multiply_adds",
    "activations",
    "epochs",
    "seed",
    "continues",
    "trained_epochs",
    "score",
    "state",
    "error_kind",
    "error",
    "attempts",
    "seconds",
    "elapsed",
    "layers",
)


def write_trials_csv(run: Path) -> Path:
    """Write ``trials.csv`` in a run folder: one row per trial, those not yet evaluated as ``pending``.

    Texts are on one line. One that a spreadsheet would take for a formula gets an apostrophe in front.

    Raises:
        RunFolderError: If there is no readable ledger or the folder cannot be written.
    """
    with LedgerReader(run / "run.db") as ledger:
        trials = ledger.trials()
    return write_text(run / "trials.csv", _table(trials))


def rescue_trials(run: Path) -> tuple[Path, int]:
    """Write the trials of a damaged ledger that can still be read as ``trials-rescued.csv``.

    An older ``trials.csv`` may hold more of them, so it stays.

    Returns:
        The file, and the number of trials in it.

    Raises:
        RunFolderError: If the folder cannot be written.
    """
    trials = readable_trials(run / "run.db")
    return write_text(run / "trials-rescued.csv", _table(trials)), len(trials)


def _table(trials: Sequence[Trial]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_row(trial) for trial in trials)
    return text.getvalue()


def _row(trial: Trial) -> tuple[str | int, ...]:
    proposal, evaluation = trial.proposal, trial.evaluation
    return (
        trial.number,
        proposal.fingerprint,
        harmless(proposal.source),
        proposal.architecture.depth,
        trial.cost.parameters,
        trial.cost.multiply_adds,
        trial.cost.activations,
        trial.fidelity.epochs,
        trial.fidelity.seed,
        "" if trial.continues is None else trial.continues,
        "" if evaluation is None or not trial.complete else f"{evaluation.trained_epochs:.6g}",
        "" if evaluation is None or evaluation.score is None else repr(evaluation.score),
        "pending" if evaluation is None else str(evaluation.state),
        harmless(None if evaluation is None else evaluation.error_kind),
        harmless(None if evaluation is None else evaluation.error),
        trial.attempts,
        "" if evaluation is None else f"{evaluation.seconds:.3f}",
        "" if trial.elapsed is None else f"{trial.elapsed:.3f}",
        harmless(describe(proposal.architecture)),
    )


def harmless(text: str | None) -> str:
    """A text on one line that no spreadsheet takes for a formula."""
    line = " ".join((text or "").split())
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line
