"""Sets of vertices as rows of 64-bit words: vertex v is bit v % 64 of word v // 64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

from solvers.exact.max_min.compiled import kernel

Words = npt.NDArray[np.uint64]

ZERO = np.uint64(0)
ONE = np.uint64(1)


def _one_word(operation: str) -> Any:
    """An LLVM instruction uint64 -> uint64 as a function that numba inlines."""

    def typed(_typing_context: Any, _x: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            if operation == "ctpop":
                return builder.ctpop(arguments[0])
            from llvmlite import ir

            return getattr(builder, operation)(arguments[0], ir.Constant(ir.IntType(1), 1))

        return types.uint64(types.uint64), generate

    return intrinsic(typed)


count_ones = _one_word("ctpop")  # how many bits are set
lowest = _one_word("cttz")  # position of the lowest set bit; undefined for 0
leading_zeros = _one_word("ctlz")  # 63 minus the position of the highest set bit; undefined for 0


@kernel
def bit(v: int) -> Any:
    """The word with only the bit of vertex v set."""
    return ONE << np.uint64(v & 63)


@kernel
def size(words: Words) -> int:
    """How many vertices a set holds."""
    total = 0
    for w in range(len(words)):
        total += np.int64(count_ones(words[w]))
    return total


@kernel
def full(n: int) -> Words:
    """The set {0 .. n-1}."""
    words = np.zeros((n + 63) // 64, np.uint64)
    for v in range(n):
        words[v >> 6] |= bit(v)
    return words
