"""From a `Problem` in host memory to tensors on a device, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdp import GroundSet, ImplicitWeight
from mmdp.checks import Int
from solvers.answer import Answer


def features_on(ground: GroundSet, device: str | None) -> Tensor:
    """The (n, d) features in their own precision; ValueError for a problem known only by distances or a kernel."""
    if ground.features is None:
        raise ValueError("the gpu backend starts from features, got a problem given by its matrix; use cpu or naive")
    return tensor_on(ground.features, device)


def keys_values_on(problem: ImplicitWeight, device: str | None) -> tuple[Tensor, Tensor]:
    """(1, H, n, d) keys and values; ValueError where their plain products are not the Gram matrix of the problem."""
    if problem.keys_values is None:
        raise ValueError("the gpu backend starts from keys and values, got a problem given by its Gram matrix")
    if problem.kernel != "linear" or problem.form != "truncation":
        raise ValueError(
            "the gpu backend takes kernel 'linear' and form 'truncation', "
            f"got kernel {problem.kernel!r} and form {problem.form!r}; use cpu or naive"
        )
    K, V = problem.keys_values
    return tensor_on(K, device)[None], tensor_on(V, device)[None]


def tensor_on(values: Any, device: str | None) -> Tensor:
    """Numbers as a tensor on `device` (None: an accelerator if there is one), float32 where it has no float64."""
    place = torch.device(device) if device is not None else _accelerator()
    array = np.asarray(values)
    if array.dtype not in (np.float16, np.float32, np.float64):
        array = array.astype(np.float64)
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if place.type == "mps" and tensor.dtype == torch.float64:
        tensor = tensor.float()
    return tensor.to(place)


def on_host(chosen: Tensor, **stats: Any) -> Answer:
    """The indices of one sample as an Answer."""
    indices: Int = chosen.cpu().numpy()
    return Answer(indices, stats={"device": str(chosen.device), **stats})


def _accelerator() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
