"""The question that belongs to every row of the batch, for methods that read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def questions(
    text: str | Sequence[str] | None,
    processor: Any,
    ids: Tensor,
    placeholders: Sequence[int],
    mask: Tensor | None,
    who: object,
) -> list[str]:
    """One question per row: `text` as given, or else what the processor reads behind the last image of the row.

    Raises
    ------
    ValueError : neither is given, or not one text per row.
    """
    rows = len(ids)
    if text is not None:
        texts = [text] * rows if isinstance(text, str) else list(text)
        if len(texts) != rows:
            raise ValueError(f"text must be one string, or one for each of the {rows} rows, got {len(texts)}")
        return texts
    if processor is None:
        name = type(who).__name__
        raise ValueError(
            f"{name} needs the question: pass text='...', or the processor that can read it off the prompt"
        )
    tokenizer = getattr(processor, "tokenizer", processor)
    return [
        tokenizer.decode(
            _behind_the_images(row, placeholders, None if mask is None else mask[i]), skip_special_tokens=True
        )
        for i, row in enumerate(ids)
    ]


def question_ids(
    text: str | Sequence[str] | None, processor: Any, ids: Tensor, placeholders: Sequence[int], mask: Tensor | None
) -> list[Tensor]:
    """The question of every row as int64 token ids: `text` by the processor's tokenizer, where both are given, or else
    what stands behind the last image of the row, as it is.
    """
    if text is not None and processor is not None:
        texts = [text] * len(ids) if isinstance(text, str) else list(text)
        tokenizer = getattr(processor, "tokenizer", processor)
        return [torch.tensor(tokenizer(t, add_special_tokens=False)["input_ids"], dtype=torch.int64) for t in texts]
    rows = (_behind_the_images(row, placeholders, None if mask is None else mask[i]) for i, row in enumerate(ids))
    return [torch.tensor(row, dtype=torch.int64) for row in rows]


def embedded_questions(
    model: Any,
    text: str | Sequence[str] | None,
    processor: Any,
    ids: Tensor,
    placeholders: Sequence[int],
    mask: Tensor | None,
) -> list[Tensor]:
    """The question of every row as the language model reads it, (t, d); see `question_ids`."""
    embed = model.get_input_embeddings()
    words = question_ids(text, processor, ids, placeholders, mask)
    return [embed(row.to(ids.device)).detach() for row in words]


def _behind_the_images(row: Tensor, placeholders: Sequence[int], mask: Tensor | None) -> list[int]:
    places = torch.isin(row, row.new_tensor(placeholders)).nonzero().flatten()
    start = int(places[-1]) + 1 if len(places) else 0
    tail = row[start:]
    return (tail if mask is None else tail[mask[start:].bool()]).tolist()
