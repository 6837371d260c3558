"""On a model small enough to measure every policy: what the sum of three curves costs, and what depth-wise pruning does."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from lmm_integration.calibration.curves import Calibration
from lmm_integration.calibration.meter import Meter, OnPoint
from lmm_integration.calibration.points import Point, canonical, every_point
from lmm_integration.calibration.single_operations import ATTENTION, MLP, OperationMeter
from mmdp.depth_policy import DepthPolicy, DepthPolicyProblem
from solvers.depth_policy import solve_depth_policy


@dataclass(frozen=True)
class OneByOne:
    """Operations chosen without the rule that deeper ones go first.

    Attributes
    ----------
    runs : (L, 2) bool, what runs: the attention and the MLP of every layer.
    tokens : visual tokens that enter.
    joint : divergence, measured.
    """

    runs: npt.NDArray[np.bool_]
    tokens: int
    joint: float


@dataclass(frozen=True)
class SearchReport:
    """Where the divergence of a chosen policy comes from, in nats; everything within the same budget.

    Attributes
    ----------
    chosen : of least summed divergence, `chosen.loss`; `chosen_joint` is what it really has.
    best : of least joint divergence, by enumeration of all policies, `best.loss`.
    additive_error : chosen_joint - chosen.loss, what the sum did not see in the chosen policy.
    additive_regret : chosen_joint - best.loss >= 0, what choosing by the sum costs.
    search_gap : summed divergence of the chosen policy minus the least, as OR-Tools proves it: 0 for exact search.
    rank_correlation : Spearman's, summed against joint divergence over all policies; NaN where either is constant.
    knapsack : single operations by a knapsack over what each loses alone, dead ones paid for; None under "q".
    best_set : of least joint divergence among all sets of single operations; None where they were not all measured.
    depth_restriction : best.loss - best_set.joint >= 0, what the rule that deeper operations go first costs.
    """

    chosen: DepthPolicy
    chosen_joint: float
    best: DepthPolicy
    additive_error: float
    additive_regret: float
    search_gap: float
    rank_correlation: float
    knapsack: OneByOne | None = None
    best_set: OneByOne | None = None
    depth_restriction: float | None = None


def search_report(
    meter: Meter,
    calibration: Calibration,
    budget: float,
    *,
    every_set: bool = False,
    on_point: OnPoint | None = None,
) -> SearchReport:
    """Measure every policy over the calibrated token counts, and every operation alone.

    Policies: L (L + 1) / 2 + 1 for each count under "qkv", so for models of a few layers. Their divergences are
    kept in the meter's file, if it has one; those of single operations, 2 L + 2 runs a sample, are measured in each call.

    Parameters
    ----------
    meter, calibration : of the same samples; a full grid of depths leaves interpolation out of the comparison.
    budget : as in `Calibration.policy`.
    every_set : measure all sets of single operations too, up to 4^L for each count: L = 3, hardly more.
    on_point : as in `Meter.measure`, for the policies.
    """
    counts = sorted({*calibration.tokens, calibration.full_tokens})
    additive = calibration.problem(budget, counts)
    points = every_point(meter.layers, counts, meter.attn_prune)
    measured = meter.measure(points, on_point)
    loss = np.full(additive.loss.shape, np.nan)
    for point in points:
        loss[point.attention, point.mlp, counts.index(point.tokens)] = measured[point]
    joint = DepthPolicyProblem.table(loss, additive.cost, additive.allowed, tokens=counts, budget=additive.budget)
    chosen, best = solve_depth_policy(additive), solve_depth_policy(joint)
    chosen_joint = measured[_point(chosen, meter)]
    same = additive.allowed & joint.allowed
    facts = {
        "chosen": chosen,
        "chosen_joint": chosen_joint,
        "best": best,
        "additive_error": chosen_joint - chosen.loss,
        "additive_regret": chosen_joint - best.loss,
        "search_gap": chosen.loss - solve_depth_policy(additive, "cp_sat").loss,
        "rank_correlation": rank_correlation(additive.loss[same], joint.loss[same]),
    }
    if meter.attn_prune != "qkv":
        return SearchReport(**facts)
    single = OperationMeter(meter)
    best_set = _best_set(single, calibration, counts, additive.budget) if every_set else None
    return SearchReport(
        **facts,
        knapsack=_knapsack(single, calibration, counts, additive.budget),
        best_set=best_set,
        depth_restriction=None if best_set is None else best.loss - best_set.joint,
    )


def rank_correlation(summed: npt.ArrayLike, joint: npt.ArrayLike) -> float:
    """Spearman's rank correlation; NaN for fewer than two policies or constant divergences.

    >>> rank_correlation([0.1, 0.5, 0.9], [1.0, 2.0, 3.0]), rank_correlation([0.1, 0.5], [1.0, 1.0])
    (1.0, nan)
    """
    a, b = np.asarray(summed, float), np.asarray(joint, float)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def some_policies(calibration: Calibration, count: int, seed: int = 0) -> list[Point]:
    """`count` different policies drawn from all, to correlate summed with joint divergences on."""
    points = every_point(calibration.shape.layers, calibration.counts, calibration.attn_prune)
    order = np.random.default_rng(seed).permutation(len(points))
    return [points[i] for i in sorted(order[:count].tolist())]


def summed(calibration: Calibration, points: Iterable[Point]) -> list[float]:
    """The sum of the three curves at any policies."""
    problem = calibration.problem(1.0)
    counts = problem.tokens.tolist()
    return [float(problem.loss[point.attention, point.mlp, counts.index(point.tokens)]) for point in points]


def _point(policy: DepthPolicy, meter: Meter) -> Point:
    return canonical(Point(policy.attention_depth, policy.mlp_depth, policy.tokens), meter.layers, meter.attn_prune)


def _knapsack(single: OperationMeter, calibration: Calibration, counts: list[int], budget: float) -> OneByOne:
    """The knapsack with the least sum, over the token counts that the budget can pay."""
    from solvers.exact.depth_policy import knapsack  # late: OR-Tools takes 0.4 s to import

    losses, found = single.alone(calibration.full_tokens), []
    for count in counts:
        fixed, attention, mlp = calibration.costs(count)
        if fixed <= budget:
            runs, lost = knapsack(losses, np.array([attention, mlp]), fixed, budget)
            found.append((lost + float(calibration.token_losses([count])[0]), count, runs))
    _, tokens, runs = min(found, key=lambda one: one[0])
    return OneByOne(runs, tokens, single.divergence(runs, tokens))


def _best_set(single: OperationMeter, calibration: Calibration, counts: list[int], budget: float) -> OneByOne:
    """The least joint divergence among all sets, MLPs that no later attention reads left out."""
    layers = single.meter.layers
    sets = {}
    for bits in itertools.product((False, True), repeat=2 * layers):
        runs = np.array(bits).reshape(layers, 2)
        read = np.append(np.logical_or.accumulate(runs[::-1, ATTENTION])[::-1][1:], False)
        runs[:, MLP] &= read
        sets[runs.tobytes()] = runs
    affordable = [
        (runs, count)
        for count in counts
        for runs in sets.values()
        if (calibration.costs(count) @ [1, runs[:, ATTENTION].sum(), runs[:, MLP].sum()]) <= budget
    ]
    return min((OneByOne(runs, n, single.divergence(runs, n)) for runs, n in affordable), key=lambda one: one.joint)
