"""A synthetic table: two or three layers of a searched type, each with a width; some networks are missing.

It is written anew for every test session, with the description that a user would write.
"""

import csv
import gzip
from dataclasses import dataclass
from itertools import product
from pathlib import Path

TYPES = {"i": "identity", "c": "conv 3x3", "p": "pool"}
WIDTHS = {"1": 8, "2": 16}
COLUMNS = ("key", "network", "validation", "test", "seconds", "short", "short_seconds")

DESCRIPTION = """
name: tiny
key: key
reward: validation
test: test
cost: seconds
canonical: network
length: [4, 6]
epochs: 10
fidelities:
  2: {reward: short, cost: {column: short_seconds, factor: 2}}
decisions:
  - {name: first, kind: layer, choices: &types {i: identity, c: conv 3x3, p: pool}}
  - {name: first width, kind: hyperparameter, of: first, choices: &widths {1: 8, 2: 16}}
  - {name: second, kind: layer, choices: *types, inputs: [first]}
  - {name: second width, kind: hyperparameter, of: second, choices: *widths}
  - {name: third, kind: layer, choices: *types, inputs: [first, second]}
  - {name: third width, kind: hyperparameter, of: third, choices: *widths}
"""


@dataclass(frozen=True)
class Row:
    """One line of the table as the tests know it."""

    key: str
    network: str
    validation: float | None
    test: float
    seconds: float

    @property
    def cells(self) -> list[object]:
        score = "" if self.validation is None else self.validation
        short = "" if self.validation is None else self.validation - 10
        return [self.key, self.network, score, self.test, self.seconds, short, self.seconds / 10]


def rows() -> list[Row]:
    """Every key that the table holds; the width of an identity makes no difference, nor does its place."""
    found = []
    for layers in (2, 3):
        for number, parts in enumerate(product(product(TYPES, WIDTHS), repeat=layers)):
            key = "".join(kind + width for kind, width in parts)
            active = [kind + width for kind, width in parts if kind != "i"]
            if "c2p2" in key or not active:
                continue  # missing
            score = 50 + sum(
                WIDTHS[part[1]] * (2 if part[0] == "c" else 1) / (place + 1)
                for place, part in enumerate(active)
            )
            nothing = key.startswith("p2p2")
            seconds = 1.0 + number % 7
            found.append(
                Row(key, ".".join(active), None if nothing else round(score, 4), round(100 - score, 4), seconds)
            )
    return found


def networks() -> dict[str, Row]:
    """By its name, the row that stands for each network: the first with a score, or the first."""
    found = {row.network: row for row in reversed(rows())}
    return found | {row.network: row for row in reversed(rows()) if row.validation is not None}


def write(folder: Path) -> tuple[Path, Path]:
    """The table and its description in a folder."""
    table, description = folder / "tiny.csv.gz", folder / "tiny.yaml"
    with gzip.open(table, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(row.cells for row in rows())
    description.write_text(DESCRIPTION)
    return table, description
