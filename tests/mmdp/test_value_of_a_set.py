"""The value belongs to the set, not to the order in which it is written down."""

import numpy as np
import pytest

from mmdp.instances import Instance
from mmdp.objectives import OBJECTIVES


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_order_does_not_matter_to_the_last_bit(objective):
    """Twenty orders of twelve tokens have one and the same value, rounding included."""
    rng = np.random.default_rng(0)
    X, K, V = rng.normal(size=(3, 30, 16))
    problem = Instance("tokens", features=X, keys=K, values=V, relevance=rng.uniform(0.1, 1, 30)).problem(objective, 12)
    subset = rng.permutation(30)[:12]
    assert len({problem.value(rng.permutation(subset)) for _ in range(20)}) == 1
