"""The vision tower run once for a batch of questions, whatever methods then choose from its tokens."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lmm_integration.adapters import Adapter
from lmm_integration.adapters.layout import Modality
from lmm_integration.adapters.llava import Llava


class SharedVision:
    """An adapter of one batch that remembers what the tower gave; all else is the adapter's own.

    Where the tower reads one picture per row (LLaVA-1.5), a picture that several questions show goes through it once.

    Parameters
    ----------
    adapter : of the model family.
    pictures : per picture of the batch a key; equal keys are the same picture.

    Attributes
    ----------
    seconds : what the tower took, whenever it ran.
    fresh : run the tower again, as methods need that watch it at work; what it gives is not kept then.
    """

    def __init__(self, adapter: Adapter, pictures: Sequence[Any]) -> None:
        self._adapter, self._pictures = adapter, list(pictures)
        self._outputs: dict[Modality, Any] = {}
        self.seconds = 0.0
        self.fresh = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def encode(self, model: Any, inputs: Mapping[str, Any], modality: Modality = "image") -> Any:
        """The tower's output for the pictures of the batch."""
        if modality in self._outputs and not self.fresh:
            return self._outputs[modality]
        wait(model)
        started = time.perf_counter()
        output = self._adapter.encode(model, inputs, modality) if self.fresh else self._once(model, inputs, modality)
        wait(model)
        self.seconds += time.perf_counter() - started
        if not self.fresh:
            self._outputs[modality] = output
        return output

    def _once(self, model: Any, inputs: Mapping[str, Any], modality: Modality) -> Any:
        pixels = inputs.get("pixel_values")
        numbers = {key: i for i, key in enumerate(dict.fromkeys(self._pictures))}
        rows = [numbers[key] for key in self._pictures]
        if type(self._adapter) is not Llava or len(numbers) == len(rows) or not isinstance(pixels, Tensor):
            return self._adapter.encode(model, inputs, modality)
        if len(pixels) != len(rows):
            raise ValueError(f"the batch has {len(rows)} pictures, but pixels of {len(pixels)}")
        first = [rows.index(i) for i in range(len(numbers))]
        output = self._adapter.encode(model, {**inputs, "pixel_values": pixels[first]}, modality)
        return _repeated(output, rows)


def _repeated(output: Any, rows: list[int]) -> Any:
    """The tower's output with picture `rows[i]` as picture i."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    def of(states: Tensor | None) -> Tensor | None:
        return None if states is None else states[rows]  # only the layers that are read are kept

    tokens = output.pooler_output
    return BaseModelOutputWithPooling(
        last_hidden_state=of(output.last_hidden_state),
        pooler_output=tokens[rows] if isinstance(tokens, Tensor) else [tokens[i] for i in rows],
        hidden_states=None if output.hidden_states is None else tuple(map(of, output.hidden_states)),
    )


def wait(model: Any) -> None:
    """Let an accelerator finish, so that a clock may be read."""
    if getattr(model, "device", None) is not None and model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
