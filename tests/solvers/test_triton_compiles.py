"""The Triton kernels compile for GPUs that are not there: the interpreter checks neither types nor registers."""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from solvers import triton_support
from solvers.farthest_first.gpu import farthest_first
from solvers.greedy_map.gpu import greedy_map
from solvers.rank1.gpu import rank1
from solvers.rank1.mmr_gpu import mmr

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """A function that calls a door as on a GPU of the given kind and returns what was compiled and not launched."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime.jit import JITFunction

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(triton_support, "usable", lambda *tokens: True)
    kernels, run = [], JITFunction.run

    def only_compile(self, *args, warmup, **options):
        kernels.append(run(self, *args, warmup=True, **options))

    monkeypatch.setattr(JITFunction, "run", only_compile)

    def call(target: tuple, door, *args, **options) -> list:
        stub = SimpleNamespace(
            get_current_target=lambda: GPUTarget(*target),
            get_current_device=lambda: target,
            get_current_stream=lambda device: 0,
        )
        monkeypatch.setattr(triton.runtime.driver, "_active", stub)
        kernels.clear()
        door(*args, **options, check=False)
        return [kernel.result() if hasattr(kernel, "result") else kernel for kernel in kernels]

    return call


HOPPER, CDNA3 = ("cuda", 90, 32), ("hip", "gfx942", 64)
VALID = torch.ones(2, 600, dtype=torch.bool)
BUDGETS = torch.tensor([3, 4])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize(
    ("door", "tokens", "options", "names"),
    [
        (farthest_first, ("X",), {"valid": VALID}, ["_gram", "_isolation", "_loop"]),
        (greedy_map, ("X",), {"valid": VALID, "relevance": torch.rand(2, 600)}, ["_gram", "_loop"]),
        (rank1, ("X", "X"), {"width": 5}, ["_rank1_gram", "_first_gain", "_gain_loop"]),
        (mmr, ("X", "X"), {}, ["_rank1_gram", "_mmr_loop"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_for_hopper(compiled, door, tokens, options, names, dtype, tmp_path):
    """Gram matrix and loop, each one launch; tensor cores for 16-bit features, no registers spilled, no double."""
    X = torch.empty(2, 600, 128, dtype=dtype)
    kernels = compiled(HOPPER, door, *(X for _ in tokens), BUDGETS if "width" in options else 4, **options)
    assert [kernel.name for kernel in kernels] == names
    for kernel in kernels:
        assert "f64" not in kernel.asm["ptx"]
        assert spilled(kernel.asm["cubin"], tmp_path) == 0
    uses_tensor_cores = re.search(r"wgmma|mma\.sync", kernels[0].asm["ptx"]) is not None
    assert uses_tensor_cores == (dtype == torch.bfloat16)
    assert "tf32" not in kernels[0].asm["ptx"]


def spilled(cubin: bytes, folder: Path) -> int:
    """Bytes of stack of the kernel, by the tool that comes with Triton."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    (folder / "kernel.cubin").write_bytes(cubin)
    command = [str(tool), "--dump-resource-usage", str(folder / "kernel.cubin")]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return max(int(bytes_) for bytes_ in re.findall(r"STACK:(\d+)", report))


def test_many_tokens_do_not_spill(compiled, tmp_path):
    """2880 tokens, in the loop that keeps the most."""
    X, weights = torch.empty(1, 2880, 64, dtype=torch.bfloat16), torch.rand(1, 2880)
    for kernel in compiled(HOPPER, greedy_map, X, 4, relevance=weights):
        assert spilled(kernel.asm["cubin"], tmp_path) == 0


@pytest.mark.parametrize("door", [farthest_first, greedy_map])
def test_for_rocm(compiled, door):
    """The same kernels compile for AMD."""
    X = torch.empty(2, 600, 128, dtype=torch.bfloat16)
    for kernel in compiled(CDNA3, door, X, [3, 4], valid=VALID):
        assert "hsaco" in kernel.asm


def test_a_barrier_follows_each_row_of_the_factor(compiled):
    """The next step reads what other threads wrote: a barrier of the whole program stands behind the store."""
    loop = compiled(HOPPER, greedy_map, torch.empty(1, 600, 64), 4)[-1]
    row_store = re.search(r"tt\.store[^\n]*tensor<\d+x!tt\.ptr<f32>>", loop.asm["ttir"])
    barrier = loop.asm["ttir"].index("barrier", row_store.end())
    assert "tt.load" not in loop.asm["ttir"][row_store.end() : barrier]
