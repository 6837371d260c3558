"""A task: questions about pictures with the expected answers, in memory and as a JSON-lines file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = "task.jsonl"
TEXTS = ("id", "question", "answer", "kind", "group")


@dataclass(frozen=True)
class Question:
    """One question about one or more pictures.

    Attributes
    ----------
    id : unique in the task.
    images : pictures of Pillow, or paths; one or more.
    question : plain text, without a placeholder.
    answer : the expected answer, compared as `normalised` gives it.
    kind : the type of the question; accuracy is averaged over questions, and by kind.
    group : errors are clustered by it (the scene, the picture); "" stands for `id`.
    facts : free, for studies: the patches of objects, for instance. Not written to files.
    """

    id: str
    images: tuple[Any, ...]
    question: str
    answer: str
    kind: str = "all"
    group: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in TEXTS:
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a text, got {getattr(self, name)!r}")
        for name in ("id", "question", "answer", "kind"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} must not be empty, got {getattr(self, name)!r}")
        object.__setattr__(self, "images", tuple(self.images))
        if not self.images:
            raise ValueError("images must name one picture at least, got none")
        if not self.group:
            object.__setattr__(self, "group", self.id)


def normalised(answer: str) -> str:
    """An answer as it is compared: lower case, single spaces, no final full stop.

    >>> normalised(" The  Red ring. ")
    'the red ring'
    """
    return " ".join(answer.lower().split()).removesuffix(".").strip()


def check_ids(questions: Sequence[Question]) -> None:
    """Every id names one question.

    Raises
    ------
    ValueError : an id twice.
    """
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise ValueError(f"every question must have an id of its own, got {question.id!r} twice")
        seen.add(question.id)


def picture_key(image: Any) -> str | int:
    """What tells pictures apart while their questions live: the path, or the object."""
    return str(image) if isinstance(image, str | Path) else id(image)


def read_task(path: str | Path) -> list[Question]:
    """The questions of a JSON-lines file, one object a line.

    ``{"images": ["a.png"], "question": "...", "answer": "...", "id": "...", "kind": "...", "group": "..."}``; the last
    three may be missing: the id is then the number of the line, the kind "all", and questions about the same pictures
    form a group. Paths of pictures are relative to the file; empty lines are skipped.

    Raises
    ------
    ValueError : a line that is not such an object, an unknown key, a picture that is not there, an id twice, a file
        without questions; the message begins with the file and the line.
    """
    path = Path(path)
    questions: list[Question] = []
    first: dict[str, int] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                question = _read(json.loads(line), number, path.parent)
                if question.id in first:
                    raise ValueError(f"the id {question.id!r} stands in line {first[question.id]} already")
            except (ValueError, TypeError) as error:  # a JSONDecodeError is a ValueError
                raise ValueError(f"{path}, line {number}: {error}") from error
            first[question.id] = number
            questions.append(question)
    if not questions:
        raise ValueError(f"{path} holds no question")
    return questions


def _read(facts: Any, number: int, folder: Path) -> Question:
    if not isinstance(facts, dict):
        raise ValueError(f"an object is needed, got {type(facts).__name__}")
    if unknown := sorted(facts.keys() - {"images", *TEXTS}):
        raise ValueError(f"unknown key {unknown[0]!r}; known are images, {', '.join(TEXTS)}")
    if missing := [name for name in ("images", "question", "answer") if name not in facts]:
        raise ValueError(f"{missing[0]} is missing")
    images = facts.pop("images")
    if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
        raise ValueError(f"images must be a list of paths, got {images!r}")
    paths = tuple(folder / name for name in images)
    if lost := [file for file in paths if not file.is_file()]:
        raise ValueError(f"there is no picture at {lost[0]}")
    return Question(images=paths, **{"id": str(number), "group": " ".join(images), **facts})


def write_task(questions: Sequence[Question], folder: str | Path) -> Path:
    """The inverse of `read_task`: `task.jsonl` in `folder`, and beside it every picture as a PNG; returns the file.

    A picture that several questions share (the same object, or the same path) is written once. `facts` are left out.
    """
    from lmm_integration.model_files import open_picture

    check_ids(questions)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str | int, str] = {}
    lines = []
    for question in questions:
        images = []
        for image in question.images:
            key = picture_key(image)
            if key not in names:
                names[key] = f"{len(names):05}_{re.sub(r'[^A-Za-z0-9]+', '_', question.group)[:40]}.png"
                picture = open_picture(image) if isinstance(image, str | Path) else image
                picture.save(folder / names[key])
            images.append(names[key])
        lines.append(json.dumps({"images": images, **{name: getattr(question, name) for name in TEXTS}}))
    part = folder / f"{FILE}.part"
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return part.replace(folder / FILE)
