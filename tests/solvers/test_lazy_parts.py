"""The parts of the lazy solvers: tiles, sketches, maxima, groups."""

import numpy as np
import pytest
from numba import njit

from solvers.lazy import sketch as sketches
from solvers.lazy.choice import lazy_pays, work_left
from solvers.lazy.compiled import compile_times
from solvers.lazy.cosines import nearest
from solvers.lazy.extremes import first_equal, largest, largest_size
from solvers.lazy.gram import cosines
from solvers.lazy.groups import gather, keep_best, sort_by_block
from solvers.lazy.queue import block_maxima, highest, lower
from solvers.lazy.rows import inverse_norms
from solvers.lazy.sketch import bytes_1x1, bytes_1x4, intervals, sketch
from solvers.lazy.tiles import FEATURES, distances_1x4, tile_1x1, tile_1x4, tile_2x4, tile_4x1, tile_4x4

floats = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@njit
def one_product(X, width):
    """<X[0], X[4]> from every tile that has it, and ||X[0] - X[4]||^2."""
    left, right = (0, 1, 2, 3), (4, 5, 6, 7)
    return (
        tile_1x1(X, (0,), X, (4,), width)[0],
        tile_1x4(X, (0,), X, right, width)[0],
        tile_2x4(X, (1, 0), X, right, width)[4],
        tile_4x1(X, left, X, (4,), width)[0],
        tile_4x4(X, left, X, right, width)[0],
        tile_4x4(X, right, X, left, width)[0],
        distances_1x4(X, (0,), X, right, width)[0],
    )


@floats
@pytest.mark.parametrize("width", [0, 1, 3, 4, 7, 16, 23, 40, 129])
def test_a_product_has_the_same_bits_in_every_tile(dtype, width):
    """And it is the product, whatever stands beyond the width."""
    X = np.random.default_rng(width).normal(size=(8, 140)).astype(dtype)
    X[:, width:] = np.nan
    *products, distance = one_product(X, width)
    assert len({np.array(value, dtype).tobytes() for value in products}) == 1
    a, b = X[0, :width].astype(np.float64), X[4, :width].astype(np.float64)
    assert products[0] == pytest.approx(a @ b, rel=1e-5, abs=1e-5)
    assert distance == pytest.approx((a - b) @ (a - b), rel=1e-5, abs=1e-5)


@njit
def byte_products(Q, i, j):
    """The same product from both tiles of bytes."""
    return bytes_1x1(Q, (i,), (j,))[0], bytes_1x4(Q, (i,), (0, 1, j, 2))[2]


def test_products_of_bytes_are_exact():
    """The extreme values included, at a width where they add up to nearly 2^31."""
    rng = np.random.default_rng(0)
    Q = rng.integers(-127, 128, (4, sketches.WIDEST), dtype=np.int8)
    Q[0], Q[1] = 127, -127
    for i in range(4):
        for j in range(4):
            exact = int(((Q[i].astype(np.int64) + sketches.OFFSET) * Q[j]).sum())
            assert byte_products(Q, i, j) == (exact, exact)


@pytest.mark.parametrize("pairs", [True, False])
def test_products_of_bytes_without_the_instruction(monkeypatch, pairs):
    """Processors that lack it get the same integers, whether or not they multiply bytes in pairs."""
    if pairs and not FEATURES.get("avx2"):
        pytest.skip("no AVX2")
    monkeypatch.setattr(sketches, "DOT_BYTES", False)
    monkeypatch.setattr(sketches, "PAIR_BYTES", pairs)
    tile = sketches._bytes_tile(1, 4)
    Q = np.random.default_rng(1).integers(-127, 128, (4, 192), dtype=np.int8)
    Q[1], Q[2] = 127, -127
    found = njit(lambda Q, i: tile(Q, (i,), (0, 1, 2, 3)))
    for i in range(4):
        assert list(found(Q, i)) == (Q[i].astype(np.int64) @ Q.T).tolist()


@njit
def all_intervals(sketched, i, tokens, low, high):
    """Intervals of row i and four tokens."""
    intervals(sketched, i, tokens, 0, 4, low, high)


@floats
@pytest.mark.parametrize("kind", ["gaussian", "spiky", "constant", "tiny"])
def test_intervals_hold_the_cosines_that_tiles_compute(dtype, kind):
    """For rows that bytes suit and rows that they do not, at a width that is not full lanes."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(40, 203))
    if kind == "spiky":
        X[np.arange(40), rng.integers(0, 203, 40)] *= 1000
    elif kind == "constant":
        X[:] = X[0] * rng.uniform(0.5, 2, (40, 1))
    elif kind == "tiny":
        X *= 1e-11
    X, live = X.astype(dtype), np.ones(40, bool)
    inverse, fine, sketched = sketch(X, live)
    assert fine
    assert inverse.tolist() == inverse_norms(X, live)[0].tolist()
    low, high = np.empty(4, dtype), np.empty(4, dtype)
    exact = cosines(X, live, inverse)
    for i in range(40):
        for start in range(0, 40, 4):
            tokens = np.arange(start, start + 4)
            all_intervals(sketched, i, tokens, low, high)
            assert (low <= exact[i, tokens]).all()
            assert (exact[i, tokens] <= high).all()
            if kind == "gaussian":
                assert (high - low < 0.06).all()


@floats
@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 16, 31, 33, 64, 577])
def test_maxima(dtype, n):
    """The largest value, its first place, the largest size; -inf and ties included."""
    rng = np.random.default_rng(n)
    for values in (rng.integers(-5, 6, n), rng.normal(size=n), np.full(n, -np.inf)):
        values = values.astype(dtype)
        compiled = njit(lambda v: (largest(v), largest_size(v)))(values)
        assert compiled == (values.max(), np.abs(values).max())
        assert first_equal(values, compiled[0]) == values.argmax()


@floats
def test_the_queue_finds_the_highest(dtype):
    """After every lowering of a score, to -inf too."""
    rng = np.random.default_rng(3)
    score = rng.integers(0, 50, 100).astype(dtype)
    top = block_maxima(score)
    for _ in range(300):
        i = highest(score, top)
        assert i == score.argmax()
        lower(score, top, i, dtype(-np.inf) if rng.random() < 0.3 else score[i] - dtype(rng.integers(0, 9)))


@floats
@pytest.mark.parametrize("n", [5, 64, 75])
def test_groups(dtype, n):
    """Stale tokens at or above a score, in the order of their next blocks; chosen ones (-inf) never."""
    rng = np.random.default_rng(n)
    score, done = rng.normal(size=n).astype(dtype), rng.integers(0, 14, n).astype(np.int32)
    score[::9] = -np.inf
    for least in (dtype(-np.inf), dtype(0.1)):
        out, ordered = np.empty(n, np.int64), np.empty(n, np.int64)
        count = gather(score, done, 13, least, out)
        expected = np.flatnonzero((score >= least) & (score > -np.inf) & (done < 13))
        assert out[:count].tolist() == expected.tolist()
        sort_by_block(out, count, done, np.empty(6, np.int64), ordered)
        assert ordered[:count].tolist() == expected[np.argsort(done[expected] // 4, kind="stable")].tolist()


@njit
def four_best(tokens, score, out):
    """Offer the tokens one by one."""
    held = 0
    for i in tokens:
        held = keep_best(out, held, i, score)
    return held


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 30])
def test_the_best_tokens_are_kept(n):
    """In falling order of score, at most four, and none of those that are out."""
    rng = np.random.default_rng(n)
    score, out = rng.normal(size=n).astype(np.float32), np.empty(4, np.int64)
    score[::5] = -np.inf
    expected = [i for i in np.argsort(-score) if score[i] > -np.inf][:4]
    assert four_best(rng.permutation(n), score, out) == len(expected)
    assert out[: len(expected)].tolist() == expected


def test_nearest():
    """The largest of 1 to 9 cosines, 1 where it is that but for rounding."""
    X = np.random.default_rng(4).normal(size=(12, 30))
    X[11] = 2 * X[0]
    inverse, fine = inverse_norms(X, np.ones(12, bool))
    assert fine
    exact = (X @ X.T) * np.outer(inverse, inverse)
    for count in range(1, 10):
        others = np.arange(1, 1 + count)
        assert nearest(X, inverse, 0, others, count) == pytest.approx(exact[0, others].max(), rel=1e-12)
    assert nearest(X, inverse, 0, np.array([11, 3]), 2) == 1


def test_long_and_short_rows_are_told_apart():
    """Norms at most 1e-12 give 0, squares beyond 1e36 or NaN a warning, rows that are not valid nothing at all."""
    X = np.ones((4, 2), np.float32)
    X[0], X[1] = 1e-13, np.nan
    inverse, fine = inverse_norms(X, np.array([True, False, True, True]))
    assert (inverse[:2] == 0).all()
    assert inverse[2] == pytest.approx(0.5**0.5)
    assert fine
    for bad in (np.nan, np.inf, 1e19):
        X[2, 1] = bad
        assert not inverse_norms(X, np.array([True, False, True, True]))[1]


def test_the_matrix_pays_for_large_shares_and_narrow_tokens():
    """The lazy loop at 10 % of wide tokens, the matrix for nearly all of them or narrow ones."""
    assert lazy_pays(58, 576, 1024, 0.6, 192)
    assert not lazy_pays(500, 576, 1024, 0.6, 192)
    assert not lazy_pays(58, 576, 8, 0.6, 192)


def test_compile_time_is_told_apart():
    """A first call has some, a second one none."""
    twice = njit(lambda x: 2 * x)
    with compile_times() as first:
        twice(1)
    with compile_times() as second:
        twice(1)
    assert sum(first) > 0
    assert sum(second) == 0


def test_work_that_is_left():
    """At the lower of the rates of the last 16 steps and of all, falling to the share of tokens that is left."""
    steady = work_left(320.0, 160.0, 32, 132, 10**9)
    assert steady == pytest.approx(10 * 100)
    assert work_left(320.0, 0.0, 32, 132, 10**9) == pytest.approx(steady)  # a burst: twice the rate for 16 steps
    assert work_left(320.0, 304.0, 32, 132, 10**9) == pytest.approx(100)  # and a lull
    assert work_left(320.0, 160.0, 32, 132, 132) == pytest.approx(steady / 2)  # every token is chosen
