"""How much memory a sweep takes, how much there is, and a refusal in one sentence where it will not do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lmm_integration.flops import DecoderShape, kv_bytes

GIB = 2**30
EAGER_BYTES = 8  # of a score: twice in the model's own 16 bits, once in float32 for the softmax


@dataclass(frozen=True)
class Need:
    """Bytes, estimated from shapes: `weights`, the largest `cache`, and `working` memory of the largest prefill."""

    weights: int
    cache: int
    working: int

    @property
    def total(self) -> int:
        """All of it at once."""
        return self.weights + self.cache + self.working


def need(config: Any, weights: int, *, rows: int, columns: int, new_tokens: int, number: int) -> Need:
    """What an unpruned request takes.

    Parameters
    ----------
    config : of the model.
    weights : how many there are.
    rows, columns, new_tokens : of the largest batch.
    number : bytes of one number.

    The working memory is that of one decoder layer, three rows of the MLP's width and eight of the model's for each
    token; activations of other layers are free again by then.
    """
    shape = DecoderShape.of(config)
    return Need(
        weights=weights * number,
        cache=rows * kv_bytes(shape, columns + new_tokens, number),
        working=rows * columns * (3 * shape.mlp + 8 * shape.width) * number,
    )


def eager_scores(config: Any, *, rows: int, columns: int) -> int:
    """Bytes of the attention scores of one layer, which eager attention writes out."""
    return int(rows * config.get_text_config().num_attention_heads * columns**2 * EAGER_BYTES)


def free_bytes(device: str) -> int | None:
    """What is free on a CUDA device, or in main memory within the limit of the container; None where nobody tells."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [
        left for left in (_available(Path("/proc/meminfo")), _control_group(Path("/sys/fs/cgroup"))) if left is not None
    ]
    return min(found, default=None)


def check_fits(what: str, needed: Need, free: int | None, device: str) -> None:
    """ValueError in one sentence when `needed` exceeds what is free."""
    if free is None or needed.total <= free:
        return
    raise ValueError(
        f"{what} needs about {needed.total / GIB:.1f} GiB (weights {needed.weights / GIB:.1f}, largest cache "
        f"{needed.cache / GIB:.1f}, working memory {needed.working / GIB:.1f}) and {device} has {free / GIB:.1f} GiB "
        "free: take a smaller batch, type or model"
    )


def _available(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def _control_group(folder: Path) -> int | None:
    """Version 2 of Linux's control groups; "max" is no limit."""
    try:
        limit, used = (folder / "memory.max").read_text().strip(), (folder / "memory.current").read_text()
        return None if limit == "max" else int(limit) - int(used)
    except (OSError, ValueError):
        return None
