"""Which implementation of a raw door runs: decided here, from the catalog, and nowhere else."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdp.checks import to_numpy
from solvers.catalog import CATALOG


def door(name: str, *, accelerated: bool) -> tuple[str, Callable[..., Any]]:
    """The raw door of a solver and its backend: gpu for tensors on an accelerator, else cpu, else naive.

    >>> door("farthest_first", accelerated=False)[1].__name__
    'farthest_first'
    """
    rows = {row.backend: row for row in CATALOG if row.name == name and not row.missing}
    backend = next(b for b in (("gpu",) if accelerated else ()) + ("cpu", "naive") if b in rows)
    found: Callable[..., Any] = getattr(importlib.import_module(rows[backend].module), name)
    return backend, found


def choose(name: str, features: Sequence[Tensor], k: Sequence[int], **weights: Sequence[Tensor]) -> list[Tensor]:
    """Per unit (n_i, d), the first k_i picks of the raw door `name`, int64 on the CPU; all units in one batch.

    `weights` are per unit (n_i,), handed to the door by name.
    """
    if not features:
        return []
    sizes = torch.tensor([len(unit) for unit in features])
    valid = torch.arange(int(sizes.max()))[None] < sizes[:, None]
    batch = {"X": _padded(features)} | {name: _padded(values) for name, values in weights.items()}
    device = batch["X"].device
    backend, pick = door(name, accelerated=device.type != "cpu")
    if backend == "gpu":  # the picks are read back at once, so checking the values costs no extra wait
        tensors = {key: values.to(device) for key, values in batch.items()}
        chosen = pick(tensors.pop("X"), list(k), valid=valid.to(device), check=True, **tensors).cpu()
    else:
        arrays = {key: to_numpy(values) for key, values in batch.items()}
        chosen = torch.as_tensor(pick(arrays.pop("X"), np.array(k), valid=valid.numpy(), **arrays))
    return [row[: min(m, n)].clone() for row, m, n in zip(chosen, k, sizes.tolist(), strict=True)]


def _padded(units: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(units), batch_first=True)
