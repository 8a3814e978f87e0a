"""Whether a short training ranks networks as a long one does: the designs by people after 1, 3, 9 and 27 epochs.

``python benchmarks/rung_rank.py`` trains ResNet-8, a smaller one and the VGG-like network of the `cnn` space (limits:
78,000 parameters, 9.4 M multiply-adds) on 4,000 of 5,000 images of Fashion-MNIST (seed 0), each length on its own
with the whole one-cycle schedule, seeds 0 and 1, one thread. One row each goes to ``benchmarks/results/rung_rank.csv``,
which is replaced when all are trained: optimiser steps, and accuracy on the other 1,000 images. The data are read from
the folder in GCNAS_DATA or ``../shared/data``. The rows kept have ``plain``, a reference of then, in place of ``vgg``.
"""

import argparse
import tempfile
from pathlib import Path

from jobs import refuse_a_part, replace_rows
from product import LIMITS, prepare

from gcnas import training
from gcnas.config import RunConfig
from gcnas.data import load
from gcnas.records import Fidelity
from gcnas.run.context import fit_space
from gcnas.space.presets.cnn import CNN, resnet8, vgg
from gcnas.training.candidate import CandidateTrainer

RESULTS = Path(__file__).resolve().parent / "results" / "rung_rank.csv"
COLUMNS = "design parameters multiply_adds seed epochs steps validation".split()


def _steps(images: int, batch_size: int) -> int:
    """Optimiser steps of an epoch; a last batch of one image is left out."""
    return images // batch_size + (images % batch_size > 1)


def main() -> None:
    """Train all, write and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 3, 9, 27])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    refuse_a_part(parser, options)
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        data, _ = prepare("fashion", Path(folder))
        parameters, multiply_adds = LIMITS["fashion"]
        config = RunConfig.create(data=data, max_params=parameters, max_macs=multiply_adds)
        dataset = load(data, seed=0, cache=Path(folder) / "cache")
        space, platform = fit_space(CNN, dataset, config), training.Platform.probe("cpu", 1)
        recipe = training.Recipe(augmentation=training.Augmentation(shift=2, mirror=dataset.mirror))
        designs = {
            "resnet8": resnet8(space),
            "resnet8-smaller": resnet8(space, (16, 24, 48)),
            "vgg": vgg(space),
        }
        trainer = CandidateTrainer(space, dataset, recipe, platform)
        steps_of_epoch = _steps(len(dataset.train_index), recipe.batch_size)
        for seed in options.seeds:
            for epochs in options.epochs:
                for name, architecture in designs.items():
                    score = trainer(architecture, Fidelity(epochs, seed)).measurement.accuracy
                    cost, steps = space.cost(architecture), epochs * steps_of_epoch
                    costs = (cost.parameters, cost.multiply_adds)
                    rows.append((name, *costs, seed, epochs, steps, round(score, 5)))
                    print(*rows[-1], flush=True)
    replace_rows(options.out, COLUMNS, rows)


if __name__ == "__main__":
    main()
