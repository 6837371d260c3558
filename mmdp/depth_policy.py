"""How deep visual tokens are worth processing: the allocation problem behind depth-wise operation pruning (DOP)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mmdp.checks import Bool, Float, Int, as_numbers, as_real

Pruned = Literal["qkv", "q"]


@dataclass(frozen=True)
class DepthPolicy:
    """Visual tokens take part in attention in layers 0 .. attention_depth - 1, in the MLP in layers 0 .. mlp_depth - 1.

    Attributes
    ----------
    attention_depth, mlp_depth : 0 .. L.
    tokens : how many visual tokens enter the language model.
    loss : what the problem says the policy loses, a divergence in nats.
    cost : what it costs, in the units of the problem (FLOPs).
    dense_cost : what the unpruned model costs.
    """

    attention_depth: int
    mlp_depth: int
    tokens: int
    loss: float
    cost: float
    dense_cost: float

    def __post_init__(self) -> None:
        for name in ("attention_depth", "mlp_depth", "tokens"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} must be a whole number >= 0, got {value!r}")

    @property
    def share(self) -> float:
        """Of the dense cost."""
        return self.cost / self.dense_cost


@dataclass(frozen=True, eq=False)
class DepthPolicyProblem:
    """min loss[a, p, b] subject to cost[a, p, b] <= budget, over depths a, p in 0 .. L and token counts b.

    Cells that are the same function as another one are given once: `allowed` marks the canonical ones. After the last
    attention that reads a visual token (layer a - 1, or layer L - 1 where its keys and values stay readable) the MLP
    on it is dead code, so p <= max(a - 1, 0), respectively p <= L - 1, and the last such p loses nothing.

    Attributes
    ----------
    loss, cost : (L + 1, L + 1, B).
    allowed : (L + 1, L + 1, B), the canonical cells with a known loss.
    tokens : (B,) token counts, ascending, the last one unpruned.
    budget : of the cost.
    """

    loss: Float
    cost: Float
    allowed: Bool
    tokens: Int
    budget: float

    @property
    def dense_cost(self) -> float:
        """Of the unpruned model: every layer, all tokens."""
        return float(self.cost[-1, -1, -1])

    @classmethod
    def additive(
        cls,
        attention_loss: Any,
        mlp_loss: Any,
        token_loss: Any,
        *,
        tokens: Sequence[int],
        attention_cost: Any,
        mlp_cost: Any,
        fixed_cost: Any,
        budget: float,
        pruned: Pruned = "qkv",
    ) -> DepthPolicyProblem:
        """The loss of a policy as the sum of three losses, each measured with the other two parameters at their full value.

        Parameters
        ----------
        attention_loss, mlp_loss : (L + 1,) divergence of the output when only that depth is d = 0 .. L; 0 at L. Entries
            that are not finite leave their cells out. Grid points in between are for `interpolated`.
        token_loss : (B,) the same for the token counts; 0 at the last one.
        tokens : (B,) ascending, >= 0.
        attention_cost, mlp_cost : (B,) cost of one layer on that many visual tokens.
        fixed_cost : (B,) or a number: what runs whatever the depths are (the text; keys and values where only the
            query side is pruned).
        budget : of the whole cost.
        pruned : "qkv" takes visual tokens out of attention altogether, so that nothing reads them below; "q" only stops
            them from asking, their keys and values stay.

        Raises
        ------
        ValueError : lengths that do not fit, costs below 0, a budget below the fixed cost.

        Examples
        --------
        >>> problem = DepthPolicyProblem.additive(
        ...     [2.0, 0.5, 0.0], [1.0, 0.2, 0.0], [3.0, 0.0], tokens=[0, 10],
        ...     attention_cost=[0, 4], mlp_cost=[0, 6], fixed_cost=1, budget=12)
        >>> problem.loss[2, 1, 1], problem.cost[2, 1, 1]  # the last MLP is dead code: nothing lost
        (np.float64(0.0), np.float64(15.0))
        """
        if pruned not in ("qkv", "q"):
            raise ValueError(f"pruned must be qkv or q, got {pruned!r}")
        alpha, beta = _curve(attention_loss, "attention_loss"), _curve(mlp_loss, "mlp_loss")
        gamma, counts = _curve(token_loss, "token_loss"), np.asarray(tokens)
        L, B = len(alpha) - 1, len(gamma)
        if L < 1 or len(beta) != L + 1:
            raise ValueError(f"the two depth losses need one entry per depth 0 .. L, got {len(alpha)} and {len(beta)}")
        if counts.shape != (B,) or counts.dtype.kind not in "iu" or (np.diff(counts) <= 0).any() or counts.min() < 0:
            raise ValueError(f"tokens must be {B} ascending whole numbers >= 0, one per token loss, got {list(tokens)}")
        per_attention, per_mlp, fixed = (
            _costs(values, name, B)
            for values, name in (
                (attention_cost, "attention_cost"), (mlp_cost, "mlp_cost"), (fixed_cost, "fixed_cost"),
            )
        )  # fmt: skip
        a, p = np.arange(L + 1)[:, None, None], np.arange(L + 1)[None, :, None]
        last = np.maximum(a - 1, 0) if pruned == "qkv" else np.full_like(a, L - 1)
        lost_in_mlp = np.where(p >= last, 0.0, beta[None, :, None])
        loss = alpha[:, None, None] + lost_in_mlp + gamma
        cost = fixed + a * per_attention + np.minimum(p, last) * per_mlp
        cost[-1, -1, -1] = fixed[-1] + L * (per_attention[-1] + per_mlp[-1])  # unpruned, its dead MLP runs
        allowed = (p <= last) & np.isfinite(loss)
        return cls.table(loss, cost, allowed, tokens=tokens, budget=budget)

    @classmethod
    def table(
        cls, loss: Any, cost: Any, allowed: Any = True, *, tokens: Sequence[int], budget: float
    ) -> DepthPolicyProblem:
        """The loss of every cell measured by itself: what an additive loss approximates.

        Raises
        ------
        ValueError : shapes that do not fit; no allowed cell within the budget.
        """
        losses, costs = as_numbers(loss, "loss", (3,)), as_real(cost, "cost", (3,))
        if losses.shape != costs.shape or losses.shape[0] != losses.shape[1] or losses.shape[2] != len(tokens):
            raise ValueError(f"loss and cost must be (L + 1, L + 1, {len(tokens)}), got {losses.shape}, {costs.shape}")
        if math.isnan(budget):
            raise ValueError(f"budget must be a number, got {budget}")
        mask = np.broadcast_to(np.asarray(allowed, dtype=bool), losses.shape) & np.isfinite(losses)
        if not mask.any():
            raise ValueError("no policy has a finite loss")
        least = float(costs[mask].min())
        if budget < least:
            raise ValueError(f"budget must be at least {least:.6g}, what the cheapest policy costs, got {budget:.6g}")
        return cls(losses.astype(np.float64), costs.astype(np.float64), mask, np.asarray(tokens, np.int64), budget)

    def policy(self, a: int, p: int, b: int) -> DepthPolicy:
        """The policy of a cell. Without visual tokens both depths are 0."""
        tokens = int(self.tokens[b])
        depths = (a, p) if tokens else (0, 0)
        return DepthPolicy(*depths, tokens, float(self.loss[a, p, b]), float(self.cost[a, p, b]), self.dense_cost)


def interpolated(sampled: Mapping[int, float], depth: int) -> Float:
    """(depth + 1,) losses at 0 .. depth, linear between the sampled ones; tiny negative divergences become 0.

    Parameters
    ----------
    sampled : depth -> loss; `depth` itself loses 0 and need not be given. Non-finite ones are dropped with a warning.
    depth : L.

    Raises
    ------
    ValueError : no finite loss at depth 0, without which the curve would be extrapolated; a depth outside 0 .. L.

    Examples
    --------
    >>> interpolated({0: 4.0, 2: 1.0}, 4)
    array([4. , 2.5, 1. , 0.5, 0. ])
    """
    known = {depth: 0.0}
    for d, loss in sampled.items():
        if not 0 <= d <= depth:
            raise ValueError(f"sampled depths must be between 0 and {depth}, got {d}")
        if not math.isfinite(loss):
            warnings.warn(f"the loss at depth {d} is {loss}: left out", stacklevel=2)
        elif d < depth:
            known[d] = max(loss, 0.0)
    if 0 not in known:
        raise ValueError("a finite loss at depth 0 is needed, got none")
    at = sorted(known)
    return np.interp(np.arange(depth + 1), at, [known[d] for d in at])


def _curve(values: Any, name: str) -> Float:
    """Losses; whatever is not finite becomes inf, tiny negative divergences 0."""
    array = as_numbers(values, name, (1,)).astype(np.float64)
    return np.where(np.isfinite(array), np.maximum(array, 0.0), np.inf)


def _costs(values: Any, name: str, count: int) -> Float:
    array = as_real(values, name, (0, 1)).astype(np.float64)
    if array.ndim and len(array) != count:
        raise ValueError(f"{name} must have one entry per token count, got {len(array)} for {count}")
    if array.min() < 0:
        raise ValueError(f"{name} must be >= 0, got {array.min()}")
    return np.broadcast_to(array, (count,))
