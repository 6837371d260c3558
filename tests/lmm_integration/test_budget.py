"""The one rule that turns what a user asks for into numbers of tokens."""

import numpy as np
import pytest

from lmm_integration.budget import budgets, check_keep, tokens_to_keep


@pytest.mark.parametrize(
    ("keep", "n", "expected"),
    [
        (1, 576, 1),
        (1.0, 576, 576),
        (64, 576, 64),
        (576, 64, 64),
        (0.098, 576, 56),
        (0.1, 1152, 115),
        (0.5, 5, 2),
        (0.5, 7, 4),
        (1e-9, 576, 1),
        (np.int64(3), 9, 3),
        (np.float32(0.5), 8, 4),
    ],
)
def test_ints_are_tokens_and_floats_are_ratios(keep, n, expected):
    """1 is one token and 1.0 is all; ratios round halves to even and never to nothing."""
    assert tokens_to_keep(keep, n) == expected


@pytest.mark.parametrize("keep", [0, -1, 0.0, -0.5, 1.5, float("nan"), float("inf")])
def test_budgets_out_of_range_are_refused_with_the_value_and_the_range(keep):
    """0, negative numbers, ratios above 1 and NaN are errors."""
    with pytest.raises(ValueError, match=rf"keep .*(>= 1 token|\(0, 1\]), got {keep}"):
        check_keep(keep)


@pytest.mark.parametrize("keep", [True, "64", None, [64], 1j])
def test_budgets_of_other_types_are_refused(keep):
    """A budget is a number, and a bool is none."""
    with pytest.raises(TypeError, match="keep must be a number of tokens"):
        check_keep(keep)


def test_a_unit_with_fewer_tokens_than_its_budget_keeps_all():
    """A small image beside a large one is no error."""
    assert budgets(10, [30, 4], [0, 0]) == [10, 4]


def test_a_budget_above_all_tokens_of_a_sample_is_refused():
    """The sentence names the sample, its tokens and the budget."""
    with pytest.raises(ValueError, match="at most the 7 visual tokens of sample 1, got 8"):
        budgets(8, [30, 4, 3], [0, 1, 1])
