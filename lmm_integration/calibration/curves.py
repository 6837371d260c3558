"""The three curves of DOP, and the depth policy that their sum chooses for a budget."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lmm_integration.budget import tokens_to_keep
from lmm_integration.calibration.points import Point, axis_points, depth_grid, token_grid
from lmm_integration.flops import DecoderShape
from lmm_integration.operation_flops import AttnPrune, DepthCosts, depth_costs
from mmdp.depth_policy import DepthPolicy, DepthPolicyProblem, interpolated
from solvers.depth_policy import solve_depth_policy

if TYPE_CHECKING:
    from lmm_integration.calibration.meter import Meter, OnPoint

COUNTS = 20  # token counts that a policy may choose from, those between measured ones interpolated
AGREE = 1e-9


@dataclass(frozen=True)
class Calibration:
    """Divergences with one parameter of the policy changed at a time, and what operations cost.

    Attributes
    ----------
    attention, mlp : D -> divergence, with everything else at its full value.
    tokens : n_v -> divergence, likewise.
    full_tokens : n, of the largest sample; n_v tokens stand for the share n_v / n of every sample.
    sizes : per sample (text, visual) tokens.
    shape : of the decoder.
    attn_prune : as in `DOP`.
    settings : what was measured, as `Meter.settings`.
    """

    attention: Mapping[int, float]
    mlp: Mapping[int, float]
    tokens: Mapping[int, float]
    full_tokens: int
    sizes: Sequence[tuple[int, int]]
    shape: DecoderShape
    attn_prune: AttnPrune
    settings: Mapping[str, Any]

    def costs(self, tokens: int) -> npt.NDArray[np.float64]:
        """(fixed, attention, mlp) FLOPs for n_v = `tokens`, mean over the samples; see `depth_costs`."""
        return mean_costs(self.shape, self.sizes, tokens / self.full_tokens, self.attn_prune)

    @property
    def dense_cost(self) -> float:
        """FLOPs of the unpruned prefill, mean over the samples."""
        return self.cost(Point(self.shape.layers, self.shape.layers, self.full_tokens))

    def cost(self, point: Point) -> float:
        """Of any policy, by the model of the paper; MLPs are counted as given, dead or not."""
        costs = DepthCosts(*self.costs(point.tokens))
        return float(costs.fixed + point.attention * costs.attention + point.mlp * costs.mlp)

    def problem(self, budget: float, counts: Sequence[int] | None = None) -> DepthPolicyProblem:
        """min alpha + beta + gamma within a budget, exactly as the method has it.

        Parameters
        ----------
        budget : share of the dense FLOPs, in (0, 1].
        counts : token counts to choose from, ascending to all n; None is 20 from the least measured one on.

        Raises
        ------
        ValueError : a budget outside (0, 1] or below what the text alone costs; counts without n, of which it is a share.
        """
        chosen = self.counts if counts is None else list(counts)
        if not chosen or chosen[-1] != self.full_tokens:
            raise ValueError(f"counts must ascend to all {self.full_tokens} tokens, got {chosen}")
        fixed, attention, mlp = np.array([self.costs(count) for count in chosen]).T
        check_budget(budget, self.shape, self.sizes, min(chosen) / self.full_tokens, self.attn_prune)
        return DepthPolicyProblem.additive(
            interpolated(self.attention, self.shape.layers),
            interpolated(self.mlp, self.shape.layers),
            self.token_losses(chosen),
            tokens=chosen,
            attention_cost=attention,
            mlp_cost=mlp,
            fixed_cost=fixed,
            budget=budget * self.dense_cost,
            pruned=self.attn_prune,
        )

    @property
    def counts(self) -> list[int]:
        """The token counts that a policy may choose from, where no others are named."""
        least = min(self.tokens, default=self.full_tokens)
        return sorted({*token_grid(self.full_tokens, COUNTS, least), *self.tokens})

    def token_losses(self, counts: Sequence[int]) -> npt.NDArray[np.float64]:
        """gamma at any counts, linear between the measured ones; those below the least measured one have no loss: inf."""
        known = {self.full_tokens: 0.0}
        for count, loss in self.tokens.items():
            if not math.isfinite(loss):
                warnings.warn(f"the loss with {count} tokens is {loss}: left out", stacklevel=2)
            elif count < self.full_tokens:
                known[count] = max(loss, 0.0)
        at = sorted(known)
        return np.interp(np.asarray(counts, float), at, [known[count] for count in at], left=np.inf)

    def policy(self, budget: float, counts: Sequence[int] | None = None) -> DepthPolicy:
        """The policy of least summed divergence within a share of the dense FLOPs.

        Every cell is looked at, and OR-Tools proves the same loss once more.

        Raises
        ------
        ValueError : as `problem`.
        """
        problem = self.problem(budget, counts)
        found, proved = (solve_depth_policy(problem, method) for method in ("enumeration", "cp_sat"))
        if abs(found.loss - proved.loss) > AGREE * max(1.0, found.loss):
            raise RuntimeError(f"enumeration finds a loss of {found.loss}, CP-SAT {proved.loss}")
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values; divergences that are not finite become None."""
        facts = asdict(self)
        for name in ("attention", "mlp", "tokens"):
            facts[name] = {str(at): kl if math.isfinite(kl) else None for at, kl in getattr(self, name).items()}
        return facts

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Calibration:
        """The inverse."""
        curves = {
            name: {int(at): math.nan if kl is None else float(kl) for at, kl in facts[name].items()}
            for name in ("attention", "mlp", "tokens")
        }
        sizes = [(int(text), int(visual)) for text, visual in facts["sizes"]]
        return cls(**{**facts, **curves, "sizes": sizes, "shape": DecoderShape(**facts["shape"])})


def mean_costs(
    shape: DecoderShape, sizes: Sequence[tuple[int, int]], share: float, attn_prune: AttnPrune
) -> npt.NDArray[np.float64]:
    """(fixed, attention, mlp) of `depth_costs`, mean over (text, visual) sizes of which that share is kept."""
    return np.mean([depth_costs(shape, t, tokens_to_keep(share, v), attn_prune) for t, v in sizes], axis=0)


def check_budget(
    budget: float, shape: DecoderShape, sizes: Sequence[tuple[int, int]], share: float, attn_prune: AttnPrune
) -> None:
    """ValueError for a budget that is no share of the dense FLOPs, or less than what always runs."""
    if not 0 < budget <= 1:
        raise ValueError(f"budget must be a share of the dense operations in (0, 1], got {budget}")
    least = mean_costs(shape, sizes, share, attn_prune)[0]
    dense = float(mean_costs(shape, sizes, 1.0, attn_prune) @ [1, shape.layers, shape.layers])
    if budget * dense < least:
        raise ValueError(
            f"budget must be at least {least / dense:.4g} of the dense operations, what always runs, got {budget}"
        )


def calibrate(
    meter: Meter,
    *,
    attention: Sequence[int] | None = None,
    mlp: Sequence[int] | None = None,
    tokens: Sequence[int] | None = None,
    on_point: OnPoint | None = None,
) -> Calibration:
    """Measure the three curves of DOP :cite:p:`liu2025operation`: as many runs a sample as the grids have points.

    Parameters
    ----------
    attention, mlp : depths, from 0 on; None is 9 of 0 .. L. Between them losses are interpolated.
    tokens : token counts; None is 8 from n / 32 to n.
    on_point : as in `Meter.measure`.
    """
    n, layers = meter.full_tokens, meter.layers
    depths = [depth_grid(layers) if grid is None else list(grid) for grid in (attention, mlp)]
    counts = token_grid(n) if tokens is None else list(tokens)
    found = meter.measure(axis_points(layers, n, *depths, counts), on_point)
    return Calibration(
        attention={depth: found[Point(depth, layers, n)] for depth in depths[0]},
        mlp={depth: found[Point(layers, depth, n)] for depth in depths[1]},
        tokens={count: found[Point(layers, layers, count)] for count in counts},
        full_tokens=n,
        sizes=meter.sizes,
        shape=meter.shape,
        attn_prune=meter.attn_prune,
        settings=meter.settings,
    )
