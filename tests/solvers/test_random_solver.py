"""The random set: uniform, decided by the seed, nested over k."""

from collections import Counter
from itertools import combinations

import numpy as np

from mmdp import MaxMinDiversity, check
from solvers import solve
from solvers.answer import Request
from solvers.random import run

PROBLEM = MaxMinDiversity.from_features(np.random.default_rng(0).normal(size=(6, 3)), 2)


def test_the_seed_decides():
    """The same seed gives the same tokens; seeds 0 to 9 give more than one set."""
    first, second = (solve(PROBLEM, "random", seed=4) for _ in range(2))
    check(PROBLEM, first)
    assert first.indices.tolist() == second.indices.tolist()
    assert len({tuple(solve(PROBLEM, "random", seed=seed).kept.tolist()) for seed in range(10)}) > 1


def test_budgets_are_nested():
    """The draw for k is the beginning of the draw for n; k = 0 and k = n are legal."""
    longest = run(PROBLEM.with_k(6), Request(seed=1)).indices.tolist()
    assert sorted(longest) == list(range(6))
    for k in range(7):
        assert run(PROBLEM.with_k(k), Request(seed=1)).indices.tolist() == longest[:k]


def test_sets_and_their_order_are_uniform():
    """3000 draws of 2 from 6: each ordered pair about 100 times (five standard deviations are 49)."""
    counts = Counter(tuple(run(PROBLEM, Request(seed=seed)).indices.tolist()) for seed in range(3000))
    assert len(counts) == 2 * len(list(combinations(range(6), 2)))
    assert all(abs(count - 100) < 49 for count in counts.values())
