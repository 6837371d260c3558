"""Exact branch and bound for cardinality-constrained binary quadratic programs: rank-1 energies and max-sum diversity."""

from __future__ import annotations

import math
import time
from functools import cache

import numpy as np

from mmdp import ImplicitWeight, MaxSumDiversity, Problem, Status
from mmdp.cardinality_bqp import CardinalityBQP
from mmdp.certificates import Certificate, CertificateError, OnlyChoiceCertificate, QPCertificate
from mmdp.certify import TOLERANCE
from solvers.answer import Answer, Request
from solvers.exact.rank1.diagonal_shift import lowest_shift, shifted
from solvers.exact.rank1.node import branching_position, fix, tighten
from solvers.exact.rank1.qp import linear_bound
from solvers.exact.rank1.quotas import is_feasible, least_set, project_within
from solvers.exact.rank1.search import Search
from solvers.exact.rank1.swap import greedy_ones, greedy_zeros, swap

SHARE = 0.9  # of the tolerance, for the search: the rest is for a verifier's comparison


def run(
    problem: ImplicitWeight | MaxSumDiversity, request: Request, tolerance: float = TOLERANCE, certify: bool = False
) -> Answer:
    """min {y^T Q y : y binary, sum y = m, quotas kept}, the form of the problem as a `CardinalityBQP`.

    Best-first search. A node is bounded by the convex relaxation after a diagonal shift delta, which y_i^2 = y_i
    leaves free (`climb`), by linearising it at the best point found, for which no accuracy of the minimisation is
    needed (`minimise_within`). The same linearisation fixes coordinates (`tighten`). delta is driven towards the
    semidefinite optimum at the root, where fixing and improving alternate, and again below whenever enough coordinates
    are fixed. The branching coordinate promises the largest product of rises of the two children (`most_decisive`).
    Incumbents come from swap searches, from greedy sets at first, from the relaxed point below.

    Tokens that must be kept are fixed beforehand; quotas per group (a partition matroid) are part of the relaxation, of
    the reduced costs and of the swaps.

    Parameters
    ----------
    tolerance : the proof is relative: no set has a value above the one found by more than tolerance * |value|.
    certify : whether to write the tree down, up to 100 MB, as a `Rank1Tree` that `mmdp.check` verifies; also the
        tree of a search that was stopped. Bounds are then taken at rounded points and with twice the margins. Without
        it there is a certificate only where the root suffices.

    Returns
    -------
    Answer : OPTIMAL when proved up to ``stats["tolerance"]``, absolute, in the units of the value: tolerance * |value|,
        or twice the rounding margin of the bounds (`margin_of`), whichever is larger. TIME_LIMIT and INTERRUPTED
        (Ctrl-C) carry the best set and bound so far. INFEASIBLE where no set keeps the quotas.

    Raises
    ------
    ValueError : tolerance outside [0, 1), or forbidden pairs, which it cannot honour.

    Notes
    -----
    Exponential in the worst case. Memory O(n^2), plus at most 400 MB of open nodes.

    Examples
    --------
    >>> from mmdp import Constraints, ImplicitWeight, MaxSumDiversity
    >>> from solvers import solve
    >>> problem = ImplicitWeight.from_gram([[1, 1, 0], [1, 1, 0], [0, 0, 1]], k=1)
    >>> solve(problem, "branch_and_bound").objective  # the pair left over must not be the two copies
    -2.0
    >>> two_images = Constraints(groups=(0, 0, 1), max_per_group={0: 1})
    >>> problem = MaxSumDiversity.from_distances([[0, 9, 2], [9, 0, 3], [2, 3, 0]], k=2, constraints=two_images)
    >>> solve(problem, "branch_and_bound").indices.tolist()  # one of each image
    [1, 2]
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be in [0, 1), got {tolerance}")
    bqp = CardinalityBQP.of(problem)
    started = time.perf_counter()
    _compile()
    compiled = time.perf_counter() - started
    if not is_feasible(bqp.m, bqp.labels if len(bqp.low) else bqp.tokens, bqp.low, bqp.high):
        return Answer((), bound=-math.inf, status=Status.INFEASIBLE, compile_seconds=compiled)
    search = Search(bqp, SHARE * tolerance, request.seed, certify)
    limit = math.inf if request.time_limit is None else request.time_limit
    try:
        status = Status.OPTIMAL if search.run(request.started + compiled + limit) else Status.TIME_LIMIT
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    stats = search.stats()
    certificate, reason = _plain(problem, search), ""
    if certificate is None:
        certificate, reason = search.certificate(tolerance)
    if certify and reason:
        stats["certificate"] = reason
    return Answer(bqp.kept(search.y), search.upper, status, stats, certificate, compiled)


def _plain(problem: Problem, search: Search) -> Certificate | None:
    """A certificate without a tree, where the root relaxation has the optimal set itself as its minimiser."""
    if problem.k in (0, problem.n):
        return OnlyChoiceCertificate()
    if not isinstance(problem, ImplicitWeight) or search.root_shift is None or len(search.y) < problem.n:
        return None
    shift, y, none = search.root_shift, search.y.astype(np.float64), np.arange(0)
    bound, _ = linear_bound(shifted(search.Q, shift.values), shift.values, search.m, y, none, none, none)
    if not search.complete or bound < search.cutoff:
        return None
    certificate = QPCertificate(shift.values, y)
    try:
        return certificate if -certificate.verify(problem) >= search.cutoff else None
    except CertificateError:  # its margins are its own
        return None


@cache
def _compile() -> None:
    """Compile, or load from numba's cache, every kernel of this package."""
    Q, y, none = np.eye(3), np.array([True, False, False]), np.arange(0)
    swap(Q, y, none, none, none, 1)
    greedy_ones(Q, 1, none, none, none), greedy_zeros(Q, 1, none, none, none)
    free, zeros, x = np.arange(3), np.zeros(3), np.full(3, 1 / 3)
    tighten(Q, none, free, zeros, 0.0, 1, none, none, x, zeros, 1.0, 1e-9, 4, False)
    fix(Q, none, free, zeros, 0.0, 1, none, none, x, 0, True)
    branching_position(Q, free, x, zeros)
    project_within(x, 1, none, none, none)
    least_set(x, 1, none, none, none)
    is_feasible(1, none, none, none)
    linear_bound(Q, zeros, 1, x, none, none, none)
    lowest_shift(Q, zeros)
