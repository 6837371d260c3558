"""When the Triton kernels are used, and what happens where Triton is installed and does not run."""

import subprocess
from importlib.util import find_spec

import pytest
import torch

from solvers import triton_support
from solvers.farthest_first.gpu import farthest_first


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize(
    "error", [RuntimeError("Failed to find C compiler"), subprocess.CalledProcessError(1, ["gcc"])], ids=str
)
def test_a_kernel_that_does_not_start_is_told_and_done_without(monkeypatch, error):
    """One warning that names the reason, and plain torch."""

    def fails(X):
        raise error

    monkeypatch.setattr("solvers.triton_gram.gram", fails)
    with pytest.warns(RuntimeWarning, match=r"Triton does not run on cpu \(.*(C compiler|gcc).*\); plain torch"):
        assert not triton_support._starts.__wrapped__(torch.device("cpu"))


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_an_error_of_our_own_is_not_hidden(monkeypatch):
    """A wrong kernel is a bug, not a reason to do without."""
    monkeypatch.setattr("solvers.triton_gram.gram", lambda X: X.no_such_attribute)
    with pytest.raises(AttributeError):
        triton_support._starts.__wrapped__(torch.device("cpu"))


def test_more_samples_than_a_grid_has_places_go_to_plain_torch(monkeypatch):
    """65535 is the limit of CUDA; what is above it is chosen from all the same."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(triton_support, "installed", lambda: True)
    most = triton_support.MOST_SAMPLES
    assert triton_support.usable(torch.empty(most, 2, 1))
    assert not triton_support.usable(torch.empty(most + 1, 2, 1))
    assert farthest_first(torch.ones(most + 1, 2, 1), 1).shape == (most + 1, 1)
