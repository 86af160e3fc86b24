"""What the CPU's kernels take beside their results, where it matters: oneDNN's LSTM, operands that are converted first, and the
exchange between processes.

torch's fake kernels don't know it. The LSTM's sizes are those that oneDNN's `rnn_utils.cpp` adds up, and that the allocator
records over widths, lengths and types (version 3.12). Products take a few hundred KB for themselves, which is not counted.
"""

from typing import Any

import torch
from torch import Tensor

ATEN = torch.ops.aten
WORKSPACE = 3
"""The place of the workspace among the results of the forward pass."""


def workspace(func: Any, args: tuple[Any, ...]) -> int | None:
    """Bytes that a layer keeps for its backward pass; None for other operations.

    These are the gates, the states of two layers (h for the layer and for the next step, c in float32), and gradients between
    layers; rows are padded.
    """
    if func is not ATEN.mkldnn_rnn_layer.default:
        return None
    (length, batch, _), number, d = args[0].shape, args[0].element_size(), args[10]
    states = 3 * number * _padded(d, number) + 4 * 4 * _padded(d, 4)
    return int(batch * (length * (number * _padded(4 * d, number) + (2 * 4 + 2 * number) * d) + (length + 1) * states))


def scratch(func: Any, args: tuple[Any, ...]) -> int:
    """Bytes that an operation takes and gives back."""
    if func in (ATEN.mkldnn_rnn_layer.default, ATEN.mkldnn_rnn_layer_backward.default):
        return _scratch_of_lstm(args, backward=func is ATEN.mkldnn_rnn_layer_backward.default)
    if func.name() in EXCHANGING:
        return max(int(tensor.nbytes) for tensor in args[:2])
    return _converted(args) if func.overloadpacket in MIXING else 0


def _scratch_of_lstm(args: tuple[Any, ...], *, backward: bool) -> int:
    """The gates, and the two matrices with padded rows; going backward also the matrices' gradients, and those of the outputs in
    the kernel's own order."""
    length, batch, inputs = args[0].shape
    number, d = args[0].element_size(), args[2].shape[1]
    gates = number * _padded(4 * d, number)  # of a row
    extra = 4 * d * 4 * (_padded(inputs, 4) + _padded(d, 4)) + length * batch * d * number if backward else 0
    return int((length * batch + inputs + d) * gates + extra)


EXCHANGING = ("c10d::_allgather_base_", "c10d::_reduce_scatter_base_")
"""What shards are exchanged by. gloo copies what all processes have together (torch's `ProcessGroupGloo.cpp`)."""

MIXING = {ATEN.add, ATEN.add_, ATEN.sub, ATEN.sub_, ATEN.mul, ATEN.mul_, ATEN.div, ATEN.div_}


def _converted(args: tuple[Any, ...]) -> int:
    """Copies of the operands in the type that they have in common, of those that have another."""
    operands = [tensor for tensor in args[:2] if isinstance(tensor, Tensor)]
    if len(operands) < 2 or operands[0].dtype == operands[1].dtype:
        return 0
    common = torch.result_type(*operands)
    return sum(tensor.numel() * common.itemsize for tensor in operands if tensor.dtype != common and tensor.dim())


def _padded(numbers: int, width: int) -> int:
    """A row of so many numbers in whole cache lines of 64 bytes, and one more where rows would meet in the cache."""
    line = 64 // width
    rounded = -(-numbers // line) * line
    return rounded + line if rounded % 256 == 0 else rounded
