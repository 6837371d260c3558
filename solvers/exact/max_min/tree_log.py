"""The log of a branching proof that no k tokens are pairwise at distance >= t, and its verifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from mmdp.certificates import Certificate, CertificateError, fields
from mmdp.certificates.far_core import core, distances_of, far_pairs
from mmdp.checks import Bool, Float, Int
from mmdp.problem import Problem
from solvers.exact.max_min.bitsets import Words
from solvers.exact.max_min.level_test import level_below
from solvers.exact.max_min.node_log import Short
from solvers.exact.max_min.tree_check import HOLDS, VERDICTS, check_search

Half = npt.NDArray[np.float16]

SEARCH, THETA = 0, 1


@dataclass(frozen=True, eq=False)
class CliqueTree(Certificate):
    """Proof that every set of k tokens has two at a distance below `threshold`, by branching.

    As for `ThetaCertificate`, tokens outside the (k-1)-core of the far graph have no group, the others are in groups
    of pairwise distance < t, most often alone, and two groups are far when any of their tokens are. To be refuted is
    a clique of k far groups; then, branching, one of q groups among the common neighbours P of those chosen. With
    fewer than q groups in P that is clear. Else the next entry of `steps` says how it is done, after groups outside
    the (q-1)-core of P are dropped:

    * 0, m, m groups: by a search on these m groups, which hold that core, in this order of vertices. Its records are
      in `log`: at each node, vertices that need no branch are in q - 1 classes without far pairs, or a vertex and m
      classes contradict each other and so hold at most m vertices of a clique, where each class serves once
      :cite:p:`li2010efficient`; `node_log` has the format.
    * 1, b, b groups: a clique has one of these b groups, since the next `multipliers` Z (the upper triangle of a
      symmetric matrix, at least 0 on far pairs) show lambda_max(J + Z) < q on the others; see `ThetaCertificate`.
      Each of the b groups is then chosen in turn, without those chosen before it.

    Attributes
    ----------
    threshold : t > 0.
    k : the size of the sets, >= 2. What holds for k holds for every larger size.
    groups : (n,) group of each token, 0 .. m-1, -1 for tokens outside the core.
    steps, log, multipliers : as above, in depth-first order; integers, 16-bit words, 16-bit floats.

    Examples
    --------
    >>> from mmdp.instances import gaussian
    >>> from solvers import solve
    >>> problem = gaussian(60, 16).problem("max-min", 10)
    >>> answer = solve(problem, "branch_and_bound", certify=True)
    >>> answer.certificate.kind, answer.certificate.verify(problem) == answer.bound == answer.objective
    ('clique-tree', True)
    """

    kind: ClassVar[str] = "clique-tree"

    threshold: float
    k: int
    groups: Int
    steps: Int
    log: Short
    multipliers: Half

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", fields.number(self.threshold, "threshold"))
        object.__setattr__(self, "k", fields.whole(self.k, "k", least=2))
        object.__setattr__(self, "groups", fields.indices(self.groups, "groups", least=-1))
        object.__setattr__(self, "steps", fields.indices(self.steps, "steps"))
        for name, dtype in (("log", np.uint16), ("multipliers", np.float16)):
            array = np.asarray(getattr(self, name))
            if array.ndim != 1 or array.dtype != dtype:
                raise ValueError(
                    f"{name} must be a 1-D array of {np.dtype(dtype)}, got {array.dtype} of shape {array.shape}"
                )
            object.__setattr__(self, name, array)

    def verify(self, problem: Problem) -> float:
        """The largest distance below the threshold.

        Every step is checked against the distances by code of its own, which never searches: a little less work than
        the search was, O(n^2) more, and a Cholesky factorisation for each of the multipliers.
        """
        distances = distances_of(problem, self.kind)
        if self.k > problem.k:
            raise CertificateError(f"the certificate is about sets of {self.k} tokens, the problem about {problem.k}")
        try:
            self._check(distances)
        except _BrokenError as broken:
            raise CertificateError(f"clique-tree certificate at threshold {self.threshold}: {broken}") from None
        return float(distances[distances < self.threshold].max())

    def _check(self, distances: Float) -> None:
        far = self._far_groups(distances)
        reader = _Reader(self.steps, self.log, self.multipliers)
        pending = [(np.arange(len(far)), self.k)]
        while pending:
            candidates, need = pending.pop()
            if len(candidates) < need:
                continue
            if need == 0:
                raise _BrokenError("a branch ends in a clique")
            step, named = reader.step(len(far))
            inside = candidates[core(far[np.ix_(candidates, candidates)], need)]
            if step == SEARCH:
                if not np.isin(inside, named).all():
                    raise _BrokenError("a search leaves out a vertex of the core")
                reader.search(far[np.ix_(named, named)], need)
            else:
                rest = np.setdiff1d(inside, named)
                reader.multiplier(far[np.ix_(rest, rest)], need)
                children = []
                for v in named[np.isin(named, inside)]:
                    inside = inside[inside != v]
                    children.append((inside[far[v, inside]], need - 1))
                pending.extend(reversed(children))
        reader.end()

    def _far_groups(self, distances: Float) -> Bool:
        """(m, m) which groups are far from each other."""
        if not self.threshold > 0:
            raise _BrokenError("the threshold must be above 0")
        far, groups = far_pairs(distances, self.threshold), self.groups
        if groups.shape != (len(distances),) or groups.max(initial=-1) >= len(distances):
            raise _BrokenError(f"{len(groups)} groups do not fit {len(distances)} tokens")
        if (core(far, self.k) & (groups < 0)).any():
            raise _BrokenError("a token of the core has no group")
        inside = np.flatnonzero(groups >= 0)
        m = int(groups.max(initial=-1)) + 1
        far_groups = np.zeros((m, m), dtype=np.bool_)
        i, j = np.nonzero(far[np.ix_(inside, inside)])
        far_groups[groups[inside][i], groups[inside][j]] = True
        if np.diag(far_groups).any():
            raise _BrokenError("two tokens of a group are far apart")
        return far_groups


class _BrokenError(Exception):
    """A step that does not hold."""


class _Reader:
    """Takes the next step, search and multiplier, and checks the latter two."""

    def __init__(self, steps: Int, log: Short, multipliers: Half) -> None:
        self.steps, self.log, self.multipliers = steps, log, multipliers
        self.step_at = self.log_at = self.multiplier_at = 0

    def step(self, m: int) -> tuple[int, Int]:
        """The kind of the next step and the vertices that it names, which are distinct and below m."""
        head = self.steps[self.step_at : self.step_at + 2]
        if len(head) < 2 or head[0] not in (SEARCH, THETA):
            raise _BrokenError("the steps break off")
        named = self.steps[self.step_at + 2 : self.step_at + 2 + int(head[1])]
        if len(named) < head[1] or len(np.unique(named)) < len(named) or (named >= m).any():
            raise _BrokenError("a step must name distinct vertices that exist")
        self.step_at += 2 + len(named)
        return int(head[0]), named

    def search(self, far: Bool, need: int) -> None:
        verdict, self.log_at = check_search(packed(far), need, self.log, self.log_at)
        if verdict != HOLDS:
            raise _BrokenError(f"the log {VERDICTS[verdict]} at word {self.log_at}")

    def multiplier(self, far: Bool, need: int) -> None:
        m = len(far)
        values = self.multipliers[self.multiplier_at : self.multiplier_at + m * (m - 1) // 2]
        if len(values) < m * (m - 1) // 2:
            raise _BrokenError("the multipliers break off")
        self.multiplier_at += len(values)
        Z = symmetric(values, m)
        if not np.isfinite(Z).all() or (Z[far] < 0).any():
            raise _BrokenError("a multiplier must be finite, and >= 0 between far vertices")
        if not level_below(Z, need):
            raise _BrokenError(f"a multiplier does not show that lambda_max(J + Z) < {need}")

    def end(self) -> None:
        ends = (self.step_at, self.log_at, self.multiplier_at)
        if ends != (len(self.steps), len(self.log), len(self.multipliers)):
            raise _BrokenError("something is left over")


def packed(far: Bool) -> Words:
    """(m, w) rows of 64-bit words of a boolean matrix."""
    m = len(far)
    padded = np.zeros((m, (m + 63) // 64 * 64), dtype=np.bool_)
    padded[:, :m] = far
    words: Words = np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    return words


def symmetric(values: Half, m: int) -> Float:
    """The matrix of an upper triangle, with zero diagonal."""
    Z = np.zeros((m, m))
    Z[np.triu_indices(m, 1)] = values
    return Z + Z.T
