"""Exact branch and bound for log det: MAP inference in a DPP, maximum-entropy sampling."""

from __future__ import annotations

import math
import time
from functools import cache

import numpy as np

from mmdp import ConditionalDPP, Status
from mmdp.certificates import Certificate, OnlyChoiceCertificate
from mmdp.certify import TOLERANCE
from solvers.answer import Answer, Request
from solvers.exact.log_det.ddfact import branching_position
from solvers.exact.log_det.root_point import root_point
from solvers.exact.log_det.search import Search
from solvers.exact.log_det.second_order import of_ddfact, strengthen
from solvers.exact.log_det.tree_log import TreeLog


def run(problem: ConditionalDPP, request: Request, tolerance: float = TOLERANCE, certify: bool = False) -> Answer:
    """A set of largest log det L_S, |S| = k, ascending, proved by best-first branch and bound.

    A node holds tokens chosen and tokens dropped; log det of a set below it is that of the chosen ones plus log det of
    the Gram matrix of the residual rows of the others (a Schur complement). It is bounded by the factorisation bound
    :cite:p:`li2024best` or by linx with general scaling :cite:p:`anstreicher2020efficient,fampa2022maximum`, whichever
    the root suggests; each is linearised at the best point found, for which no accuracy of the ascent is needed. Both
    lose something at every binary point, and part of that is put back (`second_order`): a quadratic with a diagonal
    shift. The linearisations fix tokens, the rest is branched on the token that promises the largest product of falls
    of both children (`most_decisive`). Incumbents come from greedy MAP, kicks and 1-swaps, which go on all the while.

    Parameters
    ----------
    tolerance : in nats, >= 0: no set is better than the one found by more than that.
    certify : whether to write the tree down, up to 100 MB, as a `LogDetTree` that `mmdp.check` verifies; also the
        unfinished one of a run that was stopped. Where there is none, ``stats["certificate"]`` says why.

    Returns
    -------
    Answer : OPTIMAL when proved, -inf included where every set is singular. TIME_LIMIT and INTERRUPTED (Ctrl-C) carry
        the best set and bound so far. ``stats`` counts nodes bounded, those bounded to second order as well, and those
        closed by it, and names the relaxation.

    Raises
    ------
    ValueError : tolerance negative or not finite.

    Notes
    -----
    Exponential in the worst case: photo tokens with n = 100 take a fraction of a second for k <= 20, seconds to
    minutes for k = 30 to 50; at n = 576 with k = 64 a gap stays. Every bound has a margin for rounding that scales
    with the kernel. Memory O(n^2), plus at most 400 MB of open nodes.

    Examples
    --------
    >>> from solvers import solve
    >>> problem = ConditionalDPP.from_kernel([[2, 0, 1], [0, 1, 0], [1, 0, 2]], k=2)
    >>> selection = solve(problem, "branch_and_bound")
    >>> selection.indices.tolist(), round(selection.objective, 4), selection.gap  # log 3 beats log 2
    ([0, 2], 1.0986, 0.0)
    """
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance must be a finite number of nats >= 0, got {tolerance}")
    started = time.perf_counter()
    _compile()
    compiled = time.perf_counter() - started
    search = Search(problem, 0.9 * tolerance if certify else tolerance, request.seed, TreeLog() if certify else None)
    limit = math.inf if request.time_limit is None else request.time_limit
    try:
        status = Status.OPTIMAL if search.run(request.started + compiled + limit) else Status.TIME_LIMIT
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    stats = search.stats() | {"tolerance": tolerance}
    certificate, reason = _certificate(problem, search)
    if reason and certify:
        stats["certificate"] = reason
    return Answer(np.sort(search.members), search.upper, status, stats, certificate, compiled)


def _certificate(problem: ConditionalDPP, search: Search) -> tuple[Certificate | None, str]:
    """(the certificate, or why there is none) : the tree if there is one, else what one point of DDFact may prove."""
    if problem.k in (0, problem.n):
        return OnlyChoiceCertificate(), ""
    if search.upper == math.inf:
        return None, "there was no time for a bound"
    if search.complete and search.tolerance > TOLERANCE:
        return None, f"a tolerance above {TOLERANCE} proves less than an optimum"
    if search.log and search.root_upper is not None:
        return (None, search.log.reason) if search.log.reason else (search.log.certificate(), "")
    return (root_point(problem, search.root_x, search.upper), "") if search.expanded == 0 else (None, "")


@cache
def _compile() -> None:
    """Compile, or load from numba's cache, every kernel of this package."""
    problem = ConditionalDPP.from_features(np.random.default_rng(0).standard_normal((8, 5)), 3)
    Search(problem, 0.0, 0).run(math.inf)
    rows, x = np.ascontiguousarray(problem.factor), np.full(8, 3 / 8)
    squares = (rows * rows).sum(axis=1)
    branching_position(rows, squares, x, 3)
    strengthen(of_ddfact(rows, squares, 0.0, x, 3, 1.0), 3, x, -100.0, None, patient=True)
