"""Loads and stores at plain addresses, for loops that run once a word.

numba counts references whenever an array is handed from function to function, which costs more than the work on a word. So
hot functions take addresses (`array.ctypes.data`, a 64-bit integer) and the caller keeps the arrays alive. Loads may be
unaligned. Signed 64-bit integers are used for addresses and counts, unsigned ones for bit patterns: numba makes floats of a mix.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from stages.lm.bpe.compiled.compiler import compiled

PADDING = 128
"""Bytes that must be readable behind every text, for loads of a whole machine word at its end."""


def _load(bits: int) -> Any:
    def typer(_typing: Any, _address: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            value = builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()), align=1)
            return builder.zext(value, ir.IntType(64)) if bits < 64 else value

        return types.uint64(types.int64), emit

    return intrinsic(typer)


def _store(bits: int) -> Any:
    def typer(_typing: Any, _address: Any, _value: Any) -> Any:
        def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            value = builder.trunc(arguments[1], ir.IntType(bits)) if bits < 64 else arguments[1]
            builder.store(value, builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.uint64), emit

    return intrinsic(typer)


def _count_zeros(instruction: str) -> Any:
    def typer(_typing: Any, _value: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(arguments[0], ir.Constant(ir.IntType(1), 0))

        return types.int64(types.uint64), emit

    return intrinsic(typer)


def _prefetch() -> Any:
    def typer(_typing: Any, _address: Any) -> Any:
        def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            pointer, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [pointer, i32, i32, i32])
            function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            builder.call(function, [builder.inttoptr(arguments[0], pointer), i32(0), i32(3), i32(1)])
            return context.get_dummy_value()

        return types.void(types.int64), emit

    return intrinsic(typer)


prefetch = _prefetch()
load8, load16, load32, load64 = _load(8), _load(16), _load(32), _load(64)
store8, store16, store32, store64 = _store(8), _store(16), _store(32), _store(64)
# The zero bits above the highest and below the lowest one bit of a number; 64 of zero.
leading_zeros, trailing_zeros = _count_zeros("ctlz"), _count_zeros("cttz")


@compiled
def copy(source, target, length):  # type: ignore[no-untyped-def]
    """Copy `length` bytes, rounded up to whole machine words."""
    for i in range(0, length, 8):
        store64(target + i, load64(source + i))


@compiled
def same_bytes(first, second, length):  # type: ignore[no-untyped-def]
    different = np.uint64(0)
    for i in range(length):
        different |= load8(first + i) ^ load8(second + i)
    return different == 0
