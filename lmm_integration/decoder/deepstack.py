"""Features of the vision tower that a decoder adds to its states between layers, where some states are gone.

Qwen3-VL adds one set of features behind each of its first layers, to the states at the visual places :cite:p:`meng2024deepstack`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from torch import Tensor

from lmm_integration.decoder.places import Places

NAME = "_deepstack_process"  # of the decoder: (states, visual places, features) -> states


def add_to_what_is_left(decoder: Any, places: Callable[[], Places | None], undo: ExitStack) -> None:
    """Have a decoder that adds features add to each state left the ones of its own place; `undo` ends it.

    Parameters
    ----------
    places : what is left of the forward call under way; None for a call from which nothing goes.
    """
    add = getattr(decoder, NAME, None)
    if add is None:
        return

    def process(states: Tensor, visual: Tensor, features: Tensor) -> Any:
        left = places()
        return add(states, *((visual, features) if left is None else of_places(left, visual, features)))

    before = decoder.__dict__.get(NAME)
    decoder.__dict__[NAME] = process
    undo.callback(lambda: decoder.__dict__.pop(NAME) if before is None else decoder.__dict__.update({NAME: before}))


def of_places(left: Places, visual: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """The (B, n) visual places among those left, and the features that belong there.

    Parameters
    ----------
    visual : (B, L) bool, of the whole call.
    features : (visual.sum(), d), row after row.

    >>> import torch
    >>> left = Places(torch.tensor([[0, 2, 3]]), torch.tensor([[True, True, True]]))
    >>> of_places(left, torch.tensor([[False, True, True, False]]), torch.tensor([[1.0], [2.0]]))
    (tensor([[False,  True, False]]), tensor([[2.]]))
    """
    column = left.column.to(visual.device)
    number = visual.flatten().long().cumsum(0).view_as(visual) - 1
    here = visual.gather(1, column) & left.valid.to(visual.device)
    return here, features[number.gather(1, column)[here].to(features.device)]
