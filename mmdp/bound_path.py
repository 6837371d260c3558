"""Upper bounds for many budgets in one run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from mmdp.bounds.colouring import colouring_bounds
from mmdp.bounds.convex_point import convex_point
from mmdp.bounds.ddfact import ddfact_bound
from mmdp.bounds.log_det import hadamard_bound, spectral_bound
from mmdp.bounds.max_min import angle_bound, farthest_first_picks, simplex_bound
from mmdp.bounds.max_sum import row_sum_bound
from mmdp.bounds.rank1 import LARGE, qp_bound, sdp_bound
from mmdp.cardinality_bqp import CardinalityBQP
from mmdp.certificates.certificate import CertificateError
from mmdp.certificates.plain import factor_rows
from mmdp.certificates.qp import energy_bound
from mmdp.checks import Float, as_budget
from mmdp.objectives import ConditionalDPP, ImplicitWeight, MaxMinDiversity, MaxSumDiversity
from mmdp.problem import Problem

ANCHORS = 8  # budgets for which the shifts of a quadratic form are optimised; those between them use their shifts
SMALL = 100  # tokens up to which every budget is an anchor
STEPS = 150


def bound_path(problem: Problem, budgets: Iterable[int] | None = None) -> dict[int, float]:
    """An upper bound on the optimum for every budget: what `upper_bounds` gives for each, with the work shared.

    * ``max-min``: the optimum falls with k, so that every bound holds for larger budgets too; a threshold that is
      refuted for k is refuted for every larger budget (`colouring_bounds`); one farthest-first run gives the angle
      bounds. Each bound is at most the least of `upper_bounds`.
    * ``conditional-dpp``: DDFact starts from the relaxed solution of the budget below, and stops within 1e-4 nats of
      its optimum as for a single budget.
    * ``implicit-weight``, ``max-sum``: up to 100 tokens as for each budget alone; beyond, eight budgets spread
      over the range get shifts of their own, and those between them take the best of the shifts on either side and
      of the form's own: nothing is lost on photo tokens, some per cent on i.i.d. ones.

    Parameters
    ----------
    problem : its own k plays no part; constraints are ignored, which leaves the bounds valid.
    budgets : values of k, 0 <= k <= n; None means all.

    Returns
    -------
    dict : budget -> bound, in the order given; inf for an objective of the user's own.

    Examples
    --------
    >>> bound_path(MaxMinDiversity.from_features(np.eye(4), k=2))
    {0: inf, 1: inf, 2: 1.0, 3: 1.0, 4: 1.0}
    """
    n = problem.n
    wanted = [as_budget(k, n) for k in (range(n + 1) if budgets is None else budgets)]
    family = _family(problem)
    open_ = sorted({k for k in wanted if 0 < k < n and not (k == 1 and type(problem) is MaxMinDiversity)})
    found = family(open_) if family is not None else dict.fromkeys(open_, math.inf)
    for k in set(wanted) - set(open_):
        found[k] = problem.with_k(k).value(np.arange(k))
    return {k: found[k] for k in wanted}


def _family(problem: Problem) -> Callable[[list[int]], dict[int, float]] | None:
    if type(problem) is MaxMinDiversity:
        return lambda budgets: _max_min(problem, budgets)
    if type(problem) is ConditionalDPP:
        return lambda budgets: _log_det(problem, budgets)
    if type(problem) is ImplicitWeight or type(problem) is MaxSumDiversity:
        return lambda budgets: _quadratic(problem, budgets)
    return None


def _max_min(problem: MaxMinDiversity, budgets: list[int]) -> dict[int, float]:
    distances, ground = problem.distances, problem.ground
    found = colouring_bounds(distances, budgets)
    directed = np.flatnonzero(~ground.zero_rows)
    given = ground.metric == "precomputed"
    if budgets and len(directed) and (not given or (problem.n <= LARGE and ground.is_metric)):
        picks = farthest_first_picks(distances, min(max(budgets), len(directed)), directed)
        slack = 1e-9 * float(distances.max()) if given else 0.0  # what is_metric lets pass
        last = np.concatenate([[math.inf], [distances[picks[i], picks[:i]].min() for i in range(1, len(picks))]])
        for k in (k for k in budgets if k <= len(picks)):
            found[k] = min(found[k], angle_bound(float(last[k - 1]), ground.metric) + slack)
    least = math.inf
    for k in budgets:
        least = found[k] = min(least, found[k], simplex_bound(k, ground.metric))
    return found


def _log_det(problem: ConditionalDPP, budgets: list[int]) -> dict[int, float]:
    rows = factor_rows(problem)
    found: dict[int, float] = {}
    x = None
    for k in budgets:
        found[k] = hadamard_bound(problem.kernel, k)
        if rows.shape[1] > LARGE:
            found[k] = min(found[k], spectral_bound(problem.kernel, k))
            continue
        relaxed = ddfact_bound(rows, k, x0=None if x is None else x * (k / max(float(x.sum()), 1e-300)))
        x = relaxed.x
        found[k] = min(found[k], relaxed.value)
    return found


def _quadratic(problem: ImplicitWeight | MaxSumDiversity, budgets: list[int]) -> dict[int, float]:
    count = len(budgets) if problem.n <= SMALL else min(ANCHORS, len(budgets))
    places = np.linspace(0, len(budgets) - 1, count).round()
    anchors = [budgets[int(place)] for place in np.unique(places)]
    shifts: dict[int, Float] = {}
    found: dict[int, float] = {}
    for k in anchors:
        form = CardinalityBQP.unconstrained(problem.with_k(k))
        bounds = [qp_bound, sdp_bound] if problem.n <= LARGE else [qp_bound]
        relaxed = [bound(form.Q, problem.n - form.m) for bound in bounds]
        best = max(relaxed, key=lambda relaxation: relaxation.value)
        shifts[k] = np.zeros(problem.n) if best.shift is None else best.shift
        found[k] = form.error - max(form.floor, best.value)
    x = None
    for k in budgets:
        posed = problem.with_k(k)
        form = CardinalityBQP.unconstrained(posed)
        near = [max((a for a in anchors if a <= k), default=anchors[0]), min(a for a in anchors if a >= k)]
        energy = -math.inf
        for shift in (form.shift, *(shifts[a] for a in dict.fromkeys(near) if a != k)):
            x = convex_point(form.Q, shift, form.m, x, steps=STEPS)
            try:
                energy = max(energy, energy_bound(form.Q, form.m, shift, x))
            except CertificateError:  # the form's own shift need not leave it convex
                continue
        found[k] = min(found.get(k, math.inf), form.error - max(form.floor, energy))
        if isinstance(posed, MaxSumDiversity):
            found[k] = min(found[k], row_sum_bound(posed))
    return found
