"""What is given on the command line arrives in the Python API under its name, and nothing else does."""

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from typer.main import get_command
from typer.models import OptionInfo

from gcnas.cli.app import app
from gcnas.cli.options import seconds_of
from gcnas.errors import ConfigurationError

CALLS = {
    "search": ("gcnas.api", "search", ("digits",)),
    "resume": ("gcnas.api", "resume", ("RUN",)),
    "finalize": ("gcnas.api", "finalize", ("RUN",)),
    "scale": ("gcnas.scaling", "scale", ("RUN",)),
    "transfer": ("gcnas.other_data", "transfer", ("RUN", "digits")),
    "export": ("gcnas.forms", "export_network", ("RUN", "--format", "zip")),
    "benchmark": ("gcnas.forms", "benchmark", ("RUN",)),
    "data check": ("gcnas.data", "check", ("digits",)),
}
"""For each command, the module and the function that it calls, and the arguments that it needs."""

VALUES = {
    "address": "auto",
    "budget": "7",
    "candidate_seconds": "9.5",
    "channels": "grey",
    "device": "cpu",
    "distill": "ensemble",
    "executor": "ray",
    "fidelity": "full",
    "final_share": "0.6",
    "fine_tune_rate": "0.7",
    "max_activations": "9k",
    "max_macs": "5M",
    "max_params": "50k",
    "max_size": "200k",
    "phi": "2",
    "precision": "float32",
    "resolution": "40",
    "reward": "balanced-accuracy",
    "signals": "none",
    "soft": "macs=5M:-0.07",
    "space": "mobile",
    "strategy": "random",
    "test_fraction": "0.4",
    "time": "90s",
    "validation_fraction": "0.4",
    "weight_decay": "0.4",
    "worker_memory": "2G",
}
"""For options that do not take any number or name."""

RAY, OLD = ("--executor", "ray"), ("--init-from", "old")
NEEDED = {"address": RAY, "worker_cpus": RAY, "worker_gpus": RAY, "freeze": OLD, "fine_tune_rate": OLD}
"""What an option of ``search`` is of no use without."""

ELSEWHERE = {
    ("search", "config"),  # see below
    ("finalize", "phi"),  # another function
    ("benchmark", "out"),  # written by another function
}
OTHER_NAMES = {("scale", "time"): "budget", ("finalize", "time"): "seconds", ("transfer", "time"): "seconds"}


class Called(Exception):  # noqa: N818 - no error
    """Raised in place of the call, with its arguments by name."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments


@dataclass(frozen=True)
class Option:
    """An option of a command, as its function declares it."""

    command: str
    name: str
    words: tuple[str, ...]
    kind: type
    repeated: bool
    default: Any


def options() -> Iterator[Option]:
    """Each option of each of these commands."""
    for command in CALLS:
        found: Any = get_command(app)
        for word in command.split():
            found = found.commands[word]
        hints = get_type_hints(found.callback, include_extras=True)
        for name, parameter in inspect.signature(found.callback).parameters.items():
            kind, declared = get_args(hints[name])[:2]
            if isinstance(declared, OptionInfo) and (command, name) not in ELSEWHERE and name != "format":
                kinds = [each for each in get_args(kind) or (kind,) if each is not type(None)]
                repeated = get_origin(kinds[0]) is list
                plain = get_args(kinds[0])[0] if repeated else kinds[0]
                words = (declared.default, *(declared.param_decls or ()))  # the first is taken for a default
                yield Option(command, name, words, plain, repeated, parameter.default)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """What counts as one."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.db").touch()
    return tmp_path / "run"


@pytest.fixture
def arguments_of(run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Calls a command and returns what it calls its function with, by the function's names."""
    monkeypatch.chdir(tmp_path)

    signatures = {
        name: inspect.signature(getattr(importlib.import_module(module), function))
        for name, (module, function, _) in CALLS.items()
    }

    def call(name: str, *words: str) -> dict[str, Any]:
        module, function, needed = CALLS[name]
        signature = signatures[name]

        def record(*given: Any, **named: Any) -> None:
            bound = signature.bind(*given, **named).arguments
            rest = [p.name for p in signature.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
            for each in rest:
                bound |= bound.pop(each, {})
            bound.pop("observer", None)
            raise Called(bound)

        monkeypatch.setattr(f"{module}.{function}", record)
        before = [str(run_folder) if word == "RUN" else word for word in needed]
        with pytest.raises(Called) as called:
            app([*name.split(), *before, *words], standalone_mode=False)
        return called.value.arguments

    return call


@pytest.mark.parametrize("option", list(options()), ids=lambda option: f"{option.command} {option.words[0]}")
def test_each_option_arrives_under_its_name(option: Option, arguments_of: Any) -> None:
    command, name = option.command, option.name
    needed = NEEDED.get(name, ()) if command == "search" else ()
    target = OTHER_NAMES.get((command, name), name)
    if option.kind is bool:
        given = [(word, index == 0) for index, word in enumerate(option.words[0].split("/"))]
    else:
        text = VALUES.get(name, "3")
        value = seconds_of(text) if target == "seconds" else option.kind(text)
        given = [(f"{option.words[0]}={text}", [value] if option.repeated else value)]
    without = arguments_of(command, *needed)
    for word, value in given:
        assert value != option.default
        found = arguments_of(command, *needed, word)
        assert found.pop(target) == value
        assert found == {other: each for other, each in without.items() if other != target}


def test_a_cluster_in_a_file_is_named_again(arguments_of: Any, tmp_path: Path) -> None:
    """The file may be somebody else's."""
    file = tmp_path / "options.yaml"
    file.write_text("executor: ray\naddress: 10.0.0.1:6379\n")
    with pytest.raises(ConfigurationError, match="only if you name it again"):
        arguments_of("search", "--config", str(file))
    found = arguments_of("search", "--config", str(file), "--address", "10.0.0.2:6379")
    assert (found["executor"], found["address"]) == ("ray", "10.0.0.2:6379")
    file.write_text("executor: ray\naddress: auto\n")
    assert arguments_of("search", "--config", str(file))["address"] == "auto"


def test_there_are_options() -> None:
    assert len(list(options())) > 90


def test_a_file_has_options_and_those_given_here_win(arguments_of: Any, tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("data: elsewhere\nbudget: 4\nepochs: 2\nreferences: false\n")
    found = arguments_of("search", "--config", str(file), "--budget", "7")
    given = {key: found[key] for key in ("data", "budget", "epochs", "references")}
    assert given == {"data": "digits", "budget": "7", "epochs": 2, "references": False}
