"""The simple recurrent network (Elman 1990, "Finding Structure in Time"), as a language model by Mikolov et al. 2010."""

from typing import Self

import torch
from torch import Tensor

from stages.lm.models.recurrent.language_model import RecurrentLM
from stages.lm.models.recurrent.layer import RecurrentLayer, State
from stages.lm.models.recurrent.settings import RnnSettings


class RNN(RecurrentLayer):
    """h_t = tanh(W_x x_t + W_h h_{t-1} + b)   (Elman 1990; Goodfellow et al. 2016, eq. 10.8 and 10.9)."""

    gates = 1

    def step(self, x: Tensor, state: State) -> State:
        (h,) = state
        return (torch.tanh(self.w_x(x) + self.w_h(h) + self.b),)

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        outputs, last = torch.rnn_tanh(x, h[None], self.torch_weights, True, 1, 0.0, self.training, False, True)
        return outputs, (last[0],)


class RnnLM(RecurrentLM):
    """A language model of stacked RNN layers."""

    @classmethod
    def from_settings(cls, settings: RnnSettings, vocab_size: int, is_fused: bool = True) -> Self:
        layers = [
            RNN(settings.d_model, settings.recurrent_init, settings.recurrent_gain, is_fused) for _ in range(settings.layers)
        ]
        return cls(vocab_size, layers, settings.tie_embeddings)
