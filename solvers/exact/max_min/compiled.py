"""The one way in which functions of this folder are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile at the first call, keep the machine code on disk, and let other threads run meanwhile."""
    return cast(Function, njit(cache=True, nogil=True)(function))
