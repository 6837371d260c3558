"""From drawn pictures to what the vision tower reads, as the processor does it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmm_integration.tiny.words import DEVIATION, MEAN


def pixels_of(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """(B, 128, 128, 3) uint8 to (B, 3, 128, 128) float32."""
    return torch.from_numpy((pictures.astype(np.float32) / 255 - MEAN) / DEVIATION).permute(0, 3, 1, 2).contiguous()
