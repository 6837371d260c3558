"""What the vision tower was shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seen_pictures(processor: Any, pixels: Tensor, image: Any, crops: int) -> Sequence[np.ndarray]:
    """(h, w, 3) in [0, 1] for each crop, the normalisation undone; the picture itself where pixels come as patches."""
    if pixels.ndim < 4:
        return [np.asarray(image, dtype=np.float64) / 255]
    mean, std = (torch.tensor(getattr(processor.image_processor, name)) for name in ("image_mean", "image_std"))
    seen = pixels.reshape(-1, *pixels.shape[-3:])[:crops].float().cpu()
    back = seen.permute(0, 2, 3, 1) * std + mean
    return list(back.clamp(0, 1).double().numpy())
