from dataclasses import replace

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
    for name in ("Parameters", "Multiply-adds"):
        network = dict(dict(facts(changed, summarize(changed)))["Network"])
        assert network[name].endswith(words)
