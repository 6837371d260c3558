"""What the doors on tensors refuse, and the exactness of their Gram matrices."""

import numpy as np
import pytest
import torch

from mmdp.ground_set import SNAP, ZERO_NORM
from solvers import triton_support
from solvers.farthest_first.gpu import farthest_first
from solvers.greedy_map.gpu import greedy_map
from solvers.rank1.gpu import rank1
from solvers.rank1.mmr_gpu import mmr
from solvers.rank1.pc_mmr_gpu import pc_mmr
from solvers.tensor_gram import copy_equal_tokens, cosines, distances, first_copies, products
from solvers.tensors import lowest_best

X = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0))
BROKEN = X.clone()
BROKEN[1, 3, 2] = torch.nan


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: farthest_first(X.numpy(), 2), TypeError, "X must be a tensor of floats, got ndarray"),
        (lambda: farthest_first(X.long(), 2), TypeError, "X must be a tensor of floats, got dtype torch.int64"),
        (lambda: farthest_first(X[0, 0], 2), ValueError, r"X must be 2-D or 3-D, got shape \(5,\)"),
        (lambda: farthest_first(X[:, :, :0], 2), ValueError, "X must have at least one column"),
        (lambda: farthest_first(X, 2.0), TypeError, "k must be whole numbers, got 2.0"),
        (lambda: farthest_first(X, True), TypeError, "k must be whole numbers, got True"),
        (lambda: farthest_first(X, -1), ValueError, "k must be >= 0, got -1"),
        (lambda: farthest_first(X, [2, -3]), ValueError, "k must be >= 0, got -3"),
        (lambda: farthest_first(X, [2, 2, 2]), ValueError, r"k must be one number or 2, got shape \(3,\)"),
        (lambda: farthest_first(X[0], [2]), ValueError, r"k must be one number, got shape \(1,\)"),
        (lambda: farthest_first(X, torch.tensor([2, -1])), ValueError, "k must be >= 0, got -1"),
        (lambda: farthest_first(X, torch.tensor([2.0, 1.0])), TypeError, "k must be whole numbers, got dtype"),
        (lambda: farthest_first(X, torch.tensor([2, 9]), width=5), ValueError, "k must be at most width = 5, got 9"),
        (lambda: farthest_first(X, 6, width=5), ValueError, "k must be at most width = 5, got 6"),
        (lambda: farthest_first(X, 6, width=-1), ValueError, "width must be >= 0, got -1"),
        (lambda: farthest_first(X, 6, width=7.5), TypeError, "width must be a whole number, got 7.5"),
        (lambda: farthest_first(X, 2, valid=torch.ones(2, 7)), TypeError, "valid must be a tensor of booleans"),
        (lambda: farthest_first(X, 2, valid=torch.ones(7, dtype=torch.bool)), ValueError, r"valid must have shape \(2"),
        (
            lambda: farthest_first(X, 2, valid=torch.empty(2, 7, device="meta") > 0),
            ValueError,
            "valid must be on cpu",
        ),
        (lambda: farthest_first(X, 2, start=7), ValueError, "start must be a valid token, between 0 and 6, got 7"),
        (lambda: farthest_first(X, 2, start=[0, 1], valid=X[..., 0] > 9), ValueError, "start must be a valid token"),
        (lambda: farthest_first(X, 2, start="first"), TypeError, "start must be whole numbers, got 'first'"),
        (lambda: farthest_first(BROKEN, 2), ValueError, r"X must be finite, got nan at index \(3, 2\) of sample 1"),
        (lambda: greedy_map(X, 2, relevance=-X[..., 0].abs()), ValueError, "relevance must be finite and >= 0, got -"),
        (lambda: greedy_map(X, 2, relevance=X[0, :, 0]), ValueError, r"relevance must have shape \(2, 7\)"),
        (lambda: rank1(X, BROKEN, 2), ValueError, "V must be finite"),
        (lambda: rank1(X, X[:, :6], 2), ValueError, "K and V must agree up to the width"),
        (lambda: rank1(X, X.double(), 2), TypeError, "K and V must have one dtype"),
        (lambda: rank1(X[None, :0], X[None, :0], 2), ValueError, "K must have at least one head"),
        (lambda: mmr(X, X, 2, 1.5), ValueError, r"lam must be in \[0, 1\], got 1.5"),
        (lambda: pc_mmr(X[..., 0] - 9, X, X, 2), ValueError, "P must be finite and >= 0"),
        (lambda: pc_mmr(X[..., 0], X, X, 2, chunk=0), ValueError, "chunk must be >= 1, got 0"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    """One sentence with the value and what is allowed."""
    with pytest.raises(error, match=message):
        call()


def test_padding_is_never_looked_at():
    """The same broken value is no obstacle where its token is padding."""
    valid = torch.ones(2, 7, dtype=torch.bool)
    valid[1, 3] = False
    assert 3 not in farthest_first(BROKEN, 6, valid=valid)[1].tolist()


def test_nothing_to_choose_from():
    """No samples, no tokens and no budget are legal."""
    assert farthest_first(X[:0], 3).shape == (0, 3)
    assert farthest_first(X[:, :0], 3).tolist() == [[-1] * 3] * 2
    assert greedy_map(X, 0, valid=torch.zeros(2, 7, dtype=torch.bool)).shape == (2, 0)
    assert rank1(X, X, [0, 0]).shape == (2, 0)


def test_numpy_numbers_are_budgets():
    """An np.int64 counts as an int."""
    assert farthest_first(X, np.int64(3)).tolist() == farthest_first(X, 3).tolist()


def test_lowest_best_takes_the_first_of_equals():
    """Ties go to the lowest index, between zeros of either sign too, and -inf everywhere gives an index in range."""
    score = torch.tensor([[1.0, 3.0, 3.0, 2.0], [-0.0, 0.0, -1.0, 0.0], [-torch.inf] * 4])
    assert lowest_best(score).tolist() == [[1], [0], [0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_equal_rows_are_found(dtype):
    """The first valid copy, whatever lies between, in either of two tensors; integers share many zero bits."""
    K = torch.tensor([[[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [4.0, 8.0], [1.0, 2.0], [0.0, 4.0]]], dtype=dtype)
    V = torch.ones(1, 2, 6, 3, dtype=dtype)
    assert first_copies(K).tolist() == [[0, 1, 0, 3, 0, 5]]
    valid = torch.tensor([[False, True, True, True, True, True]])
    assert first_copies(K, valid=valid).tolist() == [[0, 1, 2, 3, 2, 5]]
    V[0, 1, 4, 2] = 2
    assert first_copies(K[:, None], V).tolist() == [[0, 1, 0, 3, 4, 5]]


def test_no_two_of_many_rows_are_mistaken_for_equal():
    """All 4096 rows over {0, 1}^12 are told apart, and so are the rows with a single 1."""
    rows = torch.tensor([[i >> bit & 1 for bit in range(12)] for i in range(4096)], dtype=torch.float64)
    assert first_copies(rows[None])[0].tolist() == list(range(4096))
    assert first_copies(torch.eye(300)[None])[0].tolist() == list(range(300))


def test_cosines_by_their_definition():
    """Normalised after the product, float32 for half precision, exactly 1 between equal rows, 0 without direction."""
    rows = torch.randn(1, 9, 40).half()
    rows[0, 4], rows[0, 5], rows[0, 6] = rows[0, 1], 0, 1e-14
    cosine, live, first = cosines(rows, None)
    assert cosine.dtype == torch.float32
    assert live[0].tolist() == [True] * 5 + [False] * 2 + [True] * 2
    assert first[0].tolist() == [0, 1, 2, 3, 1, 5, 5, 7, 8]
    exact = torch.nn.functional.normalize(rows.double(), dim=2)
    torch.testing.assert_close(cosine, (exact @ exact.mT).float(), atol=3e-7, rtol=0)
    assert cosine[0, 1, 4] == cosine[0, 4, 1] == cosine[0, 4, 4] == 1
    assert torch.equal(cosine, cosine.mT)
    distance = distances(cosine, live)
    assert ((distance == 0) | (distance >= SNAP)).all()
    assert torch.equal(copy_equal_tokens(cosine, first)[:, 4], cosine[:, 1])
    assert not live[0, 6]
    assert ZERO_NORM == 1e-12


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_float32_products_ignore_permission_to_round(precision):
    """Whoever allows TF32 or bfloat16 products gets the same cosines here, on the CPU in particular."""
    rows = torch.randn(1, 64, 300, generator=torch.Generator().manual_seed(1))
    before = torch.get_float32_matmul_precision()
    exact = rows.double() @ rows.double().mT
    try:
        torch.set_float32_matmul_precision(precision)
        error = (products(rows, rows) - exact).abs().max()
    finally:
        torch.set_float32_matmul_precision(before)
    assert error < 1e-3


def test_programs_are_powers_of_two():
    """A program holds n up to a power of two, in at most 16 warps; the CPU runs none outside the interpreter."""
    assert not triton_support.usable(X)
    assert triton_support.block_of(1) == triton_support.block_of(32) == 32
    assert [triton_support.block_of(n) for n in (33, 576, 2880, 8192)] == [64, 1024, 4096, 8192]
    assert [triton_support.warps_of(block) for block in (32, 1024, 8192)] == [1, 8, 16]
