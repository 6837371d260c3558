"""What happens in the attention of one layer when visual tokens are missing, and what IWP reads there."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.accuracy_study.decoder import PackedDecoder, Prompt, Sets
from lmm_integration.decoder.reader import LayerReader
from lmm_integration.layer_tokens import LayerTokens
from mmdp.checks import Float


class LayerView:
    """Queries of the questions, keys and values of everything, in front of a layer with every visual token there."""

    @torch.no_grad()
    def __init__(self, decoder: PackedDecoder, prompt: Prompt, layer: int) -> None:
        states = decoder.states(prompt, layer)
        self.reader = LayerReader(decoder.model.layers[layer])
        self.prompt, self.layer, self.states = prompt, layer, states
        self.turn = decoder.model.rotary_emb(states, prompt.positions[None])
        self.queries, self.keys, self.values = (
            getattr(self.reader, name)(states)[0] for name in ("queries", "keys", "values")
        )

    def _turned(self, heads: Tensor) -> Tensor:
        return self.reader.rotated(heads[None], *self.turn)[0]

    @torch.no_grad()
    def tokens(self) -> LayerTokens:
        """The visual tokens as a pruner inside the model sees them; the text is that of all questions."""
        image, asks = self.prompt.image, self.prompt.asks
        return LayerTokens(
            [self.states[0, image]],
            layer=self.layer,
            keys=[self._turned(self.keys)[:, image]],
            keys_unrotated=[self.keys[:, image]],
            values=[self.values[:, image]],
            query=[self.queries[:, asks].mean(1)],
        )

    @torch.no_grad()
    def errors(self, sets: Sets) -> tuple[Float, Float]:
        """Two (S,) errors of the layer's attention output over all tokens of the questions, relative to its norm.

        With a_qi the attention of token q to token i, S kept, and o_q = W sum_i a_qi v_i:

        * normaliser frozen: || W sum_{i pruned} a_qi v_i ||, what the rank-1 picture of attention says is lost;
        * true: || o_q - W sum_{i left} a_qi v_i / sum_{i left} a_qi ||, softmax over what is left.

        Both are root sums of squares over q. Layers before this one are as they were.
        """
        asks, image = self.prompt.asks, self.prompt.image
        scores = self._turned(self.queries)[:, asks] @ self._turned(self.keys).transpose(1, 2)
        scores = (scores * self.reader.attention.scaling).double()  # what is left may weigh less than 1e-8
        rows = scores.masked_fill(~self.prompt.visible[asks], -torch.inf).softmax(-1)  # (H, R, L)
        values = self.values.double()
        whole = rows @ values
        frozen, true = [], []
        for kept in torch.from_numpy(sets):
            left = torch.ones(rows.shape[-1], dtype=torch.float64)
            left[image] = 0.0
            left[image.start + kept] = 1.0
            stays = (rows * left) @ values
            frozen.append(self._size(whole - stays))
            true.append(self._size(stays / (rows @ left)[..., None] - whole))
        scale = self._size(whole)
        return np.array(frozen) / scale, np.array(true) / scale

    def _size(self, heads: Tensor) -> float:
        """Of (H, R, d_h) behind the output matrix."""
        out: Tensor = self.reader.attention.o_proj(heads.transpose(0, 1).flatten(1).float())
        return float(out.norm())
