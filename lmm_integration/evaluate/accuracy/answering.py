"""A batch of questions answered by one cell of the table: one `generate`, and what it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from lmm_integration.adapters import adapter_for
from lmm_integration.budget import spent
from lmm_integration.context import prune
from lmm_integration.evaluate.accuracy.answers import Line
from lmm_integration.evaluate.accuracy.batches import Batch, Sample, pictures_of, with_pictures, without_pictures
from lmm_integration.evaluate.accuracy.bench import BLIND, NONE, Cell
from lmm_integration.evaluate.accuracy.shared_vision import SharedVision, wait
from lmm_integration.evaluate.accuracy.task import Question, normalised
from lmm_integration.evaluate.accuracy.work import Stages, Work, reducer_of
from lmm_integration.handover import for_generate, hand_over
from lmm_integration.layer_tokens import inner_layers


@dataclass(frozen=True)
class Said:
    """What one `generate` gave.

    Attributes
    ----------
    answers : one per row.
    start, forward, first, end : clock readings at the call, at its first forward call, behind the first new token, and
        behind the last.
    """

    answers: list[str]
    start: float
    forward: float
    first: float
    end: float


class BatchRun:
    """The questions of a batch, ready to be asked of any cell: inputs and vision tower are prepared once.

    A row gives the same answer whatever stands beside it: rows are padded on the left, masks are explicit, positions
    count real tokens, and every method chooses within a row.

    Parameters
    ----------
    work : counts operations, for a bench: the model and its pruners.
    batch : questions of equally many pictures.
    sample : a batch of as many, on which is counted.
    max_new_tokens : longest answer; generation stops at the end-of-sequence token before.
    """

    def __init__(self, work: Work, batch: Batch, sample: Sample, max_new_tokens: int) -> None:
        self.work, self.batch, self.sample, self.max_new_tokens = work, batch, sample, max_new_tokens
        self.bench, self.model = work.bench, work.bench.model
        self.depth = self.model.config.get_text_config().num_hidden_layers
        self.vision = SharedVision(adapter_for(self.model), pictures_of(batch))

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """With pictures."""
        return dict(with_pictures(self.bench.processor, self.model, self.batch))

    @cached_property
    def encoded(self) -> tuple[Any, list[int], float]:
        """What the tower gives, tokens per picture, and its seconds."""
        output = self.vision.encode(self.model, self.inputs)
        sizes = [picture.reshape(-1, picture.shape[-1]).shape[0] for picture in output.pooler_output]
        return output, sizes, self.vision.seconds

    @torch.no_grad()
    def answer(self, cell: Cell, key: Callable[[Cell, Question], str]) -> list[Line]:
        """The answers, in the order of the batch."""
        if cell.method == BLIND:
            return self._blind(cell, key)
        return self._unpruned(cell, key) if cell.method == NONE else self._pruned(cell, key)

    def _blind(self, cell: Cell, key: Callable[[Cell, Question], str]) -> list[Line]:
        inputs = dict(without_pictures(self.bench.processor, self.model, self.batch))
        said = self._generate(inputs, inputs["input_ids"].shape[1])
        seconds = {"vision": 0.0, "selection": 0.0, "prefill": said.first - said.start, "decode": said.end - said.first}
        parts = [{"vision": 0, "reading": 0, "selector": 0} for _ in self.batch]
        text = inputs["attention_mask"].sum(1).tolist()
        return self._lines(cell, key, said.answers, text, [], [], parts, seconds)

    def _unpruned(self, cell: Cell, key: Callable[[Cell, Question], str]) -> list[Line]:
        output, sizes, tower = self.encoded
        adapter, ids = self.vision, self.inputs["input_ids"]
        consumed = adapter.vision_inputs(self.model)
        new = {name: value for name, value in self.inputs.items() if name not in consumed}
        if (positions := adapter.positions(self.model, self.inputs)) is not None:
            new["position_ids"] = positions
        handed = hand_over(self.model, new, {"image": output}, {"image": adapter.placeholder(self.model)})
        said = self._generate(for_generate(handed, ids), ids.shape[1])
        seconds = {"vision": tower, "selection": 0.0, "prefill": said.first - said.start}
        seconds["decode"] = said.end - said.first
        parts = [{"vision": flops, "reading": 0, "selector": 0} for flops in self._vision_flops()]
        stages: list[Stages] = [((0, n),) for n in sizes]
        return self._lines(cell, key, said.answers, self._text(sizes), sizes, stages, parts, seconds)

    def _pruned(self, cell: Cell, key: Callable[[Cell, Question], str]) -> list[Line]:
        _, sizes, tower = self.encoded
        pruner = self.bench.pruners[cell.method]
        if callable(make := getattr(pruner, "for_questions", None)):
            pruner = make(self.batch, cell.draw)
        asked = [question.question for question in self.batch]
        self.vision.seconds, self.vision.fresh = 0.0, "vision_attention" in getattr(reducer_of(pruner), "requires", ())
        try:
            with prune(
                self.model,
                pruner,
                keep=cell.keep,
                text=asked,
                processor=self.bench.processor,
                adapter=self.vision,  # type: ignore[arg-type]
            ) as pruning:
                said = self._generate(self.inputs, self.inputs["input_ids"].shape[1])
            again = self.vision.seconds  # a second run, only to watch it: a system would watch the first
        finally:
            self.vision.fresh = False
        stats = pruning.stats
        if stats is None:
            raise RuntimeError(f"{cell.method} pruned nothing")
        prefill, selection = said.first - said.forward, said.forward - said.start - again
        inner = inner_layers(pruner, self.depth)
        reading = 0 if inner else self.work.reading(cell.method, cell.keep, self.sample)
        if inner:
            prefill, selection = prefill - stats.seconds, stats.seconds
        seconds = {"vision": tower, "selection": selection, "prefill": prefill, "decode": said.end - said.first}
        text, stages = self._text(sizes), list(stats.stages)
        parts = []
        for row, vision in enumerate(self._vision_flops()):
            here = self._of_row(row)
            selector = self.work.selector(pruner, text[row], asked[row], sizes[here], stages[here])
            parts.append({"vision": vision, "reading": reading, "selector": selector})
        return self._lines(cell, key, said.answers, text, sizes, stages, parts, seconds)

    def _generate(self, inputs: dict[str, Any], columns: int) -> Said:
        """Greedy answers behind a prompt of so many columns."""
        marks: list[float] = []

        def mark(*_: Any) -> None:
            wait(self.model)
            marks.append(time.perf_counter())

        def first_token(ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            if len(marks) == 1:
                mark()
            return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)

        def first_forward(*_: Any) -> None:
            if not marks:
                mark()

        tokenizer = self.bench.processor.tokenizer
        ends = self.model.generation_config.eos_token_id
        hook = self.model.register_forward_pre_hook(first_forward)
        try:
            wait(self.model)
            start = time.perf_counter()
            out = self.model.generate(
                **inputs,
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id if ends is None else ends,
                stopping_criteria=[first_token],
            )
            mark()
        finally:
            hook.remove()
        words = self.bench.processor.batch_decode(out[:, columns:], skip_special_tokens=True)
        return Said([text.strip() for text in words], start, *marks)

    def _of_row(self, row: int) -> slice:
        """The pictures of a row; all rows have equally many."""
        count = len(self.batch[0].images)
        return slice(row * count, (row + 1) * count)

    def _text(self, sizes: Sequence[int]) -> list[int]:
        """Per row, tokens that belong to no picture."""
        real = self.inputs["attention_mask"].sum(1).tolist()
        return [n - sum(sizes[self._of_row(row)]) for row, n in enumerate(real)]

    def _vision_flops(self) -> list[int]:
        per_picture = self.work.vision(self.inputs, self.encoded[0], self.sample)
        return [sum(per_picture[self._of_row(row)]) for row in range(len(self.batch))]

    def _lines(
        self,
        cell: Cell,
        key: Callable[[Cell, Question], str],
        answers: Sequence[str],
        text: Sequence[int],
        sizes: Sequence[int],
        stages: Sequence[Stages],
        parts: Sequence[dict[str, int | None]],
        seconds: dict[str, float],
    ) -> list[Line]:
        share = {part: value / len(self.batch) for part, value in seconds.items()}
        lines = []
        for row, (question, answer) in enumerate(zip(self.batch, answers, strict=True)):
            mine, left = sizes[self._of_row(row)], stages[self._of_row(row)]
            counts = [spent(n, here, self.depth) for n, here in zip(mine, left, strict=True)]
            decoder, cache = self.work.decoder(self.bench.pruners.get(cell.method), text[row], mine, left)
            lines.append(
                Line(
                    key=key(cell, question),
                    model=self.bench.name,
                    method=cell.method,
                    keep=cell.keep,
                    draw=cell.draw,
                    question=question.id,
                    kind=question.kind,
                    group=question.group,
                    expected=question.answer,
                    answer=answer,
                    correct=normalised(answer) == normalised(question.answer),
                    tokens=sum(mine),
                    input=sum(count.input for count in counts),
                    layer_mean=sum(count.layer_mean for count in counts),
                    final=sum(count.final for count in counts),
                    flops={"decoder": decoder, **parts[row]},
                    kv_bytes=cache,
                    seconds=share,
                )
            )
        return lines
