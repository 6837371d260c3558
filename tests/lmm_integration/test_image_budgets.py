"""One budget over several images: exact against enumeration, and the limits that the derivation promises."""

import itertools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lmm_integration.image_budgets import (  # noqa: E402
    allocate,
    diversity_between,
    diversity_within,
    first_stage_total,
)


def log_utility(weights, budgets):
    return sum(w * (math.log(b) if b else -math.inf) for w, b in zip(weights, budgets, strict=True) if w)


@pytest.mark.parametrize("least", [0, 1, 2])
def test_budgets_maximise_the_weighted_logarithms(least):
    rng = np.random.default_rng(0)
    for _ in range(30):
        sizes = rng.integers(1, 7, 3).tolist()
        weights = rng.choice([0.0, 0.3, 1.0, 2.5], 3, p=[0.1, 0.3, 0.3, 0.3]).tolist()
        if not any(weights):
            continue
        total = int(rng.integers(1, sum(sizes) + 1))
        floor = min(least, total // 3)
        every = itertools.product(*(range(min(floor, m), m + 1) for m in sizes))
        best = max(log_utility(weights, b) for b in every if sum(b) == total)
        found = allocate(weights, sizes, total, least)
        assert sum(found) == total
        assert all(min(floor, m) <= b <= m for b, m in zip(found, sizes, strict=True))
        assert log_utility(weights, found) == pytest.approx(best, abs=1e-12)


def test_budgets_at_the_edges():
    assert allocate([1.0, 2.0], [5, 5], 0) == [0, 0]
    assert allocate([1.0, 2.0], [5, 5], 10) == [5, 5]
    assert allocate([0.0, 0.0], [2, 6], 4) == [1, 3]  # no diversity anywhere: by size
    assert allocate([1.0] * 3, [9, 9, 9], 2) == [1, 1, 0]  # fewer than one each
    with pytest.raises(ValueError, match=r"between 0 and 10, .* got 11"):
        allocate([1.0, 1.0], [5, 5], 11)
    with pytest.raises(ValueError, match="weights must be >= 0, got -1"):
        allocate([-1.0, 1.0], [5, 5], 3)


def test_diversity_is_the_mean_over_pairs():
    units = torch.nn.functional.normalize(torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    pairs = [1 - float(units[i] @ units[j]) for i in range(7) for j in range(7) if i != j]
    assert diversity_within(units) == pytest.approx(np.mean(pairs), abs=1e-6)
    assert diversity_within(units[:1]) == 0.0
    assert diversity_between([units[0], 3 * units[0]]) == pytest.approx(0.0, abs=1e-6)
    assert diversity_between([units[0]]) == 0.0


def test_who_prunes_depends_on_what_repeats():
    assert first_stage_total([0.3, 0.5], 1.2, 90, 20) == 20  # unrelated images: the first stage does it all
    assert first_stage_total([1.1], 0.0, 90, 20) == 20  # one image
    same = first_stage_total([0.5, 0.5], 0.0, 90, 20)
    assert same == round(90 * (20 / 90) ** (0.5 / 1.5))
    assert first_stage_total([1.05, 1.05], 0.0, 90, 20) == 90  # nothing repeats inside: all to the second stage
    assert first_stage_total([0.5], 0.5, 10, 12) == 10
