"""Trials as rows of the ledger."""

import json
import math
import sqlite3
from typing import Any

from gcnas.records import Architecture, Cost, Evaluation, EvaluationState, Fidelity, Proposal, Trajectory
from gcnas.run.trial import Trial

ODD_VALUES = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError)
"""What is raised where something is made of values that do not fit; too deep a nesting is a RuntimeError."""


def insert_trial(connection: sqlite3.Connection, trial: Trial) -> None:
    """Write a new trial, pending."""
    proposal, cost = trial.proposal, trial.cost
    connection.execute(
        "INSERT INTO trials (trial, fingerprint, source, state, architecture, trajectory, depth, parameters, "
        "multiply_adds, activations, epochs, seed, attempts, continues) "
        "VALUES (?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            trial.number,
            proposal.fingerprint,
            proposal.source,
            json.dumps(proposal.architecture.to_json()),
            json.dumps(proposal.trajectory.to_json()),
            proposal.architecture.depth,
            cost.parameters,
            cost.multiply_adds,
            cost.activations,
            trial.fidelity.epochs,
            trial.fidelity.seed,
            trial.attempts,
            trial.continues,
        ),
    )


def finish_trial(connection: sqlite3.Connection, trial: Trial) -> None:
    """Write the evaluation of a pending trial.

    Raises:
        ValueError: If it has none, or is not in the ledger.
    """
    evaluation = trial.evaluation
    if evaluation is None:
        raise ValueError(f"Trial {trial.number} has no evaluation.")
    updated = connection.execute(
        "UPDATE trials SET state = ?, score = ?, metrics = ?, error_kind = ?, error = ?, seconds = ?, "
        "elapsed = ? WHERE trial = ?",
        (
            str(evaluation.state),
            evaluation.score,
            json.dumps(dict(evaluation.metrics)),
            evaluation.error_kind,
            # Names of files in another encoding hold surrogates, which SQLite refuses.
            None if evaluation.error is None else evaluation.error.encode(errors="replace").decode(),
            evaluation.seconds,
            trial.elapsed,
            trial.number,
        ),
    )
    if updated.rowcount != 1:
        raise ValueError(f"Trial {trial.number} is not in the ledger.")


def trial_of(row: sqlite3.Row) -> Trial:
    """The trial in a row of the table.

    Raises:
        SpaceError: If its architecture or its decisions are none.
        KeyError, TypeError, ValueError: If a value is damaged otherwise.
    """
    proposal = Proposal(
        Architecture.from_json(json.loads(row["architecture"])),
        Trajectory.from_json(json.loads(row["trajectory"])),
        row["source"],
    )
    fidelity = Fidelity(row["epochs"], row["seed"])
    evaluation = None
    if row["state"] != "pending":
        state, score = EvaluationState(row["state"]), row["score"]
        if score is None and state is EvaluationState.COMPLETE:
            raise ValueError(f"trial {row['trial']} is complete without a score")
        evaluation = Evaluation(
            proposal,
            state,
            None if score is None else _number(score),
            fidelity,
            _figures(json.loads(row["metrics"])),
            row["error_kind"],
            row["error"],
            moment(row["seconds"]),
        )
    return Trial(
        row["trial"],
        proposal,
        Cost(row["parameters"], row["multiply_adds"], row["activations"]),
        fidelity,
        evaluation,
        row["attempts"],
        None if row["elapsed"] is None else moment(row["elapsed"]),
        row["continues"] if "continues" in row.keys() else None,  # noqa: SIM118 - a row of sqlite3 is no mapping
    )


def _figures(values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        raise ValueError(f"figures are an object, not {values!r}")
    return {name: _number(value) for name, value in values.items()}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("a number is too large")
    return value


def moment(value: Any) -> float:
    """Seconds of a run.

    Raises:
        ValueError: If it is none.
    """
    if not math.isfinite(found := _number(value)):
        raise ValueError(f"{value!r} is no time")
    return found
