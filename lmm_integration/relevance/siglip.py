"""Relevance by the text tower of SigLIP, for models that see through its vision tower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lmm_integration.relevance.provider import check_sign, cut


@dataclass(frozen=True, kw_only=True, eq=False)
class SiglipRelevance:
    r"""cos(H(LN(h_i)), t): patches and question in the space of SigLIP :cite:p:`zhang2025cdpruner`.

    SigLIP has neither a class token nor projections: its image vector comes from a head H that pools all patches by
    attention, its text vector t from the last token. Here every patch goes through H alone, where the attention is 1, so
    that H is its value projection and its MLP; LN is the tower's `post_layernorm`. The checkpoint is that of the vision
    tower, `google/siglip-so400m-patch14-384` for LLaVA-OneVision. Which of the two readings of a patch tells objects from
    background better has not been measured; CDPruner was published for CLIP.

    Parameters
    ----------
    siglip : a `SiglipModel`.
    tokenizer : its tokenizer.
    sign : +1, the higher cosine is the more relevant.
    head : False compares LN(h_i) itself, for towers without a head too.
    """

    siglip: Any
    tokenizer: Any
    sign: int = 1
    head: bool = True

    def __post_init__(self) -> None:
        if not all(hasattr(self.siglip, part) for part in ("text_model", "vision_model")):
            raise TypeError(f"siglip must be a SiglipModel with both towers, got {type(self.siglip).__name__}")
        if self.head and getattr(self._tower, "head", None) is None:
            raise ValueError("this SigLIP tower has no pooling head; head=False compares the patches themselves")
        check_sign(self.sign)

    @classmethod
    def from_pretrained(cls, name: str = "google/siglip-so400m-patch14-384", **options: Any) -> SiglipRelevance:
        """The towers of a checkpoint; `options` as above."""
        from transformers import AutoTokenizer, SiglipModel

        return cls(
            siglip=SiglipModel.from_pretrained(name).eval(), tokenizer=AutoTokenizer.from_pretrained(name), **options
        )

    @torch.no_grad()
    def __call__(self, patches: Tensor, text: str) -> Tensor:
        """(crops, n) float32 cosines, mean over the pieces of the question."""
        norm = self._tower.post_layernorm
        if patches.shape[-1] != len(norm.weight):
            raise ValueError(f"the relevance tower takes patches of width {len(norm.weight)}, got {patches.shape[-1]}")
        states = norm(patches.to(norm.weight.device, norm.weight.dtype))
        if self.head:
            states = self._tower.head(states.flatten(0, 1)[:, None]).view(*states.shape[:2], -1)
        said = self.text_embeddings(text)
        if states.shape[-1] != said.shape[-1]:
            raise ValueError(f"patches of width {states.shape[-1]} do not share a space with text of {said.shape[-1]}")
        return (normalize(states.float(), dim=-1) @ said.T).mean(-1)

    @torch.no_grad()
    def text_embeddings(self, text: str) -> Tensor:
        """(pieces, d) float32 unit vectors."""
        device = self._tower.post_layernorm.weight.device
        return normalize(self._text(input_ids=self.pieces(text).to(device)).pooler_output.float(), dim=-1)

    def pieces(self, text: str) -> Tensor:
        """(pieces, length) token ids: each piece with its end token, padded to the length that SigLIP was trained with.

        Its text vector is read at the last place, padding or not, so the padding belongs to the text and no mask does.
        """
        longest = self.siglip.config.text_config.max_position_embeddings
        end, pad = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        words = self.tokenizer(text, add_special_tokens=False).input_ids
        rows = [[*piece, end] for piece in cut(words, longest - 1)]
        return torch.tensor([row + [pad] * (longest - len(row)) for row in rows])

    @property
    def _tower(self) -> Any:
        return self.siglip.vision_model

    @property
    def _text(self) -> Any:
        return self.siglip.text_model
