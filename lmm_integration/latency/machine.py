"""What the machine was doing while something was timed."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import torch

FIELDS = ("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu")
NAMES = ("sm_mhz", "memory_mhz", "watts", "celsius")


def device_name(device: str) -> str:
    """The card's name, or the processor's."""
    from solvers.environment import environment

    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else str(environment()["cpu"])


def machine_state(device: str) -> dict[str, Any]:
    """Clocks, power and temperature of a card, by nvidia-smi where it is; else the load average of a minute."""
    if torch.device(device).type == "cuda" and shutil.which("nvidia-smi"):
        return _card(torch.device(device).index or 0)
    try:
        return {"load": round(os.getloadavg()[0], 2)}
    except OSError:
        return {}


def _card(index: int) -> dict[str, Any]:
    uuid = str(torch.cuda.get_device_properties(index).uuid)  # nvidia-smi counts cards that this process may not see
    ask = ["nvidia-smi", f"--id=GPU-{uuid.removeprefix('GPU-')}", f"--query-gpu={','.join(FIELDS)}"]
    try:
        done = subprocess.run(
            [*ask, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return read_card(done.stdout)


def read_card(line: str) -> dict[str, Any]:
    """The numbers of one line of nvidia-smi; what it does not know is left out.

    >>> read_card("1980, 2619, 312.50, [N/A]")
    {'sm_mhz': 1980.0, 'memory_mhz': 2619.0, 'watts': 312.5}
    """
    found = {}
    for name, text in zip(NAMES, line.strip().split(","), strict=False):
        try:
            found[name] = float(text)
        except ValueError:
            continue
    return found
