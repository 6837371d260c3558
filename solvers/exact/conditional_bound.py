"""Upper bounds on log det L_S over the sets that hold given tokens: the factorisation bound of a Schur complement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mmdp import ConditionalDPP
from mmdp.bounds import compact_factor, ddfact_bound, ddfact_value_gradient
from mmdp.bounds.factor_rows import factor_of
from mmdp.checks import Bool, Float, Int
from mmdp.objectives.conditional_dpp import SINGULAR

STEPS = (3, 6, 12, 24)  # gradient steps between two looks at the bound
ILL = 1e-3  # relative residual length below which conditioning would cost too many digits
PADDING = 1e-9  # nats per token, for the rounding of the conditioning of well separated tokens
ROUNDING = 64 * float(np.finfo(float).eps)  # of an entry of the kernel; det feels it 1 / height^2 times


@dataclass(frozen=True, eq=False)
class Conditional:
    """`value` bounds log det L_S for every S that holds the given tokens and otherwise only `tokens`.

    `x` and `gradient` of the relaxation have one entry per entry of `tokens`; empty where there is no relaxation.
    """

    value: float
    tokens: Int
    x: Float
    gradient: Float


class ConditionalBounds:
    """Bounds for one problem.

    log det L_S = log det L_T + log det (L / L_T)_{S - T} for T within S, with the Schur complement L / L_T = R R^T, R
    the rows of F projected away from those of T. The second part is bounded by `ddfact_bound` :cite:p:`li2024best` over
    the k - |T| tokens still to be chosen.
    """

    def __init__(self, problem: ConditionalDPP) -> None:
        given = problem.ground.features is not None
        self.rows = compact_factor(problem.factor) if given else factor_of(problem.kernel)
        self.lengths = np.linalg.norm(self.rows, axis=1)
        self.k = problem.k
        self.calls = 0

    def bound(self, inside: Int, among: Bool, target: float, start: Float | None = None) -> Conditional:
        """For the sets that hold `inside` and otherwise tokens of the mask `among`.

        The ascent starts at `start`, (n,), and stops once the bound is at most `target` or the relaxation is above it.
        """
        self.calls += 1
        free = among.copy()
        free[inside] = False
        tokens = np.flatnonzero(free & (self.lengths > 0))
        left = self.k - len(inside)
        volume, rows, least = self._condition(inside, tokens)
        if left < 0 or volume == -math.inf:
            return _nothing(tokens)
        padding = self.k * (PADDING + ROUNDING / least**2)
        if least <= ILL:  # lengths only shrink by conditioning: Hadamard's inequality
            tokens = tokens if left <= len(tokens) else tokens[:0]
            value = volume + _top(2 * np.log(self.lengths[tokens]), left)
            return Conditional(value + padding, tokens, np.zeros(len(tokens)), self.lengths[tokens] ** 2)
        height = np.linalg.norm(rows, axis=1) ** 2 / self.lengths[tokens] ** 2
        far = height > SINGULAR / 2
        tokens, rows = tokens[far], rows[far]  # the others make every set singular
        if len(inside):
            padding += self.k * ROUNDING / float(height[far].min(initial=1.0))
        if left > len(tokens):
            return _nothing(tokens)
        x = None if start is None else start[tokens]
        for steps in STEPS:
            relaxed = ddfact_bound(rows, left, x0=x, iterations=steps, tolerance=1e-6)
            value, x = volume + relaxed.value + padding, relaxed.x
            if value <= target or volume + ddfact_value_gradient(rows, x, left)[0] > target:
                break  # proved, or out of reach: the relaxation itself is above the target
        return Conditional(value, tokens, relaxed.x, relaxed.gradient)

    def _condition(self, inside: Int, tokens: Int) -> tuple[float, Float, float]:
        """(log det L_T, rows projected away from T, least singular value of the unit rows of T)."""
        rows = self.rows[tokens]
        if not len(inside):
            return 0.0, rows, 1.0
        if len(inside) > self.rows.shape[1] or not self.lengths[inside].all():
            return -math.inf, rows, 1.0
        basis, triangle = np.linalg.qr(self.rows[inside].T)
        heights = np.abs(np.diag(triangle))
        relative = heights / self.lengths[inside]
        if relative.min() ** 2 <= SINGULAR / 2:
            return -math.inf, rows, 1.0
        for _ in range(2):  # once more removes the rounding of the first time
            rows = rows - (rows @ basis) @ basis.T
        least = float(np.linalg.svd(triangle / self.lengths[inside], compute_uv=False)[-1])
        return 2 * float(np.log(heights).sum()), rows, max(least, math.sqrt(SINGULAR / 2))


def _nothing(tokens: Int) -> Conditional:
    return Conditional(-math.inf, tokens[:0], np.zeros(0), np.zeros(0))


def _top(values: Float, count: int) -> float:
    if count > len(values):
        return -math.inf
    return float(np.sort(values)[len(values) - count :].sum())
