"""The one way in which functions of this folder are compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import event

Function = TypeVar("Function", bound=Callable[..., Any])
UNORDERED = {"nnan", "nsz", "reassoc", "contract"}  # sums in any order; not "ninf": -inf marks chosen tokens


def kernel(function: Function) -> Function:
    """Compile at the first call, keep the machine code on disk, let other threads run; IEEE arithmetic as written."""
    return cast(Function, njit(cache=True, nogil=True, error_model="numpy")(function))


def reduction(function: Function) -> Function:
    """The same for a loop over one array whose order does not matter, so that it is vectorised. No NaN may come in."""
    return cast(Function, njit(cache=True, nogil=True, error_model="numpy", fastmath=UNORDERED)(function))


def inlined(function: Function) -> Function:
    """The same for a small function of many arrays, for which a call would cost as much as its work."""
    return cast(Function, njit(inline="always", error_model="numpy")(function))


@contextmanager
def compile_times() -> Iterator[list[float]]:
    """A list that holds, at the end of the block, the seconds numba has spent on compiling in it."""
    seconds: list[float] = []
    with event.install_timer("numba:compile", seconds.append):
        yield seconds
