"""The best certificate that a problem yields without search, by how much work it may cost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from mmdp.bounds.colouring import Colouring, best_colouring, coarse_colouring, threshold_above
from mmdp.bounds.convex_point import convex_point
from mmdp.bounds.ddfact import ddfact_bound
from mmdp.bounds.max_min import farthest_first_picks, simplex_bound
from mmdp.bounds.rank1 import LARGE, qp_bound, sdp_bound
from mmdp.cardinality_bqp import CardinalityBQP
from mmdp.certificates.certificate import Certificate, CertificateError
from mmdp.certificates.colouring import ColouringCertificate
from mmdp.certificates.ddfact import DDFactCertificate
from mmdp.certificates.plain import (
    HadamardCertificate,
    OnlyChoiceCertificate,
    RowSumCertificate,
    SimplexCertificate,
    SpectralCertificate,
    factor_rows,
)
from mmdp.certificates.qp import QPCertificate
from mmdp.objectives import ConditionalDPP, ImplicitWeight, MaxMinDiversity, MaxSumDiversity
from mmdp.problem import Problem

Effort = Literal["none", "cheap", "full"]
NARROW = 128  # width of features up to which a few steps of the factorisation bound are cheap
FEW_STEPS = 5
COLOURINGS = 4


def best_certificate(problem: Problem, effort: Effort = "full") -> tuple[float, Certificate | None]:
    """The least upper bound on the optimum that a certificate proves, and that certificate.

    * ``"cheap"``: about ten milliseconds at n = 576, half a second at n = 2880. Max-min: clusters around farthest-first
      picks, the simplex, and four colourings; log det: Hadamard and, for features of width up to 128, a few steps of
      DDFact; implicit weight and max-sum: a few steps on the convex quadratic form.
    * ``"full"``: colouring in full; spectral and DDFact to convergence; QP and, up to 1200 tokens, SDP shifts. Up to
      seconds at n = 576.
    * ``"none"``: nothing.

    The bound is what `Certificate.verify` returns. Problems of an objective of one's own, subclasses
    included, get (inf, None).

    Examples
    --------
    >>> bound, certificate = best_certificate(MaxMinDiversity.from_features(np.eye(4), k=3))
    >>> bound, certificate.kind
    (1.0, 'colouring')
    """
    if effort not in get_args(Effort):
        raise ValueError(f"effort must be one of {', '.join(get_args(Effort))}, got {effort!r}")
    best: tuple[float, Certificate | None] = (math.inf, None)
    if effort == "none":
        return best
    for certificate in _candidates(problem, effort == "full"):
        try:
            bound = certificate.verify(problem)
        except CertificateError:  # degenerate numbers: this kind proves nothing here
            continue
        if bound < best[0] or best[1] is None:
            best = bound, certificate
    return best


def _candidates(problem: Problem, full: bool) -> Iterator[Certificate]:
    if problem.k in (0, problem.n) or (problem.k == 1 and type(problem) is MaxMinDiversity):
        yield OnlyChoiceCertificate()
    elif type(problem) is MaxMinDiversity:
        if problem.ground.metric in ("cosine", "chordal"):
            yield SimplexCertificate()
        yield from _coarse(problem)
        if full:
            yield _certificate(best_colouring(problem.distances, problem.k))
    elif type(problem) is ConditionalDPP:
        yield HadamardCertificate()
        if full:
            yield SpectralCertificate()
        width = problem.n if problem.ground.features is None else min(problem.n, problem.ground.features.shape[1])
        if width <= (LARGE if full else NARROW):
            steps = {} if full else {"iterations": FEW_STEPS}
            yield DDFactCertificate(ddfact_bound(factor_rows(problem), problem.k, **steps).x)
    elif type(problem) in (ImplicitWeight, MaxSumDiversity):
        if type(problem) is MaxSumDiversity:
            yield RowSumCertificate()
        form = CardinalityBQP.unconstrained(problem)
        yield QPCertificate(form.shift, convex_point(form.Q, form.shift, form.m))
        if full:
            bounds = [qp_bound, sdp_bound] if problem.n <= LARGE else [qp_bound]
            relaxations = [bound(form.Q, problem.n - form.m) for bound in bounds]
            yield from (QPCertificate(r.shift, r.x) for r in relaxations if r.shift is not None)


def _certificate(colouring: Colouring) -> ColouringCertificate:
    return ColouringCertificate(colouring.threshold, colouring.classes, colouring.triples)


def _coarse(problem: MaxMinDiversity) -> Iterator[ColouringCertificate]:
    """Clusters around farthest-first picks, then a few colourings between the value of the picks and that bound.

    Every token is in the class of the nearest of k - 1 picks. The diameter of the classes is in a metric at most the
    bound 2 a of the same picks (`AngleCertificate`), and valid without one. O(n^2), and the colourings.
    """
    distances, k = problem.distances, problem.k
    directed = np.flatnonzero(~problem.ground.zero_rows)
    if len(directed) < k:  # every set has a zero row
        low, picks = 0.0, directed[: k - 1]
    else:
        picks = farthest_first_picks(distances, k, directed)
        low, picks = problem.value(picks), picks[:-1]
    nearest = np.argmin(distances[:, picks], axis=1) if len(picks) else np.zeros(problem.n, dtype=np.int64)
    diameter = float(distances[nearest[:, None] == nearest].max())
    yield ColouringCertificate(threshold_above(distances, diameter), nearest, np.zeros((0, 3), dtype=np.int64))
    high = min(diameter, simplex_bound(k, problem.ground.metric))
    colouring = coarse_colouring(distances, k, low, high, COLOURINGS)
    if colouring is not None:
        yield _certificate(colouring)
