"""A worst case of greedy MAP for log det."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import hadamard

from mmdp.instances.instance import Instance
from mmdp.instances.tight_case import TightCase
from mmdp.objectives import ConditionalDPP

SIZES = (2, 4, 8)
DECAY, LURE = 0.2, 1e-3


def hadamard_box(k: int) -> TightCase:
    """Greedy MAP loses k log k nats, less a little: 2 k tokens, k in {2, 4, 8}.

    Stretch R^k by s_j = 0.2^j along axis j. The k rows of a Hadamard matrix, stretched, span a volume of k^(k/2) times
    the product of the s_j, the largest for k vectors in the box |x_j| <= s_j. Along every axis lies a bait, longer by a
    factor 1.001 than what is left of any of those rows after the earlier axes; greedy takes all baits and gets, with
    c_j^2 = 1.001^2 sum_{l >= j} s_l^2 / s_j^2 (about 1),

        det(greedy) / det(optimum) = prod_j c_j^2 / k^k.

    Greedy never falls below 1 / (k!)^2 of the best determinant :cite:p:`civril2009selecting`. At k = 2 the two agree
    up to the factor prod c_j^2 = 1.04; at k = 4 and 8 the loss is 85 % and 77 % of what the guarantee allows, in
    nats. Larger k would need a kernel too close to singular for float64.

    Examples
    --------
    >>> case = hadamard_box(4)
    >>> round(case.optimum - case.greedy, 3), round(-math.log(case.guarantee), 3)
    (5.416, 6.356)
    """
    if k not in SIZES:
        raise ValueError(f"k must be one of {', '.join(map(str, SIZES))}, got {k}")
    scale = DECAY ** np.arange(k)
    baits = (1 + LURE) * np.sqrt(np.cumsum(scale[::-1] ** 2)[::-1])
    X = np.vstack([np.diag(baits), hadamard(k) * scale])
    norms = np.linalg.norm(X, axis=1)
    instance = Instance(
        name=f"tight/conditional-dpp/{k}",
        features=X / norms[:, None],
        relevance=norms / norms.max(),
        k=k,
        source={"kind": "worst case of greedy MAP: a Hadamard matrix and baits along the axes"},
    )
    shift = 2 * k * math.log(norms.max())  # the weights are scaled to at most 1
    optimum = k * math.log(k) + 2 * float(np.log(scale).sum()) - shift
    greedy = 2 * float(np.log(baits).sum()) - shift
    return TightCase(
        instance=instance,
        objective=ConditionalDPP.name,
        k=k,
        method="greedy_map",
        every_start=False,
        optimal=tuple(range(k, 2 * k)),
        optimum=optimum,
        greedy=greedy,
        ratio=math.exp(greedy - optimum),
        guarantee=math.factorial(k) ** -2.0,
        units="determinant",
    )
