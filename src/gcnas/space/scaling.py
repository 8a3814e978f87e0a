"""Compound scaling: an architecture grown in depth, width and resolution together (Tan and Le 2019, EfficientNet)."""

import math
from dataclasses import dataclass, replace
from typing import Any

from gcnas.errors import ConfigurationError, SpaceError
from gcnas.records import Architecture, Layer
from gcnas.records.architecture import MAX_LAYERS
from gcnas.space.extension import Extension
from gcnas.space.frame import Stem
from gcnas.space.layer_type import canonical_of, cost_of, output_of
from gcnas.space.plan import LayerPlan
from gcnas.space.search_space import SearchSpace

WIDTH, REPEATS = "filters", "repeats"
"""Names of the hyper-parameters that are a layer's width, and its number of blocks."""

TARGET = 2.0
"""How many times the multiply-adds grow from one phi to the next."""


@dataclass(frozen=True)
class Coefficients:
    """How much of a growth goes where; at ``phi``, depth grows ``alpha**phi`` times and so on.

    Attributes:
        alpha: Depth.
        beta: Width; multiply-adds grow with its square.
        gamma: Resolution, likewise.

    Raises:
        ConfigurationError: If one is below 1 or not finite.
    """

    alpha: float
    beta: float
    gamma: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 1 <= value <= 4:
                raise ConfigurationError(f"{name} is a number from 1 to 4, but got {value}.")

    @property
    def growth(self) -> float:
        """Times that the multiply-adds grow, before rounding; the paper wants about 2."""
        return self.alpha * self.beta**2 * self.gamma**2


def grid() -> tuple[Coefficients, ...]:
    """The small grid: beta and gamma in steps of 0.2, alpha what is left of 2, and the paper's own choice.

    All of the growth in depth, nearly all in width, nearly all in resolution, and what lies between.
    """
    steps = (1.0, 1.2, 1.4)
    pairs = [(b, g) for b in steps for g in steps if (b * g) ** 2 < 1.05 * TARGET]
    found = [Coefficients(max(1.0, round(TARGET / (b * g) ** 2, 2)), b, g) for b, g in pairs]
    return (*found, Coefficients(1.2, 1.1, 1.15))


@dataclass(frozen=True)
class Scaled:
    """A grown architecture.

    Attributes:
        architecture: In the canonical form of its space.
        space: The fitted space in which it is a point.
        extension: What that space has beyond the one it comes from; None where it is that one.
    """

    architecture: Architecture
    space: SearchSpace
    extension: Extension | None

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.space.fitted.height, self.space.fitted.width


def scale_architecture(
    space: SearchSpace, architecture: Architecture, coefficients: Coefficients, phi: float
) -> Scaled:
    """Grow an architecture.

    Depth: layers are repeated where a copy with stride 1 keeps the shape, and stages get more blocks, so that their
    number is ``alpha**phi`` times what it was, to the nearest whole one, spread evenly. A copy reads the layer that it
    repeats; whoever read that layer reads its last copy. Width: all filters, those of the stem too, are rounded by
    :func:`round_filters`. Resolution: even numbers.

    Args:
        space: The fitted space.
        architecture: A point of it.
        coefficients: Growth at ``phi`` 1.
        phi: How far; 0 changes nothing.

    Raises:
        SpaceError: If the architecture is no point of the space, or would have too many layers.
    """
    depth, width, resolution = (value**phi for value in vars(coefficients).values())
    plans = space.plan(architecture)
    copies = _copies(space, plans, depth)
    if sum(copies) > MAX_LAYERS:
        raise SpaceError(
            f"Grown {depth:.3g} times in depth the network would have {sum(copies):,} layers or blocks, and at most "
            f"{MAX_LAYERS:,} are allowed; take a smaller phi or alpha."
        )
    layers = _grown(plans, copies, width)
    image = space.fitted
    larger = replace(image, height=_even(image.height, resolution), width=_even(image.width, resolution))
    stem = _stem(space, width, min(larger.height, larger.width))
    extension = _extension(space, layers, stem)
    wide = (space if extension is None else extension.apply(space)).fit(larger)
    growth = wide.start()
    for index, layer in enumerate(layers, start=1):
        growth = growth.add(wide.encode_layer(layer, index))
    return Scaled(growth.architecture, wide, extension)


def round_filters(filters: int, factor: float) -> int:
    """Filters times a factor, to the nearest multiple of 8 from 64 on, of 4 below, and never fewer than before.

    The paper rounds to multiples of 8 throughout; networks of 8 to 32 filters would then not grow at all, or double.
    """
    if factor == 1:
        return filters
    wanted = filters * factor
    step = 8 if wanted >= 64 else 4
    return max(filters, _nearest(wanted / step) * step)


def _nearest(value: float) -> int:
    return math.floor(value + 0.5)


def _even(side: int, factor: float) -> int:
    return side if factor == 1 else max(side, 2 * _nearest(side * factor / 2))


def _copies(space: SearchSpace, plans: tuple[LayerPlan, ...], factor: float) -> list[int]:
    """For each layer, how many blocks or copies of it there are after growth; 1 where it cannot be repeated.

    Example:
        Five layers that can be repeated, 1.4 times: 1, 2, 1, 2, 1.
    """
    counts, before = [], 0
    for plan in plans:
        own = _units(space, plan)
        after = before + own
        counts.append(_nearest(after * factor) - _nearest(before * factor) if own else 1)
        before = after
    return counts


def _units(space: SearchSpace, plan: LayerPlan) -> int:
    """Blocks of a layer that growth in depth counts; 0 where it cannot be repeated."""
    kind, values = space.type_of(plan.layer), plan.layer.values
    if REPEATS in values:
        return int(values[REPEATS])
    copy = _without_stride(values)
    form = canonical_of(kind, plan.output, copy)
    repeatable = (
        kind.repeatable
        # A 1x1 convolution after another sees no more of the image.
        and values.get("kernel_size") != 1
        and form is not None
        and output_of(kind, plan.output, form) == plan.output
        and cost_of(kind, plan.output, form).parameters > 0
    )
    return int(repeatable)


def _without_stride(values: dict[str, Any]) -> dict[str, Any]:
    return {name: 1 if name == "stride" else value for name, value in values.items()}


def _grown(plans: tuple[LayerPlan, ...], copies: list[int], width: float) -> list[Layer]:
    layers: list[Layer] = []
    newest = {0: 0}
    for index, (plan, count) in enumerate(zip(plans, copies, strict=True), start=1):
        values = plan.layer.values
        if WIDTH in values:
            values[WIDTH] = round_filters(int(values[WIDTH]), width)
        if REPEATS in values:
            values[REPEATS], count = count, 1
        inputs = tuple(newest[node] for node in plan.layer.inputs)
        layers.append(Layer(plan.layer.type, tuple(sorted(values.items())), inputs))
        again = tuple(sorted(_without_stride(values).items()))
        for _ in range(count - 1):
            layers.append(Layer(plan.layer.type, again, (len(layers),)))
        newest[index] = len(layers)
    return layers


def _stem(space: SearchSpace, width: float, side: int) -> Stem:
    """The stem of the larger space; its stride stays, or a larger image would be made smaller at once."""
    filters, stride = round_filters(space.stem.filters, width), space.stem.stride(space.fitted)
    kept = Stem(filters, space.stem.doubled_above)
    if kept.stride(replace(space.fitted, height=side, width=side)) == stride:
        return kept
    return Stem(filters, (0,) * (stride.bit_length() - 1))


def _extension(space: SearchSpace, layers: list[Layer], stem: Stem) -> Extension | None:
    """What the space lacks for these layers; None if it lacks nothing."""
    options: dict[str, dict[str, tuple[Any, ...]]] = {}
    for name, kind in space.by_name.items():
        own = [layer.values for layer in layers if layer.type == name]
        for choice in kind.choices:
            wanted = set(choice.options) | {values[choice.name] for values in own}
            if len(wanted) > len(choice):
                options.setdefault(name, {})[choice.name] = tuple(sorted(wanted))
    reach = (index - node for index, layer in enumerate(layers, start=1) for node in layer.inputs)
    extension = Extension(max(space.max_depth, len(layers)), max(space.window, *reach, 1), stem, options)
    unchanged = Extension(space.max_depth, space.window, space.stem)
    return None if extension == unchanged else extension
