"""Imports are cheap and change nothing."""

import subprocess
import sys

import pytest


def modules_after(statement: str) -> set[str]:
    """The top-level modules loaded by a statement in a fresh interpreter."""
    code = f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import mmdp, solvers", "import mmdp.instances", "import lmm_integration"])
def test_heavy_packages_stay_out(statement):
    """Importing the packages loads no torch, OR-Tools, numba, networkx, transformers, plots or photos."""
    heavy = {"torch", "ortools", "numba", "networkx", "transformers", "matplotlib", "skimage", "sklearn", "safetensors"}
    assert not heavy & modules_after(statement)
