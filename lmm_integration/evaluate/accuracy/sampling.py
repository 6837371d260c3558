"""A part of a task that stands for the whole: every kind of question with its share."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from lmm_integration.evaluate.accuracy.task import Question


def stratified(questions: Sequence[Question], limit: int, seed: int = 0) -> list[Question]:
    """`limit` questions in their old order, every kind with its share of them, rounded by largest remainder.

    Within a kind those of lowest hash of (seed, id) are taken: the choice depends neither on the order of the task nor
    on the machine, and a higher limit mostly adds to a lower one, so that a finished small run is a start of a large one.

    Raises
    ------
    ValueError : a limit below 1.

    Examples
    --------
    >>> task = [Question(str(i), ("a.png",), "what ?", "cat", kind="ab"[i % 4 == 0]) for i in range(100)]
    >>> [q.kind for q in stratified(task, 4)].count("b")
    1
    """
    if limit < 1:
        raise ValueError(f"limit must be a number of questions >= 1, got {limit}")
    if limit >= len(questions):
        return list(questions)
    kinds: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        kinds[question.kind].append(question)
    exact = {kind: limit * len(members) / len(questions) for kind, members in kinds.items()}
    share = {kind: int(value) for kind, value in exact.items()}
    order = sorted(kinds, key=lambda kind: (share[kind] - exact[kind], kind))
    for kind in order[: limit - sum(share.values())]:
        share[kind] += 1
    chosen = {
        question.id
        for kind, members in kinds.items()
        for question in sorted(members, key=lambda q: _hash(seed, q.id))[: share[kind]]
    }
    return [question for question in questions if question.id in chosen]


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
