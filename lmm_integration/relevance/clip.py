"""Relevance by the text tower of CLIP, for models that see through its vision tower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lmm_integration.relevance.provider import check_sign, cut


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipRelevance:
    """cos(W LN(h_i), t): patches and question in the joint space of CLIP :cite:p:`zhang2025cdpruner`.

    The vision tower of a LLaVA has neither the projection W nor a text half; both come from its CLIP checkpoint,
    `openai/clip-vit-large-patch14-336` for LLaVA-1.5. h are the states the projector is given (layer -2), LN is
    CLIP's `post_layernorm`.

    Parameters
    ----------
    clip : a `CLIPModel`.
    tokenizer : its tokenizer.
    sign : -1: with these patches the *lower* cosine is the more relevant, as in the published code.
    reference : a question of more tokens than the text tower takes (77) is cut into pieces, and the cosines are
        averaged. False: every piece gets its own begin and end token. True: the published cut, one begin in the first
        piece and one end in the last, whose other pieces are read at a wrong place; for parity only.
    """

    clip: Any
    tokenizer: Any
    sign: int = -1
    reference: bool = False

    def __post_init__(self) -> None:
        if not all(hasattr(self.clip, part) for part in ("text_model", "visual_projection", "vision_model")):
            raise TypeError(f"clip must be a CLIPModel with both towers, got {type(self.clip).__name__}")
        check_sign(self.sign)

    @classmethod
    def from_pretrained(cls, name: str = "openai/clip-vit-large-patch14-336", **options: Any) -> ClipRelevance:
        """The towers of a checkpoint; `options` as above."""
        from transformers import AutoTokenizer, CLIPModel

        return cls(
            clip=CLIPModel.from_pretrained(name).eval(), tokenizer=AutoTokenizer.from_pretrained(name), **options
        )

    @torch.no_grad()
    def __call__(self, patches: Tensor, text: str) -> Tensor:
        """(crops, n) float32 cosines, mean over the pieces of the question."""
        weight = self.clip.visual_projection.weight
        if patches.shape[-1] != weight.shape[1]:
            raise ValueError(f"the relevance tower takes patches of width {weight.shape[1]}, got {patches.shape[-1]}")
        states = self.clip.vision_model.post_layernorm(patches.to(weight.device, weight.dtype))
        seen = normalize(self.clip.visual_projection(states).float(), dim=-1)
        return (seen @ self.text_embeddings(text).T).mean(-1)

    @torch.no_grad()
    def text_embeddings(self, text: str) -> Tensor:
        """(pieces, d) float32 unit vectors."""
        ids, mask = self.pieces(text)
        device = self.clip.visual_projection.weight.device
        found = self.clip.get_text_features(input_ids=ids.to(device), attention_mask=mask.to(device))
        return normalize(found.pooler_output.float(), dim=-1)

    def pieces(self, text: str) -> tuple[Tensor, Tensor]:
        """(pieces, length) token ids and mask of a question."""
        longest = self.clip.config.text_config.max_position_embeddings
        begin, end = [self.tokenizer.bos_token_id], [self.tokenizer.eos_token_id]
        words = self.tokenizer(text, add_special_tokens=False).input_ids
        whole, pieces = cut(begin + words + end, longest), cut(words, longest - 2)
        rows = whole if self.reference else [begin + piece + end for piece in pieces]
        width = longest if self.reference else max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        return ids, mask
