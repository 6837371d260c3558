"""Bitwise-equal tokens: where they are, so that rounding can never tell them apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mmdp.checks import Int


def first_copies(*arrays: npt.NDArray[Any]) -> Int:
    """(n,) lowest index of a token with the same rows in all of the (n, ...) arrays; i itself when it comes first.

    A matrix product does not round all its entries alike (edge tiles of BLAS), so two equal tokens may get
    similarities that differ in the last bit, and an argmax would then choose between them at random instead of taking
    the lowest index. Rows and columns are therefore copied from the first of equal tokens.

    >>> import numpy as np
    >>> first_copies(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]])).tolist()
    [0, 1, 0]
    """
    seen: dict[tuple[bytes, ...], int] = {}
    rows = zip(*arrays, strict=True)
    return np.array([seen.setdefault(tuple(part.tobytes() for part in row), i) for i, row in enumerate(rows)], np.int64)


def copy_equal_tokens(matrix: npt.NDArray[np.float64], first: Int) -> npt.NDArray[np.float64]:
    """The (n, n) matrix with the entries of every token taken from the first of its copies."""
    if (first == np.arange(len(first))).all():
        return matrix
    return matrix[np.ix_(first, first)]
