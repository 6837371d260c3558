"""The largest number of an array and where it stands, a vector register at a time.

Loops over floating-point maxima are not vectorised by the compiler, for it does not know that no NaN will come in.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from solvers.lazy.compiled import kernel
from solvers.lazy.tiles import INDEX, elementwise, halves, load_vector, spread_out


def _vector_of(context: Any, array: Any) -> Any:
    """The register type for the elements of an array: 64 bytes."""
    return ir.VectorType(context.get_data_type(array.dtype), 512 // array.dtype.bitwidth)


def _largest(sizes: bool) -> Any:
    """The compiled maximum of the numbers, or of their absolute values."""

    @intrinsic
    def largest(typingctx: Any, values: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(values)(context, builder, args[0])
            vector = _vector_of(context, values)
            (length,) = cgutils.unpack_tuple(builder, array.shape)
            lanes = ir.Constant(INDEX, vector.count)
            body = builder.sub(length, builder.srem(length, lanes))

            def size(value: Any) -> Any:
                return elementwise(builder, "fabs", value) if sizes else value

            def larger(a: Any, b: Any) -> Any:
                return builder.select(builder.fcmp_ordered(">", a, b), a, b)

            least = 0.0 if sizes else float("-inf")
            best = cgutils.alloca_once_value(builder, ir.Constant(vector, [least] * vector.count))
            with cgutils.for_range_slice(builder, ir.Constant(INDEX, 0), body, lanes) as (start, _):
                there = size(load_vector(builder, array.data, start, vector))
                builder.store(larger(there, builder.load(best)), best)
            whole = cgutils.alloca_once_value(builder, halves(builder, builder.load(best), larger))
            with cgutils.for_range_slice(builder, body, length, ir.Constant(INDEX, 1)) as (i, _):
                builder.store(larger(size(builder.load(builder.gep(array.data, [i]))), builder.load(whole)), whole)
            return builder.load(whole)

        return values.dtype(values), codegen

    return largest


largest = _largest(sizes=False)  # of a contiguous array of floats without NaN; -inf where it is empty
largest_size = _largest(sizes=True)  # the same of absolute values; 0 where there is none


def _lanes_where(relation: str) -> Any:
    """The compiled function (values, start, number): which lanes of the register at `start` are in a relation to it."""

    @intrinsic
    def lanes_where(typingctx: Any, values: Any, start: Any, number: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(values)(context, builder, args[0])
            vector = _vector_of(context, values)
            there = load_vector(builder, array.data, args[1], vector)
            mask = builder.fcmp_ordered(relation, there, spread_out(builder, args[2], vector))
            return builder.zext(builder.bitcast(mask, ir.IntType(vector.count)), INDEX)

        return types.int64(values, types.int64, values.dtype), codegen

    return lanes_where


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """The place of the lowest bit that is set."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(0))

    return types.int64(types.int64), codegen


lanes_equal, lanes_at_least = _lanes_where("=="), _lanes_where(">=")


@kernel
def first_equal(values: Any, wanted: Any) -> int:
    """The lowest index of a value that is in a contiguous array."""
    lanes = 64 // values.itemsize
    i = 0
    while i + lanes <= len(values):
        mask = lanes_equal(values, i, wanted)
        if mask:
            return i + lowest_bit(mask)
        i += lanes
    while values[i] != wanted:
        i += 1
    return i
