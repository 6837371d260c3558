"""Rounding to number types: against torch's own, and what is out of range."""

import numpy as np
import pytest

from mmdp.instances import Instance
from solvers.rounding import DTYPES, rounded, rounded_instance


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounds_as_torch_does(dtype):
    """Numbers of every size, subnormal ones and exact ties among them."""
    torch = pytest.importorskip("torch", reason="torch knows bfloat16")
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=20_000) * 2.0 ** rng.integers(-20 if dtype == "float16" else -140, 14, size=20_000)
    numbers = np.concatenate([numbers.astype(np.float32), 1 + np.arange(64) / 512, [0.0, -0.0]]).astype(np.float64)
    ours = rounded(numbers, dtype)
    theirs = torch.from_numpy(numbers).to(getattr(torch, dtype))
    assert np.array_equal(ours.astype(np.float64), theirs.double().numpy())
    assert np.array_equal(rounded(ours, dtype), ours)


def test_bfloat16_rounds_once():
    """Just above the middle of two neighbours is rounded up, though float32 would put it on the middle."""
    assert rounded([1 + 2.0**-8 + 2.0**-40], "bfloat16")[0] == 1 + 2.0**-7
    assert rounded([1 + 2.0**-8], "bfloat16")[0] == 1


@pytest.mark.parametrize(("dtype", "value"), [("float16", 1e5), ("bfloat16", 3.4e38), ("float32", 1e39)])
def test_out_of_range(dtype, value):
    """No infinity comes in by rounding."""
    with pytest.raises(ValueError, match=rf"the largest value .* is beyond the range of {dtype}"):
        rounded([0.0, -value if dtype == "float16" else value], dtype)


def test_unknown_type():
    """The allowed ones are named."""
    with pytest.raises(ValueError, match="dtype must be one of float64, float32, float16, bfloat16, got 'int8'"):
        rounded([1.0], "int8")


def test_every_number_of_an_instance_is_rounded():
    """Tokens, relevance, keys and values; what is absent stays absent."""
    rng = np.random.default_rng(1)
    K = rng.normal(size=(2, 5, 3))
    instance = Instance("five", features=rng.normal(size=(5, 4)), relevance=rng.random(5), keys=K, values=K)
    low = rounded_instance(instance, "float16")
    assert low.features.dtype == low.relevance.dtype == low.keys.dtype == np.float16
    assert np.array_equal(low.values, K.astype(np.float16))
    assert low.query is None
    assert low.name == "five"
