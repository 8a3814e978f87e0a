import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.report.conftest import MakeRun, likely_score

from gcnas.errors import RunFolderError
from gcnas.records import Limits, Proposal
from gcnas.report import write_report
from gcnas.report.facts import facts
from gcnas.report.record import read_run
from gcnas.report.summary import summarize
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy

VOID = {"meta", "br", "hr", "img", "link", "input"}
HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Checks that every element is closed, and collects text and what a browser would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.words: list[str] = []
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())


def page(run: Path, against: Path | None = None, space: SearchSpace | None = None) -> Page:
    text = write_report(run, against, space).read_text(encoding="utf-8")
    parsed = Page(text)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    assert "script" not in parsed.elements
    assert not {"link", "img", "iframe", "object"} & set(parsed.elements)
    assert all(reference.startswith("#") for reference in parsed.references)
    assert parsed.handlers == []
    return parsed


def failing(proposal: Proposal, number: int) -> Any:
    if number == 5:
        return "time-out", "the candidate took longer than 60 s"
    return None if number == 12 else likely_score(proposal, number)


def test_whole_run(make_run: MakeRun) -> None:
    run = make_run(trials=12, outcome=failing)
    found = page(run)
    for text in (
        "Test accuracy 95.7 % with",
        "Search improved on the best reference design",
        "1 proposal repeated an earlier network.",
        "2 proposals beyond the limit on parameters (the first: parameters 91,234 > 80,000).",
        "time-out : 1 of 12 trials, first in trial 5",
        "the candidate took longer than 60 s",
        "after 30 s: final evaluation",
        "2 images of the test split are also in the training split.",
        "This run is random search itself",
        "gcnas predict run image.png",
        "max_params: 80000",
        "global average pooling",
        "cat taken for dog (2)",
    ):
        assert text in found.text, text
    assert "What this report lacks" not in found.text
    assert found.elements.count("svg") == 4


def test_the_mean_of_several_trainings_is_told(make_run: MakeRun) -> None:
    """The box shows the score of one training, while the choice went by the mean."""
    run = read_run(make_run(outcome=lambda _, number: 0.9 if number == 4 else 0.8))
    winner = next(trial for trial in run.trials if trial.number == 4)
    assert winner.evaluation is not None
    assert run.delivered is not None
    run = replace(run, delivered=replace(run.delivered, trial=4, validation_accuracy=0.9))
    twice = [
        replace(winner, number=number, evaluation=replace(winner.evaluation, metrics={"accuracy": accuracy}))
        for number, accuracy in ((4, 0.9), (13, 0.86))
    ]
    others = [trial for trial in run.trials if trial.number != 4]
    for trials, words in (
        ((*others, *twice), "90.0 % (mean of 2 trainings 88.0 %)"),
        ((*others, twice[0]), "90.0 %"),
    ):
        again = replace(run, trials=tuple(trials))
        assert ("Validation, in the search", words) in dict(facts(again, summarize(again)))["Network"]


def test_commands_can_be_copied(make_run: MakeRun) -> None:
    run = make_run("my pets")
    text = " ".join(page(run).text.split())
    assert "gcnas predict 'my pets' image.png" in text
    assert "python 'my pets/best/model.py'" in text
    assert "gcnas finalize 'my pets' --trial N" in text


def test_only_commands_that_work_are_shown(make_run: MakeRun) -> None:
    own = make_run("own", config={"space": "my spaces.py:SPACE"})
    (own / "best/model.py").unlink()
    text = " ".join(page(own).text.split())
    assert "gcnas predict own image.png --space 'my spaces.py:SPACE' Run from" in text
    assert "PyTorch, not GC-NAS" not in text
    assert "Using the network" not in page(make_run("empty", best=False)).text


def test_deterministic_and_nothing_left_behind(make_run: MakeRun) -> None:
    run = make_run(trials=12)  # enough for the importance of choices
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert not list(run.glob(".*"))
    assert str(run).encode() not in first


def test_against_random_search(make_run: MakeRun) -> None:
    found = page(make_run(), make_run("baseline", seed=4))
    assert "The other run is baseline." in found.text
    assert "averaged over all orders" in found.text


def test_search_under_way(make_run: MakeRun) -> None:
    found = page(make_run(final=False))
    assert "There is no result on the test split yet." in found.text
    assert "The ledger records no opening of the test split." in found.text
    assert "The best network so far" in found.text


@pytest.mark.parametrize("outcome", [lambda *_: None, lambda *_: ("crash", "boom")])
def test_no_score(make_run: MakeRun, outcome: Any) -> None:
    found = page(make_run(outcome=outcome, final=False))
    assert "No candidate has a score yet" in found.text
    assert "There is no network yet." in found.text


def test_no_trial_and_no_facts(make_run: MakeRun) -> None:
    meta = {"space": None, "image": None, "data": None, "version": None, "created": None, "platform": None}
    run = make_run(trials=0, final=False, meta=meta)
    (run / "config.yaml").unlink()
    found = page(run)
    assert "No network yet: no candidate was proposed." in found.text
    assert "config.yaml is missing." in found.text


def test_only_best_is_left(make_run: MakeRun) -> None:
    run = make_run()
    empty = make_run("empty", trials=0, final=False)
    (run / "best").rename(empty / "best")
    found = page(empty)
    assert "Test accuracy 95.7 %" in found.text
    assert "names a trial that is not in the ledger" in found.text
    assert found.elements.count("svg") == 2


def test_hostile_texts_are_escaped(make_run: MakeRun) -> None:
    names = (HOSTILE, 'a"onmouseover="x', "$\\frac{$ \u65e5\u672c\u8a9e")
    notices = {"name": HOSTILE, "notices": [HOSTILE], "classes": list(names), "counts": {HOSTILE: 3}}
    run = make_run(
        classes=names,
        outcome=lambda p, n: ("<b>kind", f"=cmd|{HOSTILE}\x00") if n == 4 else likely_score(p, n),
        meta={"data": notices, "platform": {HOSTILE: HOSTILE}, "version": HOSTILE, "created": "\ud800"},
    )
    path = run / "best/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": HOSTILE, "trial": 999}))
    found = page(run)
    assert found.text.count("alert(1)") >= 8
    assert f"=cmd|{HOSTILE}" in found.text


def test_hostile_source_in_plots(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = RandomStrategy.ask

    def asked(self: RandomStrategy, n: int) -> list[Proposal]:
        return [Proposal(p.architecture, p.trajectory, f"_${HOSTILE}\u4e2d$") for p in ask(self, n)]

    monkeypatch.setattr(RandomStrategy, "ask", asked)
    assert "alert(1)" in page(make_run()).text


def test_user_space_is_not_executed(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "my_space.py"
    path.write_text("from pathlib import Path\nPath(__file__).with_name('executed').touch()\n")
    mine = SearchSpace("mine", CNN.layer_types, max_depth=8)
    run = make_run(space=mine.fit(InputShape(3, 32, 32, 3)), config={"space": f"{path}:SPACE"})
    assert "is executed only if it is named again" in page(run).text
    assert not (tmp_path / "executed").exists()
    assert "What this report lacks" not in page(run, space=mine).text
    other = SearchSpace("mine", CNN.layer_types, max_depth=9)
    assert "is not the one that the run used" in page(run, space=other).text


@pytest.mark.parametrize("depth", [2, 8, 20])
def test_depths(make_run: MakeRun, depth: int) -> None:
    space = CNN.fit(InputShape(3, 48, 48, 3), Limits())
    layers = [space.layer("conv2d", filters=16, kernel_size=3, after=0)]
    for index in range(1, depth):
        inputs = [node for node in (index, index - 1, index - 3) if node >= 0 and (node == index or index % 3)]
        layers.append(space.layer("residual_block", inputs, filters=16, stride=2 if index % 4 == 3 else 1))
    # Decoding gives the canonical form: strides vanish where the size no longer allows them.
    actions = [space.encode_layer(layer, number) for number, layer in enumerate(layers, start=1)]
    architecture = space.decode(actions)
    assert architecture.depth == depth
    run = make_run(
        trials=2,
        space=space,
        architectures=[architecture],
        outcome=lambda _, number: 0.9 if number == 1 else 0.8,
    )
    assert f"Network of {depth} layers" in page(run).text


def test_many_classes(make_run: MakeRun) -> None:
    found = page(make_run(classes=[f"kind {i}" for i in range(230)]))
    assert "too many classes to draw" in found.text
    assert "30 classes that are recognised better are left out." in found.text


def test_more_classes_than_the_matrix_is_kept_for(make_run: MakeRun) -> None:
    run = make_run()
    path = run / "best/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"test_confusion": None, "test_accuracy": 0.5}))
    found = page(run).text
    assert "The network has 50.0 % on the test split." in found
    assert "no test split" not in found


def test_why_a_test_may_flatter_is_told_beside_it(make_run: MakeRun) -> None:
    run = make_run()
    path = run / "best/metrics.json"
    facts = {
        "inheritance": {"donor": "d", "parts": [], "seen": "Weights know <these>."},
        "distillation": {"teacher": "t", "seen": "So does the teacher."},
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    text = page(run).text
    assert "Weights know <these>." in text
    assert "So does the teacher." in text


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        write_report(tmp_path)


@pytest.mark.slow
def test_ten_thousand_trials(make_run: MakeRun) -> None:
    run = make_run(trials=10_000)
    start = time.process_time()
    read_run(run)
    read = time.process_time()
    report = write_report(run)
    # Which reads them too. A search among pairs of trials, say, would take minutes.
    assert time.process_time() - read < 5 * (read - start)
    assert report.stat().st_size < 1_000_000
