from pathlib import Path

import pytest

from gcnas.errors import ConfigurationError
from gcnas.tabular import Description, make_space
from gcnas.tabular.description import CostColumn

SMALL = """
name: small
key: key
reward: score
decisions:
  - {name: a, kind: layer, choices: {0: none, 1: conv}}
  - {name: b, kind: layer, choices: {0: none, 1: conv}}
"""


def test_tokens_stay_as_they_are_written() -> None:
    text = SMALL.replace("{0: none, 1: conv}", "{007: none, yes: conv, null: pool, 1e3: skip}")
    description = Description.parse(text, "here")
    assert list(description.decisions[0].choices) == ["007", "yes", "null", "1e3"]


def test_entries_that_say_nothing_are_absent() -> None:
    description = Description.parse(SMALL + "test: null\ncanonical:\ncost: ~\nlength:\n", "here")
    assert description.test is description.canonical is description.cost is description.length is None


def test_inputs_that_say_nothing_are_absent() -> None:
    text = SMALL.replace("{name: b, kind: layer,", "{name: b, inputs: null, kind: layer,")
    assert Description.parse(text, "here") == Description.parse(SMALL, "here")


def test_no_decision_reads_itself() -> None:
    text = SMALL.replace("{name: b, kind: layer,", "{name: b, inputs: [b], kind: layer,")
    with pytest.raises(ConfigurationError, match="'b' must be earlier decisions"):
        make_space(Description.parse(text, "here"))


def test_cost_is_a_column_or_a_column_with_a_factor() -> None:
    plain = Description.parse(SMALL + "cost: seconds\n", "here").cost
    scaled = Description.parse(SMALL + "cost: {column: seconds, factor: 2.5}\n", "here").cost
    assert plain is not None
    assert scaled is not None
    assert (plain.column, plain.factor, scaled.column, scaled.factor) == ("seconds", 1.0, "seconds", 2.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("reward: score", "rewards: score"), ["reward", "rewards: there is no such entry"]),
        (
            ("kind: layer, choices: {0: none, 1: conv}}", "kind: layers, choices: {0: none}}"),
            ["kind", "layers"],
        ),
        (("{name: b, kind: layer,", "{name: b, kind: hyperparameter,"), ["decisions.1", "of: LAYER"]),
        (("{name: b, kind: layer,", "{name: b, kind: layer, of: a,"), ["decisions.1", "of: LAYER"]),
        (("name: b", "name: a"), ["distinct", "'a'"]),
        (("{0: none, 1: conv}}\n  - {name: b", "{0: conv, 1: conv}}\n  - {name: b"), ["meaning of its own"]),
        (("{0: none, 1: conv}}\n  - {name: b", "{0: x, 0: y}}\n  - {name: b"), ["'0'", "twice", "line 6"]),
        (("{0: none, 1: conv}}\n  - {name: b", "{}}\n  - {name: b"), ["choices", "at least 1"]),
        (("0: none", "'a,b': none"), ["choices", "a,b"]),
        (("name: small", "name: small\nlength: [3, 2]"), ["1 <= min <= max"]),
        (("name: small", "name: small\nlength: 2"), ["length"]),
        (("name: small", "name: small\nepochs: 5\nfidelities: {5: {reward: x}}"), ["5 epochs", "shorter"]),
        (("name: small", "name: small\nconnections: {searched: true}"), ["window"]),
        (("name: small", "name: small\nsha256: abc"), ["sha256"]),
        (("name: small", "name: [small"), ["no YAML"]),
        (("name: small", "name: small\nname: other"), ["'name'", "twice"]),
    ],
)
def test_mistakes_are_named(change: tuple[str, str], words: list[str]) -> None:
    text = SMALL.replace(*change)
    assert text != SMALL
    with pytest.raises(ConfigurationError) as caught:
        Description.parse(text, "mine.yaml")
    assert all(word in str(caught.value) for word in ["mine.yaml", *words]), caught.value


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b\n", "!!python/object:os.system {}", "[" * 5000])
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"mine\.yaml"):
        Description.parse(text, "mine.yaml")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Description.read(tmp_path / "none.yaml")
    (tmp_path / "large.yaml").write_text(SMALL + "#" * 2**20)
    with pytest.raises(ConfigurationError, match="at most"):
        Description.read(tmp_path / "large.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Description.read(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("{name: b, kind: layer,", "{name: b, kind: layer, inputs: [c],"), ["'b'", "'c'"]),
        (("{name: a, kind: layer,", "{name: a, kind: layer, inputs: [b],"), ["'a'", "'b'"]),
        (("name: small", "name: small\nlength: [1, 5]"), ["2 tokens", "5"]),
        (
            ("{name: b, kind: layer,", "{name: b, kind: hyperparameter, of: b,"),
            ["'b'", "itself a hyper-parameter"],
        ),
    ],
)
def test_what_does_not_fit_together_is_named(change: tuple[str, str], words: list[str]) -> None:
    description = Description.parse(SMALL.replace(*change), "mine.yaml")
    with pytest.raises(ConfigurationError) as caught:
        make_space(description)
    assert all(word in str(caught.value) for word in words), caught.value


def test_sizes_are_two_columns_that_are_no_scores() -> None:
    assert Description.parse(SMALL, "here").parameters is None
    found = Description.parse(
        SMALL + "parameters: params\nmultiply_adds: {column: m, factor: 1.0e+6}\n", "here"
    )
    assert (found.parameters, found.multiply_adds) == (
        CostColumn(column="params"),
        CostColumn(column="m", factor=1e6),
    )
    for sizes, word in (("parameters: params", "both"), ("parameters: score\nmultiply_adds: m", "score")):
        with pytest.raises(ConfigurationError, match=word):
            Description.parse(f"{SMALL}{sizes}\n", "here")


def test_signals_are_columns_that_are_no_scores() -> None:
    assert Description.parse(SMALL, "here").signals == ()
    assert Description.parse(SMALL + "signals: [naswot, synflow]\n", "here").signals == ("naswot", "synflow")
    for signals, word in (("[a, a]", "distinct"), ("[a, score]", "score"), ("[short]", "short")):
        text = SMALL + f"epochs: 9\nfidelities: {{1: {{reward: short}}}}\nsignals: {signals}\n"
        with pytest.raises(ConfigurationError, match=word):
            Description.parse(text, "here")
