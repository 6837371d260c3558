"""A colouring of the far graph: no k tokens are pairwise at distance >= t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mmdp.certificates import fields
from mmdp.certificates.certificate import Certificate, CertificateError
from mmdp.certificates.far_core import core, distances_of, far_pairs
from mmdp.checks import Bool, Int
from mmdp.problem import Problem


@dataclass(frozen=True, eq=False)
class ColouringCertificate(Certificate):
    """Proof that every set of k tokens has two at a distance below `threshold`.

    Join two tokens when they are at distance >= t. A set of k tokens without a closer pair is a clique of this far
    graph, hence lies in its (k-1)-core. Checked is that

    1. every token of the core is in a class, and no two tokens of a class are far apart: a clique meets a class at
       most once;
    2. the triples are disjoint, and no three far tokens come one from each class of a triple: a clique meets those
       three classes together at most twice :cite:p:`sansegundo2015infra`;
    3. there are fewer than k classes, when each triple counts as two.

    Hence no clique has k tokens. Re-colouring leaves no trace: only its result is checked.

    Attributes
    ----------
    threshold : t > 0. One between two distances survives the rounding of another machine.
    classes : (n,) class of each token, 0, 1, ...; -1 for none.
    triples : (q, 3) classes.
    """

    kind: ClassVar[str] = "colouring"

    threshold: float
    classes: Int
    triples: Int

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", fields.number(self.threshold, "threshold"))
        object.__setattr__(self, "classes", fields.indices(self.classes, "classes", least=-1))
        triples = np.asarray(self.triples)
        if triples.ndim != 2 or triples.shape[1] != 3:
            raise ValueError(f"triples must have three columns, got shape {triples.shape}")
        object.__setattr__(self, "triples", fields.indices(triples.ravel(), "triples").reshape(-1, 3))

    def verify(self, problem: Problem) -> float:
        """The largest distance below the threshold. O(n^2), and a product of matrices for each triple."""
        distances = distances_of(problem, self.kind)
        if not self.threshold > 0 or problem.k < 2:
            raise CertificateError(f"threshold and k - 1 must be above 0, got {self.threshold} and {problem.k - 1}")
        broken = self._broken(far_pairs(distances, self.threshold), problem.k)
        if broken:
            raise CertificateError(f"colouring certificate at threshold {self.threshold}: {broken}")
        return float(distances[distances < self.threshold].max())

    def _broken(self, far: Bool, k: int) -> str | None:
        classes, triples = self.classes, self.triples
        if classes.shape != (len(far),):
            return f"{len(classes)} classes do not fit {len(far)} tokens"
        coloured = classes >= 0
        if (core(far, k) & ~coloured).any():
            return "a token of the core has no class"
        if (far & (classes[:, None] == classes[None, :]))[coloured].any():
            return "two tokens of a class are far apart"
        if len(np.unique(triples)) < triples.size or not np.isin(triples, classes).all():
            return "the triples must be disjoint and name classes that exist"
        if any(_far_triangle(far, *(np.flatnonzero(classes == label) for label in triple)) for triple in triples):
            return "three far tokens come from the classes of a triple"
        count = len(np.unique(classes[coloured])) - len(triples)
        return None if count < k else f"it takes {count} classes, not fewer than k = {k}"


def _far_triangle(far: Bool, one: Int, two: Int, three: Int) -> bool:
    """Whether three pairwise far tokens come one from each list."""
    paths = far[np.ix_(one, two)].astype(np.float64) @ far[np.ix_(two, three)].astype(np.float64)
    return bool(((paths > 0) & far[np.ix_(one, three)]).any())
