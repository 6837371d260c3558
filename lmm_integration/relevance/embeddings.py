"""Relevance without a text tower: visual tokens against the words of the question, in the language model's own space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lmm_integration.relevance.provider import Reads, check_sign

Mean = Literal["embeddings", "cosines"]


@dataclass(frozen=True, kw_only=True)
class EmbeddingRelevance:
    r"""cos(v_i, q), v_i the projected tokens and q the mean input embedding of the question :cite:p:`zhang2025cdpruner`.

    What CDPruner does where a model has no text tower, as the Qwen models; its code for them is not released. It needs
    no other checkpoint and serves every model family. Others found it a weak guide: on Qwen2.5-VL plain diversity
    came out ahead.

    Parameters
    ----------
    sign : +1, the higher cosine is the more relevant.
    mean : `"embeddings"`: the cosine with the mean of the words; `"cosines"`: the mean of the cosines with each word, in
        which long embeddings count no more than short ones.

    Notes
    -----
    The words are what stands behind the last image of a row, or the given text by the processor's tokenizer. A row
    without words has relevance 0 everywhere, which `CDPruner` counts as all ones. O(n d + t d).

    Examples
    --------
    >>> tokens, words = torch.eye(2), torch.tensor([[2.0, 0.0], [1.0, 0.0]])
    >>> EmbeddingRelevance()(tokens, words).tolist()
    [1.0, 0.0]
    """

    reads: ClassVar[Reads] = "words"

    sign: int = 1
    mean: Mean = "embeddings"

    def __post_init__(self) -> None:
        check_sign(self.sign)
        if self.mean not in get_args(Mean):
            raise ValueError(f"mean must be one of {', '.join(map(repr, get_args(Mean)))}, got {self.mean!r}")

    @torch.no_grad()
    def __call__(self, tokens: Tensor, words: Tensor) -> Tensor:
        """(n,) float32; ValueError when tokens and words are not of one width."""
        if tokens.shape[-1] != words.shape[-1]:
            raise ValueError(f"tokens and words must have one width, got {tokens.shape[-1]} and {words.shape[-1]}")
        if not len(words):
            return torch.zeros(len(tokens), device=tokens.device)
        said = words.to(tokens.device).float()
        seen = normalize(tokens.float(), dim=-1)
        if self.mean == "embeddings":
            return seen @ normalize(said.mean(0), dim=-1)
        return seen @ normalize(said, dim=-1).mean(0)
