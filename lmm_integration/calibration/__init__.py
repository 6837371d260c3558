"""How much a model's answers change when visual tokens skip operations, and the depth policy that changes them least."""

import importlib
from typing import Any

_WHERE = {
    "Calibration": "lmm_integration.calibration.curves",
    "Meter": "lmm_integration.calibration.meter",
    "Point": "lmm_integration.calibration.points",
    "Sample": "lmm_integration.calibration.samples",
    "calibrate": "lmm_integration.calibration.curves",
    "load_dop": "lmm_integration.calibration.policy_file",
    "load_policy": "lmm_integration.calibration.policy_file",
    "save_policy": "lmm_integration.calibration.policy_file",
    "search_report": "lmm_integration.calibration.report",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
