"""From a meter and a budget to a policy, its measured divergence, and how far the sum of the curves is to be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lmm_integration.calibration.curves import Calibration, calibrate, check_budget
from lmm_integration.calibration.meter import Meter, OnPoint
from lmm_integration.calibration.points import Point, depth_grid, token_grid
from lmm_integration.calibration.report import rank_correlation, some_policies, summed
from mmdp.depth_policy import DepthPolicy


@dataclass(frozen=True)
class Chosen:
    """A policy, and what was measured of it.

    Attributes
    ----------
    policy : `policy.loss` is the summed divergence.
    joint : its measured divergence.
    rank_correlation : Spearman's, summed against measured divergence of `checked` policies drawn from all; NaN for
        fewer than two.
    """

    policy: DepthPolicy
    calibration: Calibration
    joint: float
    rank_correlation: float
    checked: int

    @property
    def found(self) -> dict[str, Any]:
        """What was measured, plain JSON values."""
        ranks = self.rank_correlation
        return {
            "joint": self.joint if math.isfinite(self.joint) else None,
            "rank_correlation": ranks if math.isfinite(ranks) else None,
            "checked": self.checked,
        }


def choose(
    meter: Meter,
    budget: float,
    *,
    grid: tuple[int, int, int] = (9, 9, 8),
    check: int = 10,
    seed: int = 0,
    on_point: OnPoint | None = None,
) -> Chosen:
    """Measure the curves, choose the policy for a share of the dense FLOPs, measure it and some others.

    Parameters
    ----------
    grid : points of the three curves: attention depths, MLP depths, token counts.
    check : policies drawn to correlate summed with measured divergence on, 0 for none.
    seed : of the draw.
    on_point : as in `Meter.measure`.

    Raises
    ------
    ValueError : a budget that is no share, or below the share of the text.
    """
    counts = token_grid(meter.full_tokens, grid[2])
    check_budget(budget, meter.shape, meter.sizes, min(counts) / meter.full_tokens, meter.attn_prune)
    calibration = calibrate(
        meter,
        attention=depth_grid(meter.layers, grid[0]),
        mlp=depth_grid(meter.layers, grid[1]),
        tokens=counts,
        on_point=on_point,
    )
    policy = calibration.policy(budget)
    here = Point(policy.attention_depth, policy.mlp_depth, policy.tokens)
    drawn = some_policies(calibration, check, seed)
    measured = meter.measure([here, *drawn], on_point)
    known = [point for point in drawn if math.isfinite(measured[point])]
    return Chosen(
        policy=policy,
        calibration=calibration,
        joint=measured[here],
        rank_correlation=rank_correlation(summed(calibration, known), [measured[point] for point in known]),
        checked=len(known),
    )
