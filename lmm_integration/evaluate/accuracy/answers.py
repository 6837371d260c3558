"""What was answered, one JSON line for each question, method and budget; a file of them is gone on with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lmm_integration.evaluate.accuracy.bench import Cell
from lmm_integration.evaluate.accuracy.task import Question, picture_key
from lmm_integration.json_lines import read_json_lines

FILE = "answers.jsonl"


@dataclass(frozen=True)
class Line:
    """One answer.

    Attributes
    ----------
    key : of model, method with its options, budget, draw, question and length of answers.
    model, method, keep, draw : the cell.
    question, kind, group, expected : of the task; `question` is the id.
    answer, correct : what the model said, and whether it is the expected answer once both are `normalised`.
    tokens : visual tokens of all its pictures, before pruning.
    input, layer_mean, final : how many are left, as the three kinds of budget count them.
    flops : exact operations by part: "decoder" (prefill), "vision", "reading" (relevance tower, second encoding),
        "selector"; None where nobody counted.
    kv_bytes : of the prompt, two bytes a number; None likewise.
    seconds : by part, "vision", "selection", "prefill", "decode": those of the batch divided by its questions.
    """

    key: str
    model: str
    method: str
    keep: int | float
    draw: int
    question: str
    kind: str
    group: str
    expected: str
    answer: str
    correct: bool
    tokens: int
    input: int
    layer_mean: float
    final: int
    flops: dict[str, int | None]
    kv_bytes: int | None
    seconds: dict[str, float]

    @property
    def cell(self) -> Cell:
        """Where it stands in the table."""
        return Cell(self.method, self.keep, self.draw)


def keys_for(
    questions: Sequence[Question], fingerprint: str, described: Mapping[str, str], max_new_tokens: int
) -> Callable[[Cell, Question], str]:
    """(cell, question) -> key. Texts and pictures of the questions are part of it, and are read once.

    Parameters
    ----------
    fingerprint : of the model.
    described : label of a method -> its options.
    """
    pictures: dict[str | int, str] = {}
    asked = {}
    for question in questions:
        for image in question.images:
            if (place := picture_key(image)) not in pictures:
                pictures[place] = _digest(_bytes(image))
        shown = [pictures[picture_key(image)] for image in question.images]
        asked[question.id] = [question.id, question.question, question.answer, question.kind, question.group, shown]

    def key(cell: Cell, question: Question) -> str:
        method = [cell.method, described.get(cell.method, ""), cell.keep, cell.draw]
        return _digest(json.dumps([fingerprint, max_new_tokens, method, asked[question.id]]).encode())

    return key


def _bytes(image: Any) -> bytes:
    return Path(image).read_bytes() if isinstance(image, str | Path) else image.convert("RGB").tobytes()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def read_lines(path: Path) -> list[Line]:
    """The answers in a file, see `read_json_lines`."""
    return read_json_lines(
        path, lambda facts: Line(**{field.name: facts[field.name] for field in fields(Line)}), "answer"
    )


def text_of(lines: Iterable[Line]) -> str:
    """Lines as they stand in the file."""
    return "".join(json.dumps(asdict(line), allow_nan=False) + "\n" for line in lines)
