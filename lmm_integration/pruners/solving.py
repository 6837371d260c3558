"""The objective of a method, solved better than its greedy does it. Slow, for science."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmdp import Problem
from solvers import solve


def check_solver(solver: str, time_limit: float | None) -> None:
    """A solver name must be a string, a time limit a number of seconds >= 0; the name itself `solve` knows."""
    if not isinstance(solver, str) or not solver:
        raise ValueError(
            f"solver must be 'greedy', 'local_search', 'exact' or another name of the catalog, got {solver!r}"
        )
    if time_limit is not None and not time_limit >= 0:
        raise ValueError(f"time_limit must be >= 0 seconds, got {time_limit}")


def solved(problems: Sequence[Problem], solver: str, time_limit: float | None) -> list[Tensor]:
    """Per problem the set that `solvers.solve` finds, within the time limit each."""
    return [
        torch.as_tensor(solve(problem, solver, time_limit=time_limit, bound="none").indices.copy())
        for problem in problems
    ]
