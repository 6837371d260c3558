"""Measures what a depth policy does to the answers of a model, sample by sample."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lmm_integration.adapters import adapter_for
from lmm_integration.calibration.divergence import Answer, answered, divergence, led_along
from lmm_integration.calibration.points import Point, canonical
from lmm_integration.calibration.records import Records
from lmm_integration.calibration.samples import Sample
from lmm_integration.context import prune
from lmm_integration.flops import DecoderShape
from lmm_integration.operation_flops import AttnPrune
from lmm_integration.pruners import DOP, DivPrune
from lmm_integration.tokens import InputPruner

OnPoint = Callable[[str, int, int], None]


class Meter:
    r"""Divergences KL(p_full \|\| p_pruned) at any points (D_A, D_P, n_v), each measured once.

    The full model answers every sample greedily, at most `max_new_tokens` long; the pruned one is led along that answer,
    and the divergence is the mean over its positions, of softmax in float32. One position is usual for short answers.
    n_v is counted for the sample with most visual tokens; the others keep the same share.

    Parameters
    ----------
    model : in evaluation mode.
    samples : 25 to 100 are usual :cite:p:`liu2025operation`.
    reducer, attn_prune : as in `DOP`.
    path : JSON lines of what is measured; a run that was stopped goes on from there.
    about : plain JSON values that name the model and the samples; a file of others is refused.

    Raises
    ------
    ValueError : no samples, an id twice, a sample without pictures; what `prune` raises.

    Attributes
    ----------
    layers : L.
    full_tokens : n, visual tokens of the largest sample.
    sizes : per sample (text, visual) tokens.
    """

    def __init__(
        self,
        model: Any,
        samples: Sequence[Sample],
        *,
        reducer: InputPruner | None = None,
        attn_prune: AttnPrune = "qkv",
        max_new_tokens: int = 1,
        path: str | Path | None = None,
        about: dict[str, Any] | None = None,
    ) -> None:
        if not samples:
            raise ValueError("calibration needs a sample, got none")
        if len({sample.id for sample in samples}) < len(samples):
            raise ValueError("every sample must have an id of its own")
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be >= 1, got {max_new_tokens}")
        self.model, self.samples = model, list(samples)
        self.reducer: InputPruner = DivPrune() if reducer is None else reducer
        self.attn_prune, self.max_new_tokens = attn_prune, max_new_tokens
        self.shape = DecoderShape.of(model)
        self.layers = self.shape.layers
        self.sizes = [sample.count(adapter_for(model).placeholders(model)) for sample in self.samples]
        self.full_tokens = max(visual for _, visual in self.sizes)
        self.settings = {
            **(about or {}),
            "decoder": [self.shape.layers, self.shape.width],
            "weights": _fingerprint(model),
            "reducer": described(self.reducer),
            "attn_prune": attn_prune,
            "max_new_tokens": max_new_tokens,
            "full_tokens": self.full_tokens,
            "dtype": str(model.dtype).removeprefix("torch."),
        }
        self.records = Records(path, self.settings)
        self._keys = {sample.id: f"{sample.id} {_digest(sample)}" for sample in self.samples}
        self.settings["samples"] = list(self._keys.values())
        self._answers: dict[str, Answer] = {}

    def measure(self, points: Iterable[Point], on_point: OnPoint | None = None) -> dict[Point, float]:
        """point -> mean divergence over the samples, not finite where that of a sample is not.

        Points that are the same function of the text are measured once. The unpruned model diverges by 0.

        Parameters
        ----------
        on_point : called behind every run with (sample, runs done, runs in all).
        """
        wanted = {point: self._check(point) for point in points}
        names = sorted(set(wanted.values()) - {self._unpruned})
        todo = [(s, p) for s in self.samples for p in names if (self._keys[s.id], p) not in self.records.found]
        for done, (sample, point) in enumerate(todo, start=1):
            self.records.put(self._keys[sample.id], point, self._divergence(sample, point))
            if on_point is not None:
                on_point(sample.id, done, len(todo))
        return {point: self._mean(name) for point, name in wanted.items()}

    def answer(self, sample: Sample) -> Answer:
        """What the full model says, computed once."""
        if sample.id not in self._answers:
            self._answers = {sample.id: answered(self.model, sample.inputs, self.max_new_tokens)}
        return self._answers[sample.id]

    def share(self, tokens: int) -> float:
        """The retention ratio that stands for `tokens` of the largest sample."""
        return tokens / self.full_tokens

    @property
    def _unpruned(self) -> Point:
        return Point(self.layers, self.layers - 1, self.full_tokens)

    def _check(self, point: Point) -> Point:
        if not 1 <= point.tokens <= self.full_tokens:
            raise ValueError(f"tokens must be in [1, {self.full_tokens}], got {point.tokens}")
        if not 0 <= point.attention <= self.layers or not 0 <= point.mlp <= self.layers:
            raise ValueError(f"depths must be in [0, {self.layers}], got {point.attention} and {point.mlp}")
        return canonical(point, self.layers, self.attn_prune)

    def _divergence(self, sample: Sample, point: Point) -> float:
        full = self.answer(sample)
        pruner = DOP(policy=(point.attention, point.mlp), reducer=self.reducer, attn_prune=self.attn_prune)
        with prune(self.model, pruner, keep=self.share(point.tokens), text=sample.text):
            return divergence(full.log_probabilities, led_along(self.model, sample.inputs, full))

    def _mean(self, point: Point) -> float:
        if point == self._unpruned:
            return 0.0
        return float(np.mean([self.records.found[key, point] for key in self._keys.values()]))


def described(reducer: Any) -> str:
    """A reducer and its options, those of a relevance provider too; towers by their class and weights.

    >>> described(DivPrune(distance="l2"))
    "DivPrune(order='raster', position_policy='repack', distance='l2', solver='greedy', time_limit=None, layer=0)"
    """
    name = type(reducer).__name__
    if not dataclasses.is_dataclass(reducer):
        return name
    options = {field.name: getattr(reducer, field.name) for field in dataclasses.fields(reducer)}
    return f"{name}({', '.join(f'{option}={_said(value)}' for option, value in options.items())})"


def _said(value: Any) -> str:
    if isinstance(value, str | int | float | None):
        return repr(value)
    return f"{type(value).__name__} {_fingerprint(value)}" if isinstance(value, torch.nn.Module) else described(value)


def _fingerprint(model: torch.nn.Module) -> str:
    """Changes where weights do: a few numbers of every parameter."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        digest.update(name.encode())
        digest.update(parameter.detach().flatten()[:8].double().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _digest(sample: Sample) -> str:
    """A fingerprint of the prompt and its pictures."""
    digest = hashlib.sha256(str(sample.text).encode())
    for name in sorted(sample.inputs):
        if isinstance(value := sample.inputs[name], torch.Tensor):
            digest.update(name.encode())
            digest.update(value.detach().cpu().to(torch.float64).numpy().tobytes())
    return digest.hexdigest()[:16]
