"""What every raw door promises, whatever its algorithm."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmdp import GroundSet
from solvers.farthest_first.naive import farthest_first, isolation
from solvers.greedy_map.naive import greedy_map
from solvers.rank1.mmr_naive import mmr
from solvers.rank1.naive import rank1
from solvers.rank1.pc_mmr_naive import pc_mmr

NAMES = ("farthest_first", "greedy_map", "rank1", "mmr", "pc_mmr")
doors = pytest.mark.parametrize("name", NAMES)


def sample(n: int, seed: int, shape: tuple[int, ...] = ()) -> dict:
    """Random tokens with everything the doors take, without ties."""
    rng = np.random.default_rng(seed)
    return {
        "X": rng.normal(size=(*shape, n, 8)),
        "relevance": rng.uniform(0.2, 1, size=(*shape, n)),
        "K": rng.normal(size=(*shape, n, 4)),
        "V": rng.normal(size=(*shape, n, 5)),
        "P": rng.uniform(0.1, 1, size=(*shape, n)),
    }


def take(data: dict, tokens) -> dict:
    """The same tokens in another order, or some of them."""
    return {name: array[tokens] for name, array in data.items()}


def call(name: str, data: dict, k, **options) -> np.ndarray:
    """The door on its own part of the data."""
    if name == "farthest_first":
        return farthest_first(data["X"], k, **options)
    if name == "greedy_map":
        return greedy_map(data["X"], k, relevance=data["relevance"], **options)
    if name == "pc_mmr":
        return pc_mmr(data["P"], data["K"], data["V"], k, **options)
    return {"rank1": rank1, "mmr": mmr}[name](data["K"], data["V"], k, **options)


@doors
@pytest.mark.parametrize("k", [0, 1, 5, 12])
def test_k_distinct_tokens_in_range(name, k):
    """int64, k of them, distinct, between 0 and n - 1; all of them at k = n."""
    chosen = call(name, sample(12, 0), k)
    assert chosen.dtype == np.int64
    assert chosen.shape == (k,)
    assert len(set(chosen.tolist())) == k
    assert set(chosen.tolist()) <= set(range(12))


@doors
def test_a_budget_above_the_number_of_tokens_keeps_all(name):
    """The surplus is -1, and the order of the rest is that of k = n."""
    data = sample(6, 1)
    assert call(name, data, 9).tolist() == [*call(name, data, 6).tolist(), -1, -1, -1]


@doors
@settings(deadline=None, max_examples=25)
@given(n=st.integers(2, 20), seed=st.integers(0, 10**6))
def test_a_prefix_answers_every_smaller_budget(name, n, seed):
    """The choice for k is the beginning of the choice for n."""
    data = sample(n, seed)
    longest = call(name, data, n).tolist()
    for k in range(n):
        assert call(name, data, k).tolist() == longest[:k]


@doors
@settings(deadline=None, max_examples=25)
@given(n=st.integers(2, 20), seed=st.integers(0, 10**6))
def test_renaming_the_tokens_renames_the_choice(name, n, seed):
    """Permutation equivariance on data without ties."""
    data = sample(n, seed)
    if name == "farthest_first":  # two tokens may be one another's nearest: then no token is the most isolated one
        isolated = np.sort(isolation(GroundSet(data["X"]).distances, np.ones(n, bool)))
        assume(isolated[-1] > isolated[-2])
    order = np.random.default_rng(seed).permutation(n)
    k = min(n, 7)
    assert order[call(name, take(data, order), k)].tolist() == call(name, data, k).tolist()


@pytest.mark.parametrize("name", ["farthest_first", "greedy_map", "rank1", "pc_mmr"])
@pytest.mark.parametrize("scale", [1e-6, 0.5, 3.0, 1e6])
def test_scale_does_not_matter(name, scale):
    """Longer features, values, magnitudes or relevance change nothing (MMR adds a length to a squared one)."""
    data = sample(14, 3)
    scaled = data | {part: scale * data[part] for part in ("X", "relevance", "V", "P")}
    assert call(name, scaled, 7).tolist() == call(name, data, 7).tolist()


@doors
def test_a_sample_in_a_batch_equals_the_sample_alone(name):
    """Ragged budgets and masks; what stands in the padding, NaN included, is never looked at."""
    rng = np.random.default_rng(4)
    batch = sample(15, 5, shape=(4,))
    valid = rng.random((4, 15)) < 0.6
    valid[0], valid[3] = True, False
    for array in batch.values():
        array[~valid] = np.nan
    budgets = [7, 15, 0, 3]
    together = call(name, batch, budgets, valid=valid)
    assert together.shape == (4, 15)
    for b, k in enumerate(budgets):
        tokens = np.flatnonzero(valid[b])
        alone = call(name, take(take(batch, b), tokens), min(k, len(tokens)))
        row = together[b]
        assert row[: len(alone)].tolist() == tokens[alone].tolist()
        assert (row[len(alone) :] == -1).all()
        one = call(name, take(batch, b), k, valid=valid[b])
        assert one.tolist() == row[:k].tolist()


@doors
@pytest.mark.parametrize("n", [9, 63, 100])
def test_bitwise_equal_tokens_come_in_index_order(name, n):
    """Among copies the lowest index is chosen first, though BLAS rounds their similarities apart."""
    rng = np.random.default_rng(n)
    source = rng.integers(0, n // 2, n)
    chosen = call(name, take(sample(n, n), source), n).tolist()
    assert sorted(chosen) == list(range(n))
    for token in set(source.tolist()):
        copies = [i for i in chosen if source[i] == token]
        assert copies == sorted(copies)


@doors
def test_zero_rows_come_last_and_change_nothing_before(name):
    """Tokens without direction or update follow in index order, however relevant; the rest is chosen as before."""
    data = sample(12, 7)
    zeros = [0, 5, 11]
    others = [i for i in range(12) if i not in zeros]
    data["X"][zeros], data["V"][zeros], data["P"][zeros], data["relevance"][zeros] = 0, 0, [1, 2, 3], [1, 2, 3]
    chosen = call(name, data, 12).tolist()
    assert chosen[9:] == zeros
    assert chosen[:9] == np.array(others)[call(name, take(data, others), 9)].tolist()


@doors
def test_nothing_but_zero_rows(name):
    """Then the order is that of the indices."""
    data = {part: np.zeros_like(array) for part, array in sample(5, 0).items()}
    assert call(name, data, 4).tolist() == [0, 1, 2, 3]


@doors
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_half_and_single_precision_input(name, dtype):
    """Arithmetic is in float64 on the numbers given: the choice is that of the same numbers in float64."""
    low = {part: array.astype(dtype) for part, array in sample(20, 8).items()}
    high = {part: array.astype(np.float64) for part, array in low.items()}
    assert call(name, low, 10).tolist() == call(name, high, 10).tolist()


@doors
def test_torch_tensors_are_taken(name):
    """Tensors, bfloat16 ones too, count as the numbers they hold."""
    tensors = {part: torch.from_numpy(array).bfloat16() for part, array in sample(20, 9).items()}
    arrays = {part: tensor.float().numpy() for part, tensor in tensors.items()}
    mask = torch.arange(20) % 3 > 0
    assert call(name, tensors, 8, valid=mask).tolist() == call(name, arrays, 8, valid=mask.numpy()).tolist()


@pytest.mark.parametrize("door", [rank1, mmr, partial(pc_mmr, np.linspace(1, 2, 10)[None])])
def test_heads_have_their_own_axis(door):
    """One head as (1, 1, n, d) is that head as (1, n, d); two equal heads choose like one."""
    data = sample(10, 10)
    K, V = data["K"][None], data["V"][None]
    one = door(K, V, 6).tolist()
    assert door(K[:, None], V[:, None], 6).tolist() == one
    if door is not mmr:  # twice the Gram matrix: MMR weighs a length against a squared length
        assert door(np.stack([K, K], 1), np.stack([V, V], 1), 6).tolist() == one
