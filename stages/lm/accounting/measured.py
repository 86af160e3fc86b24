"""What a forward pass really keeps for the backward pass, beside what `memory` promises."""

from typing import Any

import torch
from torch import Tensor, nn


def saved_bytes(model: nn.Module, *tensors: Tensor) -> int:
    """Bytes that autograd keeps after `model.total_loss(*tensors)`; parameters and the tensors themselves are not counted."""
    given = (*model.parameters(), *tensors)
    own = {tensor.untyped_storage().data_ptr() for tensor in given}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    total_loss: Any = model.total_loss
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = total_loss(*tensors)  # alive until all is added up: a place that is freed could be counted for another tensor
        found = sum(kept.values())
    del loss
    return found
