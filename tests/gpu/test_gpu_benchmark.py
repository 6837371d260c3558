"""The GPU benchmark where there is no GPU: it says so, and it would refuse answers that differ."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_greedy

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_without_a_device_one_line_says_so():
    """No traceback, and not a success."""
    command = [sys.executable, "-m", "benchmarks.gpu_greedy", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "benchmarks.gpu_greedy needs a CUDA or ROCm device, and torch finds none here\n"
    assert not done.stdout


def test_every_case_has_a_row_of_its_own():
    """Names are unique, and the quick run is a part of the full one."""
    names = [case.name for case in gpu_greedy.cases(quick=False)]
    assert len(names) == len(set(names))
    assert {case.name for case in gpu_greedy.cases(quick=True)} < set(names)


@pytest.mark.parametrize("door", ["farthest_first", "greedy_map", "mmr"])
def test_answers_that_differ_are_refused(door):
    """The same choice passes, two picks in the wrong order do not."""
    pytest.importorskip("skimage", reason="photos need scikit-image")
    case = gpu_greedy.Case(door, 576, 64, 20, 1, "float32")
    data = gpu_greedy.batch_of(case, 0)
    right = gpu_greedy.ours(case, data)
    gpu_greedy.check_answers(case, data, right, right.clone())
    wrong = right[:, [0, 2, 1, *range(3, 20)]]
    with pytest.raises(SystemExit, match=r"the answers differ, the published loop is .* off the best token"):
        gpu_greedy.check_answers(case, data, right, wrong)
