"""What the installed version of transformers can do. Nothing else asks for versions."""

from __future__ import annotations

import inspect
from typing import Any

SINCE = "5.18"  # models take encoded pictures


def takes_encoded(model: Any) -> bool:
    """Whether a model takes what its vision tower gave, as `mm_encoder_outputs`."""
    return "mm_encoder_outputs" in inspect.signature(model.forward).parameters
