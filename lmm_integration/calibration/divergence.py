"""KL between the answers of a model and of the pruned model, both led along the full model's answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

OPTIONS = {"do_sample": False, "num_beams": 1, "output_logits": True, "return_dict_in_generate": True}


@dataclass(frozen=True)
class Answer:
    """What a model says.

    Attributes
    ----------
    tokens : (m,) greedy.
    log_probabilities : (m, V) float32, of every next token along the answer.
    """

    tokens: Tensor
    log_probabilities: Tensor


class _Along(LogitsProcessor):  # type: ignore[misc]
    """Allows the tokens of an answer, one after another."""

    def __init__(self, tokens: Tensor) -> None:
        self.tokens, self.step = tokens, 0

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        led = torch.full_like(scores, -torch.inf)
        led[:, self.tokens[self.step]] = 0.0
        self.step += 1
        return led


def answered(model: Any, inputs: Mapping[str, Any], max_new_tokens: int) -> Answer:
    """The greedy answer to a prompt, a batch of one."""
    with torch.no_grad():
        out = model.generate(**inputs, **OPTIONS, max_new_tokens=max_new_tokens)
    return Answer(out.sequences[0, inputs["input_ids"].shape[1] :], _log_softmax(out.logits))


def led_along(model: Any, inputs: Mapping[str, Any], answer: Answer) -> Tensor:
    """(m, V) float32: log probabilities at every position of a given answer, decoded as generation does."""
    along = LogitsProcessorList([_Along(answer.tokens.to(inputs["input_ids"].device))])
    with torch.no_grad():
        out = model.generate(**inputs, **OPTIONS, max_new_tokens=len(answer.tokens), logits_processor=along)
    return _log_softmax(out.logits)


def divergence(full: Tensor, pruned: Tensor) -> float:
    """Mean over positions of KL(p_full || p_pruned) in nats, from (m, V) log probabilities.

    What the full model rules out adds nothing. Not finite where a model's numbers are not, or where the pruned model
    rules out what the full one does not.

    >>> import torch
    >>> p, q = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    >>> round(divergence(p, q), 4), divergence(p, p)
    (0.1438, 0.0)
    """
    terms = full.exp() * (full - pruned)
    return float(torch.where(full == -torch.inf, 0.0, terms).sum(-1).mean())


def _log_softmax(logits: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([step[:1].float() for step in logits]).log_softmax(-1)
