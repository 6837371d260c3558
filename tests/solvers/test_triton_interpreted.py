"""The Triton kernels without a GPU."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

DOORS = Path(__file__).with_name("test_doors_gpu.py")


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_the_doors_through_the_interpreter():
    """Every test of the doors holds for the kernels too, in a process that decorates them for the interpreter."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not pc_mmr", str(DOORS)]
    settings = {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "no tests ran" not in done.stdout
