"""Inner products of rows, a register tile at a time, each of them summed in the same order.

``tile_RxC(X, (i, ...), Y, (j, ...), width)`` are compiled functions of two C-contiguous matrices of one dtype: the R C
products of the rows X[i] and Y[j] up to column `width`, row by row, as a tuple. Every lane of a vector register adds
one element in 16 (in 8 for float64), the lanes are added as a tree down to four, which take up what is left four
elements at a time, and at last singly. No step may be reordered, so a product has the same bits in every tile.
`distances_1x4` sums (X[i] - Y[j])^2 instead.

A tile of one row waits for the cache, which brings one number per multiplication; a 4 x 4 tile uses each number four
times and runs about three times as fast. Where the sums of a tile do not fit into the registers it takes two passes, a
piece of the rows at a time, so that the second finds the piece in the nearest cache.
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
ABREAST = 16 if VECTOR_BYTES == 64 else 8  # sums kept in registers, of which there are twice as many
PIECE = 128
INDEX = ir.IntType(64)
LLVM_NAMES = {"float": "f32", "double": "f64"}


def row_pointer(context: Any, builder: Any, array_type: Any, array: Any, row: Any) -> tuple[Any, Any]:
    """Pointer to the first element of a row, and the width of the matrix."""
    matrix = context.make_array(array_type)(context, builder, array)
    width = cgutils.unpack_tuple(builder, matrix.shape)[1]
    return builder.gep(matrix.data, [builder.mul(row, width)]), width


def load_vector(builder: Any, pointer: Any, offset: Any, vector: Any) -> Any:
    """The vector that starts at an element."""
    place = builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())
    return builder.load(place, align=1)


def spread_out(builder: Any, number: Any, vector: Any) -> Any:
    """The vector with one number in every place."""
    none, zero = ir.Constant(vector, ir.Undefined), ir.IntType(32)(0)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(none, number, zero), none, everywhere)


def halves(builder: Any, vector: Any, add: Any, until: int = 1) -> Any:
    """Sum (or whatever `add` makes of two) of the lanes of a vector, as a tree, down to 1 or to a vector of `until`."""
    lanes = vector.type.count
    while lanes > until:
        lanes //= 2
        pick = [ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(s, s + lanes))) for s in (0, lanes)]
        none = ir.Constant(vector.type, ir.Undefined)
        vector = add(*(builder.shuffle_vector(vector, none, part) for part in pick))
    return builder.extract_element(vector, ir.IntType(32)(0)) if until == 1 else vector


def elementwise(builder: Any, name: str, *values: Any) -> Any:
    """An LLVM function of numbers or vectors of one type."""
    kind = values[0].type
    suffix = LLVM_NAMES[str(getattr(kind, "element", kind))]
    suffix = f"v{kind.count}{suffix}" if isinstance(kind, ir.VectorType) else suffix
    function = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.{suffix}"), values)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return elementwise(builder, "fma", a, b, c) if FUSED else builder.fadd(builder.fmul(a, b), c)


def _sums(
    context: Any, builder: Any, matrix: Any, left: list[Any], right: list[Any], stop: Any, squares: bool
) -> list[Any]:
    """The sums of the products of every row at a pointer of `left` with every one of `right`, row by row."""
    scalar = context.get_data_type(matrix.dtype)
    abreast = ABREAST // len(left)
    start = INDEX(0)
    sums: list[Any] = []
    for lanes in (VECTOR_BYTES * 8 // matrix.dtype.bitwidth, 4, 1):
        kind = ir.VectorType(scalar, lanes) if lanes > 1 else scalar
        sums = sums or [ir.Constant(kind, [0.0] * lanes)] * (len(left) * len(right))
        if isinstance(sums[0].type, ir.VectorType):
            sums = [halves(builder, total, builder.fadd, lanes) for total in sums]
        places = [cgutils.alloca_once_value(builder, total) for total in sums]
        end = builder.sub(stop, builder.srem(stop, INDEX(lanes)))
        piece = builder.sub(end, start) if len(right) <= abreast else INDEX(PIECE)
        with cgutils.for_range_slice(builder, start, end, piece) as (first, _):
            behind = builder.add(first, piece)
            last = builder.select(builder.icmp_signed("<", behind, end), behind, end)
            for begin in range(0, len(right), abreast):
                with cgutils.for_range_slice(builder, first, last, INDEX(lanes)) as (offset, _):
                    x = [load_vector(builder, pointer, offset, kind) for pointer in left]
                    for q in range(begin, min(len(right), begin + abreast)):
                        y = load_vector(builder, right[q], offset, kind)
                        for p, a in enumerate(x):
                            pair = [builder.fsub(a, y)] * 2 if squares else [a, y]
                            place = places[p * len(right) + q]
                            builder.store(_multiply_add(builder, *pair, builder.load(place)), place)
        sums, start = [builder.load(total) for total in places], end
    return sums


def _tile(rows: int, columns: int, squares: bool = False) -> Any:
    """The compiled function of a tile; with `squares` of squared differences."""

    @intrinsic
    def tile(typingctx: Any, X: Any, I: Any, Y: Any, J: Any, width: Any) -> Any:  # noqa: E741 - rows of X and of Y
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            here = [context.cast(builder, i, I.dtype, types.intp) for i in cgutils.unpack_tuple(builder, args[1])]
            there = [context.cast(builder, j, J.dtype, types.intp) for j in cgutils.unpack_tuple(builder, args[3])]
            left = [row_pointer(context, builder, X, args[0], i)[0] for i in here]
            right = [row_pointer(context, builder, Y, args[2], j)[0] for j in there]
            stop = context.cast(builder, args[4], width, types.intp)
            sums = _sums(context, builder, X, left, right, stop, squares)
            return context.make_tuple(builder, signature.return_type, sums)

        return types.UniTuple(X.dtype, rows * columns)(X, I, Y, J, width), codegen

    return tile


tile_1x1 = _tile(1, 1)
tile_1x4 = _tile(1, 4)
tile_2x4 = _tile(2, 4)
tile_4x1 = _tile(4, 1)
tile_4x4 = _tile(4, 4)
distances_1x4 = _tile(1, 4, squares=True)
