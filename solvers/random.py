"""A uniformly random set: the floor every method must clear."""

from __future__ import annotations

import numpy as np

from mmdp import Problem
from solvers.answer import Answer, Request


def run(problem: Problem, request: Request) -> Answer:
    """k tokens drawn uniformly without replacement, in the order drawn; the seed decides.

    Every prefix is itself uniformly random, so the answers for one seed are nested over k.

    >>> from mmdp import MaxMinDiversity
    >>> problem = MaxMinDiversity.from_features([[1, 0], [0, 1], [1, 1]], k=2)
    >>> len(run(problem, Request(seed=3)).indices)
    2
    """
    return Answer(np.random.default_rng(request.seed).permutation(problem.n)[: problem.k])
