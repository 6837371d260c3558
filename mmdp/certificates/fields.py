"""Fields of certificates, brought into the form that their verifiers rely on."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp.checks import Float, Int


def number(value: Any, name: str) -> float:
    """One finite real number."""
    array = np.asarray(value)
    if array.ndim or array.dtype.kind not in "fiu" or not np.isfinite(array):
        raise ValueError(f"{name} must be one finite number, got {_shown(array)}")
    return float(array)


def whole(value: Any, name: str, least: int = 0) -> int:
    """One whole number >= least."""
    array = np.asarray(value)
    if array.ndim or array.dtype.kind not in "iu" or array < least:
        raise ValueError(f"{name} must be one whole number >= {least}, got {_shown(array)}")
    return int(array)


def text(value: Any, name: str) -> str:
    """One piece of text."""
    array = np.asarray(value)
    if array.ndim or array.dtype.kind != "U":
        raise ValueError(f"{name} must be text, got {_shown(array)}")
    return str(array)


def reals(value: Any, name: str, ndim: int = 1) -> Float:
    """A read-only array of finite reals."""
    array = np.asarray(value)
    if array.ndim != ndim or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"{name} must be a {ndim}-D array of finite numbers, got {_shown(array)}")
    array = array.astype(np.float64)
    array.setflags(write=False)
    return array


def indices(value: Any, name: str, least: int = 0) -> Int:
    """A read-only list of whole numbers >= least."""
    array = np.asarray(value)
    if array.ndim != 1 or (array.size and (array.dtype.kind not in "iu" or array.min() < least)):
        raise ValueError(f"{name} must be a 1-D array of whole numbers >= {least}, got {_shown(array)}")
    array = array.astype(np.int64)
    array.setflags(write=False)
    return array


def _shown(array: Any) -> str:
    return repr(array.item()) if array.ndim == 0 else f"{array.dtype} of shape {array.shape}"
