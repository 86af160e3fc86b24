"""Tensors of which every rank holds a shard (torch's DTensor), and the plain ones that they stand for."""

from typing import Any, cast

from torch import Tensor


def is_sharded(tensor: Tensor | type[Tensor]) -> bool:
    """Also of the type of a tensor."""
    return hasattr(tensor, "full_tensor")


def local(tensor: Tensor) -> Tensor:
    """This rank's shard of a sharded tensor; any other as it is."""
    return cast(Any, tensor).to_local() if is_sharded(tensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor put together, for which all ranks have to ask; any other as it is."""
    return cast(Any, tensor).full_tensor() if is_sharded(tensor) else tensor


def like(tensor: Tensor, current: Any) -> Tensor:
    """`tensor`, of which every rank has the whole, in shards where `current` is."""
    if not is_sharded(current):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh = current.device_mesh
    return distribute_tensor(tensor.to(mesh.device_type), mesh, current.placements, src_data_rank=None)
