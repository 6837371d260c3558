"""Work and memory of a prefill, from the number of tokens in every decoder layer: exactly, and as the papers count."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Style = Literal["exact", "sparsevlm", "divprune"]


@dataclass(frozen=True, kw_only=True)
class DecoderShape:
    """What the work of a decoder with gated MLPs depends on.

    Attributes
    ----------
    width : d, of the hidden states.
    mlp : m, inner width of the MLP.
    layers : L.
    query_width, kv_width : heads times head width of the queries, and of the keys or values; 0 stands for `width`.

    >>> DecoderShape(width=4096, mlp=11008, layers=32).kv_width
    4096
    """

    width: int
    mlp: int
    layers: int
    query_width: int = 0
    kv_width: int = 0

    def __post_init__(self) -> None:
        for name in ("query_width", "kv_width"):
            if getattr(self, name) == 0:
                object.__setattr__(self, name, self.width)
        for name in ("width", "mlp", "layers", "query_width", "kv_width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral):
                raise TypeError(f"{name} must be a whole number, got {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")

    @classmethod
    def of(cls, model: Any) -> DecoderShape:
        """The shape of the language model of `model`, a model of transformers or its config."""
        config = getattr(model, "config", model).get_text_config()
        heads = config.num_attention_heads
        head = getattr(config, "head_dim", None) or config.hidden_size // heads
        return cls(
            width=config.hidden_size,
            mlp=config.intermediate_size,
            layers=config.num_hidden_layers,
            query_width=heads * head,
            kv_width=(getattr(config, "num_key_value_heads", None) or heads) * head,
        )


def prefill_flops(shape: DecoderShape, tokens: int | Sequence[int], style: Style = "exact") -> int:
    r"""Floating-point operations of the decoder layers for one prompt of `tokens`.

    Per layer with n tokens (d width, a query width, b key/value width, m MLP width):

    * ``"exact"``: 4 n d a + 4 n d b + 4 n^2 a + 6 n d m: two operations for every multiplication, three MLP matrices.
      With a = b = d this is 8 n d^2 + 4 n^2 d + 6 n d m, what `torch.utils.flop_counter` counts in eager attention.
    * ``"sparsevlm"``: 4 n d^2 + 2 n^2 d + 3 n d m, multiplications alone; the form of SparseVLM :cite:p:`zhang2025sparsevlm`.
    * ``"divprune"``: 4 n d^2 + 2 n^2 d + 2 n d m, with two of the three MLP matrices; FastV and DivPrune
      :cite:p:`chen2024fastv,alvar2025divprune`. The minus sign printed in DivPrune's paper is a misprint.

    Causal masking is ignored, as in all the papers; embeddings, norms, the head and the vision tower are not counted.

    Parameters
    ----------
    tokens : of the whole prompt, text too: one number for all layers, or one for each layer where tokens are dropped
        inside the model, as `PruneStats.layer_tokens` gives them.

    Raises
    ------
    ValueError, TypeError : negative or fractional tokens, not one per layer, an unknown style.

    Examples
    --------
    >>> seven_b = DecoderShape(width=4096, mlp=11008, layers=32)
    >>> round(prefill_flops(seven_b, 576) / 1e12, 3), round(prefill_flops(seven_b, 576, "sparsevlm") / 1e12, 3)
    (7.634, 3.817)
    """
    if style not in get_args(Style):
        raise ValueError(f"style must be one of {', '.join(get_args(Style))}, got {style!r}")
    return sum(_layer(shape, n, style) for n in _per_layer(shape, tokens))


def kv_bytes(shape: DecoderShape, tokens: int | Sequence[int], bytes_per_number: int = 2) -> int:
    """Bytes of keys and values for one prompt: 2 b n numbers in a layer with n tokens, b the key/value width.

    Parameters
    ----------
    tokens : as in `prefill_flops`.
    bytes_per_number : 2 for float16 and bfloat16.

    >>> kv_bytes(DecoderShape(width=4096, mlp=11008, layers=32), 576) / 2**20
    288.0
    """
    if bytes_per_number < 1:
        raise ValueError(f"bytes_per_number must be >= 1, got {bytes_per_number}")
    return sum(2 * shape.kv_width * n * bytes_per_number for n in _per_layer(shape, tokens))


def _layer(shape: DecoderShape, n: int, style: Style) -> int:
    d, m = shape.width, shape.mlp
    if style == "exact":
        a, b = shape.query_width, shape.kv_width
        return 4 * n * d * (a + b) + 4 * n * n * a + 6 * n * d * m
    return 4 * n * d * d + 2 * n * n * d + (2 if style == "divprune" else 3) * n * d * m


def _per_layer(shape: DecoderShape, tokens: int | Sequence[int]) -> list[int]:
    counts = list(tokens) if isinstance(tokens, Sequence) else [tokens] * shape.layers
    if len(counts) != shape.layers:
        raise ValueError(f"tokens must be one number, or one for each of the {shape.layers} layers, got {len(counts)}")
    for n in counts:
        if isinstance(n, bool) or not isinstance(n, numbers.Integral):
            raise TypeError(f"tokens must be whole numbers, got {n!r}")
        if n < 0:
            raise ValueError(f"tokens must be >= 0, got {n}")
    return [int(n) for n in counts]
