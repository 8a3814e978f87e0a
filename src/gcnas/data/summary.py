"""What there is to say about a data set, as plain data for the command line and for notices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gcnas.data.duplicates import DuplicateCounts
from gcnas.data.source import SPLIT_NAMES, UNSPLIT

BALANCE = ": consider --reward balanced-accuracy"
"""What is said to those who have not done so."""

IMBALANCE = 3.0
"""From this ratio of the largest class to the smallest, plain accuracy is a doubtful reward."""


@dataclass(frozen=True)
class DataSummary:
    """What ``gcnas data check`` says.

    Attributes:
        name: Short name of the data.
        kind: ``digits``, ``folder``, ``csv``, ``npz`` or ``arrays``.
        images: Number of images that can be read.
        counts: Images by class and split; ``unsplit`` where no splits could be made.
        made: Names of the splits that the source does not have and that were cut from the others.
        sizes: Width, height and number of images of that size, most common first.
        modes: Number of images by channel mode, as Pillow calls it, most common first.
        broken: Path and reason of every image that cannot be read.
        other_files: Files passed over because their names do not say that they are images.
        duplicates: Images with equal pixels.
        imbalance: Images in the largest class by those in the smallest.
        resolution: Height and width that the images get.
        channels: Channels that the images get.
        notices: What the user should know, one sentence each.
        problem: Why a search cannot use the data as it is; empty if it can.
    """

    name: str
    kind: str
    images: int
    counts: Mapping[str, Mapping[str, int]]
    made: tuple[str, ...]
    sizes: tuple[tuple[int, int, int], ...]
    modes: Mapping[str, int]
    broken: tuple[tuple[str, str], ...]
    other_files: int
    duplicates: DuplicateCounts
    imbalance: float
    resolution: tuple[int, int]
    channels: int
    notices: tuple[str, ...]
    problem: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return tuple(self.counts)


def count_classes(
    labels: np.ndarray, codes: np.ndarray, class_names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Images by class and split."""
    names = dict(enumerate(SPLIT_NAMES))
    if (codes == UNSPLIT).any():
        names[UNSPLIT] = "unsplit"
    of_split = {
        name: np.bincount(labels[codes == code], minlength=len(class_names)) for code, name in names.items()
    }
    return {
        name: {split: int(counts[label]) for split, counts in of_split.items()}
        for label, name in enumerate(class_names)
    }


def imbalance(counts: Mapping[str, Mapping[str, int]]) -> float:
    """Images in the largest class by those in the smallest, infinite if that is empty."""
    sizes = [sum(of_split.values()) for of_split in counts.values()]
    return max(sizes) / min(sizes) if min(sizes) else float("inf")


def notices(
    counts: Mapping[str, Mapping[str, int]],
    duplicates: DuplicateCounts,
    broken: Sequence[tuple[str, str]],
    made: Sequence[str],
) -> tuple[str, ...]:
    """One sentence for each thing that a user should know before trusting a score."""
    said = []
    if broken:
        path, reason = broken[0]
        said.append(f"{_count(len(broken), 'image')} unreadable and left out, first {path} ({reason}).")
    for (first, second), number in duplicates.across.items():
        if number:
            said.append(
                f"{_count(number, f'{second} image')} also in {first} with the same pixels, "
                f"so the {second} score flatters."
            )
    repeated = sum(duplicates.within.values())
    if repeated:
        kept = " and stay in one split" if made else ""
        said.append(f"{_count(repeated, 'image')} exact copies of others in the same split{kept}.")
    if duplicates.conflicting:
        pictures = "picture has" if duplicates.conflicting == 1 else "pictures have"
        said.append(f"{duplicates.conflicting} {pictures} copies under different classes.")
    ratio = imbalance(counts)
    for split in ("validation", "test"):
        missing = [name for name, of_split in counts.items() if not of_split[split]]
        if (
            missing and len(missing) < len(counts) and split not in made
        ):  # without any image there is no such split
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            said.append(f"The {split} split has no images of {', '.join(missing[:5])}{more}.")
    if IMBALANCE < ratio < float("inf"):
        said.append(f"The largest class has {ratio:.1f} times the images of the smallest{BALANCE}.")
    return tuple(said)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun} is" if number == 1 else f"{number:,} {noun}s are"
