"""Transfer of weights: a new network takes over what fits of a trained one."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gcnas.network import Network, blocks
from gcnas.records import Architecture
from gcnas.records.architecture import MAX_LAYERS
from gcnas.space.plan import merge_mode
from gcnas.training.channels import Spread, spread_weight

INHERITED, WIDENED, CUT, PARTLY, FRESH = "inherited", "widened", "cut", "partly fresh", "fresh"


@dataclass(frozen=True)
class Donor:
    """A trained network, as far as another can take over its weights.

    Attributes:
        name: Where it comes from, for reports.
        weights: Its state, by the names of :class:`~gcnas.network.Network`.
        classes: Names of its classes; None if they are not known.
        data: Fingerprint of the data set that it was trained on; None if it is not known.
        inputs: Inputs of each of its layers; None if they are not known.
    """

    name: str
    weights: Mapping[str, Tensor]
    classes: tuple[str, ...] | None = None
    data: str | None = None
    inputs: tuple[tuple[int, ...], ...] | None = None


class Origin(NamedTuple):
    """What became of one part of the new network."""

    part: str
    state: str
    donor: str | None


@dataclass(frozen=True)
class Inheritance:
    """Which parts of a network were taken over.

    Attributes:
        origins: For each part with weights, in order.
        fresh: Names of the parameters that keep their initial values.
    """

    origins: tuple[Origin, ...]
    fresh: frozenset[str] = field(repr=False)

    def to_json(self) -> list[dict[str, str | None]]:
        """JSON form, for ``metrics.json``."""
        return [origin._asdict() for origin in self.origins]

    def __str__(self) -> str:
        states = (INHERITED, WIDENED, CUT, PARTLY, FRESH)
        named = {state: [o.part for o in self.origins if o.state == state] for state in states}
        return "; ".join(f"{state}: {', '.join(parts)}" for state, parts in named.items() if parts)


class _Part(NamedTuple):
    """A layer inside a block: the groups of channels that it reads (None: one weight a channel) and writes."""

    name: str
    reads: str | None
    writes: str


_NORM = None
_RULES: dict[type[nn.Module], tuple[_Part, ...]] = {
    blocks.Stem: (_Part("conv", "in", "out"), _Part("norm", _NORM, "out")),
    blocks.ConvBlock: (_Part("conv", "in", "out"), _Part("norm", _NORM, "out")),
    blocks.SeparableConv: (
        _Part("depthwise", None, "in"),
        _Part("depthwise_norm", _NORM, "in"),
        _Part("pointwise", "in", "out"),
        _Part("pointwise_norm", _NORM, "out"),
    ),
    blocks.InvertedBottleneck: (
        _Part("expand.0", "in", "hidden"),
        _Part("expand.1", _NORM, "hidden"),
        _Part("depthwise", None, "hidden"),
        _Part("depthwise_norm", _NORM, "hidden"),
        _Part("excite.squeeze", "hidden", "squeezed"),
        _Part("excite.excite", "squeezed", "hidden"),
        _Part("project", "hidden", "out"),
        _Part("project_norm", _NORM, "out"),
    ),
    blocks.ResidualBlock: (
        _Part("conv1", "in", "inside"),
        _Part("norm1", _NORM, "inside"),
        _Part("conv2", "inside", "out"),
        _Part("norm2", _NORM, "out"),
        _Part("shortcut.0", "in", "out"),
        _Part("shortcut.1", _NORM, "out"),
    ),
    blocks.Head: (_Part("linear", "in", "classes"),),
}

_KEEPING = (nn.MaxPool2d, nn.AvgPool2d)
"""Layers without weights whose output channels are those that they read, in the same order."""

MOST_NUMBERS = 2**26
"""Numbers that a tensor may have on its way from a donor's shape to the new one."""

_PROJECTION = (_Part("0", "in", "out"), _Part("1", _NORM, "out"))

_MARKS = ("pointwise.weight", "0.project.weight", "project.weight", "conv2.weight", "conv.weight")
"""Weights that only one type of layer has; so weights tell the types even without their architecture."""

_LAYER = re.compile(r"layer([1-9]\d{0,3})\.(.+)")
_MERGE = re.compile(r"merge([1-9]\d{0,3})\..+")


def inherit(
    network: Network, architecture: Architecture, classes: tuple[str, ...], donor: Donor
) -> Inheritance:
    """Put a donor's weights into a network, wherever they fit.

    Layers of the same type are aligned in their order, so that a layer that was put in or left out shifts the rest
    and spoils nothing. Wider layers copy channels and divide what reads them, kernels are padded with zeros; where
    no layer was added, removed or narrowed, and strides, dilations, activations and connections are the same, the
    network then computes exactly what the donor does (in evaluation mode; Net2WiderNet, Chen and others 2016).
    Exceptions are additions whose summands hold the channels of several layers in different orders, and layers that
    now read and write equally many channels and did not before, or the other way round: their input is then added, or
    is not; and parts that the donor lacks (an expansion, squeeze-excitation), another merging, pooling or normalisation
    of the images, and other classes. Stages of bottlenecks are matched block by block. Narrower
    layers keep the first channels, smaller kernels the centre. The head is taken over only for the same classes; the
    normalisation of images stays that of the new data.

    Args:
        network: New network, with its initial weights.
        architecture: Its architecture.
        classes: Names of its classes.
        donor: Whose weights.
    """
    return _Heir(network, architecture, _in_order(donor, classes)).take(classes)


def _in_order(donor: Donor, classes: tuple[str, ...]) -> Donor:
    """A donor whose head has its classes in a certain order; as it is where they are others."""
    heads = [donor.weights.get(f"head.linear.{name}") for name in ("weight", "bias")]
    if donor.classes in {None, classes} or set(donor.classes or ()) != set(classes):
        return donor
    if not all(head is not None and len(head) == len(classes) == len(donor.classes or ()) for head in heads):
        return donor
    order = [(donor.classes or ()).index(name) for name in classes]
    moved = {f"head.linear.{name}": donor.weights[f"head.linear.{name}"][order] for name in ("weight", "bias")}
    return replace(donor, weights={**donor.weights, **moved}, classes=classes)


class _Heir:
    """A network that takes over weights, part by part."""

    def __init__(self, network: Network, architecture: Architecture, donor: Donor) -> None:
        self._network, self._layers, self._donor = network, architecture.layers, donor
        # The tensors of the state are those of the network.
        self._state = network.state_dict()
        self._spreads: list[Spread | None] = []
        self._generator = torch.Generator().manual_seed(0)
        self._taken: set[str] = set()
        self._origins: list[Origin] = []

    def take(self, classes: tuple[str, ...]) -> Inheritance:
        """Take over everything that fits."""
        pairs = dict(self._aligned())
        self._spreads.append(self._block("stem", "stem", None))
        for number in range(1, len(self._layers) + 1):
            self._spreads.append(self._layer(number, pairs.get(number)))
        self._head(classes)
        names = {name for name, _ in self._network.named_parameters()}
        return Inheritance(tuple(self._origins), frozenset(names - self._taken))

    def _aligned(self) -> Iterator[tuple[int, int]]:
        """Numbers of new layers and of the donor's that match them."""
        ours, theirs = _kinds(self._state, len(self._layers)), _kinds(self._donor.weights)
        for run in SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
            for index in range(1, run.size + 1):
                yield run.a + index, run.b + index

    def _layer(self, number: int, other: int | None) -> Spread | None:
        """Take over a layer and what merges its inputs; gives the spread of its output, where it is known."""
        reads, name = self._reads(number), f"layer{number}"
        for index, node in enumerate(self._layers[number - 1].inputs[1:]):
            self._projection(number, index, other, self._spreads[node], reads)
        if any(key.startswith(f"{name}.") for key in self._state):
            return self._block(name, None if other is None else f"layer{other}", reads)
        # What a user's type without weights does with the channels is not known.
        return reads if type(self._network.get_submodule(name)) in _KEEPING else None

    def _reads(self, number: int) -> Spread | None:
        """Channels that a layer reads; None where nothing more than their number is known."""
        layer = self._layers[number - 1]
        spreads = [self._spreads[node] for node in layer.inputs]
        if merge_mode(layer.values, len(spreads)) == "add":
            return spreads[0]
        known = [spread for spread in spreads if spread is not None]
        return Spread.joined(known) if len(known) == len(spreads) else None

    def _projection(
        self, number: int, index: int, other: int | None, reads: Spread | None, writes: Spread | None
    ) -> None:
        """The convolution of an input that is added to the first, where it has another shape."""
        name = f"merge{number}.projections.{index}"
        theirs = name if other is None else re.sub(r"\d+", str(other), name, count=1)
        if f"{name}.0.weight" not in self._state:
            if other is not None and f"{theirs}.0.weight" in self._donor.weights:
                self._origins.append(Origin(name, CUT, theirs))  # it is added as it is now
            return
        if other is None:
            self._fresh(name)
        elif (
            f"{theirs}.0.weight" not in self._donor.weights
            and self._had_input(other, index + 1)
            and reads is not None
            and writes is not None
            and reads.old == writes.old
            and (reads.new, writes.new) != (reads.old, writes.old)
            and self._network.get_submodule(f"{name}.0").stride == (1, 1)
        ):
            self._identity(name, reads, writes)
        else:
            self._take(name, theirs, _PROJECTION, {"in": reads, "out": writes})

    def _had_input(self, layer: int, index: int) -> bool:
        """Whether a layer of the donor is known to have had an input of this index."""
        inputs = self._donor.inputs
        return inputs is not None and layer <= len(inputs) and index < len(inputs[layer - 1])

    def _identity(self, name: str, reads: Spread, writes: Spread) -> None:
        """A projection that, in evaluation mode, adds what the donor added as it was, now that channels are others."""
        weight, norm = self._state[f"{name}.0.weight"], self._network.get_submodule(f"{name}.1")
        same = torch.eye(reads.old)[:, :, None, None]
        weight.copy_(spread_weight(same, reads, writes, weight.shape[2:], self._generator))
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_parameters()
            self._state[f"{name}.1.running_var"].fill_(1 - norm.eps)
        self._taken |= {key for key in self._state if key.startswith(f"{name}.")}
        self._origins.append(Origin(name, WIDENED, None))

    def _head(self, classes: tuple[str, ...]) -> None:
        known, bias = self._donor.classes, self._donor.weights.get("head.linear.bias")
        same = bias is not None and (bias.shape == (len(classes),) if known is None else known == classes)
        self._block("head", "head" if same else None, self._spreads[-1])

    def _block(self, name: str, other: str | None, reads: Spread | None) -> Spread | None:
        """Take over a block; gives the spread of its output, where it is known."""
        module = self._network.get_submodule(name)
        if other is None:
            self._fresh(name)
            return None
        if type(module) is blocks.BottleneckStage:
            return self._stage(name, len(module), other, reads)
        if type(module) not in _RULES:
            self._exact(name, other)
            return None
        groups: dict[str, Spread | None] = {"in": reads}
        expanded = (f"{name}.expand.0.weight" in self._state, f"{other}.expand.0.weight" in self._donor.weights)
        if isinstance(module, blocks.InvertedBottleneck) and not any(expanded):
            groups["hidden"] = reads
        if _adds_its_input(module):
            groups["out"] = reads
        spread = self._take(name, other, _RULES[type(module)], groups)
        if isinstance(module, blocks.InvertedBottleneck) and self._adds_otherwise(module, name, other):
            self._lessen(PARTLY)
        return spread

    def _stage(self, name: str, count: int, other: str, reads: Spread | None) -> Spread | None:
        """Take over the blocks of a stage, one after the other."""
        prefix = f"{other}."
        keys = [key.removeprefix(prefix) for key in self._donor.weights if key.startswith(prefix)]
        theirs = {key.split(".")[0] for key in keys}
        for index in map(str, range(count)):
            reads = self._block(f"{name}.{index}", f"{other}.{index}" if index in theirs else None, reads)
        if len(theirs) > count:
            self._lessen(CUT)
        return reads

    def _lessen(self, state: str) -> None:
        """Say of the newest part, if it was taken over whole, that it was not quite."""
        if self._origins[-1].state in (INHERITED, WIDENED):
            self._origins[-1] = self._origins[-1]._replace(state=state)

    def _adds_otherwise(self, module: blocks.InvertedBottleneck, name: str, other: str) -> bool:
        """Whether one of the two adds its input and the other does not; strides are taken to be the same."""
        ours, theirs = _equally_many(self._state, name), _equally_many(self._donor.weights, other)
        return module.depthwise.stride == (1, 1) and ours != theirs

    def _take(
        self, name: str, other: str, parts: tuple[_Part, ...], groups: dict[str, Spread | None]
    ) -> Spread | None:
        """Take over the layers of a block, one after the other."""
        states, given = set[str](), groups.get("in")
        unused = {key for key in self._donor.weights if key.startswith(f"{other}.")}
        for part in parts:
            prefix = f"{name}.{part.name}."
            for key in [key for key in self._state if key.startswith(prefix)]:
                donor_key = f"{other}.{part.name}.{key.removeprefix(prefix)}"
                unused.discard(donor_key)
                states.add(self._tensor(key, donor_key, part, groups))
        state = FRESH
        if states != {FRESH}:
            dropped = {CUT} if unused else set()
            state = next(s for s in (FRESH, CUT, WIDENED, INHERITED) if s in states | dropped)
            state = PARTLY if state == FRESH or (state == WIDENED and _guessed(name, given, groups)) else state
        self._origins.append(Origin(name, state, None if state == FRESH else other))
        return groups.get("out")

    def _tensor(self, key: str, donor_key: str, part: _Part, groups: dict[str, Spread | None]) -> str:
        """Take over one tensor; gives what became of it."""
        new, old = self._state[key], self._donor.weights.get(donor_key)
        if old is None or old.ndim != new.ndim or 0 in old.shape or _too_large(old, new):
            return FRESH
        if old.ndim == 0:
            new.copy_(old)
            return INHERITED
        if key == "stem.conv.weight" and new.shape[1] == 1:
            # A grey image is a colour image with three equal channels.
            old = old.sum(1, keepdim=True)
        writes = _fitting(groups, part.writes, old.shape[0], new.shape[0])
        if old.ndim == 1:
            value = old[writes.index]
        else:
            reads = None if part.reads is None else _fitting(groups, part.reads, old.shape[1], new.shape[1])
            value = spread_weight(old.float(), reads, writes, new.shape[2:], self._generator)
        if value.shape != new.shape:
            return FRESH
        new.copy_(value)
        self._taken.add(key)
        pairs = list(zip(old.shape, new.shape, strict=True))
        return CUT if any(a > b for a, b in pairs) else WIDENED if any(a < b for a, b in pairs) else INHERITED

    def _exact(self, name: str, other: str) -> None:
        """A block of a user's type, of which no more is known than its tensors: all or nothing."""
        ours = {
            key: f"{other}.{key.removeprefix(name + '.')}" for key in self._state if key.startswith(f"{name}.")
        }
        weights = self._donor.weights
        if any(k not in weights or weights[k].shape != self._state[key].shape for key, k in ours.items()):
            self._fresh(name)
            return
        for key, donor_key in ours.items():
            self._state[key].copy_(weights[donor_key])
        self._taken |= ours.keys()
        self._origins.append(Origin(name, INHERITED, other))

    def _fresh(self, name: str) -> None:
        self._origins.append(Origin(name, FRESH, None))


def _fitting(groups: dict[str, Spread | None], name: str, old: int, new: int) -> Spread:
    """The spread of a group of channels; by their numbers where it is not known, or is of another layer."""
    spread = groups.get(name)
    if spread is None or (spread.old, spread.new) != (old, new):
        spread = groups[name] = Spread.between(old, new)
    return spread


def _too_large(old: Tensor, new: Tensor) -> bool:
    """Whether weights would fill the memory on the way to their new shape."""
    if old.ndim < 2 or old.shape == new.shape:
        return False
    return new.shape[0] * max(old.shape[1], new.shape[1]) * math.prod(old.shape[2:]) > MOST_NUMBERS


def _guessed(name: str, given: Spread | None, groups: dict[str, Spread | None]) -> bool:
    """Whether a block reads more channels than it did, and which they are copies of is known by their numbers only."""
    reads = groups.get("in")
    # The stem reads colours.
    return reads is not None and reads is not given and reads.old < reads.new and name != "stem"


def _equally_many(weights: Mapping[str, Tensor], name: str) -> bool:
    """Whether an inverted bottleneck reads as many channels as it writes."""
    expand, project = weights.get(f"{name}.expand.0.weight"), weights.get(f"{name}.project.weight")
    reads = weights.get(f"{name}.depthwise.weight") if expand is None else expand
    if reads is None or project is None or min(reads.ndim, project.ndim) < 2:
        return False
    return bool(reads.shape[0 if expand is None else 1] == project.shape[0])


def _adds_its_input(module: nn.Module) -> bool:
    if isinstance(module, blocks.InvertedBottleneck):
        return module.residual
    return isinstance(module, blocks.ResidualBlock) and isinstance(module.shortcut, nn.Identity)


def _kinds(weights: Mapping[str, Tensor], depth: int | None = None) -> list[str]:
    """For each layer what tells its type: the weight that only this type has, or else all names; pools have none."""
    names: dict[int, list[str]] = {}
    for name in weights:
        if match := _LAYER.fullmatch(name):
            names.setdefault(int(match[1]), []).append(match[2])
        elif match := _MERGE.fullmatch(name):
            # The last layer may be a pool, of which only what merges its inputs has weights.
            names.setdefault(int(match[1]), [])
    count = min(max(names, default=0), MAX_LAYERS) if depth is None else depth
    layers = [sorted(names.get(number, [])) for number in range(1, count + 1)]
    return [next((mark for mark in _MARKS if mark in found), "|".join(found)) for found in layers]
