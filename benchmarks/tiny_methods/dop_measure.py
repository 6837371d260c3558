"""Questions asked while visual tokens skip operations: by a depth policy for real, in any layers by masks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lmm_integration.adapters import adapter_for
from lmm_integration.calibration.divergence import divergence
from lmm_integration.context import prune
from lmm_integration.decoder.masked_operations import masked_operations
from lmm_integration.evaluate.accuracy.answers import keys_for
from lmm_integration.evaluate.accuracy.batches import Batch, batches, pictures_of, with_pictures
from lmm_integration.evaluate.accuracy.bench import Cell
from lmm_integration.evaluate.accuracy.shared_vision import SharedVision
from lmm_integration.evaluate.accuracy.task import Question
from lmm_integration.flops import DecoderShape
from lmm_integration.json_lines import drop_torn_line, read_json_lines
from lmm_integration.pre_llm import prune_inputs
from lmm_integration.pruners import DOP, DivPrune

BATCH = 50


@dataclass(frozen=True)
class Arm:
    """What is done on visual tokens.

    Attributes
    ----------
    tokens : how many enter, chosen by `DivPrune`.
    attention, mlp : (L,) bool, the layers in whose attention and MLP they take part.
    """

    tokens: int
    attention: tuple[bool, ...]
    mlp: tuple[bool, ...]

    @classmethod
    def to_depths(cls, attention: int, mlp: int, tokens: int, layers: int) -> Arm:
        """The first layers of each.

        >>> str(Arm.to_depths(3, 1, 64, layers=4))
        '64 1110 1000'
        """
        return cls(tokens, *(tuple(layer < depth for layer in range(layers)) for depth in (attention, mlp)))

    @property
    def depths(self) -> tuple[int, int] | None:
        """(D_A, D_P); None where a deeper operation runs behind one that does not."""
        pair = sum(self.attention), sum(self.mlp)
        return pair if Arm.to_depths(*pair, self.tokens, len(self.mlp)) == self else None

    def __str__(self) -> str:
        runs = ("".join(str(int(run)) for run in part) for part in (self.attention, self.mlp))
        return " ".join([str(self.tokens), *runs])


class Said(NamedTuple):
    """KL(p_full || p_arm) of the first word in nats, and the greedy answer."""

    kl: float
    answer: str


class Asker:
    """Asks batches of questions, and keeps what was said as JSON lines; what is there is not asked again.

    Parameters
    ----------
    path : of the lines.
    fingerprint : of the model.
    new_tokens : longest answer; divergences are those of the first word whatever it is.
    say : told how many runs are done.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        path: Path,
        fingerprint: str,
        *,
        new_tokens: int = 1,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.model, self.processor, self.path = model, processor, path
        self.fingerprint, self.new_tokens, self.say = fingerprint, new_tokens, say
        self.layers = DecoderShape.of(model).layers
        path.parent.mkdir(parents=True, exist_ok=True)
        drop_torn_line(path)
        self.known: dict[str, Said] = dict(
            read_json_lines(path, lambda line: (line["key"], Said(line["kl"], line["answer"])), "answer")
        )

    def ask(self, questions: Sequence[Question], arms: Sequence[Arm]) -> dict[tuple[Arm, str], Said]:
        """(arm, id of a question) -> what was said, for questions of one picture each."""
        key = keys_for(questions, self.fingerprint, {}, self.new_tokens)
        keys = {(arm, q.id): key(Cell(str(arm), arm.tokens), q) for arm in dict.fromkeys(arms) for q in questions}
        todo = []
        for batch in batches(questions, BATCH):
            missing = [arm for arm, _ in groupby(keys, lambda pair: pair[0])]
            missing = [arm for arm in missing if any(keys[arm, q.id] not in self.known for q in batch)]
            todo += [(batch, missing)] if missing else []
        runs, done = sum(len(missing) for _, missing in todo), 0
        for batch, missing in todo:
            for arm, said in self._answers(batch, missing):
                self._keep({keys[arm, q.id]: one for q, one in zip(batch, said, strict=True)})
                done += 1
                self.say(f"{done} of {runs} runs of {len(questions)} questions: {arm}")
        return {pair: self.known[name] for pair, name in keys.items()}

    def text_tokens(self, questions: Sequence[Question]) -> list[int]:
        """Of every prompt, without its picture."""
        placeholders = adapter_for(self.model).placeholders(self.model)
        found = []
        for batch in batches(questions, BATCH):
            inputs = with_pictures(self.processor, self.model, batch)
            visual = torch.isin(inputs["input_ids"], inputs["input_ids"].new_tensor(list(placeholders)))
            found += (inputs["attention_mask"].sum(1) - visual.sum(1)).tolist()
        return found

    @torch.no_grad()
    def _answers(self, batch: Batch, arms: Sequence[Arm]) -> Any:
        inputs = dict(with_pictures(self.processor, self.model, batch))
        vision = SharedVision(adapter_for(self.model), pictures_of(batch))
        n = int(vision.encode(self.model, inputs).pooler_output[0].shape[0])
        full, _ = self._run(batch, inputs, vision, Arm.to_depths(self.layers, self.layers, n, self.layers))
        for arm in arms:
            scores, answers = self._run(batch, inputs, vision, arm)
            yield (
                arm,
                [Said(divergence(full[i : i + 1], scores[i : i + 1]), answer) for i, answer in enumerate(answers)],
            )

    def _run(
        self, batch: Batch, inputs: Mapping[str, Any], vision: SharedVision, arm: Arm
    ) -> tuple[torch.Tensor, list[str]]:
        """(B, V) log probabilities of the first word, and the answers."""
        options = {"keep": arm.tokens, "text": [q.question for q in batch], "adapter": vision}
        if arm.depths is not None:
            with prune(self.model, DOP(policy=arm.depths), **options):  # type: ignore[arg-type]
                return self._generate(inputs)
        short = prune_inputs(self.model, inputs, DivPrune(), **options)  # type: ignore[arg-type]
        ids = short["input_ids"]
        visual = torch.isin(ids, ids.new_tensor(list(vision.placeholders(self.model))))
        skipped = [[layer for layer, run in enumerate(part) if not run] for part in (arm.attention, arm.mlp)]
        with masked_operations(self.model, visual, attention=skipped[0], mlp=skipped[1]):
            return self._generate(short)

    def _generate(self, inputs: Mapping[str, Any]) -> tuple[torch.Tensor, list[str]]:
        out = self.model.generate(
            **inputs,
            max_new_tokens=self.new_tokens,
            do_sample=False,
            num_beams=1,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=self.processor.tokenizer.pad_token_id,
        )
        words = out.sequences[:, inputs["input_ids"].shape[1] :]
        answers = self.processor.batch_decode(words, skip_special_tokens=True)
        return out.logits[0].float().log_softmax(-1), [answer.strip() for answer in answers]

    def _keep(self, said: Mapping[str, Said]) -> None:
        self.known.update(said)
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"key": key, **one._asdict()}) + "\n" for key, one in said.items())
