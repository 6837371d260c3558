"""Whether the Triton kernels can run, decided in one place. Where they cannot, plain torch gives the same answer."""

from __future__ import annotations

import os
import subprocess
import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

MOST_TOKENS = 8192  # one program holds the scores of a sample in registers
MOST_SAMPLES = 65535  # of a batch: the largest second or third dimension of a grid
FLOATS = (torch.float16, torch.bfloat16, torch.float32)


def usable(*tokens: Tensor) -> bool:
    """Whether the kernels take these (B, ..., n, d) tensors on CUDA or ROCm: at most 32 bits, n <= 8192, B <= 65535.

    Triton's interpreter (``TRITON_INTERPRET=1``, for tests) takes tensors on the CPU as well, but for bfloat16, whose
    bit patterns it would multiply as whole numbers.
    """
    if any(part.dtype not in FLOATS or not 1 <= part.shape[-2] <= MOST_TOKENS for part in tokens):
        return False
    device = tokens[0].device
    if tokens[0].shape[0] > MOST_SAMPLES:
        return False
    if device.type == "cuda":
        return installed() and _new_enough(device) and _starts(device)
    return device.type == "cpu" and _interpreted() and installed() and tokens[0].dtype != torch.bfloat16


@cache
def installed() -> bool:
    """Whether the package is there; torch brings it on Linux with CUDA or ROCm."""
    return find_spec("triton") is not None


def on_device_of(x: Tensor) -> AbstractContextManager[Any]:
    """Launch where the tensor lives: Triton launches on the current device, which may be another one."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


def scratch(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Memory of float32 that nobody has written yet."""
    return torch.empty(shape, dtype=torch.float32, device=like.device)


def answer(samples: int, width: int, like: Tensor) -> Tensor:
    """Memory for the (B, width) indices; every kernel writes all of it."""
    return torch.empty((samples, width), dtype=torch.int64, device=like.device)


def block_of(n: int) -> int:
    """Tokens of a program: n up to a power of two, at least one warp of them."""
    return max(32, 1 << (n - 1).bit_length())


def warps_of(block: int) -> int:
    """Warps of a program that runs the whole loop: few tokens a thread, since each step waits for the last."""
    return min(16, max(1, block // 128))


def options(warps: int) -> dict[str, Any]:
    """How a kernel is compiled: so many warps, products and sums fused (Triton's own default differs by version)."""
    return {"num_warps": warps, "enable_fp_fusion": True}


@cache
def _new_enough(device: torch.device) -> bool:
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)


@cache
def _starts(device: torch.device) -> bool:
    """Whether a first kernel compiles and starts: Triton needs a C compiler and headers, which a machine may lack."""
    try:
        from solvers.triton_gram import gram

        gram(torch.ones((1, 2, 1), dtype=torch.float16, device=device))
    except (RuntimeError, OSError, ImportError, subprocess.CalledProcessError) as error:
        warnings.warn(
            f"Triton does not run on {device} ({error}); plain torch chooses the same tokens, slower",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes", "y")
