"""Selection alone, on tokens like those of photographs and on independent ones: greedy methods notice the difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmm_integration.budget import tokens_to_keep
from lmm_integration.latency.clock import Clock
from lmm_integration.latency.rows import Row
from lmm_integration.latency.summary import spread
from lmm_integration.layer_tokens import LayerTokens, inner_layers
from lmm_integration.tokens import VisualTokens

KINDS = ("photo-like", "i.i.d.")
READABLE = frozenset({"relevance", "text", "text_embeddings", "vision_attention", "attention"})
FEATURES = "daisy"  # of the maps of `mmdp.instances`, one of the middle: effective rank 10 to 17
WORDS = 12


def photo_like(n: int, width: int, row: int) -> np.ndarray:
    """(n, width) float32: patches of photographs in DAISY descriptors, by a Gaussian matrix brought to the model's width.

    Up to 576 tokens are of one photograph, another one in each row of a batch; more are of several below each other.

    Raises
    ------
    ImportError : scikit-image is missing.
    ValueError : more tokens than there are photographs.
    """
    from mmdp.instances import photo_tokens, stacked_photo_tokens
    from mmdp.instances.photos import TOKENS
    from mmdp.instances.pictures import PHOTOS

    if n > TOKENS * len(PHOTOS):
        raise ValueError(f"there are photo tokens for up to {TOKENS * len(PHOTOS)} tokens, got {n}")
    if n <= TOKENS:
        found = photo_tokens(list(PHOTOS)[row % len(PHOTOS)], FEATURES, n).features
    else:
        found = stacked_photo_tokens(-(-n // TOKENS), FEATURES).features[:n]
    if found is None:
        raise ValueError("photo tokens come with features")
    into = np.random.default_rng(row).standard_normal((found.shape[1], width)) / np.sqrt(found.shape[1])
    return np.asarray(found @ into, dtype=np.float32)


def time_selection(
    model: Any, rows: Sequence[Row], n: int, batches: Sequence[int], *, repeats: int, warmup: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Milliseconds of `select` by method, budget, kind of tokens and batch, in turns; and what was left out, and why.

    Parameters
    ----------
    model : gives width, depth, type and device.
    rows : those of the unpruned model are passed over.
    n : tokens of a picture; of LLaVA-NeXT without its newlines, which are no candidates.

    Relevance, attention and words, where a method reads them, are random.
    """
    clock, width = Clock(model.device), model.config.get_text_config().hidden_size
    depth = model.config.get_text_config().num_hidden_layers
    done, skipped = [], []
    for batch in batches:
        calls: dict[tuple[Row, str], Any] = {}
        for kind in KINDS:
            try:
                features = [_features(kind, n, width, i).to(model.device, model.dtype) for i in range(batch)]
            except (ImportError, ValueError) as error:
                skipped.append({"tokens": kind, "batch": batch, "skipped": str(error)})
                continue
            for row in (row for row in rows if row.pruner is not None):
                unread = frozenset(getattr(row.pruner, "requires", frozenset())) - READABLE
                if unread:
                    reason = f"it reads {', '.join(sorted(unread))}, which tokens alone do not have"
                    skipped.append({"method": row.method, "tokens": kind, "batch": batch, "skipped": reason})
                    continue
                budget = tokens_to_keep(row.keep or 1, n)
                if inner_layers(row.pruner, depth):
                    budget = row.pruner.kept(n, budget, depth)[0]
                calls[row, kind] = (
                    row.pruner,
                    _tokens(features, bool(inner_layers(row.pruner, depth))),
                    [budget] * batch,
                )
        taken: dict[tuple[Row, str], list[float]] = {key: [] for key in calls}
        for number in range(warmup + repeats):
            for key, (pruner, tokens, k) in calls.items():
                clock.wait()
                start = clock.mark()
                pruner.select(tokens, k)
                end = clock.mark()
                clock.wait()
                if number >= warmup:
                    taken[key].append(clock.milliseconds(start, end))
        done += [
            {"method": row.method, "keep": row.keep, "tokens": kind, "n": n, "batch": batch} | spread(times)
            for (row, kind), times in taken.items()
        ]
    return done, skipped


def _features(kind: str, n: int, width: int, row: int) -> Tensor:
    if kind == "photo-like":
        return torch.from_numpy(photo_like(n, width, row))
    return torch.randn(n, width, generator=torch.Generator().manual_seed(row))


def _tokens(features: list[Tensor], inside: bool) -> VisualTokens:
    """The features, with everything random beside them."""
    generator = torch.Generator().manual_seed(0)
    n, width = features[0].shape

    def per_token() -> list[Tensor]:
        return [torch.rand(n, generator=generator).to(unit.device) for unit in features]

    side = round(n**0.5)
    grid = [(side, side) if side * side == n else None] * len(features)
    if inside:
        return LayerTokens(features=features, grid=grid, layer=1, attention=per_token())
    words = [torch.randn(WORDS, width, generator=generator).to(unit) for unit in features]
    return VisualTokens(
        features=features,
        grid=grid,
        relevance=per_token(),
        vision_attention=per_token(),
        text=["what is it?"] * len(features),
        text_embeddings=words,
    )
