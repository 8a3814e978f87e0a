import json
from pathlib import Path
from typing import Any

import pytest

from gcnas.report.plots import accuracy_against_multiply_adds, grown_alike
from gcnas.report.scaled import ScaledNetwork, scaled_networks

GOOD: dict[str, Any] = {
    "phi": 1,
    "resolution": [10, 12],
    "depth": 5,
    "parameters": 1_000,
    "multiply_adds": 20_000,
    "validation_accuracy": 0.75,
    "scaled_from": {"trial": 2, "epochs": 3, "alpha": 1.2, "beta": 1.1, "gamma": 1.15},
}


def write(run: Path, phi: int, content: Any) -> None:
    folder = run / "scaled" / f"phi-{phi}"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_networks_are_read_by_size(tmp_path: Path) -> None:
    write(tmp_path, 10, GOOD | {"phi": 10, "test_accuracy": 0.5})
    write(tmp_path, 0, GOOD | {"phi": 0, "scaled_from": {"trial": 2, "epochs": 3}})
    write(tmp_path, 1, GOOD)
    found = scaled_networks(tmp_path)
    assert [network.phi for network in found] == [0, 1, 10]
    growth = "alpha 1.2, beta 1.1, gamma 1.15"
    assert found[1] == ScaledNetwork(1, 2, growth, "10\u00d712", 5, 1_000, 20_000, 3, 0.75, None)
    assert (found[0].growth, found[2].test_accuracy) == ("", 0.5)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "null",
        {},
        GOOD | {"validation_accuracy": 7},
        GOOD | {"resolution": [1]},
        GOOD | {"depth": "x"},
        GOOD | {"depth": float("inf")},
        GOOD | {"parameters": 10**400},
        GOOD | {"multiply_adds": -1},
        GOOD | {"test_accuracy": 7.0},
    ],
    ids=lambda content: str(content)[-40:],
)
def test_damaged_ones_are_left_out(tmp_path: Path, content: Any) -> None:
    write(tmp_path, 1, content)
    write(tmp_path, 2, GOOD | {"phi": 2})
    assert [network.phi for network in scaled_networks(tmp_path)] == [2]


def test_there_may_be_none(tmp_path: Path) -> None:
    assert scaled_networks(tmp_path) == []
    assert accuracy_against_multiply_adds([], []) is None


def test_the_plot_names_every_size(tmp_path: Path) -> None:
    for phi in (0, 1, 2):
        write(tmp_path, phi, GOOD | {"phi": phi, "multiply_adds": 10_000 * 2**phi})
    plot = accuracy_against_multiply_adds([], scaled_networks(tmp_path))
    assert plot is not None
    for text in ("phi 0", "phi 1", "phi 2", "multiply-adds", "validation accuracy"):
        assert text in plot


def test_a_line_joins_what_grew_alike() -> None:
    def network(phi: int, growth: str, epochs: int = 3, trial: int = 2) -> ScaledNetwork:
        return ScaledNetwork(phi, trial, growth, "8\u00d78", 5, 1_000, 10_000 * 2**phi, epochs, 0.5, None)

    first, same, other = network(0, ""), [network(1, "deep"), network(3, "deep")], network(2, "wide")
    longer, elsewhere = network(4, "deep", epochs=9), network(0, "", trial=7)
    lines = grown_alike([first, same[0], other, same[1], longer, elsewhere])
    assert lines == [[first, *same], [first, other], [longer], [elsewhere]]
