"""One budget divided over the images of a sample, by how much there is to see in each."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def diversity_within(units: Tensor) -> float:
    """Mean of 1 - cos over the ordered pairs of (m, d) unit tokens; 0 for fewer than two.

    The sum of all cosines is ||sum_i u_i||^2, so no m x m matrix is needed.
    """
    m = len(units)
    if m < 2:
        return 0.0
    total = units.double().sum(0)
    return 1.0 - (float(total @ total) - m) / (m * (m - 1))


def diversity_between(means: Sequence[Tensor]) -> float:
    """Mean of 1 - cos over the ordered pairs of image means; 0 for one image."""
    if len(means) < 2:
        return 0.0
    rows = [mean.double() / mean.double().norm().clamp(min=1e-12) for mean in means]
    return diversity_within(torch.stack(rows))


def first_stage_total(within: Sequence[float], between: float, tokens: int, total: int) -> int:
    """How many of `tokens` the stage inside the images keeps, `total` <= answer <= tokens.

    With the redundancies R_a = max(0, 1 - mean within) and R_e = max(0, 1 - between), s = R_a / (R_a + R_e) (1 for one
    image or 0/0) and r = total / tokens: round(tokens r^s). Images that repeat each other leave the pruning to the
    second stage, unrelated ones do it all in the first.

    >>> first_stage_total([0.5, 0.5], 0.0, 90, 20)
    55
    """
    if tokens == 0 or total >= tokens:
        return tokens
    inside, across = max(0.0, 1.0 - sum(within) / len(within)), max(0.0, 1.0 - between)
    alone = len(within) == 1 or inside + across == 0.0
    share = 1.0 if alone else inside / (inside + across)
    return min(tokens, max(total, round(tokens * (total / tokens) ** share)))


def allocate(weights: Sequence[float], sizes: Sequence[int], total: int, least: int = 1) -> list[int]:
    """Whole budgets b_i, sum b_i = total, that maximise sum_i w_i log b_i over least <= b_i <= m_i.

    Proportional fairness: without the limits b_i is proportional to w_i. The objective is separable and concave, so
    adding tokens one by one, each where it gains most, is exact; ties go to the lowest index. Where total is too small
    for `least` everywhere, floor(total / images) takes its place. Weights that are all 0 count as the sizes.

    Parameters
    ----------
    weights : w_i >= 0, one per image.
    sizes : m_i, the tokens there are.
    total : 0 <= total <= sum of the sizes.

    Examples
    --------
    >>> allocate([3.0, 1.0], [10, 10], 8), allocate([3.0, 1.0], [4, 10], 8)
    ([6, 2], [4, 4])
    """
    if not 0 <= total <= sum(sizes):
        raise ValueError(f"total must be between 0 and {sum(sizes)}, the tokens of all images, got {total}")
    if min(weights, default=0.0) < 0:
        raise ValueError(f"weights must be >= 0, got {min(weights)}")
    if total == 0:
        return [0] * len(sizes)
    weights = weights if any(weights) else [float(m) for m in sizes]
    floor = min(least, total // len(sizes))
    budgets = [min(floor, m) for m in sizes]
    heap = [(_rank(w, b), i) for i, (w, b, m) in enumerate(zip(weights, budgets, sizes, strict=True)) if b < m]
    heapq.heapify(heap)
    for _ in range(total - sum(budgets)):
        _, i = heapq.heappop(heap)
        budgets[i] += 1
        if budgets[i] < sizes[i]:
            heapq.heappush(heap, (_rank(weights[i], budgets[i]), i))
    return budgets


def _rank(weight: float, budget: int) -> tuple[bool, float]:
    """Ascending in what one more token gains: the first one of an image gains more than any other, log 0 being -inf."""
    if budget == 0:
        return weight == 0.0, -weight
    return True, -weight * math.log1p(1.0 / budget)
