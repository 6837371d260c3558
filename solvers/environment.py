"""Which machine and which versions a figure was measured with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mmdp

PACKAGES = ("numpy", "scipy", "numba", "ortools", "networkx", "joblib", "torch", "transformers")


def environment() -> dict[str, Any]:
    """Versions of mmdp, Python and the packages that matter (None where not installed), and the machine.

    The packages are looked up, not imported.

    >>> sorted(environment())
    ['cpu', 'cpu_count', 'mmdp', 'packages', 'platform', 'python']
    """
    return {
        "mmdp": mmdp.__version__,
        "python": platform.python_version(),
        "packages": {name: _installed(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpu_count": os.cpu_count(),
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """The processor's own name where Linux tells it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
