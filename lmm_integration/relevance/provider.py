"""What a provider of relevance is called with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor

Reads = Literal["patches", "words"]


class Relevance(Protocol):
    """Relevance of the patches of a vision tower to a text, by a text tower that shares a space with it.

    `sign` says which way is relevant: +1 for the higher, -1 for the lower value.
    """

    sign: int

    def __call__(self, patches: Tensor, text: str) -> Tensor:
        """(crops, n) float32 for the (crops, n, d) tower states of one image and its question."""
        ...


class WordRelevance(Protocol):
    """Relevance of projected tokens to the words of the question, both as the language model reads them."""

    sign: int
    reads: ClassVar[Reads]  # "words"

    def __call__(self, tokens: Tensor, words: Tensor) -> Tensor:
        """(n,) float32 for (n, d) visual tokens and (t, d) embedded words."""
        ...


def reads_words(provider: Any) -> bool:
    """Whether a provider is a `WordRelevance`; what says nothing about it reads patches."""
    return getattr(provider, "reads", "patches") == "words"


def check_sign(sign: int) -> None:
    """+1 or -1."""
    if sign not in (-1, 1):
        raise ValueError(f"sign must be 1 or -1, got {sign!r}")


def cut(words: Sequence[int], room: int) -> list[list[int]]:
    """A question in pieces of at most `room` tokens, one at least.

    >>> cut([5, 6, 7], 2), cut([], 2)
    ([[5, 6], [7]], [[]])
    """
    return [list(words[i : i + room]) for i in range(0, max(1, len(words)), room)]
