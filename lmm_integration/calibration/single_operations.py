"""Divergences of operations skipped one by one, without the rule that deeper ones go first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from lmm_integration.adapters import adapter_for
from lmm_integration.calibration.divergence import divergence, led_along
from lmm_integration.calibration.meter import Meter
from lmm_integration.calibration.samples import Sample
from lmm_integration.decoder.masked_operations import masked_operations
from lmm_integration.pre_llm import prune_inputs

Kept = npt.NDArray[np.bool_]
ATTENTION, MLP = 0, 1


class OperationMeter:
    """Divergences of any set of operations of visual tokens, by masks, on the samples of a `Meter`.

    A set is (L, 2) bool, True for what runs: column 0 the attention of a layer, column 1 its MLP.

    Raises
    ------
    ValueError : the reading "q" of pruned attention, which single operations do not have.
    """

    def __init__(self, meter: Meter) -> None:
        if meter.attn_prune != "qkv":
            raise ValueError(f"single operations are measured under attn_prune='qkv', got {meter.attn_prune!r}")
        self.meter = meter
        self._known: dict[tuple[bytes, int], float] = {}

    def divergence(self, runs: Kept, tokens: int) -> float:
        """Mean over the samples, with `tokens` visual tokens of the largest one."""
        if runs.shape != (self.meter.layers, 2):
            raise ValueError(f"a set of operations must be ({self.meter.layers}, 2), got {runs.shape}")
        key = (runs.tobytes(), tokens)
        if key not in self._known:
            self._known[key] = float(np.mean([self._of(sample, runs, tokens) for sample in self.meter.samples]))
        return self._known[key]

    def alone(self, tokens: int) -> npt.NDArray[np.float64]:
        """(L, 2): what leaving out each operation alone adds to the divergence of that many tokens, at least 0."""
        everything = np.ones((self.meter.layers, 2), dtype=bool)
        base = self.divergence(everything, tokens)
        losses = np.zeros(everything.shape)
        for where in np.ndindex(*losses.shape):
            runs = everything.copy()
            runs[where] = False
            losses[where] = max(self.divergence(runs, tokens) - base, 0.0)
        return losses

    def _of(self, sample: Sample, runs: Kept, tokens: int) -> float:
        meter = self.meter
        full = meter.answer(sample)
        with torch.no_grad():
            short = prune_inputs(meter.model, sample.inputs, meter.reducer, keep=meter.share(tokens), text=sample.text)
        placeholders = adapter_for(meter.model).placeholders(meter.model)
        visual = torch.isin(short["input_ids"], short["input_ids"].new_tensor(placeholders))
        attention, mlp = ((~runs[:, column]).nonzero()[0].tolist() for column in (ATTENTION, MLP))
        with masked_operations(meter.model, visual, attention=attention, mlp=mlp):
            return divergence(full.log_probabilities, led_along(meter.model, short, full))
