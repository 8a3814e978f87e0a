"""Images with exactly the same pixels, found by digests of their decoded form."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from gcnas.data.source import SPLIT_NAMES, UNSPLIT

UNSPLIT_NAME = "unsplit"


@dataclass(frozen=True)
class DuplicateCounts:
    """How many images repeat others, pixel by pixel at the final resolution.

    Attributes:
        within: By split, or for images without one, those that repeat an earlier one there.
        across: By pair of splits such as ``("train", "test")``, images of the second that the first has too.
        conflicting: Groups of equal images that carry different labels.
    """

    within: Mapping[str, int]
    across: Mapping[tuple[str, str], int]
    conflicting: int


def digest(pixels: np.ndarray) -> np.ndarray:
    """Digests (n, 2) uint64 of images (n, H, W, C)."""
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    joined = b"".join(blake2b(row.data, digest_size=16).digest() for row in rows)
    return np.frombuffer(joined, dtype="<u8").reshape(-1, 2)


def group(digests: np.ndarray) -> np.ndarray:
    """Group number (N,) of each image, equal for equal digests (N, 2)."""
    if not len(digests):
        return np.empty(0, dtype=np.int64)
    inverse: np.ndarray = np.unique(digests, axis=0, return_inverse=True)[1]
    return inverse.reshape(-1)


def count_duplicates(groups: np.ndarray, codes: np.ndarray, labels: np.ndarray) -> DuplicateCounts:
    """Count repetitions, by group number, split code and label of each image (N,)."""
    of_split = {name: groups[codes == code] for code, name in enumerate(SPLIT_NAMES)}
    unsplit = groups[codes == UNSPLIT]
    placed = of_split | ({UNSPLIT_NAME: unsplit} if len(unsplit) else {})
    within = {name: len(members) - len(np.unique(members)) for name, members in placed.items()}
    across = {
        (first, second): int(np.isin(of_split[second], of_split[first]).sum())
        for place, first in enumerate(SPLIT_NAMES)
        for second in SPLIT_NAMES[place + 1 :]
    }
    pairs = np.unique(np.stack([groups, labels]), axis=1)[0]
    conflicting = int((np.unique(pairs, return_counts=True)[1] > 1).sum())
    return DuplicateCounts(within, across, conflicting)
