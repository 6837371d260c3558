"""Inner products of rows, a register tile at a time, each of them summed in the same order.

``tile_RxC(X, (i, ...), Y, (j, ...))`` are compiled functions of two C-contiguous matrices of one dtype and width: the
R C products <X[i], Y[j]>, row by row, as a tuple. A vector register adds every 16th element (8th in float64), the
registers are then added as a tree, the last few elements one by one. No step may be reordered, so a product has the
same bits in every tile. `distances_1x4` sums (X[i] - Y[j])^2 instead.

A tile of one row waits for the cache, which brings one number per multiplication; a 4 x 4 tile uses each number four
times and runs about three times as fast.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

FEATURES = llvmlite.binding.get_host_cpu_features()
VECTOR_BYTES = 64 if FEATURES.get("avx512f") else 32
FUSED = bool(FEATURES.get("fma")) or not any(name.startswith("sse") for name in FEATURES)
INDEX = ir.IntType(64)


def row_pointer(context: Any, builder: Any, array_type: Any, array: Any, row: Any) -> tuple[Any, Any]:
    """Pointer to the first element of a row, and the width of the matrix."""
    matrix = context.make_array(array_type)(context, builder, array)
    width = cgutils.unpack_tuple(builder, matrix.shape)[1]
    return builder.gep(matrix.data, [builder.mul(row, width)]), width


def load_vector(builder: Any, pointer: Any, offset: Any, vector: Any) -> Any:
    """The vector that starts at an element."""
    place = builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())
    return builder.load(place, align=1)


def halves(builder: Any, vector: Any, add: Any) -> Any:
    """Sum of the elements of a vector, as a tree."""
    lanes = vector.type.count
    while lanes > 1:
        lanes //= 2
        pick = [ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(s, s + lanes))) for s in (0, lanes)]
        none = ir.Constant(vector.type, ir.Undefined)
        vector = add(*(builder.shuffle_vector(vector, none, part) for part in pick))
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    if not FUSED:
        return builder.fadd(builder.fmul(a, b), c)
    name = {"float": "f32", "double": "f64"}[str(getattr(a.type, "element", a.type))]
    name = f"v{a.type.count}{name}" if isinstance(a.type, ir.VectorType) else name
    kind = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.{name}"), [a, b, c])


def _tile(rows: int, columns: int, squares: bool = False) -> Any:
    """The compiled function of a tile; with `squares` of squared differences."""

    @intrinsic
    def tile(typingctx: Any, X: Any, I: Any, Y: Any, J: Any) -> Any:  # noqa: E741 - the rows of X and of Y
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            scalar = context.get_data_type(X.dtype)
            vector = ir.VectorType(scalar, VECTOR_BYTES * 8 // X.dtype.bitwidth)
            here = [context.cast(builder, i, I.dtype, types.intp) for i in cgutils.unpack_tuple(builder, args[1])]
            there = [context.cast(builder, j, J.dtype, types.intp) for j in cgutils.unpack_tuple(builder, args[3])]
            left = [row_pointer(context, builder, X, args[0], i) for i in here]
            right = [row_pointer(context, builder, Y, args[2], j) for j in there]
            width = left[0][1]
            lanes = ir.Constant(INDEX, vector.count)
            body = builder.sub(width, builder.srem(width, lanes))

            def accumulate(kind: Any, start: Any, stop: Any, step: Any, sums: list[Any], load: Any) -> None:
                with cgutils.for_range_slice(builder, start, stop, step) as (offset, _):
                    x = [load(pointer, offset) for pointer, _ in left]
                    y = [load(pointer, offset) for pointer, _ in right]
                    for place, total in enumerate(sums):
                        a, b = x[place // columns], y[place % columns]
                        if squares:
                            a = b = builder.fsub(a, b)
                        builder.store(_multiply_add(builder, a, b, builder.load(total)), total)

            zero = ir.Constant(vector, [0.0] * vector.count)
            wide = [cgutils.alloca_once_value(builder, zero) for _ in range(rows * columns)]
            accumulate(
                vector, ir.Constant(INDEX, 0), body, lanes, wide, lambda p, at: load_vector(builder, p, at, vector)
            )
            sums = [
                cgutils.alloca_once_value(builder, halves(builder, builder.load(total), builder.fadd)) for total in wide
            ]
            accumulate(
                scalar, body, width, ir.Constant(INDEX, 1), sums, lambda p, at: builder.load(builder.gep(p, [at]))
            )
            return context.make_tuple(builder, signature.return_type, [builder.load(total) for total in sums])

        return types.UniTuple(X.dtype, rows * columns)(X, I, Y, J), codegen

    return tile


tile_1x1 = _tile(1, 1)
tile_1x4 = _tile(1, 4)
tile_2x4 = _tile(2, 4)
tile_4x4 = _tile(4, 4)
distances_1x4 = _tile(1, 4, squares=True)
