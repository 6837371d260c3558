"""A provider of relevance by the name that a command line takes."""

from __future__ import annotations

from typing import Any

from lmm_integration.quiet import without_bars
from lmm_integration.relevance.clip import ClipRelevance
from lmm_integration.relevance.embeddings import EmbeddingRelevance
from lmm_integration.relevance.siglip import SiglipRelevance

EMBEDDINGS = "llm"
TOWERS: dict[str, type[ClipRelevance] | type[SiglipRelevance]] = {"clip": ClipRelevance, "siglip": SiglipRelevance}


def relevance_named(name: str) -> Any:
    """The provider that `name` stands for, with its default options.

    Parameters
    ----------
    name : `"llm"` for the language model's own embeddings of the question; or a CLIP or SigLIP checkpoint, an id or a
        folder, told apart by its config.

    Raises
    ------
    ValueError : no checkpoint that can be read, or one of another kind.

    >>> relevance_named("llm")
    EmbeddingRelevance(sign=1, mean='embeddings')
    """
    if name == EMBEDDINGS:
        return EmbeddingRelevance()
    from transformers import AutoConfig

    try:
        kind = AutoConfig.from_pretrained(name).model_type
        if kind in TOWERS:
            with without_bars(name):
                return TOWERS[kind].from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"cannot read the relevance tower {name!r}: {first[0]}") from error
    raise ValueError(
        f"a relevance tower must be a {' or '.join(TOWERS)} checkpoint or {EMBEDDINGS!r}, {name!r} is {kind}"
    )
