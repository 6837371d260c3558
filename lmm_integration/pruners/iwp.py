"""IWP: attention as a sum of rank-1 updates; keep the large ones that differ from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from lmm_integration.pruners.backends import door
from lmm_integration.pruners.layer_method import LayerMethod
from lmm_integration.pruners.solving import check_solver, solved
from lmm_integration.tokens import VisualTokens
from mmdp import ImplicitWeight
from mmdp.checks import to_numpy
from mmdp.ground_set import ZERO_NORM
from solvers.rank1.pc_mmr_naive import check_options, progressive_chunks

Query = Literal["text", "last", "image"]
FLOOR = 0.01  # the strongest penalty of one round
HeadNorm = Literal["max", "none", "softmax"]
Heads = Literal["mean", "block"]


@dataclass(frozen=True, kw_only=True)
class IWP(LayerMethod):
    r"""Implicit weight pruning in front of decoder layer 4 :cite:p:`iwp2026`.

    Token i adds dW_i = phi(k_i)^T v_i to the implicit weight of the layer. Its size is, per key/value head h,
    log P_i^h = q^h . k_i^h / sqrt(d) + log ||v_i^h||, q the mean query of the text behind the image, both without rotary
    positions; its redundancy with token j is R_ij = mean_h (S_ij^h)^2,
    S_ij = cos(v_i, v_j) exp(-||k_i - k_j||^2 / (2 sqrt(d))), keys with rotary positions. Progressive chunked MMR takes
    the `chunk` largest P_i, multiplies the others by max(0.01, 1 - strength max_j R_ij) over that chunk, lets the chunk
    grow by `growth`, and repeats. What is kept keeps its position.

    The paper leaves some things open: here heads are averaged for P and R, a key/value head shared by several query heads
    takes their mean query, P is divided by its maximum, and positions are kept.

    Parameters
    ----------
    layer : None is the published 4 (of 28 layers) at the depth of the model.
    solver : `"pcmmr"` as published; or `"greedy"`, `"local_search"`, `"exact"` or another method of `solvers.solve` on
        the energy y^T diag(P) R diag(P) y of the pruned tokens, which is convex with entries >= 0: the greedy keeps
        1 - 1/e of the best explained energy there.
    time_limit : seconds per unit, for solvers other than `"pcmmr"` and `"greedy"`.
    query : whose mean query: `"text"` behind the last image, `"last"` token of the prompt, or `"image"` tokens.
    magnitude_rope, duplication_rope : whether P and R see rotary positions.
    head_norm : how heads are made comparable before they are averaged for P. `"max"`: each divided by its largest
        exp(q . k_i / sqrt(d)) ||v_i||; `"softmax"`: softmax over the tokens times ||v_i||; `"none"`: raw, so that the
        head of the largest logit decides.
    heads : for R: `"mean"`, the squares averaged over heads; or `"block"`, S_ij = G_ij / sqrt(G_ii G_jj) of the summed
        G_ij = sum_h exp(k_i^h . k_j^h / sqrt(d)) v_i^h . v_j^h, the exact form of several heads, in which one head can
        decide.
    square : False puts S itself in place of its square, as the paper's algorithm prints it; opposite updates then raise
        each other's score.
    chunk, growth, strength : of progressive chunked MMR.
    order, position_policy : see `LayerMethod`.

    Raises
    ------
    ValueError : keys, values or queries that are not finite, besides options out of range.

    Notes
    -----
    Time O(H n k (d + d_v)) and memory O(n k) as published; other solvers, `heads="block"` and `square=False` form R,
    O(H n^2 (d + d_v)) and O(n^2). Progressive chunked MMR has no guarantee.

    Examples
    --------
    >>> import torch
    >>> from lmm_integration.layer_tokens import LayerTokens
    >>> far = torch.tensor([[[0.0], [0.0], [9.0]]])
    >>> tokens = LayerTokens(
    ...     [torch.zeros(3, 1)],
    ...     keys=[far],
    ...     keys_unrotated=[torch.zeros(1, 3, 1)],
    ...     values=[torch.tensor([[[1.0], [0.9], [0.5]]])],
    ...     query=[torch.ones(1, 1)],
    ... )
    >>> IWP(chunk=1).select(tokens, [2])[0].tolist()
    [0, 2]
    """

    title: ClassVar[str] = "IWP"
    source: ClassVar[str] = "iwp2026"
    does: ClassVar[str] = "large rank-1 updates of the implicit weight that differ"
    requires: ClassVar[frozenset[str]] = frozenset({"keys_values"})
    published: ClassVar[tuple[int, int]] = (4, 28)

    solver: str = "pcmmr"
    time_limit: float | None = None
    query: Query = "text"
    magnitude_rope: bool = False
    duplication_rope: bool = True
    head_norm: HeadNorm = "max"
    heads: Heads = "mean"
    square: bool = True
    chunk: int = 2
    growth: int = 2
    strength: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_solver(self.solver, self.time_limit)
        self._one_of("query", get_args(Query))
        self._one_of("head_norm", get_args(HeadNorm))
        self._one_of("heads", get_args(Heads))
        check_options(self.chunk, self.growth, self.strength, FLOOR)

    def select(self, tokens: VisualTokens, k: list[int]) -> Sequence[Tensor]:  # type: ignore[override]
        """Per unit k_i tokens."""
        if self.solver == "greedy":
            picks = solved(self.problems(tokens, k), "rank1", None)
        elif self.solver != "pcmmr":
            picks = solved(self.problems(tokens, k), self.solver, self.time_limit)
        else:
            parts = zip(*self._parts(tokens), k, strict=True)
            picks = [self._chunked(p, keys, values, m) for p, keys, values, m in parts]
        return [chosen.sort().values for chosen in picks]

    def problems(self, tokens: VisualTokens, k: list[int]) -> list[ImplicitWeight]:
        """Per unit the optimisation problem on G = diag(P) R diag(P), to solve, bound or check a selection with."""
        return [
            ImplicitWeight.from_gram(p[:, None] * self._redundancy(keys, values) * p, min(m, len(p)))
            for p, keys, values, m in zip(*self._parts(tokens), k, strict=True)
        ]

    def magnitudes(self, tokens: VisualTokens) -> list[np.ndarray]:
        """Per unit (n_i,) float64 P in [0, 1], its maximum 1; all ones where no token has any value."""
        rope = self.magnitude_rope
        keys = self._read(tokens, "keys" if rope else "keys_unrotated")
        queries = self._read(tokens, "query_rotated" if rope else "query")
        return [self._magnitude(*parts) for parts in zip(keys, self._read(tokens, "values"), queries, strict=True)]

    def _parts(self, tokens: VisualTokens) -> tuple[list[np.ndarray], Sequence[Tensor], Sequence[Tensor]]:
        """Per unit P, keys for R, values."""
        keys = self._read(tokens, "keys" if self.duplication_rope else "keys_unrotated")
        return self.magnitudes(tokens), keys, self._read(tokens, "values")

    def _magnitude(self, keys: Tensor, values: Tensor, query: Tensor) -> np.ndarray:
        K, V, q = (part.double().cpu() for part in (keys, values, query))
        for name, part in (("keys", K), ("values", V), ("query", q)):
            if not part.isfinite().all():
                raise ValueError(f"{name} must be finite, got {part[~part.isfinite()][0].item()}")
        heads, n, width = K.shape
        if not n:
            return np.empty(0)
        grouped = q.view(heads, -1, width).mean(1)
        logits = (K @ grouped[..., None])[..., 0] / width**0.5
        sizes = V.norm(dim=-1)
        sizes = torch.where(sizes > ZERO_NORM, sizes, 0.0).log()
        if self.head_norm == "softmax":
            log_p = logits.log_softmax(-1) + sizes
        else:
            log_p = logits + sizes
            if self.head_norm == "max":
                log_p = log_p - log_p.amax(1, keepdim=True).clamp(min=torch.finfo(log_p.dtype).min)
        mean = log_p.logsumexp(0)
        top = mean.max()
        return np.ones(n) if top == -torch.inf else (mean - top).exp().numpy()

    def _chunked(self, p: np.ndarray, keys: Tensor, values: Tensor, k: int) -> Tensor:
        options: dict[str, Any] = {"chunk": self.chunk, "growth": self.growth, "strength": self.strength}
        if self.heads == "mean" and self.square:
            backend, pick = door("pc_mmr", accelerated=keys.device.type != "cpu")
            if backend == "gpu":
                wide = torch.float32 if keys.device.type == "mps" else torch.float64
                weights = torch.as_tensor(p, dtype=wide, device=keys.device)
                on_device: Tensor = pick(weights[None], keys[None], values[None], k, check=True, **options)[0]
                return on_device.cpu()
            return torch.as_tensor(pick(p[None], to_numpy(keys)[None], to_numpy(values)[None], k, **options)[0])
        everything = self._redundancy(keys, values)
        last = (values.double().norm(dim=2) <= ZERO_NORM).all(0).cpu().numpy()
        k = min(k, len(p))
        found, _ = progressive_chunks(p, lambda chunk: everything[:, chunk], k, **options, floor=FLOOR, last=last)
        return torch.as_tensor(found)

    def _redundancy(self, keys: Tensor, values: Tensor) -> np.ndarray:
        """(n, n) R, or S where it is not to be squared."""
        K, V = keys.double().cpu(), values.double().cpu()
        norms = V.norm(dim=2)
        units = torch.where(norms[..., None] > ZERO_NORM, V / norms[..., None].clamp(min=ZERO_NORM), 0.0)
        root = K.shape[2] ** 0.5
        total = torch.zeros(K.shape[1], K.shape[1], dtype=torch.float64)
        if self.heads == "mean":
            for key, unit in zip(K, units, strict=True):
                apart = torch.cdist(key, key, compute_mode="donot_use_mm_for_euclid_dist") ** 2
                similarity = (unit @ unit.T) * torch.exp(-apart / (2 * root))
                total += (similarity**2 if self.square else similarity) / len(K)
            return total.numpy()
        # G_ij / sqrt(G_ii G_jj) head by head in logs: no exponent is above 0, however long the keys are
        log_sizes = torch.where(norms > ZERO_NORM, norms, 0.0).log()
        half = ((K**2).sum(2) / root + 2 * log_sizes).logsumexp(0) / 2
        half = torch.where(half.isfinite(), half, 0.0)
        for key, unit, size in zip(K, units, log_sizes - half, strict=True):
            total += (unit @ unit.T) * torch.exp(key @ key.T / root + size[:, None] + size)
        return (total**2 if self.square else total).numpy()
