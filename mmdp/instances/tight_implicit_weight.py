"""A worst case of greedy on the explained energy of the rank-1 objective."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import hadamard

from mmdp.instances.instance import Instance
from mmdp.instances.recipes import whole
from mmdp.instances.tight_case import TightCase
from mmdp.objectives import ImplicitWeight

LURE = 1e-4
MOST = 256


def unbiased_bases(k: int) -> TightCase:
    """Greedy between 0.809 (k = 2) and 0.703 (k = 256) of the best explained energy; k a power of two.

    The tokens are k updates along an orthonormal basis e_i, of energy 1, and k - 1 baits along a basis h_j that is
    unbiased to it, (e_i . h_j)^2 = 1 / k (a Hadamard matrix / sqrt k). With keys = values the Gram matrix is G =
    diag(p) (S o S) diag(p), S the matrix of cosines, p = 1 for the e_i and q_j for the baits, so G >= 0 and the
    explained energy F(S) = 1^T G 1 - y^T G y is monotone submodular: greedy reaches 1 - (1 - 1/k)^k of its optimum
    :cite:p:`nemhauser1978analysis`.

    Let R_j be what an e_i still adds once baits 1 .. j - 1 are kept. A bait adds q_j^2 + 2 q_j whatever else is kept
    of its own basis, and takes 2 q_j / k from every e_i. Backwards from R_k = 1, with q_j^2 + 2 q_j = 1.0001 R_j:

        R_j = R_{j+1} + 2 q_j / k,   greedy = sum_j 1.0001 R_j + 1,   optimum = k R_1 (all the e_i).

    The ratio tends to 0.702 and not to 1 - 1/e = 0.632: S is positive semidefinite, so a bait that overlaps all the
    e_i must carry energy of its own (q_j^2), which lies beyond what they explain. Numerical search over all S for k =
    2 and 3 found 0.807 and 0.770; the true worst ratio is not known here.

    Examples
    --------
    >>> round(unbiased_bases(2).ratio, 3), round(unbiased_bases(16).ratio, 3)
    (0.809, 0.713)
    """
    k = whole(k, "k", 2, MOST)
    if k & (k - 1):
        raise ValueError(f"k must be a power of two, got {k}")
    left = [1.0]  # R_k, then R_{k-1} and so on
    sizes: list[float] = []
    for _ in range(k - 1):
        # q^2 + 2 q = c (R + 2 q / k) with c = 1 + LURE: the positive root
        c, half = 1 + LURE, 1 - (1 + LURE) / k
        sizes.append(math.sqrt(half**2 + c * left[-1]) - half)
        left.append(left[-1] + 2 * sizes[-1] / k)
    q = np.array(sizes[::-1])
    U = np.vstack([hadamard(k)[:-1] / math.sqrt(k), np.eye(k)])
    p = np.concatenate([q, np.ones(k)])
    K = np.sqrt(p)[:, None] * U
    instance = Instance(
        name=f"tight/implicit-weight/{k}",
        features=U,
        keys=K[None],
        values=K[None],
        k=k,
        source={"kind": "worst case of greedy on the explained energy: two unbiased bases"},
    )
    total = float((q**2).sum() + k + 2 * q.sum())
    optimum, greedy = k * left[-1], (1 + LURE) * sum(left[1:]) + 1
    return TightCase(
        instance=instance,
        objective=ImplicitWeight.name,
        k=k,
        method="rank1",
        every_start=False,
        optimal=tuple(range(k - 1, 2 * k - 1)),
        optimum=optimum - total,
        greedy=greedy - total,
        ratio=greedy / optimum,
        guarantee=1 - (1 - 1 / k) ** k,
        units="explained energy",
    )
