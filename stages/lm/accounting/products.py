"""How fast a machine multiplies matrices: measured on a grid of shapes, interpolated between them.

The rate changes slowly with the shape: thin matrices and small ones are far below the peak. So a grid whose sizes grow by factors
of four, interpolated in the logarithms, says the rate of every shape in between; beyond the grid the rate stays.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from stages.lm.accounting.operations import Operation, Product
from stages.lm.settings import Settings

LAYOUTS = ("nt", "nn", "tn")
"""Those of a linear layer: its output, the gradient of its input, that of its weights."""
ALONE = [[1], [1, 4, 16, 128, 1024], [16, 64, 256, 1024], [16, 64, 256, 1024]]
BATCHED = [[8, 64], [1, 16, 128, 512], [16, 64, 256], [16, 64, 256]]
"""Numbers of matrices, their rows, inner sizes and columns."""


PASSES = 3
MATRICES = (1, 2, 4, 8, 16, 32, 64)
FEW_ROWS = [1, 4, 16]
"""Rows of products where few texts are written at once: weights are read for little arithmetic."""


class Grid(Settings):
    """Operations per second at every point of a grid."""

    axes: list[list[int]]
    rates: list[float]
    """Of all points, the last axis changing fastest."""

    def rate(self, point: Sequence[int]) -> float:
        """Interpolated in the logarithms, axis after axis."""
        values: NDArray[np.float64] = np.log(self.rates).reshape([len(axis) for axis in self.axes])
        for axis, size in zip(self.axes, point, strict=True):
            at = float(np.interp(np.log(size), np.log(axis), np.arange(len(axis))))  # its place between the points, clipped
            low, share = int(at), at - int(at)
            values = (1 - share) * values[low] + share * values[min(low + 1, len(axis) - 1)]
        return float(np.exp(values))


def grids(device: torch.device, dtypes: Sequence[torch.dtype]) -> dict[str, Grid]:
    """Measure the products of all layouts, of one pair of matrices and of many."""
    return {
        _name(str(dtype).removeprefix("torch."), layout, axes is BATCHED): _measure(device, dtype, layout, axes)
        for dtype, layout, axes in itertools.product(dtypes, LAYOUTS, (ALONE, BATCHED))
    }


def streams(device: torch.device) -> Grid:
    """Bytes per second that products of few rows with many weights in turn read, by these rows and the bytes of all weights."""
    size = 512 * 1024 * 4
    matrices = [torch.randn(1024, 512, device=device) for _ in range(MATRICES[-1])]

    def read(rows: torch.Tensor, count: int) -> None:
        for matrix in matrices[:count]:
            torch.mm(rows, matrix.T)

    points = list(itertools.product(FEW_ROWS, MATRICES))
    works = [partial(read, torch.randn(rows, 512, device=device), count) for rows, count in points]
    fastest = quietest(works, device, 5e-3)
    return Grid(
        axes=[FEW_ROWS, [count * size for count in MATRICES]],
        rates=[count * size / found for (_, count), found in zip(points, fastest, strict=True)],
    )


def reading(operation: Operation, together: int, rates: Grid) -> float:
    """Seconds in which the bytes of an operation with products come from where they are, if all of them move `together` bytes.

    Of few rows the weights are nearly all bytes, and come as they do with so many rows; else all bytes as they do with one.
    """
    rows = operation.products[0].rows
    return operation.bytes / rates.rate((rows if rows <= FEW_ROWS[-1] else 1, max(1, together)))


def seconds(product: Product, measured: dict[str, Grid]) -> float:
    """What a product takes."""
    layout = product.layout if product.layout in LAYOUTS else "nt"
    shape = (product.batch, product.rows, product.inner, product.columns)
    return product.flops / measured[_name(product.dtype, layout, product.batch > 1)].rate(shape)


def _name(dtype: str, layout: str, batched: bool) -> str:
    return f"{dtype} {layout}{' batched' if batched else ''}"


def _measure(device: torch.device, dtype: torch.dtype, layout: str, axes: list[list[int]]) -> Grid:
    points = list(itertools.product(*axes))
    works = [
        partial(
            torch.matmul,
            _matrix(layout[0], batch, rows, inner, dtype, device),
            _matrix(layout[1], batch, inner, columns, dtype, device),
        )
        for batch, rows, inner, columns in points
    ]
    fastest = quietest(works, device)
    return Grid(axes=axes, rates=[2 * math.prod(point) / found for point, found in zip(points, fastest, strict=True)])


def _matrix(layout: str, batch: int, rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    shape = (rows, columns) if layout == "n" else (columns, rows)
    matrix = torch.randn(shape if batch == 1 else (batch, *shape), device=device).to(dtype)
    return matrix if layout == "n" else matrix.mT


def quietest(works: Sequence[Callable[[], object]], device: torch.device, enough: float = 1e-3) -> list[float]:
    """Seconds of one call of each, the least of some passes over all: others who use the machine disturb one pass, not each.

    In a pass each is called as often as fills `enough` seconds; the first calls do not count.
    """
    calls = [max(1, min(30, int(enough / _seconds(work, 1, device)))) for work in works]
    passes = [[_seconds(work, count, device) for work, count in zip(works, calls, strict=True)] for _ in range(PASSES)]
    return [min(found) for found in zip(*passes, strict=True)]


def _seconds(work: Callable[[], object], calls: int, device: torch.device) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - began) / calls
