"""Certificates without data: bounds that follow from the problem in one line of algebra."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mmdp.bounds.factor_rows import compact_factor, factor_of, has_volume
from mmdp.bounds.log_det import hadamard_bound, spectral_bound
from mmdp.bounds.max_min import simplex_bound
from mmdp.bounds.max_sum import row_sum_bound
from mmdp.certificates.certificate import Certificate, CertificateError
from mmdp.checks import Float
from mmdp.objectives import ConditionalDPP, MaxMinDiversity, MaxSumDiversity
from mmdp.problem import Problem


@dataclass(frozen=True, eq=False)
class OnlyChoiceCertificate(Certificate):
    """Nothing is chosen: k = 0, k = n, or k = 1 for max-min, where every set has the same value."""

    kind: ClassVar[str] = "only-choice"

    def verify(self, problem: Problem) -> float:
        """That value."""
        if problem.k not in (0, problem.n) and not (problem.k == 1 and type(problem) is MaxMinDiversity):
            raise CertificateError(f"there is a choice to make: k = {problem.k} of {problem.n} tokens")
        return problem.value(np.arange(problem.k))


@dataclass(frozen=True, eq=False)
class SimplexCertificate(Certificate):
    """k unit vectors are pairwise no farther apart than the corners of a regular simplex: `simplex_bound`."""

    kind: ClassVar[str] = "simplex"

    def verify(self, problem: Problem) -> float:
        """k / (k - 1) for 1 - cos, and the same for the chord. O(1)."""
        metric = problem.ground.metric
        bound = simplex_bound(problem.k, metric) if type(problem) is MaxMinDiversity else math.inf
        if bound == math.inf:
            raise CertificateError(
                f"a simplex certificate needs max-min with an angular metric and k >= 2, "
                f"got {problem.name}, {metric}, k = {problem.k}"
            )
        return bound


@dataclass(frozen=True, eq=False)
class HadamardCertificate(Certificate):
    """A volume is at most the product of the lengths: `hadamard_bound`."""

    kind: ClassVar[str] = "hadamard"

    def verify(self, problem: Problem) -> float:
        """The sum of the k largest log L_ii. O(n log n + k^3) beyond the kernel."""
        largest = np.sort(np.diag(dpp_of(problem, self.kind).kernel))[problem.n - problem.k :]
        return hadamard_bound(np.diag(largest), problem.k)  # only these count, and a small matrix is checked sooner


@dataclass(frozen=True, eq=False)
class SpectralCertificate(Certificate):
    """Eigenvalues of a principal submatrix interlace: `spectral_bound`."""

    kind: ClassVar[str] = "spectral"

    def verify(self, problem: Problem) -> float:
        """The sum of the k largest log eigenvalues of L; -inf when k exceeds its rank. O(n^3)."""
        dpp = dpp_of(problem, self.kind)
        return spectral_bound(dpp.kernel, dpp.k) if has_volume(factor_rows(dpp), dpp.k) else -math.inf


@dataclass(frozen=True, eq=False)
class RowSumCertificate(Certificate):
    """Every token contributes at most half of its k - 1 largest distances: `row_sum_bound`."""

    kind: ClassVar[str] = "row-sum"

    def verify(self, problem: Problem) -> float:
        """The sum of the k largest contributions. O(n^2 log n)."""
        if type(problem) is not MaxSumDiversity:
            raise CertificateError(f"a row-sum certificate is about max-sum, got a problem of {problem.name}")
        return row_sum_bound(problem)


def dpp_of(problem: Problem, kind: str) -> ConditionalDPP:
    """The problem itself; CertificateError for another objective, subclasses included."""
    if type(problem) is not ConditionalDPP:
        raise CertificateError(f"a {kind} certificate is about conditional-dpp, got a problem of {problem.name}")
    return problem


def factor_rows(problem: ConditionalDPP) -> Float:
    """Rows of width at most n whose inner products are the kernel."""
    return factor_of(problem.kernel) if problem.ground.features is None else compact_factor(problem.factor)
