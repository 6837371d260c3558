"""Fronts of non-dominated points against the definition."""

import numpy as np
import pytest

from lmm_integration.pareto import crowding, min_max, pareto_choice


def literal_fronts(a, b):
    left, fronts = list(range(len(a))), []
    while left:
        beaten = {i for i in left for j in left if a[j] >= a[i] and b[j] >= b[i] and (a[j] > a[i] or b[j] > b[i])}
        fronts.append([i for i in left if i not in beaten])
        left = [i for i in left if i in beaten]
    return fronts


@pytest.mark.parametrize("levels", [3, 1000])
def test_whole_fronts_come_first(levels):
    rng = np.random.default_rng(levels)
    for _ in range(20):
        a, b = rng.integers(0, levels, (2, 15)).astype(float)
        k = 0
        for front in literal_fronts(a, b):
            k += len(front)
            assert sorted(pareto_choice(a, b, k)[-len(front) :].tolist()) == front


def test_a_front_is_cut_where_it_is_crowded():
    a = np.array([0.0, 1.0, 0.5, 0.52, 0.9])
    b = np.array([1.0, 0.0, 0.5, 0.48, 0.1])
    assert pareto_choice(a, b, 2).tolist() == [0, 1]  # the ends
    assert pareto_choice(a, b, 3).tolist() == [0, 1, 2]
    assert np.isinf(crowding(a, b)[[0, 1]]).all()
    assert crowding(np.ones(3), np.ones(3)).tolist() == [np.inf, 0.0, np.inf]


def test_nothing_and_everything():
    a = np.array([1.0, 1.0, 1.0])
    assert pareto_choice(a, a, 0).tolist() == []
    assert pareto_choice(a, a, 3).tolist() == [0, 1, 2]
    assert min_max(np.array([2.0, 2.0])).tolist() == [0.0, 0.0]
    assert min_max(np.array([1.0, 3.0])).tolist() == [0.0, 1.0]
