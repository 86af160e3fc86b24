"""Long short-term memory (Hochreiter and Schmidhuber 1997) with forget gates (Gers, Schmidhuber and Cummins 2000)."""

from typing import Self

import torch
from torch import Tensor, nn

from stages.lm.models.recurrent.language_model import RecurrentLM
from stages.lm.models.recurrent.layer import Init, RecurrentLayer, State
from stages.lm.models.recurrent.settings import LstmSettings


class LSTM(RecurrentLayer):
    """The state is (h, c); the equations are those of Graves 2013, eq. 7 to 11, without peepholes:

    i = sigmoid(W_xi x_t + W_hi h_{t-1} + b_i)    how much of the new content is written
    f = sigmoid(W_xf x_t + W_hf h_{t-1} + b_f)    how much of the cell is kept
    g = tanh(W_xg x_t + W_hg h_{t-1} + b_g)       the new content
    o = sigmoid(W_xo x_t + W_ho h_{t-1} + b_o)    how much of the cell is shown
    c_t = f * c_{t-1} + i * g
    h_t = o * tanh(c_t)
    """

    gates, memories = 4, 2

    def __init__(
        self, d_model: int, init: Init = "orthogonal", gain: float = 1.0, is_fused: bool = False, forget_bias: float = 1.0
    ) -> None:
        """b_f starts at `forget_bias` (Jozefowicz, Zaremba and Sutskever 2015, section 2.2)."""
        super().__init__(d_model, init, gain, is_fused)
        nn.init.constant_(self.b.data.chunk(4)[1], forget_bias)

    def step(self, x: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = (self.w_x(x) + self.w_h(h) + self.b).chunk(4, dim=-1)  # (batch, d_model) each
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        outputs, h, c = torch.lstm(x, [h[None], c[None]], self.torch_weights, True, 1, 0.0, self.training, False, True)
        return outputs, (h[0], c[0])


class LstmLM(RecurrentLM):
    """A language model of stacked LSTM layers."""

    @classmethod
    def from_settings(cls, settings: LstmSettings, vocab_size: int, is_fused: bool = True) -> Self:
        layers = [
            LSTM(settings.d_model, settings.recurrent_init, settings.recurrent_gain, is_fused, settings.forget_bias)
            for _ in range(settings.layers)
        ]
        return cls(vocab_size, layers, settings.tie_embeddings)
