"""What a farthest-first run proves by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mmdp.bounds.max_min import angle_bound
from mmdp.certificates import fields
from mmdp.certificates.certificate import Certificate, CertificateError
from mmdp.certificates.far_core import distances_of
from mmdp.checks import Int
from mmdp.problem import Problem


@dataclass(frozen=True, eq=False)
class AngleCertificate(Certificate):
    """Fewer than k tokens that are near to all others.

    Let every token with a direction lie within a of one of the picks. Of any k tokens two share a pick, hence lie
    within 2 a of each other in a metric: `angle_bound`, which has the rounding. A set with a zero row has value 0.
    The first k - 1 picks of farthest-first have the least such a within a factor of two
    :cite:p:`gonzalez1985clustering`; any picks will do, so the picks of any run are a certificate.

    Attributes
    ----------
    picks : fewer than k distinct tokens.
    """

    kind: ClassVar[str] = "angle"

    picks: Int

    def __post_init__(self) -> None:
        object.__setattr__(self, "picks", fields.indices(self.picks, "picks"))

    def verify(self, problem: Problem) -> float:
        """Twice the covering radius of the picks, by the metric. O(n k); O(n^3) where distances were given."""
        distances, ground = distances_of(problem, self.kind), problem.ground
        if not 0 < len(self.picks) < problem.k:
            raise CertificateError(f"k = {problem.k} tokens need 1 to k - 1 picks, got {len(self.picks)}")
        if self.picks.max() >= problem.n or ground.zero_rows[self.picks].any():
            raise CertificateError(f"picks must be tokens with a direction, below n = {problem.n}")
        given = ground.metric == "precomputed"
        if given and not ground.is_metric:
            raise CertificateError("an angle certificate needs a metric, and the given distances are none")
        radius = float(distances[np.ix_(~ground.zero_rows, self.picks)].min(axis=1).max())
        slack = 1e-9 * float(distances.max()) if given else 0.0  # what is_metric lets pass
        return angle_bound(radius, ground.metric) + slack
