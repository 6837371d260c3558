"""The frame of the raw doors: what it lets in, and what it hands back."""

import numpy as np
import pytest

from solvers.batching import Batch

X = np.arange(24.0).reshape(2, 4, 3)
MASK = np.array([[True, False, True, True], [False, True, False, True]])


def test_rows_hold_the_valid_tokens_only():
    """Each row carries its tokens, its clipped budget and its arrays without padding, dtypes kept."""
    batch = Batch.of([5, 1], MASK, tokens={"X": X.astype(np.float32)}, weights={"w": np.arange(8.0).reshape(2, 4)})
    first, second = batch
    assert (first.tokens.tolist(), first.k, second.tokens.tolist(), second.k) == ([0, 2, 3], 3, [1, 3], 1)
    assert np.array_equal(first.arrays["X"], X[0, [0, 2, 3]])
    assert first.arrays["X"].dtype == np.float32
    assert second.arrays["w"].tolist() == [5, 7]


def test_heads_stand_before_the_tokens():
    """(B, H, n, d) arrays lose their padding along the token axis and keep their heads."""
    keys = np.arange(48.0).reshape(2, 2, 4, 3)
    batch = Batch.of(2, MASK, tokens={"K": keys, "V": keys[..., :1]}, heads=True)
    row = next(iter(batch))
    assert np.array_equal(row.arrays["K"], keys[0][:, [0, 2, 3]])
    assert row.arrays["V"].shape == (2, 3, 1)


def test_choices_are_padded_with_minus_one():
    """The shape is (B, max k), whatever the mask; positions become tokens."""
    batch = Batch.of([4, 1], MASK, tokens={"X": X})
    chosen = batch.choose(lambda row: np.arange(row.k)[::-1])
    assert chosen.tolist() == [[3, 2, 0, -1], [1, -1, -1, -1]]
    assert chosen.dtype == np.int64


def test_a_single_sample_comes_back_without_a_batch_axis():
    """(n, d) in, (k,) out."""
    batch = Batch.of(3, None, tokens={"X": X[0]})
    assert batch.choose(lambda row: np.arange(row.k)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("shape", "k", "result"), [((0, 4, 3), 2, (0, 2)), ((2, 0, 3), 2, (2, 2)), ((0, 3), 0, (0,))])
def test_empty_batches_and_samples(shape, k, result):
    """No samples, no tokens and no budget are legal."""
    batch = Batch.of(k, None, tokens={"X": np.zeros(shape)})
    chosen = batch.choose(lambda row: np.arange(row.k))
    assert chosen.shape == result
    assert (chosen == -1).all()


def test_positions_count_valid_tokens():
    """A token is found again among the valid ones of its sample; one that is padding is refused."""
    batch = Batch.of(1, MASK, tokens={"X": X})
    assert batch.positions(3, "start") == [2, 1]
    assert batch.positions([2, 1], "start") == [1, 0]
    assert batch.positions(None, "start") == [None, None]
    with pytest.raises(ValueError, match="start must be a valid token, between 0 and 3, got 1 in sample 0"):
        batch.positions(1, "start")
    with pytest.raises(ValueError, match="start must be a valid token, between 0 and 3, got -1 in sample 0"):
        batch.positions(-1, "start")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": -1}, ValueError, "k must be >= 0, got -1"),
        ({"k": 2.5}, TypeError, "k must be whole numbers, got 2.5"),
        ({"k": True}, TypeError, "k must be whole numbers, got True"),
        ({"k": [1, 2, 3]}, ValueError, r"k must be one number or 2, got shape \(3,\)"),
        ({"valid": np.ones((2, 3), bool)}, ValueError, r"valid must have shape \(2, 4\), got \(2, 3\)"),
        ({"valid": np.ones((2, 4))}, TypeError, "valid must be booleans, got dtype float64"),
        ({"tokens": {"X": X[0, 0]}}, ValueError, r"X must be 2-D or 3-D, got shape \(3,\)"),
        ({"tokens": {"X": X[..., :0]}}, ValueError, "X must have at least one column"),
        ({"tokens": {"K": X, "V": X[:, :3]}}, ValueError, "K and V must agree up to the width"),
        ({"tokens": {"K": np.zeros((2, 0, 4, 3))}, "heads": True}, ValueError, "K must have at least one head"),
        ({"weights": {"r": np.ones(4)}}, ValueError, r"r must have shape \(2, 4\), got \(4,\)"),
        (
            {"weights": {"r": np.full((2, 4), -1.0)}},
            ValueError,
            r"r must be finite and >= 0, got -1.0 at index \(0, 0\)",
        ),
        ({"tokens": {"X": np.full((2, 4, 3), 1j)}}, TypeError, "X must be real numbers"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    """One sentence with the value and what is allowed."""
    with pytest.raises(error, match=message):
        Batch.of(**({"k": 2, "valid": None, "tokens": {"X": X}} | arguments))


def test_a_single_sample_takes_one_budget():
    """A list of budgets needs a batch axis."""
    with pytest.raises(ValueError, match=r"k must be one number, got shape \(1,\)"):
        Batch.of([2], None, tokens={"X": X[0]})


def test_only_valid_tokens_must_be_finite():
    """A value that is not finite is refused with its place, unless it stands in the padding."""
    broken = X.copy()
    broken[1, 2, 0] = np.nan
    Batch.of(1, MASK, tokens={"X": broken})
    with pytest.raises(ValueError, match=r"X must be finite, got nan at index \(1, 2, 0\)"):
        Batch.of(1, None, tokens={"X": broken})
    with pytest.raises(ValueError, match=r"X must be finite, got nan at index \(2, 0\)"):
        Batch.of(1, None, tokens={"X": broken[1]})
    heads = np.stack([X, broken], axis=1)
    Batch.of(1, MASK, tokens={"K": heads}, heads=True)
    with pytest.raises(ValueError, match=r"K must be finite, got nan at index \(1, 1, 2, 0\)"):
        Batch.of(1, None, tokens={"K": heads}, heads=True)
