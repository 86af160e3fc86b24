"""A recurrent layer: the same step at every position, each from the input there and the state that the step before left.

A family writes `step`, one position by its equations, and `fused`, the whole sequence in one kernel of torch (oneDNN, cuDNN).
Both compute the same with the same parameters; `forward` takes the one that the layer was built with.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from stages.lm.models.layers import Linear

State = Sequence[Tensor]
"""What a layer remembers: tensors (batch, d_model), of which the first is its output h."""

Init = Literal["orthogonal", "normal"]


class RecurrentLayer(nn.Module):
    """The parameters W_x, W_h and b of all gates, stacked: gate k is rows k d_model to (k + 1) d_model of each."""

    gates: ClassVar[int]
    """How many maps of (x, h) a step computes, gates or not."""
    memories: ClassVar[int] = 1
    """How many tensors the state is made of."""

    def __init__(
        self, d_model: int, init: Init = "orthogonal", gain: float = 1.0, is_fused: bool = False, *, d_input: int | None = None
    ) -> None:
        """W_x is drawn gate by gate as a linear layer, W_h with `init` and `gain`; b starts at 0.

        Inputs are as wide as states unless `d_input` says otherwise.
        """
        super().__init__()
        self.d_model, self.is_fused = d_model, is_fused
        d_input = d_input or d_model
        self.w_x = Linear(d_input, self.gates * d_model)
        self.w_h = Linear(d_model, self.gates * d_model)
        self.b = nn.Parameter(torch.zeros(self.gates * d_model))
        with torch.no_grad():
            for part in self.w_x.weight.chunk(self.gates):
                part.copy_(Linear(d_input, d_model).weight)
            for part in self.w_h.weight.chunk(self.gates):
                if init == "orthogonal":
                    nn.init.orthogonal_(part, gain)
                else:
                    nn.init.normal_(part, std=gain / d_model**0.5)

    def step(self, x: Tensor, state: State) -> State:
        """The state after one position: x (batch, d_input), state tensors (batch, d_model)."""
        raise NotImplementedError

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """`forward` by torch's kernel."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs h of all positions (batch, length, d_model) for inputs x (batch, length, d_input), and the last state."""
        if self.is_fused:
            return self.fused(x, [tensor.contiguous() for tensor in state])  # a kernel of a GPU takes no views
        outputs = []
        for x_t in x.unbind(1):
            state = self.step(x_t, state)
            outputs.append(state[0])
        return torch.stack(outputs, dim=1), state

    @property
    def torch_weights(self) -> list[Tensor]:
        """The parameters as torch's kernels want them: theirs have a second bias, which the definitions do without."""
        return [self.w_x.weight, self.w_h.weight, self.b, torch.zeros_like(self.b)]
