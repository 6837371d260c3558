"""Many sets of visual tokens, all questions about a picture, one batch: what the model would generate, and how sure.

All questions stand behind the picture in one sequence, as a tree: words with which several of them begin stand there
once, and every word sees the picture and the words before it in its own question. Answers are forced: a question is right
where the argmax is right at every token of its answer and at its end, which is when greedy generation gives that answer
and stops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmm_integration.tiny.pictures import TOKENS
from lmm_integration.tiny.pixels import pixels_of
from lmm_integration.tiny.training.packing import IGNORED, Packer

ROWS = 4  # sequences that are computed together; their states fit into a cache

Sets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Prompt:
    """A picture and the questions about it, before anything is dropped.

    Attributes
    ----------
    embedded : (1, L, d) states in front of layer 0.
    visible : (L, L) bool.
    positions : (L,).
    targets, question : (L,) the next token of an answer and the question it belongs to, where there is one.
    first : where the 256 visual tokens begin.
    asks : (L,) bool, the tokens of the questions, without answers.
    """

    embedded: Tensor
    visible: Tensor
    positions: Tensor
    targets: Tensor
    question: Tensor
    first: int
    asks: Tensor

    @property
    def image(self) -> slice:
        """Where the visual tokens stand."""
        return slice(self.first, self.first + TOKENS)


@dataclass(frozen=True)
class Answers:
    """(S, Q) whether set s answers question q rightly, and (S, T, V) log-probabilities at the T tokens of answers."""

    right: npt.NDArray[np.bool_]
    logs: Tensor


class PackedDecoder:
    """The language model of a tiny LLaVA."""

    def __init__(self, llava: Any, words: Any) -> None:
        self.llava, self.model = llava, llava.model.language_model
        self.packer = Packer(words)

    @torch.no_grad()
    def tokens(self, picture: npt.NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """(256, d) states of the vision tower that the projector reads, and what it makes of them."""
        states = self.llava.model.vision_tower(pixels_of(picture[None]), output_hidden_states=True)
        layer = self.llava.config.vision_feature_layer
        seen = states.hidden_states[layer][:, 1:]
        return seen[0], self.llava.model.multi_modal_projector(seen)[0]

    @torch.no_grad()
    def prompt(self, projected: Tensor, questions: tuple[tuple[str, str], ...]) -> Prompt:
        """The whole sequence, for questions with distinct texts."""
        first, end = len(self.packer.before), self.packer.words.eos_token_id
        ids = self.packer.before + [self.packer.image] * TOKENS
        last = len(ids) - 1
        parents = list(range(-1, last))
        children: dict[tuple[int, int], int] = {}
        targets: dict[int, int] = {}
        owners: dict[int, int] = {}
        answers: list[int] = []

        def child(parent: int, token: int) -> int:
            place = children.setdefault((parent, token), len(ids))
            if place == len(ids):
                ids.append(token)
                parents.append(parent)
            return place

        for number, (text, answer) in enumerate(questions):
            at = last
            for token in self.packer.ids(text) + self.packer.turn:
                at = child(at, token)
            for token in [*self.packer.ids(answer), end]:
                targets[at], owners[at] = token, number
                if token != end:  # nothing follows the end
                    at = child(at, token)
                    answers.append(at)
        visible = torch.eye(len(ids), dtype=torch.bool)
        positions = torch.zeros(len(ids), dtype=torch.int64)
        for place, parent in enumerate(parents[1:], start=1):
            visible[place] |= visible[parent]
            positions[place] = positions[parent] + 1
        asks = torch.arange(len(ids)) > last
        asks[answers] = False
        embedded = self.model.embed_tokens(torch.tensor(ids))
        embedded[first : last + 1] = projected
        return Prompt(
            embedded=embedded[None],
            visible=visible,
            positions=positions,
            targets=torch.tensor([targets.get(i, IGNORED) for i in range(len(ids))]),
            question=torch.tensor([owners.get(i, -1) for i in range(len(ids))]),
            first=first,
            asks=asks,
        )

    @torch.no_grad()
    def states(self, prompt: Prompt, layer: int) -> Tensor:
        """(1, L, d) in front of a layer, with every visual token."""
        return self._layers(prompt.embedded, prompt.positions[None], prompt.visible, 0, layer)

    @torch.no_grad()
    def answer(self, prompt: Prompt, sets: Sets, layer: int = 0, *, repack: bool = False) -> Answers:
        """What is answered when (S, k) visual tokens, ascending, are all that is left in front of a layer.

        Parameters
        ----------
        repack : whether positions close up, in front of layer 0 alone.
        """
        if repack and layer:
            raise ValueError(f"positions close up in front of layer 0 alone, got layer {layer}")
        before = self.states(prompt, layer)[0]
        behind = torch.arange(prompt.first + TOKENS, before.shape[0])
        parts = []
        for start in range(0, len(sets), ROWS):
            kept = torch.from_numpy(sets[start : start + ROWS])
            columns = torch.cat(
                [
                    torch.arange(prompt.first).expand(len(kept), -1),
                    prompt.first + kept,
                    behind.expand(len(kept), -1),
                ],
                dim=1,
            )
            positions = prompt.positions[columns]
            if repack:
                n, k = prompt.first, kept.shape[1]
                positions[:, n : n + k] = n + torch.arange(k)
                positions[:, n + k :] -= TOKENS - k
            one = columns[0]
            parts.append(
                self._logs(before[columns], positions, prompt.visible[one][:, one], layer, prompt.targets[one])
            )
        logs = torch.cat(parts)
        said = prompt.targets != IGNORED
        wrong = logs.argmax(-1) != prompt.targets[said]
        of = prompt.question[said]
        right = torch.stack([~wrong[:, of == q].any(1) for q in range(int(of.max()) + 1)], dim=1)
        return Answers(right.numpy(), logs)

    def _logs(self, states: Tensor, positions: Tensor, visible: Tensor, layer: int, targets: Tensor) -> Tensor:
        out = self._layers(states, positions, visible, layer, len(self.model.layers))
        return self.llava.lm_head(self.model.norm(out[:, targets != IGNORED])).float().log_softmax(-1)

    def _layers(self, states: Tensor, positions: Tensor, visible: Tensor, first: int, last: int) -> Tensor:
        turned = self.model.rotary_emb(states, positions)
        for layer in self.model.layers[first:last]:
            states = layer(
                states,
                attention_mask=visible[None, None],
                position_ids=positions,
                position_embeddings=turned,
                use_cache=False,
            )
        return states


def divergence(whole: Tensor, kept: Tensor) -> npt.NDArray[np.float64]:
    """(S,) nats: KL(p_whole || p_kept) at the tokens of answers, mean over them.

    Parameters
    ----------
    whole, kept : (1, T, V) and (S, T, V) log-probabilities.
    """
    found: npt.NDArray[np.float64] = (whole.exp() * (whole - kept)).sum(-1).mean(-1).double().numpy()
    return found
