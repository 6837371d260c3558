"""The part of a far graph that can hold a clique of size k."""

from __future__ import annotations

import numpy as np

from mmdp.certificates.certificate import CertificateError
from mmdp.checks import Bool, Float
from mmdp.objectives import MaxMinDiversity
from mmdp.problem import Problem


def distances_of(problem: Problem, kind: str) -> Float:
    """The distances of a max-min problem; CertificateError for another objective, subclasses included."""
    if type(problem) is not MaxMinDiversity:
        raise CertificateError(f"a {kind} certificate is about max-min, got a problem of {problem.name}")
    return problem.distances


def far_pairs(distances: Float, threshold: float) -> Bool:
    """d_ij >= threshold off the diagonal."""
    far: Bool = distances >= threshold
    np.fill_diagonal(far, False)
    return far


def core(far: Bool, k: int) -> Bool:
    """The (k-1)-core: what is left when vertices with fewer than k - 1 neighbours left are dropped, again and again.

    The same whatever the order of dropping; it holds every clique of size k. O(n^2).
    """
    alive = np.ones(len(far), dtype=np.bool_)
    degree = far.sum(axis=1)
    while (weak := alive & (degree < k - 1)).any():
        alive &= ~weak
        degree -= far[:, weak].sum(axis=1)
    return alive
