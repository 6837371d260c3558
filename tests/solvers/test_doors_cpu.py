"""The compiled raw doors against the naive ones."""

import subprocess
import sys

import numba
import numpy as np
import pytest
import torch

from mmdp import ConditionalDPP, GroundSet, ImplicitWeight, MaxMinDiversity
from mmdp.checks import as_heads
from mmdp.ground_set import ZERO_NORM
from solvers.answer import Request
from solvers.farthest_first import cpu as farthest_first_cpu
from solvers.farthest_first import naive as farthest_first_naive
from solvers.greedy_map import cpu as greedy_map_cpu
from solvers.greedy_map import naive as greedy_map_naive
from solvers.rank1 import cpu as rank1_cpu
from solvers.rank1 import mmr_cpu, mmr_naive, pc_mmr_cpu, pc_mmr_naive
from solvers.rank1 import naive as rank1_naive

DOORS = {  # name: its tokens, the naive door, the compiled one
    "farthest_first": (("X",), farthest_first_naive.farthest_first, farthest_first_cpu.farthest_first),
    "greedy_map": (("X",), greedy_map_naive.greedy_map, greedy_map_cpu.greedy_map),
    "rank1": (("K", "V"), rank1_naive.rank1, rank1_cpu.rank1),
    "mmr": (("K", "V"), mmr_naive.mmr, mmr_cpu.mmr),
    "pc_mmr": (("P", "K", "V"), pc_mmr_naive.pc_mmr, pc_mmr_cpu.pc_mmr),
}
doors = pytest.mark.parametrize("door", DOORS)


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


def alike(n: int, d: int, seed: int) -> dict:
    """Tokens on a slow random walk, so that they resemble their neighbours."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(size=(n, 12)), axis=0) @ rng.normal(size=(12, d)) + rng.normal(size=(n, d))
    size = 1 / np.sqrt(d * walk.var())
    parts = {"X": walk, "relevance": rng.uniform(0.2, 1, n), "K": walk * size, "V": walk[::-1] * size}
    return {name: part.astype(np.float32) for name, part in {**parts, "P": np.linalg.norm(walk, axis=1)}.items()}


def choose(door: str, data: dict, k, *, naive: bool = False, **options) -> np.ndarray:
    """The answer of a door."""
    if door == "greedy_map":
        options["relevance"] = data["relevance"]
    parts, slow, fast = DOORS[door]
    chosen = (slow if naive else fast)(*(data[part] for part in parts), k, **options)
    assert chosen.dtype == np.int64
    return chosen


def assert_same_choice(door: str, data: dict, k, **options) -> None:
    """The choice of `naive`; where it differs, every pick is within 1e-6 of the best at that step, in float64."""
    numbers = {name: part.astype(np.float64) for name, part in data.items()}
    chosen, expected = choose(door, data, k, **options), choose(door, numbers, k, naive=True, **options)
    assert chosen.shape == expected.shape
    for b in range(len(chosen)) if chosen.ndim == 2 else [...]:
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


SIZES = [(1, np.float16), (2, np.float32), (63, np.float16), (64, np.float32), (65, np.float64), (65, np.float32)]


@doors
@pytest.mark.parametrize(("n", "dtype"), [*SIZES, (576, np.float16), (577, np.float32)])
@pytest.mark.parametrize("d", [24, 200])
def test_same_choice_as_naive(door, n, d, dtype):
    """Independent Gaussian tokens at sizes around powers of two, ragged budgets 0, 1, n - 1 and n in one batch."""
    budgets = np.array([0, 1, n - 1, n] if n < 500 else [n // 8, n])
    data = {name: part.astype(dtype) for name, part in sample(n, n, (len(budgets),), d=d).items()}
    assert_same_choice(door, data, budgets)


@doors
@pytest.mark.parametrize("n", [576, 577, 2880])
def test_tokens_that_resemble_their_neighbours(door, n):
    """A tenth of the tokens of a random walk, without a matrix, fewer than dimensions."""
    assert_same_choice(door, alike(n, 320, n), n // 10)


@doors
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_photo_tokens(door, dtype):
    """576 tokens of a photograph: k = 64."""
    pytest.importorskip("skimage", reason="photos need scikit-image")
    from mmdp.instances import load

    photo = load("photo/coffee/pca")
    data = {"X": photo.features, "relevance": photo.relevance, "K": photo.keys[0], "V": photo.values[0]}
    data["P"] = np.linalg.norm(photo.values[0], axis=1)
    assert_same_choice(door, {name: np.asarray(part, dtype) for name, part in data.items()}, 64)


def take_path(monkeypatch, lazy: bool) -> None:
    """Make every door take the lazy path to its end, or the one with the whole matrix."""
    monkeypatch.setattr(farthest_first_cpu, "NARROW", 1)
    monkeypatch.setattr(rank1_cpu, "SINGLE", 0.0 if lazy else 1e9)
    for module, limits in (
        (farthest_first_cpu, ("START", "LOOP")),
        (greedy_map_cpu, ("EFFORT",)),
        (mmr_cpu, ("EFFORT",)),
    ):
        monkeypatch.setattr(module, "SHARE", 1e9 if lazy else 0.0)
        for limit in limits:
            monkeypatch.setattr(module, limit, 1e9)


@doors
@pytest.mark.parametrize("lazy", [True, False])
def test_many_small_samples(door, lazy, monkeypatch):
    """2000 samples of 9 tokens for each door and path, with copies, zero rows, padding and many ties."""
    take_path(monkeypatch, lazy)
    rng, count = np.random.default_rng(3 + lazy), 2000
    data = sample(9, 3 + lazy, (count,), d=4)
    grid = rng.random(count) < 0.3
    for part in ("X", "K", "V"):
        data[part][grid] = np.rint(data[part][grid])
    source = np.where(rng.random((count, 9)) < 0.2, rng.integers(0, 9, (count, 9)), np.arange(9))
    data = {name: np.stack([part[b, rows] for b, rows in enumerate(source)]) for name, part in data.items()}
    valid = rng.random((count, 9)) < 0.9
    assert_same_choice(door, data, rng.integers(0, 11, count), valid=valid)


@doors
@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("n", [63, 130])
def test_copies_and_all_budgets_on_both_paths(door, n, lazy, monkeypatch):
    """n tokens with n // 2 values, all of them chosen, so that every block of four is filled in every way."""
    take_path(monkeypatch, lazy)
    source = np.random.default_rng(n).integers(0, n // 2, n)
    data = {name: array[source] for name, array in sample(n, n, d=70).items()}
    chosen = choose(door, data, n).tolist()
    for token in set(source.tolist()):
        copies = [i for i in chosen if source[i] == token]
        assert copies == sorted(copies)
    assert_same_choice(door, data, n)


@pytest.mark.parametrize(
    ("door", "module", "matrix"),
    [
        ("farthest_first", farthest_first_cpu, "cosines"),
        ("greedy_map", greedy_map_cpu, "cosines"),
        ("mmr", mmr_cpu, "gram_of_updates"),
        ("rank1", rank1_cpu, "gram_of_updates"),
    ],
)
def test_a_tenth_of_the_tokens_needs_no_matrix(door, module, matrix, monkeypatch):
    """576 tokens that resemble their neighbours: the function that makes n x n numbers is not called."""
    monkeypatch.delattr(module, matrix)
    data = alike(576, 320, 21)
    if door == "rank1":
        data = {name: part[..., :32] for name, part in data.items()}
    assert len(choose(door, data, 57)) == 57


@doors
@pytest.mark.parametrize("d", [24, 130])
def test_a_sample_in_a_batch_equals_the_sample_alone(door, d):
    """Ragged budgets and masks; what stands in the padding, NaN included, is never looked at."""
    rng = np.random.default_rng(4)
    data = sample(21, 5, (4,), d=d)
    valid = rng.random((4, 21)) < 0.6
    valid[0], valid[3] = True, False
    for array in data.values():
        array[~valid] = np.nan
    budgets = np.array([9, 25, 0, 3])
    together = choose(door, data, budgets, valid=valid)
    assert together.shape == (4, 25)
    for b, k in enumerate(budgets):
        tokens = np.flatnonzero(valid[b])
        alone = choose(door, {name: array[b, tokens] for name, array in data.items()}, min(k, len(tokens)))
        assert together[b].tolist() == [*tokens[alone].tolist(), *[-1] * (25 - len(alone))]
        one = choose(door, {name: array[b] for name, array in data.items()}, k, valid=valid[b])
        assert one.tolist() == together[b, :k].tolist()


@doors
@pytest.mark.parametrize("d", [24, 130])
@pytest.mark.parametrize("n", [9, 63, 200])
def test_bitwise_equal_tokens_come_in_index_order(door, n, d):
    """Among copies the lowest index is chosen first, and the rank that n // 2 distinct tokens have is no limit."""
    source = np.random.default_rng(n).integers(0, n // 2, n)
    data = {name: array[source] for name, array in sample(n, n, d=d).items()}
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
    chosen = choose(door, data, 20).tolist()
    assert chosen[17:] == zeros
    rest = choose(door, {name: array[others] for name, array in data.items()}, 17)
    assert chosen[:17] == np.array(others)[rest].tolist()
    assert choose(door, {name: 0 * array for name, array in data.items()}, 4).tolist() == [0, 1, 2, 3]


@doors
def test_more_tokens_than_dimensions(door):
    """Rank 4 and a budget of 30: greedy MAP fills up, the others go on."""
    assert_same_choice(door, sample(30, 8, d=4), 30)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("door", ["rank1", "mmr", "pc_mmr"])
def test_heads(door, heads):
    """Keys and values of several heads."""
    assert_same_choice(door, sample(40, 9, (2,), (heads,)), 17)


def test_rank1_without_negative_entries_is_lazy():
    """Keys and values >= 0, for which gains only fall."""
    data = {name: np.abs(array) for name, array in alike(300, 16, 10).items()}
    assert_same_choice("rank1", data, 20)


@pytest.mark.parametrize("door", [name for name in DOORS if name != "mmr"])  # which adds a length to a squared one
def test_extreme_lengths(door):
    """float32 rows whose squares overflow or vanish are handled like any others."""
    for scale in (1e25, 1e-9):
        data = sample(30, 11, d=140)
        data["X"] = data["X"] * np.float32(scale)
        data["V"] = data["V"] * np.float32(1e18 if scale > 1 else scale)
        assert_same_choice(door, data, 12)


@doors
def test_any_strides(door):
    """Sliced, reversed, Fortran-ordered and transposed input counts as the numbers it holds."""
    data = sample(30, 12, d=130)
    expected = choose(door, data, 12).tolist()
    padded = {name: np.repeat(array, 2, axis=-1)[..., ::2] for name, array in data.items()}
    fortran = {name: np.asfortranarray(array) for name, array in data.items()}
    backwards = {name: np.ascontiguousarray(array[::-1])[::-1] for name, array in data.items()}
    for view in (padded, fortran, backwards):
        assert choose(door, view, 12).tolist() == expected


@doors
def test_tensors_and_other_dtypes(door):
    """Torch tensors, bfloat16 ones too, and whole numbers."""
    data = {name: torch.from_numpy(array).bfloat16() for name, array in sample(30, 13, d=130).items()}
    numbers = {name: tensor.float().numpy() for name, tensor in data.items()}
    assert choose(door, data, 12).tolist() == choose(door, numbers, 12).tolist()
    whole = {name: np.rint(4 * array).astype(np.int64) for name, array in numbers.items()}
    assert_same_choice(door, whole, 12)


@doors
def test_bfloat16_of_ml_dtypes(door):
    """numpy arrays of that type give the choice of the same numbers in float32."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    data = {name: array.astype(bfloat16) for name, array in sample(30, 13, d=130).items()}
    numbers = {name: array.astype(np.float32) for name, array in data.items()}
    assert choose(door, data, 12).tolist() == choose(door, numbers, 12).tolist()


@doors
def test_threads_change_nothing(door):
    """One thread or several, twice in a row; the caller's setting stays."""
    data, before = sample(70, 14, (5,), d=130), numba.get_num_threads()
    expected = choose(door, data, 30).tolist()
    assert choose(door, data, 30).tolist() == expected
    try:
        for threads in {1, numba.config.NUMBA_NUM_THREADS}:
            numba.set_num_threads(threads)
            assert choose(door, data, 30).tolist() == expected
            assert numba.get_num_threads() == threads
    finally:
        numba.set_num_threads(before)


@doors
def test_scratch_memory_is_written_before_it_is_read(door):
    """The answer is the same when the memory the kernels get is full of NaN."""
    data = alike(400, 160, 15)
    expected = choose(door, data, 60).tolist()
    for _ in range(3):
        dirt = [np.full(size, np.nan, np.float32) for size in np.geomspace(4, 4e5, 60).astype(int) for _ in range(4)]
        del dirt
        assert choose(door, data, 60).tolist() == expected


@doors
def test_bad_values_are_named(door):
    """NaN or infinity in a valid token, and a negative budget."""
    for bad in (np.nan, np.inf):
        data = sample(10, 16)
        data[DOORS[door][0][-1]][3, 2] = bad
        with pytest.raises(ValueError, match=r"must be finite, got (nan|inf) at index \(3, 2\)"):
            choose(door, data, 3)
    with pytest.raises(ValueError, match="k must be >= 0, got -1"):
        choose(door, sample(10, 16), -1)


SWITCHES = [
    ("farthest_first", farthest_first_cpu, "START"),
    ("farthest_first", farthest_first_cpu, "LOOP"),
    ("greedy_map", greedy_map_cpu, "EFFORT"),
    ("mmr", mmr_cpu, "EFFORT"),
]


@pytest.mark.parametrize(("door", "module", "limit"), SWITCHES)
def test_every_path_makes_the_same_choice(door, module, limit, monkeypatch):
    """Whether the Gram matrix takes over at once, midway or never."""
    data = alike(300, 160, 17)
    monkeypatch.setattr(module, "SHARE", 0.0)
    expected = choose(door, data, 80).tolist()
    monkeypatch.setattr(module, "SHARE", 1e9)
    for effort in (0.0, 0.003, 0.03, 1e9):
        monkeypatch.setattr(module, limit, effort)
        assert choose(door, data, 80).tolist() == expected


def test_a_burst_of_comparisons_is_no_reason_for_the_matrix(monkeypatch):
    """1440 tokens in 120 clusters: when each has a chosen token, every other token is compared anew, and only once."""
    monkeypatch.setattr(farthest_first_cpu, "cosines", None)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(120, 1024))
    X = centres[rng.integers(0, 120, 1440)] + 0.3 * rng.normal(size=(1440, 1024))
    assert len(set(farthest_first_cpu.farthest_first(X.astype(np.float32), 504).tolist())) == 504


def test_wide_independent_tokens_need_no_matrix(monkeypatch):
    """Their distances differ by little more than rounding to bytes hides, but by that much."""
    monkeypatch.setattr(farthest_first_cpu, "cosines", None)
    X = np.random.default_rng(2).normal(size=(576, 4096)).astype(np.float32)
    assert len(set(farthest_first_cpu.farthest_first(X, 58).tolist())) == 58


def test_tokens_without_neighbours_go_to_the_matrix_soon(monkeypatch):
    """Where all distances are equal, bytes tell none of them apart: the search for the first token gives up."""
    monkeypatch.setattr(farthest_first_cpu, "lazy_traverse", None)
    data = sample(400, 1, d=512)
    data["X"] = np.linalg.qr(np.random.default_rng(1).normal(size=(512, 400)))[0].T.astype(np.float32)
    monkeypatch.setattr(farthest_first_cpu, "START", 0.4)  # looking at all pairs, four at a time, would take 0.125
    assert_same_choice("farthest_first", data, 40)


@pytest.mark.parametrize("cost", [0.0, 1e9])
def test_both_paths_of_rank1(cost, monkeypatch):
    """With the whole matrix and without."""
    monkeypatch.setattr(rank1_cpu, "SINGLE", cost)
    assert_same_choice("rank1", sample(120, 18), 30)


def test_start():
    """A given first token, one without direction included, after which nothing is far."""
    data = sample(40, 19, (3,), d=130)
    data["X"][2, [4, 9]] = 0
    start = np.array([7, 0, 9])
    chosen, expected = (choose("farthest_first", data, 20, naive=naive, start=start) for naive in (False, True))
    assert chosen.tolist() == expected.tolist()
    with pytest.raises(ValueError, match="start must be a valid token, between 0 and 39, got 40 in sample 0"):
        choose("farthest_first", data, 20, start=np.array([40, 0, 0]))


def test_problems_given_by_a_matrix():
    """Distances, a kernel, a Gram matrix and Euclidean tokens: the choice of the naive solvers."""
    X = np.random.default_rng(20).normal(size=(25, 6))
    gram = X @ X.T
    problems = [
        (farthest_first_cpu, farthest_first_naive, MaxMinDiversity.from_distances(GroundSet(X).distances, 11)),
        (farthest_first_cpu, farthest_first_naive, MaxMinDiversity.from_features(X, 11, "euclidean")),
        (farthest_first_cpu, farthest_first_naive, MaxMinDiversity.from_features(X, 11, "chordal")),
        (greedy_map_cpu, greedy_map_naive, ConditionalDPP.from_kernel(gram, 11)),
        (greedy_map_cpu, greedy_map_naive, ConditionalDPP.from_features(X, 11, np.linspace(0, 2, 25))),
        (rank1_cpu, rank1_naive, ImplicitWeight.from_gram(gram, 11)),
        (mmr_cpu, mmr_naive, ImplicitWeight.from_keys_values(X, X, 11, kernel="softmax", form="squared")),
        (pc_mmr_cpu, pc_mmr_naive, ImplicitWeight.from_gram(gram, 11)),
    ]
    for fast, slow, problem in problems:
        mine, expected = fast.run(problem, Request()), slow.run(problem, Request())
        assert 0 <= mine.compile_seconds < 300
        assert list(mine.indices) == list(expected.indices)
        assert mine.stats == expected.stats


def test_a_batch_leaves_the_threads_of_others_alone():
    """Starting numba's pool would change how many OpenMP threads torch uses, and with them the bits of its products."""
    pytest.importorskip("torch")
    code = (
        "import numpy as np, torch, numba\n"
        "from solvers.farthest_first.cpu import farthest_first\n"
        "torch.set_num_threads(1)\n"
        "farthest_first(np.random.default_rng(0).normal(size=(3, 40, 8)), 5)\n"
        "assert torch.get_num_threads() == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
