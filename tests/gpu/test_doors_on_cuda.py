"""What only a GPU can show: no waits, CUDA graphs, large samples, races. The small cases run in test_doors_gpu.py."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from solvers import triton_support
from solvers.farthest_first.gpu import farthest_first
from solvers.tensor_gram import products

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA or ROCm device")

_path = Path(__file__).parents[1] / "solvers" / "test_doors_gpu.py"
_spec = importlib.util.spec_from_file_location("doors_of_tensors", _path)
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

doors = pytest.mark.parametrize("door", small.DOORS)


def tokens_like_photos(n: int, d: int, batch: int, seed: int, dtype: torch.dtype) -> dict:
    """Smooth random fields on a raster: neighbours resemble each other."""
    rng = np.random.default_rng(seed)
    data = small.sample(n, seed, (batch,), d=d)
    for part in ("X", "K", "V"):
        walk = np.cumsum(rng.normal(size=data[part].shape), axis=1) / 8
        data[part] = (data[part] + walk - walk.mean(1, keepdims=True)).astype(np.float32) / 4
    return small.tensors(data, dtype)


def call(door: str, data: dict, k, **options) -> torch.Tensor:
    """The answer, left on the device."""
    parts, _, function = small.DOORS[door]
    if door == "greedy_map":
        options["relevance"] = data["relevance"]
    return function(*(data[part] for part in parts), k, **options)


@doors
@pytest.mark.parametrize(("n", "k", "d"), [(576, 192, 1024), (2880, 288, 512)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_large_samples_choose_as_naive(door, n, k, d, dtype):
    """The choice of `naive`, or every pick within 1e-6 of the best."""
    data = tokens_like_photos(n, d, 1, n, dtype)
    small.assert_same_choice(door, data, [k])


@doors
@pytest.mark.parametrize("n", [4097, 8192, 8193])
def test_up_to_the_most_tokens_of_a_program_and_beyond(door, n):
    """Both sides of the limit of the kernels give k distinct tokens, the same twice, and the same as plain torch."""
    data = tokens_like_photos(n, 64, 2, n, torch.float32)
    first = call(door, data, 100)
    assert all(len(set(row.tolist())) == 100 for row in first)
    assert torch.equal(call(door, data, 100), first)
    exact = call(door, {name: part.double() for name, part in data.items()}, 100)
    same = (first == exact).float().mean(1)
    assert (same > 0.9).all() or {*first[0].tolist()} == {*exact[0].tolist()}


@doors
def test_never_waits_for_the_device(door):
    """Budgets as an int, or as a tensor with a given width; a mask; every dtype: no synchronisation."""
    valid = torch.rand(3, 200, device="cuda") < 0.9
    budgets = torch.tensor([10, 0, 30], device="cuda")
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        data = tokens_like_photos(200, 64, 3, 0, dtype)
        for k, options in ((20, {}), (20, {"valid": valid}), (budgets, {"width": 30, "valid": valid})):
            call(door, data, k, **options)  # compiles
            torch.cuda.synchronize()
            mode = torch.cuda.get_sync_debug_mode()
            torch.cuda.set_sync_debug_mode("error")
            try:
                call(door, data, k, **options)
            finally:
                torch.cuda.set_sync_debug_mode(mode)


@doors
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)  # kernels, and plain torch
def test_can_be_captured_in_a_cuda_graph(door, dtype):
    """A captured call chooses anew for the data, mask and budgets that stand in its inputs when it is replayed."""
    data = tokens_like_photos(300, 64, 2, 1, dtype)
    valid = torch.ones(2, 300, dtype=torch.bool, device="cuda")
    budgets = torch.tensor([20, 40], device="cuda")
    options = {"valid": valid, "width": 40}
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        call(door, data, budgets, **options)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        chosen = call(door, data, budgets, **options)
    for seed in (2, 3):
        fresh = tokens_like_photos(300, 64, 2, seed, dtype)
        for name, part in fresh.items():
            data[name].copy_(part)
        valid.copy_(torch.rand(2, 300, device="cuda") < 0.8)
        budgets.copy_(torch.tensor([40, 20 + seed]))
        graph.replay()
        assert chosen.tolist() == call(door, fresh, budgets, **options).tolist()


@doors
def test_no_race(door):
    """Fifty runs on the same data agree, with other work in between."""
    data = tokens_like_photos(2880, 128, 4, 4, torch.bfloat16)
    first = call(door, data, 256)
    noise = torch.randn(2048, 2048, device="cuda")
    for _ in range(50):
        noise = (noise @ noise).tanh()
        assert torch.equal(call(door, data, 256), first)


@doors
def test_the_kernels_choose_as_plain_torch(door, monkeypatch):
    """Without Triton the answer is the same."""
    data = tokens_like_photos(576, 256, 4, 5, torch.float32)
    with_kernels = call(door, data, [64, 0, 576, 100])
    monkeypatch.setattr(triton_support, "usable", lambda *tokens: False)
    small.assert_same_choice(door, data, [64, 0, 576, 100])
    without = call(door, data, [64, 0, 576, 100])
    assert (with_kernels == without).float().mean() > 0.9


@pytest.mark.parametrize("allowed", [False, True])
def test_permission_for_tf32_changes_nothing(allowed):
    """Float32 products are exact to float32, in the kernels and in plain torch."""
    X = tokens_like_photos(576, 1024, 1, 6, torch.float32)["X"]
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high" if allowed else "highest")
        chosen, gram = farthest_first(X, 58), products(X, X)
    finally:
        torch.set_float32_matmul_precision(before)
    exact = X.double() @ X.double().mT
    assert ((gram - exact).abs() / exact.diagonal(dim1=1, dim2=2)[..., None]).max() < 1e-5
    small.assert_same_choice("farthest_first", {"X": X, "P": X[..., 0]}, [58])
    assert chosen.shape == (1, 58)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is no second device")
@doors
def test_tensors_on_another_device_than_the_current_one(door):
    """The kernels run where the tensors are."""
    data = tokens_like_photos(100, 32, 2, 7, torch.float32)
    there = {name: part.to("cuda:1") for name, part in data.items()}
    chosen = call(door, there, 20)
    assert chosen.device == torch.device("cuda:1")
    assert chosen.tolist() == call(door, data, 20).tolist()


@doors
def test_compiles_with_inductor(door):
    """torch.compile with its own backend keeps the same tokens, in one graph."""
    data = tokens_like_photos(128, 32, 2, 8, torch.float32)
    torch.compiler.reset()
    compiled = torch.compile(lambda data: call(door, data, 16) + 0, fullgraph=True)
    assert compiled(data).tolist() == call(door, data, 16).tolist()
