"""The raw doors on tensors against the naive ones: in plain torch, in Triton's interpreter, on a GPU."""

import os

import numpy as np
import pytest
import torch

from mmdp import ConditionalDPP, GroundSet, ImplicitWeight
from mmdp.checks import as_heads
from mmdp.ground_set import ZERO_NORM
from solvers import triton_support
from solvers.farthest_first import gpu as farthest_first_gpu
from solvers.farthest_first import naive as farthest_first_naive
from solvers.greedy_map import gpu as greedy_map_gpu
from solvers.greedy_map import naive as greedy_map_naive
from solvers.rank1 import gpu as rank1_gpu
from solvers.rank1 import mmr_gpu, mmr_naive, pc_mmr_gpu, pc_mmr_naive
from solvers.rank1 import naive as rank1_naive

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DOORS = {  # name: its tokens, the naive door, the door on tensors
    "farthest_first": (("X",), farthest_first_naive.farthest_first, farthest_first_gpu.farthest_first),
    "greedy_map": (("X",), greedy_map_naive.greedy_map, greedy_map_gpu.greedy_map),
    "rank1": (("K", "V"), rank1_naive.rank1, rank1_gpu.rank1),
    "mmr": (("K", "V"), mmr_naive.mmr, mmr_gpu.mmr),
    "pc_mmr": (("P", "K", "V"), pc_mmr_naive.pc_mmr, pc_mmr_gpu.pc_mmr),
}
doors = pytest.mark.parametrize("door", DOORS)
in_triton = pytest.mark.parametrize("door", ["farthest_first", "greedy_map", "rank1", "mmr"])


@pytest.fixture(autouse=True)
def products_like_a_gpu(monkeypatch):
    """In the interpreter, products whose entries are summed alike wherever they stand, which numpy's need not be."""
    if INTERPRETED:
        from triton.runtime import interpreter

        def create_dot(self, a, b, d, *precision):
            total = d.data.copy()
            with np.errstate(invalid="ignore"):  # a GPU multiplies infinite by zero in silence
                for column, row in zip(a.data.T, b.data, strict=True):
                    total += column[:, None].astype(total.dtype) * row
            return interpreter.TensorHandle(total, d.dtype.scalar)

        monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)


def sample(n: int, seed: int, batch: tuple[int, ...] = (), heads: tuple[int, ...] = (), d: int = 24) -> dict:
    """Random tokens with everything the doors take, float32 numbers."""
    rng = np.random.default_rng(seed)
    data = {
        "X": rng.normal(size=(*batch, n, d)),
        "relevance": rng.uniform(0.2, 1, size=(*batch, n)),
        "K": rng.normal(size=(*batch, *heads, n, 16)) / 2,
        "V": rng.normal(size=(*batch, *heads, n, 12)) / 3,
        "P": rng.uniform(0.1, 1, size=(*batch, n)),
    }
    return {name: array.astype(np.float32) for name, array in data.items()}


def tensors(data: dict, dtype: torch.dtype = torch.float32) -> dict:
    """On the device, rounded to `dtype`."""
    return {name: torch.from_numpy(array).to(DEVICE, dtype) for name, array in data.items()}


def choose(door: str, data: dict, k, *, naive: bool = False, **options) -> np.ndarray:
    """The answer of the door on tensors, or of the naive one on arrays."""
    if door == "greedy_map":
        options["relevance"] = data["relevance"]
    parts, on_arrays, on_tensors = DOORS[door]
    if naive:
        return on_arrays(*(data[part] for part in parts), k, **options)
    if "valid" in options:
        options["valid"] = torch.as_tensor(options["valid"], device=DEVICE)
    chosen = on_tensors(*(data[part] for part in parts), k, **options)
    assert (chosen.dtype, chosen.device.type) == (torch.int64, DEVICE)
    return chosen.cpu().numpy()


def assert_same_choice(door: str, data: dict, k, **options) -> None:
    """The choice of `naive`; where it differs, every pick is within 1e-6 of the best at that step, in float64."""
    numbers = {name: part.cpu().double().numpy() for name, part in data.items()}
    chosen, expected = choose(door, data, k, **options), choose(door, numbers, k, naive=True, **options)
    assert chosen.shape == expected.shape
    rows = range(len(chosen)) if chosen.ndim == 2 else [...]
    for b in rows:
        if chosen[b].tolist() != expected[b].tolist():
            picks = chosen[b][chosen[b] >= 0]
            assert len(picks) == len(set(picks.tolist())) == (expected[b] >= 0).sum()
            real = np.flatnonzero(options["valid"][b]) if "valid" in options else np.arange(data["P"].shape[-1])
            mine = {name: part[b][real if part[b].ndim < 3 else (slice(None), real)] for name, part in numbers.items()}
            assert max(shortfalls(door, mine, np.searchsorted(real, picks)), default=0.0) <= 1e-6


def shortfalls(door: str, data: dict, picks: np.ndarray):
    """How far each pick falls short of the best, given the picks before it, in float64 on the scale of the scores."""
    n = len(data["P"])
    free = np.ones(n, bool)
    if door == "farthest_first":
        ground = GroundSet(data["X"])
        last, distances = ground.zero_rows, ground.distances
        score, nearest = farthest_first_naive.isolation(distances, ~last), np.full(n, np.inf)
    elif door == "greedy_map":
        problem = ConditionalDPP.from_features(data["X"], 0, data["relevance"])
        last, kernel = problem.ground.zero_rows, problem.kernel
        start = score = kernel.diagonal().copy()
        factor = np.zeros((0, n))
    elif door == "pc_mmr":
        keys, values = as_heads(data["K"], "K"), as_heads(data["V"], "V")
        last = (np.linalg.norm(values, axis=2) <= ZERO_NORM).all(axis=0)
        redundancy, score = pc_mmr_naive.softmax_redundancy(keys, values), data["P"] / data["P"].max()
        chunk, ends, members = 2, 2, []
    else:
        gram = ImplicitWeight.from_keys_values(data["K"], data["V"], 0).gram
        last, magnitude = gram.diagonal() <= 0, np.sqrt(gram.diagonal())
        score = magnitude if door == "mmr" else 2 * gram.sum(1) - gram.diagonal()
        duplication, scale = np.full(n, -np.inf), np.abs(gram).sum(1).max()
    for t, j in enumerate(picks):
        candidates = free & ~last if (free & ~last).any() else free
        if door == "greedy_map":
            regular = free & (score > greedy_map_naive.PIVOT * start)
            candidates, score = (regular, score) if regular.any() else (candidates, start)
        assert candidates[j]
        best = score[candidates].max()
        if not last[j] and best != score[j]:
            yield (best - score[j]) / (scale if door in ("rank1", "mmr") else 1.0)
        free[j] = False
        if door == "farthest_first":
            score = nearest = np.minimum(nearest, distances[j])
        elif door == "greedy_map":
            row = (kernel[j] - factor[:, j] @ factor) / np.sqrt(score[j]) * regular.any()
            factor, score = np.vstack([factor, row]), score - row**2
        elif door == "rank1":
            score = score - 2 * gram[j]
        elif door == "mmr":
            duplication = np.maximum(duplication, gram[j])
            score = 0.5 * magnitude - 0.5 * duplication
        else:
            members.append(j)
            if t + 1 == ends:
                score = score * np.maximum(0.01, 1 - 5 * redundancy(np.array(members)).max(1))
                chunk, ends, members = 2 * chunk, ends + 2 * chunk, []


SIZES = [(1, torch.float16), (2, torch.float32), (63, torch.float16), (64, torch.float32), (65, torch.float32)]
SIZES += [] if INTERPRETED else [(64, torch.bfloat16), (65, torch.float64), (576, torch.bfloat16), (577, torch.float32)]


@doors
@pytest.mark.parametrize(("n", "dtype"), SIZES, ids=str)
def test_same_choice_as_naive(door, n, dtype):
    """Independent Gaussian tokens at sizes around powers of two, ragged budgets 0, 1, n - 1 and n in one batch."""
    budgets = [n // 2] if INTERPRETED and n in (63, 64) else [0, 1, n - 1, n]
    data = tensors(sample(n, n, (len(budgets),), d=96 if n > 100 else 24), dtype)
    assert_same_choice(door, data, budgets)


@pytest.mark.skipif(INTERPRETED, reason="576 tokens take too long in the interpreter")
@doors
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_photo_tokens(door, dtype):
    """576 tokens of a photograph, which resemble their neighbours: k = 64."""
    pytest.importorskip("skimage", reason="photos need scikit-image")
    from mmdp.instances import load

    photo = load("photo/coffee/pca")
    data = {"X": photo.features, "relevance": photo.relevance, "K": photo.keys[0], "V": photo.values[0]}
    data["P"] = np.linalg.norm(photo.values[0], axis=1)
    assert_same_choice(door, tensors({name: np.asarray(part) for name, part in data.items()}, dtype), 64)


@doors
def test_many_small_samples(door):
    """2000 samples of 9 tokens at once (six in the interpreter), with copies, zero rows, padding and many ties."""
    rng, count = np.random.default_rng(3), 6 if INTERPRETED else 2000
    data = sample(9, 3, (count,), d=4)
    grid = rng.random(count) < 0.3
    for part in ("X", "K", "V"):
        data[part][grid] = np.rint(data[part][grid])
    source = np.where(rng.random((count, 9)) < 0.2, rng.integers(0, 9, (count, 9)), np.arange(9))
    data = {name: np.stack([part[b, rows] for b, rows in enumerate(source)]) for name, part in data.items()}
    valid = rng.random((count, 9)) < 0.9
    assert_same_choice(door, tensors(data), rng.integers(0, 11, count).tolist(), valid=valid)


@doors
def test_a_sample_in_a_batch_equals_the_sample_alone(door):
    """Ragged budgets and masks; what stands in the padding, NaN included, is never looked at."""
    rng = np.random.default_rng(4)
    data = sample(21, 5, (4,))
    valid = rng.random((4, 21)) < 0.6
    valid[0], valid[3] = True, False
    for array in data.values():
        array[~valid] = np.nan
    budgets = [9, 25, 0, 3]
    batch = tensors(data)
    together = choose(door, batch, budgets, valid=valid)
    assert together.shape == (4, 25)
    for b, k in enumerate(budgets):
        tokens = np.flatnonzero(valid[b])
        alone = choose(door, {name: array[b, tokens] for name, array in batch.items()}, min(k, len(tokens)))
        assert together[b].tolist() == [*tokens[alone].tolist(), *[-1] * (25 - len(alone))]
        one = choose(door, {name: array[b] for name, array in batch.items()}, k, valid=valid[b])
        assert one.tolist() == together[b, :k].tolist()


@doors
@pytest.mark.parametrize("n", [9, 33] if INTERPRETED else [9, 63, 200])
def test_bitwise_equal_tokens_come_in_index_order(door, n):
    """Among copies the lowest index is chosen first, and the rank that n // 2 distinct tokens have is no limit."""
    source = np.random.default_rng(n).integers(0, n // 2, n)
    data = tensors({name: array[source] for name, array in sample(n, n).items()})
    chosen = choose(door, data, n).tolist()
    assert sorted(chosen) == list(range(n))
    for token in set(source.tolist()):
        copies = [i for i in chosen if source[i] == token]
        assert copies == sorted(copies)
    assert_same_choice(door, data, n)


@doors
def test_zero_rows_come_last_and_change_nothing_before(door):
    """Tokens without direction or update follow in index order, however relevant; the rest is chosen as before."""
    data, zeros, others = sample(20, 7), [0, 5, 19], [*range(1, 5), *range(6, 19)]
    for part in ("X", "V"):
        data[part][zeros] = 0
    data["P"][zeros] = data["relevance"][zeros] = [1, 2, 3]
    chosen = choose(door, tensors(data), 20).tolist()
    assert chosen[17:] == zeros
    rest = choose(door, tensors({name: array[others] for name, array in data.items()}), 17)
    assert chosen[:17] == np.array(others)[rest].tolist()
    nothing = tensors({name: 0 * array for name, array in data.items()})
    assert choose(door, nothing, 4).tolist() == [0, 1, 2, 3]


@doors
def test_more_tokens_than_dimensions(door):
    """A budget above the rank of the tokens fills up by the rule of `naive`."""
    data = sample(40, 11)
    data["X"], data["K"], data["V"] = data["X"][:, :5], data["K"][:, :2], data["V"][:, :2]
    assert_same_choice(door, tensors(data), 40)


@doors
def test_sliced_and_transposed_input(door):
    """Views with any strides give the choice of their copies."""
    data = tensors(sample(30, 12, (2,)))
    views = {name: torch.stack([part, part], -1)[..., 1] for name, part in data.items()}
    views["K"], views["X"] = data["K"].mT.contiguous().mT, torch.cat([data["X"], data["X"]], 1)[:, :30]
    valid = torch.ones(2, 60, dtype=torch.bool, device=DEVICE)[:, ::2]
    assert choose(door, views, 8, valid=valid).tolist() == choose(door, data, 8).tolist()


@pytest.mark.parametrize("door", ["rank1", "mmr", "pc_mmr"])
def test_several_heads(door):
    """(B, H, n, d) keys and values."""
    data = tensors(sample(25, 13, (2,), (3,)))
    assert_same_choice(door, data, [25, 6])


def test_a_given_start():
    """One start for all samples or one each, a zero row among them; the first token is the start."""
    data = sample(20, 14, (2,))
    data["X"][1, 4] = 0
    batch = tensors(data)
    for start in (3, [2, 4]):
        assert_same_choice("farthest_first", batch, 20, start=start)


@pytest.mark.skipif(DEVICE == "cpu" and not INTERPRETED, reason="plain torch takes no scratch memory")
@in_triton
def test_poisoned_scratch(door, monkeypatch):
    """Nothing is read before it is written, and every place of the answer is."""

    def poisoned(*shape, dtype=torch.float32, device=None):
        wrong = float("nan") if dtype.is_floating_point else 10**6
        return torch.full(*shape, wrong, dtype=dtype, device=device)

    data, valid = tensors(sample(19, 15, (3,))), np.random.default_rng(15).random((3, 19)) < 0.7
    expected = choose(door, data, [19, 40, 0], valid=valid)
    monkeypatch.setattr(triton_support.torch, "empty", poisoned)
    assert choose(door, data, [19, 40, 0], valid=valid).tolist() == expected.tolist()


@doors
def test_budgets_on_the_device(door):
    """A tensor of budgets with a given width, and a width above the largest budget, give the ragged answer."""
    data = tensors(sample(12, 16, (3,)))
    expected = np.pad(choose(door, data, [4, 0, 2]), ((0, 0), (0, 3)), constant_values=-1)
    budgets = torch.tensor([4, 0, 2], device=DEVICE)
    assert choose(door, data, budgets, width=7).tolist() == expected.tolist()
    assert choose(door, data, budgets).tolist() == expected[:, :4].tolist()
    assert choose(door, data, 2, width=7)[:, :2].tolist() == choose(door, data, 2).tolist()


@doors
def test_unchecked_values_that_are_not_finite_come_last(door):
    """With check=False a broken token counts as one without direction and spoils no other."""
    data = sample(15, 17)
    clean = {name: array.copy() for name, array in data.items()}
    for part in ("X", "V"):
        data[part][[3, 8]], clean[part][[3, 8]] = [[np.nan], [np.inf]], 0
    expected = choose(door, tensors(clean), 15)
    assert choose(door, tensors(data), 15, check=False).tolist() == expected.tolist()


@doors
def test_unchecked_budgets_are_cut(door):
    """With check=False a budget below 0 keeps nothing, one above the width the width, however large."""
    data = tensors(sample(12, 19, (4,)))
    budgets = torch.tensor([-3, 2**32 + 1, 2**40, 5], device=DEVICE)
    chosen = choose(door, data, budgets, width=6, check=False)
    assert chosen.tolist() == choose(door, data, [0, 6, 6, 5]).tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@doors
def test_autocast_changes_nothing(door, dtype):
    """Models run under `torch.autocast`, which would round the similarities to 16 bits."""
    data = tensors(sample(33 if INTERPRETED else 200, 18, (2,)))
    expected = choose(door, data, 20)
    with torch.autocast(DEVICE, dtype=dtype):
        assert choose(door, data, 20).tolist() == expected.tolist()


@pytest.mark.skipif(DEVICE == "cpu" and not INTERPRETED, reason="here the kernels run only in Triton's interpreter")
@in_triton
def test_the_kernels_run(door, monkeypatch):
    """Without this the tests above could pass in plain torch."""
    for module in (farthest_first_gpu, greedy_map_gpu, rank1_gpu, mmr_gpu):
        monkeypatch.delattr(module, "gpu_loop")
    assert len(choose(door, tensors(sample(5, 0)), 3)) == 3
