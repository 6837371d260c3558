"""Questions grouped into batches, and what a processor makes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lmm_integration.ask import prompt_for, to_model
from lmm_integration.evaluate.accuracy.task import Question, picture_key
from lmm_integration.model_files import open_picture

Batch = tuple[Question, ...]


@dataclass(frozen=True)
class Sample:
    """The batch on which is counted what all batches of as many pictures a question have in common.

    Attributes
    ----------
    key : tells samples apart.
    batch : the first of its kind in the task. Counts then hang neither on which batch a process is given first nor on
        where a stopped run goes on.
    """

    key: str
    batch: Batch = field(compare=False)


def batches(questions: Sequence[Question], size: int) -> list[Batch]:
    """Questions of equally many pictures stand together, those of a group beside each other.

    Parameters
    ----------
    size : pictures in a batch; a question of more has a batch of its own.
    """
    if size < 1:
        raise ValueError(f"batch must be a number of pictures >= 1, got {size}")
    first: dict[str, int] = {}
    for place, question in enumerate(questions):
        first.setdefault(question.group, place)
    ordered = sorted(questions, key=lambda q: (len(q.images), first[q.group]))
    found: list[list[Question]] = []
    for question in ordered:
        images = len(question.images)
        if found and len(found[-1][0].images) == images and (len(found[-1]) + 1) * images <= size:
            found[-1].append(question)
        else:
            found.append([question])
    return [tuple(batch) for batch in found]


def pictures_of(batch: Batch) -> list[str | int]:
    """Keys of the pictures, in the order of their placeholders."""
    return [picture_key(image) for question in batch for image in question.images]


def with_pictures(processor: Any, model: Any, batch: Batch) -> Any:
    """The inputs of a batch, padded on the left, on the model's device."""
    opened: dict[str | int, Any] = {}
    for question in batch:
        for image in question.images:
            if (key := picture_key(image)) not in opened:
                opened[key] = image if isinstance(key, int) else open_picture(key)
    images = [[opened[picture_key(image)] for image in question.images] for question in batch]
    return _inputs(processor, model, batch, len(batch[0].images), images)


def without_pictures(processor: Any, model: Any, batch: Batch) -> Any:
    """The same questions asked blindly: neither pictures nor placeholders."""
    return _inputs(processor, model, batch, 0, None)


def _inputs(processor: Any, model: Any, batch: Batch, count: int, images: Any) -> Any:
    tokenizer = processor.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # masked wherever it stands in front
    prompts = [prompt_for(processor, question.question, count) for question in batch]
    given = {} if images is None else {"images": images}
    return to_model(processor(text=prompts, **given, padding=True, padding_side="left", return_tensors="pt"), model)
