"""A space with more options than it was written with, for networks that grow beyond it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gcnas.errors import SpaceError
from gcnas.records import HyperparameterValue
from gcnas.space.choice import Choice
from gcnas.space.frame import Stem
from gcnas.space.layer_type import LayerType
from gcnas.space.search_space import SearchSpace

Options = Mapping[str, Mapping[str, tuple[HyperparameterValue, ...]]]
"""All options of some hyper-parameters, by type and name."""


@dataclass(frozen=True)
class Extension:
    """What changes in a space so that a larger network is one of its points.

    Attributes:
        max_depth: Most layers.
        window: How far back a layer may read.
        stem: The first layer.
        options: Hyper-parameters with other options than the space has.
    """

    max_depth: int
    window: int
    stem: Stem
    options: Options = field(default_factory=dict)

    def apply(self, space: SearchSpace) -> SearchSpace:
        """The extended space.

        Raises:
            SpaceError: If the space has no such type or hyper-parameter, or a number is not possible.
        """
        if unknown := sorted(self.options.keys() - space.by_name.keys()):
            raise SpaceError(
                f"The space {space.name!r} has the types {list(space.by_name)}, not {unknown[0]!r}."
            )
        return replace(
            space,
            layer_types=tuple(_extended(kind, self.options.get(kind.name, {})) for kind in space.layer_types),
            max_depth=self.max_depth,
            window=self.window,
            stem=self.stem,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON form, read back by :meth:`from_json`."""
        return {
            "max_depth": self.max_depth,
            "window": self.window,
            "stem": {"filters": self.stem.filters, "doubled_above": list(self.stem.doubled_above)},
            "options": {
                kind: {name: list(options) for name, options in choices.items()}
                for kind, choices in self.options.items()
            },
        }

    @classmethod
    def from_json(cls, data: Any) -> "Extension":
        """Read the JSON form.

        Raises:
            SpaceError: If it is not what :meth:`to_json` writes.
        """
        try:
            stem = Stem(data["stem"]["filters"], tuple(data["stem"]["doubled_above"]))
            options = {
                str(kind): {str(name): Choice(*options).options for name, options in choices.items()}
                for kind, choices in data["options"].items()
            }
            max_depth, window = int(data["max_depth"]), int(data["window"])
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise SpaceError(f"The extension of a space is damaged: {error!r}.") from error
        return cls(max_depth, window, stem, options)


def _extended(kind: LayerType, options: Mapping[str, tuple[HyperparameterValue, ...]]) -> LayerType:
    """The type with other options; its module, its rules and whatever it holds stay."""
    if not options:
        return kind
    cls = type(kind)
    if unknown := sorted(options.keys() - {choice.name for choice in kind.choices}):
        raise SpaceError(f"{kind.name} has no hyper-parameter {unknown[0]!r}.")
    attributes: dict[str, Any] = {"name": kind.name, "__doc__": cls.__doc__, "__module__": cls.__module__}
    attributes |= {name: Choice(*values) for name, values in options.items()}
    extended: type[LayerType] = type(cls.__name__, (cls,), attributes)
    instance = extended.__new__(extended)
    vars(instance).update(vars(kind))
    return instance
