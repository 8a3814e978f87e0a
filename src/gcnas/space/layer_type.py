"""Layer types: what a layer may be, its hyper-parameters, its shape rule and its cost."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from gcnas.errors import GCNASError, RuleError, SpaceError
from gcnas.records import Cost, HyperparameterValue
from gcnas.space.choice import Choice
from gcnas.space.shape import Shape

Values = Mapping[str, Any]
"""Hyper-parameters of one layer by name."""

MERGE = "merge"
"""Name of the hyper-parameter that says how several inputs become one: ``add`` or ``concat``."""


class LayerType:
    """A kind of layer that a network may contain.

    A subclass names its hyper-parameters as :class:`Choice` attributes and gives three rules: the shape of the
    output, the cost, and the module (:meth:`build`). All rules see the layer's merged input: one feature map.
    A type with a choice called ``merge`` (options ``add`` and ``concat``) lets the search decide how several
    inputs become one; without it they are added.

    Example:
        >>> class Pointwise(LayerType):
        ...     filters = Choice(8, 16, 32)
        ...
        ...     def output_shape(self, shape, values):
        ...         return shape.strided(values["filters"])
        ...
        ...     def cost(self, shape, values):
        ...         weights = shape.channels * values["filters"]
        ...         return Cost(parameters=weights, multiply_adds=weights * shape.height * shape.width)
        ...
        ...     def build(self, shape, values):
        ...         from torch import nn
        ...
        ...         return nn.Conv2d(shape.channels, values["filters"], 1, bias=False)
        >>> Pointwise().name
        'pointwise'
    """

    name: ClassVar[str] = ""
    choices: ClassVar[tuple[Choice, ...]] = ()
    repeatable: ClassVar[bool] = True
    """Whether compound scaling may repeat such a layer where a copy keeps the shape."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in cls.__dict__:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        if not isinstance(cls.name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", cls.name):
            raise SpaceError(
                f"The name of a layer type must be of the form 'my_type' (at most 40 letters, digits and "
                f"underscores), but got {cls.name!r}."
            )
        for attribute, value in vars(cls).items():
            if isinstance(value, Choice) and value.name != attribute:
                raise SpaceError(
                    f"{attribute} of {cls.name} is the same Choice as {value.name}; write a Choice for each."
                )
        inherited = {choice.name: choice for base in reversed(cls.__mro__[1:]) for choice in _own(base)}
        cls.choices = tuple((inherited | {choice.name: choice for choice in _own(cls)}).values())
        options = {choice.name: choice.options for choice in cls.choices}
        if not {"add", "concat"}.issuperset(options.get(MERGE, ())):
            raise SpaceError(f"The options of merge are 'add' and 'concat', but got {options[MERGE]}.")
        if not all(isinstance(stride, int) and stride >= 1 for stride in options.get("stride", ())):
            raise SpaceError(f"The options of stride are whole numbers from 1, but got {options['stride']}.")
        own = next(base for base in cls.__mro__ if "canonical" in vars(base))
        if 1 not in options.get("stride", (1,)) and own.__module__.startswith("gcnas."):
            raise SpaceError(
                f"The options of stride of {cls.name} are {options['stride']}, without 1, which a stride acts as where "
                "the size allows no other. Add 1, or override canonical: None makes such a layer vanish."
            )

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        """Shape of the output, given the shape of the (merged) input.

        Height and width must be those of the input divided by a stride and rounded up, which is what
        :meth:`Shape.strided` gives.
        """
        raise NotImplementedError

    def cost(self, shape: Shape, values: Values) -> Cost:
        """Cost of the layer, without the merging of its inputs.

        ``activations`` counts only what lives inside the layer beside its input and output. Parameters and
        multiply-adds must not fall when a numeric hyper-parameter other than the stride grows; limits are
        turned into masks under this condition.
        """
        raise NotImplementedError

    def build(self, shape: Shape, values: Values) -> Any:
        """The ``torch.nn.Module`` that maps one feature map to one feature map.

        Built-in types have theirs in :mod:`gcnas.network`; a user's type overrides this method.
        """
        raise NotImplementedError

    def canonical(self, shape: Shape, values: Values) -> dict[str, HyperparameterValue] | None:
        """Hyper-parameters that give the same network for the same input, always the same ones.

        By default a stride that the size no longer allows acts as 1. Returns None where the layer would do
        nothing and vanishes.
        """
        canonical = dict(values)
        if "stride" in canonical and not shape.allows(int(canonical["stride"])):
            canonical["stride"] = 1
        return canonical

    def values(self, indices: tuple[int, ...]) -> dict[str, HyperparameterValue]:
        """Hyper-parameters by name from the index of each chosen option.

        Raises:
            SpaceError: If the number of indices or one of them does not fit.
        """
        if len(indices) != len(self.choices) or any(
            not 0 <= index < len(choice) for index, choice in zip(indices, self.choices, strict=True)
        ):
            raise SpaceError(f"{self.name} has options {self.choices}, but got indices {indices}.")
        return {choice.name: choice.options[index] for choice, index in zip(self.choices, indices, strict=True)}

    def options(self, name: str) -> tuple[HyperparameterValue, ...]:
        """Options of a hyper-parameter; none if the type has no such hyper-parameter."""
        return next((choice.options for choice in self.choices if choice.name == name), ())

    def describe(self) -> dict[str, Any]:
        """JSON form of the name and the choices, part of the space's fingerprint."""
        return {"name": self.name, "choices": {choice.name: list(choice.options) for choice in self.choices}}


def output_of(layer_type: LayerType, shape: Shape, values: Values) -> Shape:
    """What a type's rule for the shape of the output gives.

    Raises:
        RuleError: If the rule, which may be a user's own, fails or gives something else.
    """
    with _Rule(layer_type, "output_shape"):
        output = layer_type.output_shape(shape, values)
    if not isinstance(output, Shape):
        raise RuleError(
            f"output_shape of the layer type {layer_type.name!r} must give a Shape, but gave {type(output).__name__}."
        )
    return output


def cost_of(layer_type: LayerType, shape: Shape, values: Values) -> Cost:
    """What a type's rule for the cost gives.

    Raises:
        RuleError: If the rule, which may be a user's own, fails or gives something else.
    """
    with _Rule(layer_type, "cost"):
        cost = layer_type.cost(shape, values)
    if not isinstance(cost, Cost):
        raise RuleError(
            f"cost of the layer type {layer_type.name!r} must give a Cost, but gave {type(cost).__name__}."
        )
    return cost


def canonical_of(layer_type: LayerType, shape: Shape, values: Values) -> dict[str, HyperparameterValue] | None:
    """What a type's rule for the canonical form gives.

    Raises:
        RuleError: If the rule, which may be a user's own, fails.
    """
    with _Rule(layer_type, "canonical"):
        form = layer_type.canonical(shape, values)
    if form is not None and not isinstance(form, dict):
        raise RuleError(
            f"canonical of the layer type {layer_type.name!r} must give a dict or None, but gave {type(form).__name__}."
        )
    return form


class _Rule:
    """Say whose rule failed, and how, in place of what it raised."""

    def __init__(self, layer_type: LayerType, name: str) -> None:
        self._layer_type, self._name = layer_type, name

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, GCNASError):
            what = (
                "it is not defined"
                if isinstance(error, NotImplementedError)
                else f"{type(error).__name__}: {error}"
            )
            raise RuleError(
                f"{self._name} of the layer type {self._layer_type.name!r} failed: {what}."
            ) from error


def _own(cls: type) -> list[Choice]:
    return [value for value in vars(cls).values() if isinstance(value, Choice)]
