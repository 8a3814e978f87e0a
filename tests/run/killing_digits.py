"""Real trainings in two workers, killed at random instants; apart from the toy because it takes torch."""

import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np
from tests.run.killing import ROOT, Tally, torment, trials_of
from tests.run.test_kill import COMMAND

from gcnas import load
from gcnas.delivery import predict_arrays
from gcnas.export.safetensors_reader import read_safetensors

TRIALS = 8
SEARCH = f"digits --budget {TRIALS} --epochs 3 --final-epochs 1 --resolution 8 --workers 2 --threads 2".split()
WAYS = {"random": ["--strategy", "random", "--fidelity", "full"], "gcnas": ["--strategy", "gcnas"]}


def start(run: Path, options: list[str], stderr: IO[str] | None = None) -> "subprocess.Popen[Any]":
    """Begin the run, or go on with it if it has a ledger."""
    begun = (run / "run.db").is_file()
    arguments = ["resume", run] if begun else ["search", *SEARCH, *options, "--out", run]
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr)


def usable(run: Path) -> None:
    """Raises unless ``best`` classifies images, where there is one, and each checkpoint is whole."""
    if (run / "best").exists():
        model = load(run).model
        images = np.zeros((2, *model.image_shape[1:], model.image_shape[0]), dtype=np.uint8)
        assert predict_arrays(model, images).shape == (2, 10)
    for file in (run / "checkpoints").glob("[!.]*"):
        assert read_safetensors(file)


def torment_digits(folder: Path, kills: int, seed: int = 0) -> dict[str, Tally]:
    """Kill searches of networks for digits, half of the times each in two ways.

    ``random``: candidates get the same training and must get the same evaluation as without kills, or a crash.
    ``gcnas``: with rungs and the strategy that learns, whose proposals depend on what finishes first.
    """
    tallies = {}
    for number, (name, options) in enumerate(WAYS.items()):
        place, alone = folder / name, folder / f"{name}-alone"
        place.mkdir()
        if name == "random":
            assert start(alone, options).wait() == 0
        tallies[name] = torment(
            lambda run, stderr, options=options: start(run, options, stderr),  # type: ignore[misc]
            place,
            kills=kills // len(WAYS) + (number < kills % len(WAYS)),
            targets=("driver", "worker", "both"),
            seed=seed + number,
            span=6.0,
            whole=trials_of(alone) if name == "random" else None,
            look=usable,
        )
    return tallies
