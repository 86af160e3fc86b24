"""What oneDNN's LSTM takes beside its results: the one kernel whose own memory matters and that torch's fake kernels don't know.

Sizes are those that its `rnn_utils.cpp` adds up, and that the allocator records over widths, lengths and types (version 3.12).
"""

from typing import Any

import torch

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
    """Bytes that an operation takes and gives back: of an LSTM the gates, and its two matrices with padded rows; going backward
    also the matrices' gradients, and the outputs' in the order of its own."""
    if func not in (ATEN.mkldnn_rnn_layer.default, ATEN.mkldnn_rnn_layer_backward.default):
        return 0
    length, batch, inputs = args[0].shape
    number, d = args[0].element_size(), args[2].shape[1]
    gates = number * _padded(4 * d, number)  # of a row
    matrices = (inputs + d) * gates
    if func is ATEN.mkldnn_rnn_layer_backward.default:
        matrices += 4 * d * 4 * (_padded(inputs, 4) + _padded(d, 4)) + length * batch * d * number
    return int(length * batch * gates + matrices)


def _padded(numbers: int, width: int) -> int:
    """A row of so many numbers in whole cache lines of 64 bytes, and one more where rows would meet in the cache."""
    line = 64 // width
    rounded = -(-numbers // line) * line
    return rounded + line if rounded % 256 == 0 else rounded
