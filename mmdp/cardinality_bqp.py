"""The cardinality-constrained binary quadratic program: one form for all quadratic objectives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mmdp.checks import Bool, Float, Int
from mmdp.constraints import Constraints
from mmdp.objectives.implicit_weight import ImplicitWeight
from mmdp.objectives.max_sum import MaxSumDiversity
from mmdp.problem import Problem

EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class CardinalityBQP:
    """min constant + y^T Q y over y in {0, 1}^f with sum y = m and low_q <= (sum of group q) <= high_q.

    A linear term stands on the diagonal of Q, since y_i^2 = y_i. Minus the energy, as the minimum is called, is the
    value of a set of the problem it was made from:

    * `ImplicitWeight`: y marks the pruned tokens, m = n - k, Q = G.
    * `MaxSumDiversity`: y marks the kept ones, m = k. With sum y = k, for every vector u,

          -1/2 y^T D y - w.y = y^T (-1/2 D + u 1^T + 1 u^T) y - (2 k u + w).y,

      and u_i = (mean of row i) / 2 - (mean of all) / 4 centres the matrix: it is positive semidefinite wherever the
      distances are of negative type :cite:p:`schoenberg1938metric`.

    Attributes
    ----------
    Q : (f, f) symmetric. m : number of ones.
    tokens : (f,) the tokens that are free; the rest must be kept (`Constraints.keep`).
    keeps : whether y_i = 1 means that token i is kept, not pruned.
    n : number of tokens of the problem.
    shift : (f,) delta such that Q - Diag(delta) is about positive semidefinite, where the form itself suggests one.
    constant : what the tokens that must be kept add.
    error : how far constant + y^T Q y may be from minus the value by rounding of Q, for any y.
    floor : no set has less energy, by the nature of the problem.
    labels, low, high : (f,) group of each free token and (g,) quotas on the ones; empty low and high without quotas.
    """

    Q: Float
    m: int
    tokens: Int
    keeps: bool
    n: int
    shift: Float
    constant: float
    error: float
    floor: float
    labels: Int
    low: Int
    high: Int

    @classmethod
    def of(cls, problem: Problem) -> CardinalityBQP:
        """The form of a problem with its must-keep tokens and quotas.

        Raises
        ------
        TypeError : the objective is not quadratic.
        ValueError : forbidden pairs, which are neither a quota nor a fixed token.
        """
        if problem.constraints.forbidden_pairs:
            raise ValueError("forbidden_pairs have no place in a CardinalityBQP: linearised and miqp take them")
        kept = np.isin(np.arange(problem.n), problem.constraints.keep)
        return cls.unconstrained(problem).keeping(kept)._with_quotas(problem.constraints, kept)

    @classmethod
    def unconstrained(cls, problem: Problem) -> CardinalityBQP:
        """The form of a problem less its constraints; TypeError where the objective is not quadratic."""
        if isinstance(problem, ImplicitWeight):
            Q, m, keeps, shift, error, floor = problem.gram, problem.n - problem.k, False, np.zeros(problem.n), 0.0, 0.0
        elif isinstance(problem, MaxSumDiversity):
            Q, shift, error = _centred(problem)
            m, keeps, floor = problem.k, True, -np.inf
        else:
            raise TypeError(f"the objective must be implicit-weight or max-sum, got {problem.name}")
        everything, none = np.arange(problem.n), np.arange(0)
        return cls(Q, m, everything, keeps, problem.n, shift, 0.0, error, floor, none, none, none)

    def kept(self, y: Bool) -> Int:
        """The tokens kept for a 0/1 vector over the free ones, ascending."""
        marked = self.tokens[y] if self.keeps else self.tokens[~y]
        return np.union1d(marked, np.setdiff1d(np.arange(self.n), self.tokens))

    def keeping(self, kept: Bool) -> CardinalityBQP:
        """The same with some of all tokens, a mask, kept for good; no quotas yet."""
        if not kept.any():
            return self
        free = ~kept
        Q, shift = self.Q[np.ix_(free, free)], self.shift[free]
        if not self.keeps:
            return replace(self, Q=Q, shift=shift, tokens=self.tokens[free])
        linear = 2 * self.Q[np.ix_(free, kept)].sum(axis=1)
        return replace(
            self,
            Q=Q + np.diag(linear),
            shift=shift + linear,
            tokens=self.tokens[free],
            m=self.m - int(kept.sum()),
            constant=float(self.Q[np.ix_(kept, kept)].sum()),
            error=self.error + 2 * self.n * EPS * float(np.abs(self.Q).sum()),
        )

    def _with_quotas(self, constraints: Constraints, kept: Bool) -> CardinalityBQP:
        """The same with the quotas per group; `kept` masks the tokens that are no longer free."""
        if constraints.groups is None or not (constraints.min_per_group or constraints.max_per_group):
            return self
        names, labels = np.unique(np.asarray(constraints.groups), return_inverse=True)
        size, inside = (np.bincount(labels[mask], minlength=len(names)) for mask in (~kept, kept))
        least = np.array([constraints.min_per_group.get(int(name), 0) for name in names]) - inside
        most = np.array([constraints.max_per_group.get(int(name), self.n) for name in names]) - inside
        low, high = (least, most) if self.keeps else (size - most, size - least)
        return replace(
            self,
            labels=labels[~kept].astype(np.int64),
            low=np.maximum(low, 0).astype(np.int64),
            high=np.minimum(high, size).astype(np.int64),
        )


def _centred(problem: MaxSumDiversity) -> tuple[Float, Float, float]:
    """(Q, shift, error) of max-sum diversity."""
    D, w, n, k = problem.distances, problem.weights, problem.n, problem.k
    u = D.sum(axis=1) / (2 * max(n, 1)) - D.sum() / (4 * max(n, 1) ** 2)
    linear = -(2 * k * u + w)
    Q = -D / 2 + u[:, None] + u[None, :] + np.diag(linear)
    size = float(D.sum() / 2 + 2 * (n + k + 1) * np.abs(u).sum() + np.abs(w).sum())
    return Q, linear, 4 * EPS * size
