"""The gated recurrent unit (Cho et al. 2014, section 2.3), its reset gate after the matrix product, as cuDNN computes it."""

from typing import Self

import torch
from torch import Tensor

from stages.lm.models.recurrent.language_model import RecurrentLM
from stages.lm.models.recurrent.layer import RecurrentLayer, State
from stages.lm.models.recurrent.settings import GruSettings


class GRU(RecurrentLayer):
    """The equations of Cho et al. 2014, eq. 5 to 8, with z and 1 - z exchanged and r * (W h) in place of W (r * h):

    r = sigmoid(W_xr x_t + W_hr h_{t-1} + b_r)       how much of the past the new content sees
    z = sigmoid(W_xz x_t + W_hz h_{t-1} + b_z)       how much of the past is kept
    n = tanh(W_xn x_t + r * (W_hn h_{t-1}) + b_n)    the new content
    h_t = (1 - z) * n + z * h_{t-1}
    """

    gates = 3

    def step(self, x: Tensor, state: State) -> State:
        (h,) = state
        x_r, x_z, x_n = (self.w_x(x) + self.b).chunk(3, dim=-1)  # (batch, d_model) each
        h_r, h_z, h_n = self.w_h(h).chunk(3, dim=-1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return ((1 - z) * n + z * h,)

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        outputs, last = torch.gru(x, h[None], self.torch_weights, True, 1, 0.0, self.training, False, True)
        return outputs, (last[0],)


class GruLM(RecurrentLM):
    """A language model of stacked GRU layers."""

    @classmethod
    def from_settings(cls, settings: GruSettings, vocab_size: int, is_fused: bool = True) -> Self:
        layers = [
            GRU(settings.d_model, settings.recurrent_init, settings.recurrent_gain, is_fused) for _ in range(settings.layers)
        ]
        return cls(vocab_size, layers, settings.tie_embeddings)
