"""Search spaces that come with the package, by name."""

from gcnas.space.presets.cnn import CNN
from gcnas.space.presets.mobile import MOBILE
from gcnas.space.search_space import SearchSpace

PRESETS: dict[str, SearchSpace] = {space.name: space for space in (CNN, MOBILE)}

__all__ = ["CNN", "MOBILE", "PRESETS"]
