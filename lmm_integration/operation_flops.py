"""Work and memory of a prefill in which visual tokens stop taking part at some depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from lmm_integration.flops import DecoderShape

AttnPrune = Literal["qkv", "q"]


class LayerWork(NamedTuple):
    """What one decoder layer computes for `rows` prompts: `queries` on `keys` columns each, `mlp` places in all."""

    rows: int
    queries: int
    keys: int
    mlp: int


class DepthCosts(NamedTuple):
    """FLOPs of one prompt: fixed + D_A attention + D_P mlp, D_P the effective one of `effective_depths`."""

    fixed: int
    attention: int
    mlp: int


@dataclass(frozen=True)
class OperationStats:
    """What the prefill of a call computed, exactly, padding included.

    Attributes
    ----------
    depths : (D_A, D_P) as run, without MLPs that nothing reads.
    text, visual : tokens of all rows.
    work : per decoder layer.
    flops : per decoder layer, all rows.
    kv_bytes : of all layers and rows, in the model's dtype.
    """

    depths: tuple[int, int]
    text: int
    visual: int
    work: tuple[LayerWork, ...]
    flops: tuple[int, ...]
    kv_bytes: int


def attention_flops(shape: DecoderShape, queries: int, keys: int) -> int:
    r"""A(n_q, n_kv) = 4 n_q d a + 4 n_kv d b + 4 n_q n_kv a: two operations for every multiplication, no causal mask.

    d is the width of the states, a of the queries, b of the keys; Q and O run on the queries, K and V on the keys.

    >>> seven_b = DecoderShape(width=4096, mlp=11008, layers=32)
    >>> attention_flops(seven_b, 100, 100) == 8 * 100 * 4096**2 + 4 * 100**2 * 4096
    True
    """
    d, a, b = shape.width, shape.query_width, shape.kv_width
    return 4 * queries * d * a + 4 * keys * d * b + 4 * queries * keys * a


def mlp_flops(shape: DecoderShape, tokens: int) -> int:
    """M(n) = 6 n d m, three matrices of a gated MLP."""
    return 6 * tokens * shape.width * shape.mlp


def layer_flops(shape: DecoderShape, work: LayerWork) -> int:
    """Of one layer, all its rows."""
    return work.rows * attention_flops(shape, work.queries, work.keys) + mlp_flops(shape, work.mlp)


def effective_depths(attention: int, mlp: int, layers: int, attn_prune: AttnPrune) -> tuple[int, int]:
    """(D_A, D_P) without the MLPs that nothing reads.

    Behind the last attention that reads visual tokens their states are dead: layer D_A - 1 under "qkv", L - 1 under "q",
    where keys and values stay readable. So D_P <= max(D_A - 1, 0), respectively D_P <= L - 1, changes no answer of the
    text. The unpruned model (L, L) stays what it is.

    >>> effective_depths(20, 32, 32, "qkv"), effective_depths(20, 32, 32, "q"), effective_depths(32, 32, 32, "qkv")
    ((20, 19), (20, 31), (32, 32))
    """
    if attention == mlp == layers:
        return layers, layers
    return attention, min(mlp, max(attention - 1, 0) if attn_prune == "qkv" else layers - 1)


def depth_costs(shape: DecoderShape, text: int, visual: int, attn_prune: AttnPrune = "qkv") -> DepthCosts:
    """The cost of a depth policy, C = C_text + D_A dA + D_P dM, in exact FLOPs :cite:p:`liu2025operation`.

    dA = A(t + v, t + v) - A(t, t) under "qkv", which leaves the text alone behind D_A. Under "q" the keys and values of
    visual tokens are paid at every depth, and dA = A(t + v, t + v) - A(t, t + v). dM = M(v).

    >>> fixed, attention, mlp = depth_costs(DecoderShape(width=4096, mlp=11008, layers=32), text=100, visual=640)
    >>> round((fixed + 20 * attention + 16 * mlp) / 1e12, 2)
    5.96
    """
    everything = attention_flops(shape, text + visual, text + visual)
    least = attention_flops(shape, text, text + visual if attn_prune == "q" else text)
    return DepthCosts(
        fixed=shape.layers * (least + mlp_flops(shape, text)),
        attention=everything - least,
        mlp=mlp_flops(shape, visual),
    )


def depth_work(
    depths: tuple[int, int], layers: int, attn_prune: AttnPrune, *, rows: int, columns: int, text: int, text_places: int
) -> tuple[LayerWork, ...]:
    """What every layer computes for a batch.

    Parameters
    ----------
    depths : effective ones.
    rows, columns : of the prompt as it enters, padding included.
    text : columns that the text of the rows takes, the longest of them.
    text_places : text tokens of all rows together.
    """
    attention, mlp = depths
    work = []
    for layer in range(layers):
        if layer >= attention and attn_prune == "qkv":  # the others are gone
            work.append(LayerWork(rows, text, text, rows * text))
            continue
        places = rows * columns if layer < mlp else text_places
        work.append(LayerWork(rows, columns if layer < attention else text, columns, places))
    return tuple(work)
