"""Many sets of visual tokens, all questions about a picture, one batch: what the model would generate, and how sure.

All questions stand behind the picture in one sequence and see the picture and themselves alone. Answers are forced: a
question is right where the argmax is right at every token of its answer and at its end, which is when greedy generation
gives that answer and stops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmm_integration.tiny.pictures import TOKENS
from lmm_integration.tiny.training.packing import IGNORED, Packer
from lmm_integration.tiny.training.tower import pixels_of

ROWS = 24  # sequences that are computed together

Sets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Prompt:
    """A picture and the questions about it, before anything is dropped.

    Attributes
    ----------
    embedded : (1, L, d) states in front of layer 0.
    visible : (L, L) bool.
    positions, targets, question : (L,) as in `Packed`.
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
        """The whole sequence."""
        packed = self.packer.pack([list(questions)], [np.arange(TOKENS)], [np.zeros(1, np.int64)], [False])
        ids, targets = packed.ids[0], packed.targets[0]
        read = ids != self.packer.words.eos_token_id  # nothing follows the end of an answer
        answers = torch.zeros_like(read)
        answers[1:] = targets[:-1] != IGNORED
        first = len(self.packer.before)
        embedded = self.model.embed_tokens(ids)
        embedded[first : first + TOKENS] = projected
        return Prompt(
            embedded=embedded[None, read],
            visible=packed.visible[0, 0][read][:, read],
            positions=packed.positions[0, read],
            targets=targets[read],
            question=packed.question[0, read],
            first=first,
            asks=((packed.question[0] >= 0) & ~answers)[read],
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
