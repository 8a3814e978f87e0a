"""An LSTM one step at a time, for sampling: what its inputs add to the gates is looked up, not multiplied."""

from typing import TypeAlias

import torch
from torch import Tensor, nn

LSTMState: TypeAlias = tuple[tuple[Tensor, Tensor], ...]
"""Hidden state and cell, both (B, w), of each layer."""


class LSTMSteps:
    """The same LSTM as the module that it is made from, with the same weights; no gradients.

    ``torch.nn.LSTM`` is fast on sequences, but a call for one step takes several times longer than its arithmetic.

    Args:
        lstm: L layers of w units.
        embedding: (C, w), the vector of each input code.
    """

    def __init__(self, lstm: nn.LSTM, embedding: Tensor) -> None:
        self._width = lstm.hidden_size
        self._inputs, self._hidden, self._biases = [], [], []
        for layer in range(lstm.num_layers):
            to_input, to_hidden, *biases = (
                getattr(lstm, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            self._inputs.append(to_input.t())
            self._hidden.append(to_hidden.t())
            self._biases.append(sum(biases))
        self.codes = torch.addmm(self._biases[0], embedding, self._inputs[0])
        self._sums = self.codes - self._biases[0]

    def start(self, count: int) -> LSTMState:
        """Zeros for B sequences."""
        zeros = self.codes.new_zeros(count, self._width)
        return ((zeros, zeros),) * len(self._hidden)

    def gates(self, several: Tensor, codes: slice) -> Tensor:
        """(B, 4 w) of inputs that are the sum of several codes, (B, J) ones and zeros for J consecutive codes."""
        return torch.addmm(self._biases[0], several, self._sums[codes])

    def step(self, gates: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One step from what the input adds to the first layer's gates, (B, 4 w): last hidden state (B, w), states."""
        after: list[tuple[Tensor, Tensor]] = []
        for layer, (hidden, cell) in enumerate(state):
            if layer:
                gates = torch.addmm(self._biases[layer], after[-1][0], self._inputs[layer])
            after.append(_cell(torch.addmm(gates, hidden, self._hidden[layer]), cell))
        return after[-1][0], tuple(after)


def _cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    width = cell.shape[1]
    opened = gates.sigmoid()
    fresh = gates[:, 2 * width : 3 * width].tanh()
    after = torch.addcmul(opened[:, width : 2 * width] * cell, opened[:, :width], fresh)
    return opened[:, 3 * width :] * after.tanh(), after
