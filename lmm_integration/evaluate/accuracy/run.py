"""Every question asked of every cell: batch after batch, side by side, kept as it goes, gone on with."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lmm_integration.evaluate.accuracy.answers import FILE, Line, keys_for, read_lines, text_of
from lmm_integration.evaluate.accuracy.batches import Batch, Sample, batches
from lmm_integration.evaluate.accuracy.bench import Cell
from lmm_integration.evaluate.accuracy.task import Question, check_ids
from lmm_integration.json_lines import drop_torn_line
from solvers.workers import workers_deaf_to_ctrl_c

if TYPE_CHECKING:
    from lmm_integration.evaluate.accuracy.work import Work

BATCH, NEW_TOKENS = 32, 16
OnLines = Callable[[list[Line], int, int], None]


class Piece(NamedTuple):
    """A batch, and the cells that it is still to be asked of, with the keys of the answers."""

    batch: Batch
    sample: Sample
    cells: tuple[Cell, ...]
    keys: dict[tuple[Cell, str], str]


def answer_all(
    setup: Any,
    questions: Sequence[Question],
    cells: Sequence[Cell],
    *,
    batch: int = BATCH,
    max_new_tokens: int = NEW_TOKENS,
    out: str | Path | None = None,
    jobs: int = 1,
    on_lines: OnLines | None = None,
) -> list[Line]:
    """The answers of every cell to every question, cell after cell, each in the order of the questions.

    Batches are formed from the whole task and answered whole, so a run that was stopped and goes on asks what it would
    have asked; answers that are in the file already, under the same model, options and question, are not asked again.

    Parameters
    ----------
    setup : a `Bench`, or anything with `build()`, `fingerprint` and `described` as `Setup`; with several jobs it must be
        hashable and picklable, and every process builds its own.
    batch : pictures in a batch.
    max_new_tokens : longest answer.
    out : folder for `answers.jsonl`, a line as soon as it is known; None keeps nothing.
    jobs : processes; 1 stays in this one.
    on_lines : called with new lines, how many answers there are now, and how many there will be.

    Raises
    ------
    ValueError : questions with one id, a cell without a pruner, a file that is not of answers; what `prune` raises.
    MemoryError : a process was killed, as the system does where memory is short.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be >= 1, got {jobs}")
    if not questions or not cells:
        raise ValueError("there is nothing to evaluate: name questions and methods")
    check_ids(questions)
    key = keys_for(questions, setup.fingerprint, setup.described, max_new_tokens)
    keys = {(cell, question.id): key(cell, question) for cell in cells for question in questions}
    wanted = set(keys.values())
    path = None if out is None else Path(out) / FILE
    found: dict[str, Line] = {}
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        drop_torn_line(path)
        found = {line.key: line for line in read_lines(path) if line.key in wanted}
    plan: list[Piece] = []
    samples: dict[int, Sample] = {}
    for group in batches(questions, batch):
        name = " ".join(keys[cells[0], question.id] for question in group)
        sample = samples.setdefault(len(group[0].images), Sample(name, group))
        open_cells = tuple(cell for cell in cells if any(keys[cell, q.id] not in found for q in group))
        if open_cells:
            here = {(cell, question.id): keys[cell, question.id] for cell in open_cells for question in group}
            plan.append(Piece(group, sample, open_cells, here))
    with ExitStack() as stack:
        log = None if path is None else stack.enter_context(path.open("a", encoding="utf-8"))
        results = stack.enter_context(closing(_results(setup, plan, max_new_tokens, jobs)))
        for lines in results:
            new = [line for line in lines if line.key not in found]
            if log is not None:
                log.write(text_of(new))
                log.flush()
            found.update({line.key: line for line in new})
            if on_lines is not None:
                on_lines(new, len(found), len(wanted))
    return [found[keys[cell, question.id]] for cell in cells for question in questions]


def _results(setup: Any, plan: list[Piece], max_new_tokens: int, jobs: int) -> Iterator[list[Line]]:
    """Lines as they come; a batch is the piece of work that a process gets, so that it runs the tower once."""
    if jobs == 1 or len(plan) < 2:
        work = _work(setup) if plan else None
        for piece in plan:
            yield from _answered(work, piece, max_new_tokens)
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import BrokenProcessPool

    threads = max(1, (os.cpu_count() or 1) // jobs)
    side_by_side = parallel_config(backend="loky", n_jobs=min(jobs, len(plan)), inner_max_num_threads=threads)
    with warnings.catch_warnings(), side_by_side:
        # a process whose memory has grown is replaced; that costs a moment and loses nothing
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
        with workers_deaf_to_ctrl_c():
            results = Parallel(return_as="generator_unordered")(
                delayed(_in_a_process)(setup, threads, piece, max_new_tokens) for piece in plan
            )
        with closing(results):
            try:
                yield from results
            except BrokenProcessPool as error:
                raise MemoryError("a process that answered was killed; fewer --jobs need less") from error


def _answered(work: Any, piece: Piece, max_new_tokens: int) -> Iterator[list[Line]]:
    from lmm_integration.evaluate.accuracy.answering import BatchRun

    run = BatchRun(work, piece.batch, piece.sample, max_new_tokens)
    for cell in piece.cells:
        yield run.answer(cell, lambda cell, question: piece.keys[cell, question.id])


def _in_a_process(setup: Any, threads: int, piece: Piece, max_new_tokens: int) -> list[Line]:
    import torch

    torch.set_num_threads(threads)
    return [line for lines in _answered(_kept_work(setup), piece, max_new_tokens) for line in lines]


def _work(setup: Any) -> Work:
    from lmm_integration.evaluate.accuracy.work import Work

    return Work(setup.build())


_kept_work = lru_cache(maxsize=1)(_work)  # of a process that is given many pieces
