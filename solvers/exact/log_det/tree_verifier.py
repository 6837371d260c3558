"""Verifies the tree of a log det certificate: numpy alone, and apart from the search."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np

from mmdp import ConditionalDPP
from mmdp.bounds.factor_rows import compact_factor, has_volume
from mmdp.certificates import CertificateError
from mmdp.checks import Bool, Float, Int
from solvers.exact.log_det.evidence import Evidence
from solvers.exact.log_det.leaf_bounds import EPS, Proved, prove

ACTIONS = 5
FIX, VANISH, BRANCH, END, TRIVIAL = range(ACTIONS)
LINX, SECOND = ACTIONS, 2 * ACTIONS  # added to an action
SPANNED = 0.75e-12  # residual share of a squared norm at which log det is -inf by definition (1e-12), with room


class Tree(Protocol):
    """The arrays of a `LogDetTree`."""

    @property
    def codes(self) -> Int: ...
    @property
    def tokens(self) -> Int: ...
    @property
    def numbers(self) -> Float: ...
    @property
    def points(self) -> Int: ...
    @property
    def shifts(self) -> Float: ...


class _Node(NamedTuple):
    """Tokens chosen and free, the residual rows of the free ones, and log det of the chosen ones, rounded up."""

    chosen: Int
    free: Int
    rows: Float
    norms: Float
    base: float

    def split(self, into: Bool, out: Bool) -> _Node:
        """With tokens chosen and dropped. -inf when a chosen one lies in the span of the others."""
        stay = ~(into | out)
        work, lengths = np.concatenate((self.rows[into], self.rows[stay])), self.norms[into]
        base = self.base
        for norm in lengths:
            pivot = work[0]
            square = float(pivot @ pivot)
            if not square > SPANNED * norm:
                return _Node(self.chosen, self.free[stay], self.rows[stay], self.norms[stay], -math.inf)
            base += math.log(square) + 8 * sum(self.rows.shape) * EPS * math.sqrt(norm / square)
            work = _off(work[1:], pivot)
        chosen = np.concatenate((self.chosen, self.free[into]))
        return _Node(chosen, self.free[stay], work, self.norms[stay], base)


def _off(rows: Float, pivot: Float) -> Float:
    """The rows without their component along the pivot, one column fewer: a Householder reflection."""
    v = pivot.copy()
    v[0] += math.copysign(float(np.linalg.norm(v)), v[0])
    reflected: Float = (rows - np.outer(rows @ v, (2 / float(v @ v)) * v))[:, 1:]
    return reflected


class _Reader:
    """Takes the arrays of a tree piece by piece."""

    def __init__(self, tree: Tree) -> None:
        self._arrays = {"codes": tree.codes, "tokens": tree.tokens, "numbers": tree.numbers}
        self._arrays |= {"points": tree.points, "shifts": tree.shifts}
        self._at = dict.fromkeys(self._arrays, 0)

    def take(self, name: str, count: int) -> np.ndarray:
        """The next `count` entries of an array."""
        start = self._at[name]
        self._at[name] = start + count
        if start + count > len(self._arrays[name]):
            raise CertificateError(f"the tree ends early: {name} holds {len(self._arrays[name])} entries")
        return self._arrays[name][start : start + count]

    def evidence(self, form: int, m: int) -> Evidence:
        """The evidence of a step with m free tokens."""
        cutoff, cap = (float(number) for number in self.take("numbers", 2))
        if not cap >= 0:
            raise CertificateError(f"a cap must be >= 0, got {cap}")
        x = self.take("points", m)
        theta = self.take("shifts", m) if form & 1 else None
        if not form & 2:
            return Evidence(cutoff, cap, x, theta)
        return Evidence(cutoff, cap, x, theta, self.take("shifts", m), self.take("points", m), self.take("points", m))

    def finish(self) -> None:
        """Everything must have been read."""
        for name, array in self._arrays.items():
            if self._at[name] != len(array):
                raise CertificateError(f"the tree goes on after its end: {len(array) - self._at[name]} {name} are left")


def proved_bound(problem: ConditionalDPP, tree: Tree) -> float:
    """The largest bound at an end of the tree, checked on the way to cover every set of k tokens.

    *Proof.* By induction every set of k tokens, of finite log det and above all cutoffs, lies below an end or a
    trivial node: a branching has both children; a fixed token fails only in sets that the linearised bound puts at or
    below the cutoff of its evidence; a token in the span of the chosen ones makes log det -inf by definition. At an
    end the bound of `prove` covers the sets above the cutoff. So the largest cutoff, bound and value met is a bound. QED
    """
    rows = np.ascontiguousarray(compact_factor(problem.factor))
    if not has_volume(rows, problem.k):
        return -math.inf
    reader = _Reader(tree)
    bound = -math.inf
    everything = np.arange(problem.n)
    stack = [_Node(everything[:0], everything, rows, (rows * rows).sum(axis=1), 0.0)]
    while stack:
        node = stack.pop()
        form, action = divmod(int(reader.take("codes", 1)[0]), ACTIONS)
        if form > 3 or (form and action not in (FIX, END)):
            raise CertificateError(f"unknown step {action + ACTIONS * form} in the tree")
        m, s = len(node.free), problem.k - len(node.chosen)
        if action == TRIVIAL:
            bound = max(bound, _trivial(problem, node, s))
        elif action == BRANCH:
            one = _mask(node.free, reader.take("tokens", 1))
            none = np.zeros(m, dtype=np.bool_)
            stack += [node.split(none, one), node.split(one, none)]
        elif action == VANISH:
            into, out = _fixed(node.free, reader)
            if into.any() or ((node.rows[out] ** 2).sum(axis=1) > SPANNED * node.norms[out]).any():
                raise CertificateError("a token is dropped that does not lie in the span of the chosen ones")
            stack.append(node.split(into, out))
        else:
            if not 0 < s < m or node.base == -math.inf:
                raise CertificateError(f"a bound is given where {s} of {m} tokens are to be chosen")
            evidence = reader.evidence(form, m)
            proved = prove(node.rows, node.norms, s, evidence.cutoff - node.base, evidence)
            if proved is None:
                raise CertificateError("a bound cannot be recomputed: its point carries too few independent tokens")
            bound = max(bound, evidence.cutoff)
            if action == END:
                bound = max(bound, node.base + proved.upper)
            else:
                into, out = _fixed(node.free, reader)
                _check_fixed(proved, s, evidence.cutoff - node.base, into, out)
                stack.append(node.split(into, out))
    reader.finish()
    return bound


def _trivial(problem: ConditionalDPP, node: _Node, s: int) -> float:
    """The best value below a node where at most one token is left to choose, or nothing."""
    m, d = node.rows.shape
    if s < 0 or s > min(m, d) or node.base == -math.inf:
        return -math.inf
    if s in (0, m):
        return problem.value(np.concatenate((node.chosen, node.free[:s])))
    if s > 1:
        raise CertificateError(f"no bound is given where {s} of {m} tokens are to be chosen")
    squares = (node.rows * node.rows).sum(axis=1)
    return max(problem.value(np.append(node.chosen, node.free[np.argmax(squares)])), _next(node, squares))


def _next(node: _Node, squares: Float) -> float:
    """Log det with the second-longest residual, rounded up: the longest is valued by the definition."""
    others = np.delete(np.arange(len(squares)), int(np.argmax(squares)))
    best = others[np.argmax(squares[others])]
    if not squares[best] > SPANNED * node.norms[best]:
        return -math.inf
    rounding = 8 * sum(node.rows.shape) * EPS * math.sqrt(node.norms[others].max() / squares[best])
    return node.base + math.log(squares[best]) + rounding


def _check_fixed(proved: Proved, s: int, goal: float, into: Bool, out: Bool) -> None:
    """Each fixed token's other choice must cost more than the slack."""
    g, slack = proved.gradient, proved.upper - goal
    ordered = np.sort(g)
    if (g[into] - ordered[-s - 1] <= slack).any() or (ordered[-s] - g[out] <= slack).any():
        raise CertificateError("a token is fixed that the bound leaves open")


def _fixed(free: Int, reader: _Reader) -> tuple[Bool, Bool]:
    chosen, dropped = (int(count) for count in reader.take("tokens", 2))
    into = _mask(free, reader.take("tokens", chosen))
    out = _mask(free, reader.take("tokens", dropped))
    if (into & out).any():
        raise CertificateError("a token is both chosen and dropped")
    return into, out


def _mask(free: Int, tokens: Int) -> Bool:
    """Where the tokens are among the free ones."""
    mask = np.isin(free, tokens)
    if int(mask.sum()) != len(tokens):
        raise CertificateError("a token of the tree is not free where it is named")
    return mask
