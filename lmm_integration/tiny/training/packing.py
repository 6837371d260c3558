"""Many questions about one prompt of pictures in one sequence, each seeing the pictures and itself alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmm_integration.tiny.pictures import TOKENS

IGNORED = -100


@dataclass(frozen=True)
class Packed:
    """A batch.

    Attributes
    ----------
    ids : (B, L), placeholders where visual tokens go.
    visible : (B, 1, L, L) bool.
    positions : (B, L).
    targets : (B, L), the next token where it is to be learnt, else -100.
    question : (B, L), which question (of all in the batch) a target belongs to.
    kept : per sample (kept,), which of its visual tokens are in the sequence.
    first : the column of the first visual token, the same in every row.
    """

    ids: Tensor
    visible: Tensor
    positions: Tensor
    targets: Tensor
    question: Tensor
    kept: list[Tensor]
    first: int


class Packer:
    """Token ids of prompts and questions, looked up once."""

    def __init__(self, words: Any) -> None:
        self.words = words
        self.before = [words.bos_token_id, *self._ids("USER:")]
        self.turn = self._ids("ASSISTANT:")
        self.image = words.convert_tokens_to_ids("<image>")
        self._known: dict[str, list[int]] = {}

    def _ids(self, text: str) -> list[int]:
        return self.words(text, add_special_tokens=False).input_ids

    def ids(self, text: str) -> list[int]:
        """Of a text without special tokens."""
        if text not in self._known:
            self._known[text] = self._ids(text)
        return self._known[text]

    def pack(
        self,
        questions: list[list[tuple[str, str]]],
        kept: list[np.ndarray],
        starts: list[np.ndarray],
        repack: list[bool],
    ) -> Packed:
        """One sequence per sample.

        Parameters
        ----------
        questions : per sample (question, answer).
        kept : per sample (kept,) sorted indices into its visual tokens, 256 per picture.
        starts : per sample, the position of the first token of each picture behind the prompt's begin.
        repack : per sample, whether the kept tokens take consecutive positions, or keep their own.
        """
        rows = []
        number = 0
        for asked, tokens, offsets, close in zip(questions, kept, starts, repack, strict=True):
            first, n = len(self.before), len(tokens)
            own = offsets[tokens // TOKENS] + tokens % TOKENS
            ids = self.before + [self.image] * n
            positions = [*range(first), *(first + (np.arange(n) if close else own)).tolist()]
            behind = first + (n if close else int(offsets[-1]) + TOKENS)
            block, targets, of = [0] * len(ids), [IGNORED] * len(ids), [-1] * len(ids)
            for i, (question, answer) in enumerate(asked, 1):
                prompt, said = self.ids(question) + self.turn, [*self.ids(answer), self.words.eos_token_id]
                ids += prompt + said
                length = len(prompt) + len(said)
                block += [i] * length
                positions += range(behind, behind + length)
                targets += [IGNORED] * (len(prompt) - 1) + said + [IGNORED]
                of += [number] * length
                number += 1
            rows.append((ids, block, positions, targets, of))
        width = max(len(row[0]) for row in rows)

        def padded(part: int, filler: int) -> Tensor:
            return torch.tensor([row[part] + [filler] * (width - len(row[part])) for row in rows])

        block = padded(1, -1)
        visible = (block[:, None, :] == 0) | (block[:, None, :] == block[:, :, None])
        visible &= torch.ones(width, width, dtype=torch.bool).tril()
        return Packed(
            ids=padded(0, self.words.pad_token_id),
            visible=visible[:, None],
            positions=padded(2, 0),
            targets=padded(3, IGNORED),
            question=padded(4, -1),
            kept=[torch.from_numpy(tokens) for tokens in kept],
            first=len(self.before),
        )
