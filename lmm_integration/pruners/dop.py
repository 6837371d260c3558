"""DOP: visual tokens take part in the shallower layers only, to a depth chosen for attention and for the MLPs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, get_args

from lmm_integration.operation_flops import AttnPrune
from lmm_integration.pruners.divprune import DivPrune
from lmm_integration.pruners.method import Method
from lmm_integration.tokens import Choice, InputPruner, VisualTokens
from mmdp.depth_policy import DepthPolicy


@dataclass(frozen=True, kw_only=True)
class DOP(Method):
    r"""Depth-wise operation pruning :cite:p:`liu2025operation`.

    Three integers (D_A, D_P, n_v): n_v visual tokens enter, chosen by any pruner of the input; they take part in the
    attention of layers 0 .. D_A - 1 and in the MLPs of layers 0 .. D_P - 1, and the residual passes them through the rest.
    Text always runs. Published are the three integers, the divergence that chooses them (`lmm_integration.calibration`)
    and that deeper operations go first; the rest, the reading of pruned attention above all, is **derived**, and so is the
    default policy, since the published ones are not known.

    Parameters
    ----------
    policy : a `DepthPolicy`, whose `tokens` are for `keep`, or the pair (D_A, D_P). None is 20 of 32 layers of attention
        and 16 of 32 of the MLP at the depth of the model: with 640 of 2880 tokens that is the published cut of 86 % of
        the operations.
    reducer : chooses the tokens that enter; `keep` is its budget.
    attn_prune : "qkv": behind D_A visual tokens are neither asked nor asking, and leave the sequence and the cache.
        "q": they no longer ask, the text still reads them.
    order, position_policy : left alone here; they belong to the reducer.

    Examples
    --------
    >>> DOP().depths(32), DOP().depths(8), DOP(policy=(3, 2)).depths(8)
    ((20, 16), (5, 4), (3, 2))
    """

    title: ClassVar[str] = "DOP (derived)"
    source: ClassVar[str] = "liu2025operation"
    does: ClassVar[str] = "derived: diverse tokens that skip attention and MLPs of deeper layers"
    published: ClassVar[tuple[int, int, int]] = (20, 16, 32)  # D_A, D_P, layers of the model

    policy: DepthPolicy | tuple[int, int] | None = None
    reducer: InputPruner = field(default_factory=DivPrune)
    attn_prune: AttnPrune = "qkv"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("attn_prune", get_args(AttnPrune))
        if (self.order, self.position_policy) != ("raster", "repack"):
            raise ValueError(
                "order and position_policy of DOP are those of its reducer: DOP(reducer=DivPrune(order=...))"
            )
        if not callable(getattr(self.reducer, "select", None)):
            raise TypeError(f"the reducer of DOP must be a pruner of the input, got {self.reducer!r}")
        pair = isinstance(self.policy, tuple) and len(self.policy) == 2
        if not (self.policy is None or pair or isinstance(self.policy, DepthPolicy)):
            raise TypeError(f"policy must be a DepthPolicy or a pair (D_A, D_P), got {self.policy!r}")

    def depths(self, layers: int) -> tuple[int, int]:
        """(D_A, D_P) in a decoder of that many layers."""
        if isinstance(self.policy, DepthPolicy):
            return self.policy.attention_depth, self.policy.mlp_depth
        if self.policy is not None:
            return self.policy
        attention, mlp, of = self.published
        return round(attention * layers / of), round(mlp * layers / of)

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """What the reducer chooses."""
        return list(self.reducer.select(tokens, k))
