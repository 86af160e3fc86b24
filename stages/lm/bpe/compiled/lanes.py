"""A few numbers that stay in the processor's vector registers while a loop changes them.

An array in memory would do as well, but a load of many numbers waits until the store of any one of them before it is through,
which takes longer than finding the least of them.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

NUMBER = ir.IntType(32)


class Lanes(types.Type):  # type: ignore[misc]
    """That many numbers of 32 bits."""

    def __init__(self, width: int) -> None:
        super().__init__(name=f"Lanes({width})")
        self.width = width
        self.vector = ir.VectorType(NUMBER, width)


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, kind.vector)


def _everywhere(builder: Any, value: Any, kind: Lanes) -> Any:
    nothing = ir.Constant(kind.vector, ir.Undefined)
    one = builder.insert_element(nothing, builder.trunc(value, NUMBER), NUMBER(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(kind.vector, [0] * kind.width))


def _lanes(width: int) -> Any:
    def typer(_typing: Any, _value: Any) -> Any:
        kind = Lanes(width)
        return kind(types.uint64), lambda _context, builder, _signature, arguments: _everywhere(builder, arguments[0], kind)

    return intrinsic(typer)


# So many times the same number.
lanes_16, lanes_64 = _lanes(16), _lanes(64)


@intrinsic  # type: ignore[untyped-decorator]
def with_lane(_typing: Any, lanes: Any, _index: Any, _value: Any) -> Any:
    """The same numbers but for the one at an index."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        numbers, index, value = arguments
        indices = ir.Constant(lanes.vector, list(range(lanes.width)))
        chosen = builder.icmp_unsigned("==", indices, _everywhere(builder, index, lanes))
        return builder.select(chosen, _everywhere(builder, value, lanes), numbers)

    return lanes(lanes, types.int64, types.uint64), emit


@intrinsic  # type: ignore[untyped-decorator]
def least(_typing: Any, lanes: Any) -> Any:
    """The least of the numbers."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(NUMBER, [lanes.vector])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.umin.v{lanes.width}i32")
        return builder.zext(builder.call(function, arguments), ir.IntType(64))

    return types.uint64(lanes), emit
