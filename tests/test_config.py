import re
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gcnas.config import (
    MAX_COUNT,
    MAX_SECONDS,
    MAX_TRIALS,
    Budget,
    RunConfig,
    parse_count,
    parse_seconds,
    parse_soft,
    stream_seed,
)
from gcnas.errors import ConfigurationError
from gcnas.records import Limits, Soft


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("200", Budget(trials=200)),
        (200, Budget(trials=200)),
        (" 200 ", Budget(trials=200)),
        (str(MAX_TRIALS), Budget(trials=MAX_TRIALS)),
        ("90s", Budget(seconds=90)),
        ("90S", Budget(seconds=90)),
        ("0.5s", Budget(seconds=0.5)),
        ("10m", Budget(seconds=600)),
        ("2h", Budget(seconds=7_200)),
        ("1.5h", Budget(seconds=5_400)),
        (Budget(trials=3), Budget(trials=3)),
    ],
)
def test_budgets(text: Any, budget: Budget) -> None:
    assert Budget.parse(text) == budget


BAD_BUDGETS = [
    "", "0", "-1", "abc", "10 m", "1.5", "1e3", "10d", "m", "0s", "0.0h", "-5m", "1,5h", "nan", "infs", "1_000",
    str(MAX_TRIALS + 1), "9" * 5_000, "9" * 400 + "s", "0.0001s", 0, -3, 1.5, True, None, [], float("nan"),
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_BUDGETS, ids=lambda text: repr(text)[:20])
def test_budgets_that_are_none(text: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"number of evaluations \(200\) or a time \(90s, 10m, 2h\)"
    ) as caught:
        Budget.parse(text)
    assert repr(text) in str(caught.value)


@given(st.floats(0.001, MAX_SECONDS) | st.integers(1, 10**9))
@settings(max_examples=300)
def test_a_budget_is_read_as_it_is_written(seconds: float) -> None:
    """Above all without an exponent: 300 hours must be 300 hours when the run is resumed."""
    budget = Budget.parse(f"{seconds:.9f}s")
    assert Budget.parse(str(budget)) == budget
    assert budget.seconds == pytest.approx(seconds, abs=0.001)


@pytest.mark.parametrize(
    ("budget", "text"), [("300h", "1080000s"), ("10m", "600s"), ("1.25s", "1.25s"), (100, "100")]
)
def test_budgets_in_words(budget: Any, text: str) -> None:
    assert str(Budget.parse(budget)) == text


@pytest.mark.parametrize(
    "values", [{}, {"trials": 1, "seconds": 1.0}, {"trials": 0}, {"seconds": 0.0}, {"seconds": float("inf")}]
)
def test_a_budget_is_one_of_two(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Budget(**values)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("50000", 50_000),
        (50_000, 50_000),
        ("100k", 100_000),
        ("100K", 100_000),
        ("5M", 5_000_000),
        ("1.5M", 1_500_000),
        ("0.1k", 100),
        ("2.3k", 2_300),
        ("1g", 10**9),
        (" 7 ", 7),
        (1e6, 10**6),
        (MAX_COUNT, MAX_COUNT),
    ],
)
def test_counts(text: Any, number: int) -> None:
    found = parse_count(text)
    assert (found, type(found)) == (number, int)


BAD_COUNTS = ["", "0", "0.4", "0k", -3, "-3", 0, "x", "k", "5 M", "5MM", "1e3", "5kb", "1,000", "inf", "nan"]
BAD_COUNTS += [None, True, False, [], 10**16, "9" * 400, "2000000g", float("inf"), float("nan")]


@pytest.mark.parametrize("text", BAD_COUNTS, ids=lambda text: repr(text)[:20])
def test_counts_that_are_none(text: Any) -> None:
    with pytest.raises(ConfigurationError, match="positive number such as 50000, 100k or 5M") as caught:
        parse_count(text)
    assert repr(text) in str(caught.value)


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (Budget.parse, parse_count):
        try:
            read(text)
        except ConfigurationError:
            continue


def test_defaults_are_valid() -> None:
    config = RunConfig.create(data="digits")
    assert config.budget == Budget(seconds=600)
    assert config.limits == Limits()
    assert config.seed == 0


def test_texts_become_values() -> None:
    config = RunConfig.create(
        data="digits", budget="200", max_params="60k", max_macs="1.5M", max_activations=500, seed="7"
    )
    assert config.limits == Limits(60_000, 1_500_000, 500)
    assert (config.budget, config.seed) == (Budget(trials=200), 7)


BAD_FIELDS: list[tuple[str, Any]] = [
    ("budget", "10 m"),
    ("budget", 0),
    ("budget", None),
    ("max_params", "many"),
    ("max_macs", -1),
    ("max_activations", "0"),
    ("epochs", 0),
    ("epochs", 2.5),
    ("final_epochs", 100_001),
    ("final_share", 0.2),
    ("final_share", 1),
    ("final_share", float("nan")),
    ("reward", "auc"),
    ("references", "perhaps"),
    ("resolution", 7),
    ("resolution", 513),
    ("channels", "gray"),
    ("validation_fraction", 0),
    ("test_fraction", 1),
    ("test_fraction", -0.1),
    ("batch_size", 1),
    ("learning_rate", 0),
    ("learning_rate", float("inf")),
    ("learning_rate", float("nan")),
    ("weight_decay", -0.1),
    ("candidate_seconds", 0),
    ("candidate_seconds", float("inf")),
    ("candidate_seconds", float("nan")),
    ("threads", 0),
    ("workers", 0),
    ("worker_memory", "lots"),
    ("seed", -1),
    ("seed", 2**63),
    ("strategy", 5),
    ("data", None),
]


def test_something_is_left_for_training() -> None:
    assert (
        RunConfig.create(data="digits", validation_fraction=0.95, test_fraction=0).validation_fraction == 0.95
    )
    with pytest.raises(ConfigurationError, match="leave nothing for training"):
        RunConfig.create(data="digits", validation_fraction=0.5, test_fraction=0.5)


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_errors_name_the_field_and_the_value(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunConfig.create(**({"data": "digits"} | {field: value}))
    message = str(caught.value)
    assert f"{field}: " in message
    assert repr(value) in message
    assert len(re.findall(r"\(got |but got ", message)) == 1


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunConfig.create(budget="soon", max_macs="few", epochs=0)
    for part in ("data: Field required", "budget: ", "'soon'", "max_macs: ", "'few'", "epochs: "):
        assert part in str(caught.value)


def test_unknown_options_are_named() -> None:
    with pytest.raises(
        ConfigurationError, match=r"max_parms: there is no such option; did you mean max_params\?"
    ):
        RunConfig.create(data="digits", max_parms="5k")
    with pytest.raises(ConfigurationError, match=r"zzz: there is no such option$"):
        RunConfig.create(data="digits", zzz=1)


def test_pydantic_does_not_show() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RunConfig.create(data="digits", epochs=0, budget="x", reward="auc")
    shown = "".join(traceback.format_exception(caught.value))
    assert not re.search(r"pydantic\.dev|ValidationError|During handling|direct cause", shown)


def test_a_configuration_cannot_be_changed() -> None:
    config = RunConfig.create(data="digits")
    with pytest.raises(ValidationError):
        config.seed = 5  # type: ignore[misc]


def test_changes_make_another_configuration() -> None:
    config = RunConfig.create(data="digits", budget="300h", max_params="60k", flip=False)
    changed = config.changed(max_params="70k", epochs=3)
    assert (changed.max_params, changed.epochs) == (70_000, 3)
    assert changed.changed(max_params=60_000, epochs=None) == config
    assert config.changed() == config
    assert config.max_params == 60_000


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"no_such": 1}, {"budget": "never"}])
def test_changes_are_validated(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        RunConfig.create(data="digits").changed(**changes)


CONFIGS = st.builds(
    RunConfig.create,
    data=st.text(max_size=20)
    | st.sampled_from(["no", "~", "1e3", "2024-01-01", "a: b", "- x", "Ä/ü.csv", "\udcff"]),
    budget=st.integers(1, MAX_TRIALS) | st.floats(0.001, 1e9).map(lambda seconds: f"{seconds:.6f}s"),
    max_params=st.none() | st.integers(1, MAX_COUNT),
    max_macs=st.none() | st.integers(1, MAX_COUNT),
    space=st.sampled_from(["cnn", "my_space.py:SPACE", "C:\\a b\\my.py:SPACE"]),
    epochs=st.none() | st.integers(1, 100_000),
    final_share=st.floats(1 / 3, 1, exclude_max=True),
    reward=st.sampled_from(["accuracy", "balanced-accuracy"]),
    references=st.booleans(),
    warm_start=st.lists(st.text(min_size=1, max_size=20) | st.sampled_from(["\x85", "a\u2028b"]), max_size=3),
    flip=st.none() | st.booleans(),
    learning_rate=st.floats(0, 10, exclude_min=True),
    weight_decay=st.floats(0, 1),
    candidate_seconds=st.none() | st.floats(0, 1e9, exclude_min=True),
    device=st.none() | st.sampled_from(["cpu", "cuda:1"]),
    seed=st.integers(0, 2**63 - 1),
)


@given(CONFIGS)
def test_the_file_says_the_same(config: RunConfig) -> None:
    assert RunConfig.create(**yaml.safe_load(config.to_yaml())) == config


def test_a_file_on_disk(tmp_path: Path) -> None:
    config = RunConfig.create(data="Blüten/Übung", budget="1.5h", max_params="60k")
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert RunConfig.create(**RunConfig.from_yaml(path)) == config
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["data: Blüten/Übung", "budget: 5400s", "max_params: 60000"]
    assert len(lines) == len(RunConfig.model_fields)


@pytest.mark.parametrize(
    ("given", "found"),
    [(None, ()), ("a b", ("a b",)), (Path("a"), ("a",)), (["a", Path("b")], ("a", "b")), ((), ())],
)
def test_one_run_to_start_from_or_several(given: Any, found: tuple[str, ...]) -> None:
    assert RunConfig.create(data="digits", warm_start=given).warm_start == found


@pytest.mark.parametrize("given", [[""], 3, [None], {"a": 1}])
def test_what_is_no_run_to_start_from(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="warm_start"):
        RunConfig.create(data="digits", warm_start=given)


def test_a_file_of_some_options(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# my options\nbudget: 10m\nmax_params: 1.5M\nflip: no\n", encoding="utf-8")
    config = RunConfig.create(data="digits", **RunConfig.from_yaml(path))
    assert (config.budget.seconds, config.max_params, config.flip) == (600, 1_500_000, False)


def test_a_time_with_a_colon_is_no_number(tmp_path: Path) -> None:
    """YAML reads 10:00 as 600."""
    path = tmp_path / "mine.yaml"
    path.write_text("budget: 10:00\nmax_latency: 1:30.5\nseed: 3\n", encoding="utf-8")
    found = RunConfig.from_yaml(path)
    assert found == {"budget": "10:00", "max_latency": "1:30.5", "seed": 3}
    with pytest.raises(ConfigurationError, match="A budget is"):
        RunConfig.create(data="digits", budget=found["budget"])


def test_paths_are_texts() -> None:
    assert RunConfig.create(data="digits", init_from=Path("runs/a")).init_from == "runs/a"


# 10^30 numbers in 31 short lines, as references to lists of references.
BOMB = "\n".join(
    ["a0: &a0 [0]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)), "budget: *a29"]
)


# Each line has twice the names of the one before it.
MERGED = "\n".join(
    ["a0: &a0 {x: 1}", *(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 60)), "budget: 5"]
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just words",
        "- a\n- b",
        "1: 2",
        "a: [1",
        "a: b: c",
        "\t- x",
        "a: \x00",
        "date: 2024-99-99",
        "big: " + "9" * 5_000,
        "seed: !!bool x",
        'seed: !!int ""',
        "data: !!timestamp x",
        "[" * 5_000,
        "a: &x [*y]",
        "budget: [1, 2]",
        "warm_start: [[a]]",
        "warm_start: {a: b}",
        BOMB,
        MERGED,
    ],
    ids=lambda text: repr(text)[:20],
)
def test_files_that_hold_no_options(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"The configuration .*config\.yaml"):
        RunConfig.from_yaml(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"data: \xff\xfe\xfd")
    (tmp_path / "huge.yaml").write_text("# and so on\n" * 100_000 + "data: digits")
    for name in ("latin.yaml", "huge.yaml", "missing.yaml", "."):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            RunConfig.from_yaml(tmp_path / name)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{file}]]",
        "!!python/object/apply:os.system ['touch {file}']",
        "!!python/object/new:subprocess.Popen [['touch', '{file}']]",
        "!!python/name:os.system",
    ],
)
def test_files_do_not_execute(tmp_path: Path, tag: str) -> None:
    target, path = tmp_path / "executed", tmp_path / "config.yaml"
    path.write_text(f"data: {tag.format(file=target)}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        RunConfig.from_yaml(path)
    assert not target.exists()


def test_stream_seeds_are_apart() -> None:
    names = ["strategy", "split", "weights", "strategy/1", "1/strategy", ""]
    seeds = {stream_seed(root, name) for root in range(200) for name in names}
    assert len(seeds) == 200 * len(names)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_stream_seeds_stay_what_they_are() -> None:
    """Old runs must resume to the same streams."""
    assert stream_seed(0, "strategy") == 1_596_377_528_527_784_537


def test_limits_on_size_and_latency_and_a_soft_target() -> None:
    config = RunConfig.create(data="digits", max_size="200k", max_latency="1.5", soft="macs=5M:-0.07")
    assert config.limits == Limits(size=200_000, latency=1.5)
    assert config.soft == Soft("macs", 5e6, -0.07)
    assert config.costs == {"size", "latency", "macs"}
    assert RunConfig.create(data="digits").costs == set()


@pytest.mark.parametrize(
    ("text", "soft"),
    [
        ("params=50k", Soft("params", 50_000)),
        ("latency=0.35:-0.1", Soft("latency", 0.35, -0.1)),
        ("size=1.5M:-1", Soft("size", 1_500_000, -1.0)),
        ("macs=1000G", Soft("macs", 1e12)),
        ("latency=0.00001", Soft("latency", 1e-5)),
        ("macs=5M:-0.00001", Soft("macs", 5_000_000, -1e-5)),
        ("macs=5M:-0.123456789", Soft("macs", 5_000_000, -0.123456789)),
    ],
)
def test_soft_targets_are_read_and_written(text: str, soft: Soft) -> None:
    assert parse_soft(text) == soft
    assert parse_soft(str(soft)) == soft


@pytest.mark.parametrize(
    "text",
    [
        "macs",
        "macs=",
        "macs=5M:0.07",
        "macs=5M:0",
        "flops=5M:-0.07",
        "latency=5M:-0.07",
        "macs=0:-1",
        "macs=1:-11",
    ],
)
def test_soft_targets_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_soft(text)
    with pytest.raises(ConfigurationError, match="soft"):
        RunConfig.create(data="digits", soft=text)


def test_soft_target_survives_the_file(tmp_path: Path) -> None:
    config = RunConfig.create(data="digits", soft="latency=0.35:-0.1", max_latency=0.5)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert RunConfig.create(**RunConfig.from_yaml(tmp_path / "config.yaml")) == config
    assert config.changed(threads=2).soft == config.soft


@pytest.mark.parametrize(
    ("given", "kept", "facts", "proxies"),
    [
        (None, None, None, ()),
        ("none", "none", (), ()),
        ([], "none", (), ()),
        (" synflow , params", "params,synflow", ("params",), ("synflow",)),
        (("naswot", "depth", "synflow"), "depth,naswot,synflow", ("depth",), ("naswot", "synflow")),
    ],
)
def test_signals(given: Any, kept: Any, facts: Any, proxies: Any) -> None:
    config = RunConfig.create(data="digits", signals=given)
    assert (config.signals, config.facts, config.proxies) == (kept, facts, proxies)
    assert RunConfig.create(**yaml.safe_load(config.to_yaml())) == config


@pytest.mark.parametrize("given", ["", "magic", "none,naswot", "naswot,naswot", "naswot,,", 3, {"naswot": 1}])
def test_signals_that_are_none(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="signals: Signals are 'none' or any of params, macs, depth"):
        RunConfig.create(data="digits", signals=given)


def test_signals_are_for_the_strategy_that_reads_them() -> None:
    with pytest.raises(ConfigurationError, match="'gcnas' alone, but the strategy is 'random'"):
        RunConfig.create(data="digits", signals="naswot", strategy="random")
    assert RunConfig.create(data="digits", strategy="random").proxies == ()


def test_several_gpus_of_a_worker_are_whole() -> None:
    for number in (0.25, 1.0, 3.0):
        assert RunConfig.create(data="d", executor="ray", worker_gpus=number).worker_gpus == number
    with pytest.raises(ConfigurationError, match=r"share of one GPU or a whole number of them, but got 1\.5"):
        RunConfig.create(data="d", executor="ray", worker_gpus=1.5)


@pytest.mark.parametrize(
    ("time", "seconds"), [("90s", 90.0), ("10m", 600.0), (45, 45.0), (0.5, 0.5), (None, None)]
)
def test_times(time: str | float | None, seconds: float | None) -> None:
    assert parse_seconds(time) == seconds


@pytest.mark.parametrize("time", ["200", "soon", 0, -1.0, float("nan"), 1e99])
def test_what_is_no_time(time: str | float) -> None:
    with pytest.raises(ConfigurationError, match=r"90s"):
        parse_seconds(time)


@pytest.mark.parametrize("name", ["epochs", "worker_memory"])
def test_numbers_of_thousands_of_digits(name: str) -> None:
    with pytest.raises(ConfigurationError, match="a number of thousands of digits"):
        RunConfig.create(data="digits", budget=1, **{name: 16**5000})


@pytest.mark.parametrize("number", [np.int64(50_000), np.int32(50_000), 50_000.0])
def test_numbers_of_numpy_are_numbers(number: Any) -> None:
    assert parse_count(number) == 50_000
