"""Two signals about a network that take no training: NASWOT and SynFlow."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from gcnas.data import Dataset
from gcnas.network import Network, build
from gcnas.records import Architecture
from gcnas.space import SearchSpace

IMAGES = 32
"""Images of the search-train split that NASWOT looks at."""

_ACTIVATIONS = frozenset(
    getattr(home, name)
    for home in (torch, torch.Tensor, nn.functional)
    for kind in ("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "hardswish", "hardtanh")
    for name in (kind, f"{kind}_")
    if hasattr(home, name)
)
"""Activations whose inputs, above or below 0, are the codes; hard swish and its like are taken for ReLU."""


class _Codes(TorchFunctionMode):
    """Adds up, over all activations, in how many units two images have equal codes.

    Attributes:
        agreement: (B, B).
    """

    def __init__(self, images: int) -> None:
        super().__init__()
        self.agreement = torch.zeros(images, images, dtype=torch.float64)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in _ACTIVATIONS and len(args[0]) == len(self.agreement):
            # Whole numbers below 2**24 are exact.
            codes = (args[0] > 0).flatten(1).float()
            both, on = codes @ codes.T, codes.sum(1)
            # Equal where both are on or both are off.
            self.agreement += (2 * both - on[:, None] - on[None] + codes.shape[1]).double()
        return function(*args, **(kwargs or {}))


def naswot(network: nn.Module, images: Tensor) -> float:
    r"""Log-determinant of the kernel of the binary codes of a batch (Mellor et al., 2021).

    .. math:: \log |K|, \quad K_{ij} = N - d(c_i, c_j)

    with the codes c (which of the N activation units are on) and the Hamming distance d. Batch normalisation uses the
    batch's own mean and deviation, as at the start of a training.

    Args:
        network: Untrained; left in evaluation mode.
        images: (B, channels, height, width).

    Returns:
        The logarithm; minus infinity where two images have equal codes.
    """
    network.eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    with torch.no_grad(), _Codes(len(images)) as codes:
        network(images)
    network.eval()
    sign, logarithm = np.linalg.slogdet(codes.agreement.numpy())
    return float(logarithm) if sign > 0 else -np.inf


def synflow(network: nn.Module, image_shape: Sequence[int]) -> float:
    r"""Logarithm of the synaptic flow (Tanaka et al., 2020), with batch norm left out (Abdelfattah et al., 2021).

    .. math:: \log \sum_\theta |\theta \, \partial R / \partial \theta|

    over the weights of convolutions and linear layers, R the sum of the outputs for an image of ones, all parameters
    replaced by their absolute values.

    Args:
        network: Without normalisation of its images; it is changed for good.
        image_shape: Channels, height and width.

    Returns:
        The natural logarithm; minus infinity where nothing flows.
    """
    network.eval()
    _leave_out_batch_norm(network)
    network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    weights = [
        m.weight for m in network.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    if not weights:
        return -np.inf
    with torch.enable_grad():
        network(torch.ones(1, *image_shape, dtype=torch.float64)).sum().backward()
    flows = [(weight * weight.grad).abs().sum() for weight in weights if weight.grad is not None]
    total = float(torch.stack(flows).sum().detach()) if flows else 0.0
    return float(np.log(total)) if total > 0 else -np.inf


def _leave_out_batch_norm(network: nn.Module) -> None:
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(module, name, nn.Identity())


class SignalMeter:
    """Measures signals of architectures on the CPU, with fixed weights and images, and keeps the time.

    A signal that cannot be measured (the network cannot be built, memory runs out, the value is not finite) is left
    out: the evaluation that follows tells what is wrong.

    Args:
        space: Fitted space.
        dataset: The data; only images of the search-train split are read.
        names: Which of :data:`SIGNALS`.
        seed: Of the weights and of the choice of images.

    Attributes:
        names: Which signals.
        seconds: Wall clock of all measurements so far.
    """

    def __init__(self, space: SearchSpace, dataset: Dataset, names: Sequence[str], seed: int) -> None:
        self.names, self.seconds = tuple(names), 0.0
        self._space, self._seed = space, seed
        self._preprocessing = dataset.preprocessing
        self._images = _drawn(dataset, seed) if "naswot" in names else None

    def __call__(self, architecture: Architecture) -> Mapping[str, float]:
        """The signals that could be measured, by name; no global random state is touched."""
        start = time.monotonic()
        values = {name: self._value(name, architecture) for name in self.names}
        self.seconds += time.monotonic() - start
        return {name: value for name, value in values.items() if value is not None and np.isfinite(value)}

    def _value(self, name: str, architecture: Architecture) -> float | None:
        try:
            with _seeded(self._seed):
                network = build(self._space, architecture, self._preprocessing.mean, self._preprocessing.std)
                return SIGNALS[name](self, network)
        except Exception:  # noqa: BLE001 - a signal is never worth a search
            return None

    def naswot_of(self, network: Network) -> float:
        """NASWOT of a network on the images."""
        assert self._images is not None  # noqa: S101 - drawn where it is among the names
        return naswot(network, self._images)

    def synflow_of(self, network: Network) -> float:
        """SynFlow of a network behind its normalisation of images."""
        network.normalise = nn.Identity()
        image = self._space.fitted
        return synflow(network, (image.channels, image.height, image.width))

    def close(self) -> None:
        """Nothing is held."""


def _drawn(dataset: Dataset, seed: int) -> Tensor:
    """Different images (B, channels, height, width) in [0, 1]: two equal ones have equal codes in every network."""
    split = dataset.train()
    order = np.random.default_rng(seed).permutation(len(split))[: 4 * IMAGES]
    images = split.take(
        order
    )  # in the order of the draw: rows lie class by class, and not all of these are taken
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    different = images[np.sort(first)[:IMAGES]]
    return torch.from_numpy(different).permute(0, 3, 1, 2).float() / 255


SIGNALS: dict[str, Callable[[SignalMeter, Network], float]] = {
    "naswot": SignalMeter.naswot_of,
    "synflow": SignalMeter.synflow_of,
}
"""What can be measured, by name; higher is better in both."""


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers from a seed; afterwards the global state is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(
            seed
        )  # torch.manual_seed would seed GPUs too, which are not set back
        yield
