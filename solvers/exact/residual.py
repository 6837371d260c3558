"""What the convex-QP bound leaves undecided of a rank-1 problem."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from mmdp import ImplicitWeight
from mmdp.bounds import qp_bound
from mmdp.bounds.rank1 import LARGE
from mmdp.checks import Bool, Float, Int
from solvers.answer import Request
from solvers.exact.reduced_costs import forced

EPS = float(np.finfo(float).eps)
FEW = 20_000  # sets that may be enumerated


@dataclass(frozen=True, eq=False)
class Residual:
    """min y^T A y + c.y + constant over binary y with sum y = m: the energy of the sets not yet excluded.

    Attributes
    ----------
    free : the tokens undecided; y_a = 1 says that free[a] is pruned.
    pruned : the tokens decided to be pruned; all others outside `free` are kept.
    A, c, constant, m : the problem over the free tokens.
    target : sets of this energy or more may be excluded.
    lower : a lower bound on the energy of every set that is not.
    rounds : bounds computed.
    """

    free: Int
    pruned: Int
    A: Float
    c: Float
    constant: float
    m: int
    target: float
    lower: float = 0.0
    rounds: int = 0

    @property
    def closed(self) -> bool:
        """Whether no set can have less energy than the target."""
        return self.lower >= self.target or not 0 <= self.m <= len(self.free)

    @property
    def seconds_to_build(self) -> float:
        """About how long a model with all products takes to write down, on a slow core."""
        return 3e-5 * len(self.free) ** 2 / 2

    @property
    def quadratic(self) -> Float:
        """A with c on its diagonal, as y_a^2 = y_a."""
        return self.A + np.diag(self.c)

    def keeps(self, n: int, pruned: Bool) -> Int:
        """The tokens kept when exactly the masked free ones are pruned as well."""
        return np.setdiff1d(np.arange(n), np.concatenate([self.pruned, self.free[pruned]]))

    def with_lower(self, bound: float) -> Residual:
        """The same with the better of both lower bounds."""
        return replace(self, lower=max(self.lower, bound))

    def fix(self, ones: Bool, zeros: Bool) -> Residual:
        """The same with the tokens of one mask pruned and those of the other kept."""
        rest = ~(ones | zeros)
        inside = self.A[np.ix_(ones, ones)]
        return replace(
            self,
            free=self.free[rest],
            pruned=np.concatenate([self.pruned, self.free[ones]]),
            A=self.A[np.ix_(rest, rest)],
            c=self.c[rest] + 2 * self.A[np.ix_(rest, ones)].sum(axis=1),
            constant=self.constant + float(inside.sum() + self.c[ones].sum()),
            m=self.m - int(ones.sum()),
        )


@dataclass(frozen=True)
class Searched:
    """What a search of a residual problem ends with.

    Attributes
    ----------
    kept : the best set found, or None.
    lower : a lower bound on the energy of the sets that were not excluded.
    finished : the search was complete, up to its tolerances.
    interrupted : Ctrl-C came.
    """

    kept: Int | None
    lower: float
    finished: bool
    interrupted: bool


def reduce(problem: ImplicitWeight, target: float, request: Request) -> Residual:
    """Fix every token whose other choice cannot lead to less energy than the target, again and again.

    The reduced costs of `qp_bound` say which (`forced`). What is left has a new, tighter bound.
    """
    gram, n = problem.gram, problem.n
    everything = np.arange(n)
    whole = Residual(everything, np.arange(0), gram, np.zeros(n), 0.0, n - problem.k, target)
    residual = whole.fix(np.zeros(n, dtype=np.bool_), np.isin(everything, problem.constraints.keep))
    while not residual.closed and seconds_of_bound(len(residual.free)) < request.left:
        residual, changed = _tightened(residual)
        if not changed:
            break
    return residual


def seconds_of_bound(n: int) -> float:
    """About how long `qp_bound` takes on a slow core: it cannot be stopped half-way."""
    return (2.0 if n <= LARGE else 0.3) * (n / 576) ** 3


def _tightened(residual: Residual) -> tuple[Residual, bool]:
    """(the residual with a better bound and fewer free tokens, whether there are fewer and still some to choose from)."""
    m, size = residual.m, len(residual.free)
    bound = qp_bound(residual.quadratic, size - m)
    bounded = replace(residual.with_lower(residual.constant + bound.value), rounds=residual.rounds + 1)
    if bounded.closed or not 0 < m < size:
        return bounded, False
    ones, zeros = forced(-bound.gradient, m, residual.target - residual.constant - bound.value)
    fixed = bounded.fix(ones, zeros)
    return fixed, bool(ones.any() or zeros.any()) and 0 < fixed.m < len(fixed.free)


def enumerate_residual(problem: ImplicitWeight, residual: Residual, request: Request) -> Searched:
    """Every set that is left, valued one by one, where there are few: for when a solver's tolerances do not suffice."""
    size, m = len(residual.free), residual.m
    if not 0 <= m <= size or math.comb(size, m) > FEW:
        return Searched(None, residual.lower, False, False)
    best, least = None, math.inf
    for chosen in itertools.combinations(range(size), m):
        if request.left <= 0:
            return Searched(best, residual.lower, False, False)
        kept = residual.keeps(problem.n, np.isin(np.arange(size), chosen))
        if problem.constraints.violation(kept) is None and -problem.value(kept) < least:
            best, least = kept, -problem.value(kept)
    return Searched(best, least, True, False)
