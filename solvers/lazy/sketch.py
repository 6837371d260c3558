"""Rows rounded to bytes: inner products at a quarter of the traffic, with a bound on what the rounding can hide.

A row x of norm 1/a becomes q = round(127 x / max |x|), stored as signed bytes, with scale s = a max |x| / 127. Then
a x = s q + e, and ||e|| is measured. For two rows, by Cauchy-Schwarz,

    | cos(x, y) - s_x s_y <q_x, q_y> | <= ||e_x|| + ||e_y|| + ||e_x|| ||e_y||.

<q_x, q_y> is exact in 32-bit integers up to a width of `WIDEST`. The bound serves as a filter: a product that cannot
matter is never computed in full. `error` includes what floating point adds, so that
`approximate - error <= computed cosine <= approximate + error` for the cosines that `tiles` gives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from solvers.lazy.compiled import inlined, kernel
from solvers.lazy.extremes import largest_size
from solvers.lazy.rows import inverse_norm
from solvers.lazy.tiles import FEATURES, INDEX, VECTOR_BYTES, elementwise, halves, load_vector, row_pointer, spread_out

DOT_BYTES = bool(FEATURES.get("avx512vnni")) and bool(FEATURES.get("avx512f"))
PAIR_BYTES = bool(FEATURES.get("avx2")) and not DOT_BYTES
OFFSET = 128 if DOT_BYTES else 0  # what makes the left side unsigned, as that instruction wants it
LANES = 64
WIDEST = 1 << 16  # (127 + 128) * 127 * 2^16 < 2^31


def _bytes_tile(rows: int, columns: int) -> Any:
    """The compiled function bytes_RxC(Q, (i, ...), (j, ...)): the sums of (q_i + OFFSET) q_j, for widths of full lanes."""

    @intrinsic
    def tile(typingctx: Any, Q: Any, I: Any, J: Any) -> Any:  # noqa: E741 - the rows of the tile
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            byte, word = ir.IntType(8), ir.IntType(32)
            lanes = LANES // 2 if PAIR_BYTES else LANES
            vector, wide = ir.VectorType(byte, lanes), ir.VectorType(word, lanes // 4)
            here = [context.cast(builder, i, I.dtype, types.intp) for i in cgutils.unpack_tuple(builder, args[1])]
            there = [context.cast(builder, j, J.dtype, types.intp) for j in cgutils.unpack_tuple(builder, args[2])]
            left, right = ([row_pointer(context, builder, Q, args[0], i) for i in part] for part in (here, there))
            zero = ir.Constant(wide, [0] * wide.count)
            sums = [cgutils.alloca_once_value(builder, zero) for _ in range(rows * columns)]
            with cgutils.for_range_slice(builder, INDEX(0), left[0][1], INDEX(lanes)) as (offset, _):
                x = [load_vector(builder, pointer, offset, vector) for pointer, _ in left]
                y = [load_vector(builder, pointer, offset, vector) for pointer, _ in right]
                for place, total in enumerate(sums):
                    added = _add_products(builder, builder.load(total), x[place // columns], y[place % columns])
                    builder.store(added, total)
            totals = [halves(builder, builder.load(total), builder.add) for total in sums]
            return context.make_tuple(builder, signature.return_type, totals)

        return types.UniTuple(types.int32, rows * columns)(Q, I, J), codegen

    return tile


def _add_products(builder: Any, total: Any, x: Any, y: Any) -> Any:
    """total + sums of four products of the bytes x + OFFSET and y."""

    def call(name: str, result: Any, *values: Any) -> Any:
        kind = ir.FunctionType(result, [value.type for value in values])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), values)

    if DOT_BYTES:
        unsigned = builder.xor(x, ir.Constant(x.type, [-128] * x.type.count))
        words = (builder.bitcast(part, total.type) for part in (unsigned, y))  # as every release of LLVM takes them
        return call("avx512.vpdpbusd.512", total.type, total, *words)
    if PAIR_BYTES:  # |x| times y with the sign of x, at most 2 * 127^2 a pair, which 16 bits hold
        pairs = ir.VectorType(ir.IntType(16), x.type.count // 2)
        size, signed = (call("avx2.psign.b", x.type, part, x) for part in (x, y))
        products = call("avx2.pmadd.ub.sw", pairs, size, signed)
        return builder.add(total, call("avx2.pmadd.wd", total.type, products, ir.Constant(pairs, [1] * pairs.count)))
    wide = ir.VectorType(ir.IntType(32), x.type.count)
    products = builder.mul(builder.sext(x, wide), builder.sext(y, wide))
    none = ir.Constant(wide, ir.Undefined)
    for start in range(0, x.type.count, total.type.count):
        pick = list(range(start, start + total.type.count))
        part = builder.shuffle_vector(products, none, ir.Constant(ir.VectorType(ir.IntType(32), len(pick)), pick))
        total = builder.add(total, part)
    return total


bytes_1x1, bytes_1x4 = _bytes_tile(1, 1), _bytes_tile(1, 4)


@intrinsic
def _round_vectors(typingctx: Any, row: Any, inverse: Any, scale: Any, out: Any) -> Any:
    """`round_row` on as many elements as fill whole registers, two at a time; (error, sum, how many)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, target = (context.make_array(kind)(context, builder, args[i]) for i, kind in ((0, row), (3, out)))
        scalar, word, byte = context.get_data_type(row.dtype), ir.IntType(32), ir.IntType(8)
        vector = ir.VectorType(scalar, VECTOR_BYTES * 8 // row.dtype.bitwidth)
        words, several = ir.VectorType(word, vector.count), ir.VectorType(byte, vector.count)
        (length,) = cgutils.unpack_tuple(builder, source.shape)
        step = ir.Constant(INDEX, 2 * vector.count)
        body = builder.sub(length, builder.srem(length, step))
        factor, divisor = (spread_out(builder, args[i], vector) for i in (1, 2))
        errors = [cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * vector.count)) for _ in range(2)]
        sums = [cgutils.alloca_once_value(builder, ir.Constant(words, [0] * words.count)) for _ in range(2)]
        with cgutils.for_range_slice(builder, ir.Constant(INDEX, 0), body, step) as (start, _):
            for half, (error, total) in enumerate(zip(errors, sums, strict=True)):
                place = builder.add(start, ir.Constant(INDEX, half * vector.count))
                there = load_vector(builder, source.data, place, vector)
                q = elementwise(builder, "rint", builder.fmul(there, factor))
                whole = builder.fptosi(q, words)
                pointer = builder.bitcast(builder.gep(target.data, [place]), several.as_pointer())
                builder.store(builder.trunc(whole, several), pointer, align=1)
                builder.store(builder.add(builder.load(total), whole), total)
                rest = builder.fsub(there, builder.fmul(q, divisor))
                builder.store(builder.fadd(builder.load(error), builder.fmul(rest, rest)), error)
        left = halves(builder, builder.fadd(*(builder.load(error) for error in errors)), builder.fadd)
        total = halves(builder, builder.add(*(builder.load(total) for total in sums)), builder.add)
        return context.make_tuple(builder, signature.return_type, [left, total, body])

    kinds = types.Tuple([row.dtype, types.int32, types.intp])
    return kinds(row, row.dtype, row.dtype, out), codegen


@kernel
def round_row(row: Any, scale: Any, out: Any) -> Any:
    """Write round(row / scale) to `out`; return (squared norm of what that leaves, sum of `out`)."""
    inverse = row.dtype.type(1) / scale
    left, total, done = _round_vectors(row, inverse, scale, out)
    for z in range(done, len(row)):
        q = np.rint(row[z] * inverse)
        out[z] = np.int8(q)
        total += np.int32(q)
        rest = row[z] - q * scale
        left += rest * rest
    return left, total


@kernel
def sketch(X: Any, valid: Any) -> Any:
    """(inverse norms, whether they are fine, (bytes (n, w), scales (n,), offsets (n,), errors (n,))) of an (n, d) matrix.

    The first two as `inverse_norms` has them, in the same pass: a row is rounded while the nearest cache holds it. Rows
    of inverse norm 0 have no bytes. ``scales[i] * scales[j] * (bytes_1x4(...) - offsets[j])`` approximates the cosine of
    i and j; see `interval`.
    """
    n, d = X.shape
    number = X.dtype.type
    width = (d + LANES - 1) // LANES * LANES
    Q = np.empty((n, width), np.int8)
    inverse, scales, errors = np.zeros(n, X.dtype), np.zeros(n, X.dtype), np.zeros(n, X.dtype)
    offsets = np.zeros(n, np.int32)
    rounding = number(2 * d + 64) * np.finfo(X.dtype).eps
    fine = True
    for i in range(n):
        if valid[i]:
            inverse[i], here = inverse_norm(X[i])
            fine &= here
            if here and inverse[i] > 0:
                scale = largest_size(X[i]) / number(127)
                Q[i, d:] = 0
                left, total = round_row(X[i], scale, Q[i])
                scales[i] = scale * inverse[i]
                offsets[i] = OFFSET * total
                errors[i] = np.sqrt(left) * inverse[i] + rounding
    return inverse, fine, (Q, scales, offsets, errors)


@inlined
def interval(sketched: Any, i: int, j: int, product: int) -> tuple[Any, Any]:
    """The ends of the cosine of rows i and j, whose bytes have that product."""
    _, scales, offsets, errors = sketched
    middle = scales[i] * scales[j] * scales.dtype.type(product - offsets[j])
    width = errors[i] + errors[j] + errors[i] * errors[j]
    return middle - width, middle + width


@inlined
def intervals(sketched: Any, i: int, tokens: Any, start: int, stop: int, low: Any, high: Any) -> None:
    """Write the ends of the cosines of row i and rows tokens[start:stop], at most four, to `low` and `high`."""
    last = stop - 1
    a, b = tokens[start], tokens[min(start + 1, last)]
    c, d = tokens[min(start + 2, last)], tokens[min(start + 3, last)]
    pa, pb, pc, pd = bytes_1x4(sketched[0], (i,), (a, b, c, d))
    low[0], high[0] = interval(sketched, i, a, pa)
    low[1], high[1] = interval(sketched, i, b, pb)
    low[2], high[2] = interval(sketched, i, c, pc)
    low[3], high[3] = interval(sketched, i, d, pd)
