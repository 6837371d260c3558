"""How much a visual token has to do with the question. One file per place that relevance can come from."""

from lmm_integration.relevance.clip import ClipRelevance
from lmm_integration.relevance.embeddings import EmbeddingRelevance
from lmm_integration.relevance.named import relevance_named
from lmm_integration.relevance.provider import Relevance, WordRelevance
from lmm_integration.relevance.siglip import SiglipRelevance

__all__ = [
    "ClipRelevance",
    "EmbeddingRelevance",
    "Relevance",
    "SiglipRelevance",
    "WordRelevance",
    "relevance_named",
]
