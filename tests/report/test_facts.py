import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.conftest import MakeRun

from gcnas.report.facts import facts
from gcnas.report.numbers import short
from gcnas.report.record import read_run
from gcnas.report.summary import summarize

LARGE = 990_000_000


@pytest.mark.parametrize(
    ("limit", "words"), [(LARGE, f"(\u2264\u00a0{short(LARGE)})"), (1, ", above the limit of 1")]
)
def test_limits_that_are_exceeded_are_told(make_run: MakeRun, limit: int, words: str) -> None:
    """Limits may be tightened later, or a larger network asked for by its number."""
    folder = read_run(make_run(final=True, best=True))
    changed = replace(folder, config={**folder.config, "max_params": limit, "max_macs": limit})
    for name in ("Parameters", "Multiply-adds")[limit == LARGE :]:
        network = dict(dict(facts(changed, summarize(changed)))["Network"])
        assert network[name].endswith(words)


def network_of(run: Path, **config: int) -> dict[str, str]:
    folder = read_run(run)
    changed = replace(folder, config={**folder.config, **config})
    return dict(dict(facts(changed, summarize(changed)))["Network"])


def test_a_limit_never_reads_as_if_it_were_another(make_run: MakeRun) -> None:
    run = make_run()
    cost = summarize(run).delivered
    assert cost is not None
    parameters, multiply_adds = cost.cost.parameters, cost.cost.multiply_adds
    found = network_of(run, max_params=parameters + 50, max_macs=multiply_adds - 1)
    assert found["Parameters"] == f"{parameters:,} (\u2264\u00a0{parameters + 50:,})"
    assert found["Multiply-adds"] == f"{short(multiply_adds)}, above the limit of {multiply_adds - 1:,}"


@pytest.mark.parametrize(
    ("epochs", "words"),
    [(None, "none: weights as the search trained them"), (0.4, "0.4 epochs in "), (12.0, "12 epochs in ")],
)
def test_what_final_training_there_was(make_run: MakeRun, epochs: float | None, words: str) -> None:
    run = make_run()
    path = run / "best/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"epochs": epochs, "seconds": 5.0}))
    assert network_of(run)["Final training"].startswith(words)


def test_budgets_of_any_length_are_shown(make_run: MakeRun) -> None:
    """A configuration may be somebody else's."""
    folder = read_run(make_run())
    known = {"40": "40 evaluations", "600s": "10 min"}
    for budget, words in known.items() | {(text, text) for text in ("9" * 5_000, "9" * 400 + "s")}:
        changed = replace(folder, config={**folder.config, "budget": budget})
        assert words in dict(dict(facts(changed, summarize(changed)))["Search"])["Budget"]
