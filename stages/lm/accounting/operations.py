"""The operations of one training step, or of one token of a text: which ones, how often, their arithmetic and their traffic.

They are found by watching a rehearsal, so they are those that the real code calls. What takes time is kept of each: its kind, the
matrix products inside it, and the bytes that it reads and writes. Views only make another shape of the same memory and move none.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from stages.lm.accounting.rehearsal import Watching, rehearse
from stages.lm.models.settings import ModelSettings
from stages.lm.training.batches import Batch
from stages.lm.training.settings import TrainingSettings


class Product(NamedTuple):
    """`batch` matrix products (rows, inner) times (inner, columns), one after the other `times` times."""

    dtype: str
    layout: str
    """How left and right lie in memory: n row by row, t column by column."""
    batch: int
    rows: int
    inner: int
    columns: int
    times: int = 1

    @property
    def flops(self) -> int:
        return 2 * self.times * self.batch * self.rows * self.inner * self.columns


class Operation(NamedTuple):
    """What one call costs: equal calls are equal operations."""

    kind: str
    """torch's name and the number format, like `aten::mul.Tensor float32`."""
    products: tuple[Product, ...]
    flops: int
    """Of the matrix products, as torch counts them."""
    bytes: int
    """Read and written; nothing for views."""
    backward: bool = False
    """Called by autograd, and not by Python."""


class Operations(Watching):  # type: ignore[no-untyped-call]
    """Counts the operations that it sees."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[Operation] = Counter()

    def seen(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        if func.namespace != "prim":  # questions to a tensor
            self.counts[operation(func, args, kwargs, result)] += 1


def of_step(settings: ModelSettings, training: TrainingSettings, vocab_size: int, batch: Batch) -> Counter[Operation]:
    """The operations of a training step once the optimizer has its state: those of two steps without those of one.

    Compiled models are taken as they were written: what a compiler fuses is not known before.
    """
    micro, parts = training.micro_batch, math.ceil(training.batch_size / training.micro_batch)

    def of(count: int) -> Counter[Operation]:
        """Of a step of so many micro-batches."""
        rows = count * micro
        tensors = tuple(tensor[:rows] for tensor in batch.tensors)
        plain = training.model_copy(update={"compile": False, "batch_size": rows, "micro_batch_size": micro})
        one, two = Operations(), Operations()
        for steps, watch in enumerate((one, two), start=1):
            rehearse(
                settings,
                plain,
                vocab_size,
                lambda: batch._replace(tensors=tuple(torch.empty_like(tensor) for tensor in tensors)),
                watch,
                steps,
            )
        return two.counts - one.counts

    first = of(1)
    if parts == 1:
        return first
    more = of(2)
    more.subtract(first)  # micro-batches are all alike
    return +Counter({operation: first[operation] + (parts - 1) * count for operation, count in more.items()})


def operation(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Operation:
    """What a call cost that gave `result`."""
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    leading = next((tensor for tensor in given if tensor.is_floating_point()), next(iter(given or made), None))
    kind = func.name() if leading is None else f"{func.name()} {str(leading.dtype).removeprefix('torch.')}"
    count = flop_registry.get(func._overloadpacket)
    inside = tuple(products(func.name(), args))
    flops = count(*args, **kwargs, out_val=result) if count else sum(product.flops for product in inside)
    # Blocks that are computed again in the backward pass have gradients enabled: Python calls them.
    backward = torch._C._current_graph_task_id() >= 0 and not torch.is_grad_enabled()
    return Operation(kind, inside, int(flops), traffic(func, given, made), backward)


def traffic(func: Any, given: list[Tensor], made: list[Tensor]) -> int:
    """Bytes read and written, each tensor once; of a table from which rows are picked, as much as there is in the rows."""
    old = {_memory(tensor) for tensor in given}
    new = [tensor for tensor in made if _memory(tensor) not in old]
    if (not new and not func._schema.is_mutable) or func.name().startswith(ALLOCATING):  # a view, or nothing written yet
        return 0
    if func.name().startswith(PICKING):
        rows = [tensor for tensor in (*given, *new) if tensor.dtype == torch.long] + new
        return 2 * sum(map(_size, rows or given))
    if func.name().startswith(FILLING):
        given = given[1:]
    written = new + ([given[0]] if func._schema.is_mutable and given else [])
    return sum(map(_size, given)) + sum(map(_size, written))


ALLOCATING = ("aten::empty", "aten::new_empty", "aten::lift_fresh")
PICKING = ("aten::embedding", "aten::index_select", "aten::gather", "aten::scatter", "aten::index.")
FILLING = ("aten::copy_",)


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _size(tensor: Tensor) -> int:
    """Bytes of the elements, each once where they are repeated."""
    elements = 1
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        elements *= length if stride else 1
    return elements * tensor.element_size()


def products(name: str, args: tuple[Any, ...]) -> Iterator[Product]:
    """The matrix products inside an operation."""
    match name.removeprefix("aten::").split(".")[0]:
        case "mm":
            yield _product(args[0], args[1])
        case "addmm":
            yield _product(args[1], args[2])
        case "bmm":
            yield _product(args[0], args[1])
        case "baddbmm":
            yield _product(args[1], args[2])
        case "mkldnn_rnn_layer":
            yield from _recurrent(args[0], args[1], args[2])
        case "mkldnn_rnn_layer_backward":
            for product in _recurrent(args[0], args[1], args[2]):  # for the weights, and for what they are multiplied with
                yield product._replace(times=2 * product.times)
        case "_scaled_dot_product_flash_attention_for_cpu":
            yield from _attention(args[0], args[1])
        case "_scaled_dot_product_flash_attention_for_cpu_backward":
            yield from _attention(args[1], args[2])  # the scores once more, and the gradient of the values
            yield from _attention(args[1], args[2])  # the gradients of the weights and of the queries
            yield next(_attention(args[1], args[2]))._replace(layout="tn")  # the gradient of the keys


def _product(left: Tensor, right: Tensor) -> Product:
    dtype = str(left.dtype).removeprefix("torch.")
    layout = "".join("n" if matrix.stride(-1) == 1 or matrix.stride(-2) != 1 else "t" for matrix in (left, right))
    batch = left.shape[0] if left.ndim == 3 else 1
    return Product(dtype, layout, batch, left.shape[-2], left.shape[-1], right.shape[-1])


def _recurrent(x: Tensor, from_input: Tensor, from_state: Tensor) -> Iterator[Product]:
    """A layer over a sequence (length, batch, d): inputs of all positions at once, states one position after the other."""
    dtype = str(x.dtype).removeprefix("torch.")
    length, batch = x.shape[0], x.shape[1]
    yield Product(dtype, "nt", 1, length * batch, from_input.shape[1], from_input.shape[0])
    yield Product(dtype, "nt", 1, batch, from_state.shape[1], from_state.shape[0], length)


def _attention(query: Tensor, key: Tensor) -> Iterator[Product]:
    """Scores and weighted sums of (batch, heads, length, d_head)."""
    dtype = str(query.dtype).removeprefix("torch.")
    batch, queries, keys, width = query.shape[0] * query.shape[1], query.shape[2], key.shape[2], query.shape[3]
    yield Product(dtype, "nt", batch, queries, width, keys)
    yield Product(dtype, "nn", batch, queries, keys, width)
