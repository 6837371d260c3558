"""Prompts to calibrate on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from lmm_integration.evaluate.accuracy.task import Question


@dataclass(frozen=True)
class Sample:
    """One prompt.

    Attributes
    ----------
    id : unique among the samples.
    inputs : what a processor gives for a batch of one, pictures included.
    text : the question, for reducers that read it.
    """

    id: str
    inputs: Mapping[str, Any]
    text: str | None = None

    def __post_init__(self) -> None:
        if (ids := self.inputs.get("input_ids")) is None or ids.ndim != 2 or len(ids) != 1:
            raise ValueError(f"sample {self.id!r} must hold input_ids of one row")

    def count(self, placeholders: Iterable[int]) -> tuple[int, int]:
        """(text, visual) tokens of the prompt; ValueError where there is nothing to see."""
        ids = self.inputs["input_ids"][0]
        mask = self.inputs.get("attention_mask")
        real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask[0].bool()
        visual = torch.isin(ids, ids.new_tensor(list(placeholders))) & real
        if not visual.any():
            raise ValueError(f"sample {self.id!r} holds no visual tokens to calibrate with")
        return int((real & ~visual).sum()), int(visual.sum())


def samples_of(model: Any, processor: Any, questions: Iterable[Question]) -> list[Sample]:
    """One sample for each question, in the model's own template."""
    from lmm_integration.evaluate.accuracy.batches import with_pictures

    return [Sample(q.id, dict(with_pictures(processor, model, (q,))), q.question) for q in questions]
