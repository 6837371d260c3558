"""Tokens rounded to a smaller number type, as a model that runs in 16 bits holds them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mmdp.instances import Instance

DTYPES = ("float64", "float32", "float16", "bfloat16")
ROUNDED = ("features", "distances", "relevance", "keys", "values", "query")


def rounded(values: Any, dtype: str) -> npt.NDArray[Any]:
    """The nearest numbers of a type, ties to even.

    Parameters
    ----------
    values : finite reals of any shape.
    dtype : one of `DTYPES`. numpy has no bfloat16: its numbers are returned in float32, which holds them exactly.

    Raises
    ------
    ValueError : an unknown type, or a number beyond its range.

    Examples
    --------
    >>> rounded([1.0, 1.001, 1.01], "bfloat16")
    array([1.       , 1.       , 1.0078125], dtype=float32)
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    exact = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        near = _bfloat16(exact) if dtype == "bfloat16" else exact.astype(dtype)
    if not np.isfinite(near).all():
        raise ValueError(f"the largest value {np.abs(exact).max():.3g} is beyond the range of {dtype}")
    return near


def rounded_instance(instance: Instance, dtype: str) -> Instance:
    """The instance with all its numbers rounded; name and picture stay.

    >>> rounded_instance(Instance("one", features=[[1.001]]), "float16").features
    array([[1.001]], dtype=float16)
    """
    given = {name: getattr(instance, name) for name in ROUNDED}
    near: dict[str, Any] = {name: rounded(part, dtype) for name, part in given.items() if part is not None}
    return replace(instance, **near)


def _bfloat16(exact: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The first 16 bits of a float32, rounded from float64 at once: rounding twice would tip near ties."""
    _, exponent = np.frexp(exact)
    step = np.ldexp(1.0, np.maximum(exponent - 8, -133))  # 8 significant bits; below 2^-126 the steps stay equal
    near: npt.NDArray[np.float32] = (np.rint(exact / step) * step).astype(np.float32)
    return near
