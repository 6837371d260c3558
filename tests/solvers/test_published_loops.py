"""The as-published loops, against which speed is measured, give the same picks as the naive solvers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the published loops are torch")

from benchmarks.peers import published  # noqa: E402
from solvers.farthest_first.naive import farthest_first  # noqa: E402
from solvers.greedy_map.naive import greedy_map  # noqa: E402
from solvers.rank1.mmr_naive import mmr  # noqa: E402


@pytest.mark.parametrize(("n", "d", "k"), [(30, 8, 6), (100, 64, 20), (576, 64, 40)])
def test_published_loops_pick_what_naive_picks(n, d, k):
    """On generic tokens, where no two scores are close."""
    rng = np.random.default_rng(n)
    X, V, r = rng.normal(size=(n, d)), rng.normal(size=(n, d)), rng.uniform(0.2, 1, size=n)
    tensors = [torch.tensor(part) for part in (X, V, r)]
    assert published.divprune(tensors[0], k).tolist() == farthest_first(X, k).tolist()
    batch = published.cdpruner(tensors[0][None], tensors[2][None], k)
    assert batch[0].tolist() == greedy_map(X, k, relevance=r).tolist()
    K = X / np.sqrt(d)
    assert published.mmr(torch.tensor(K), tensors[1] / d**0.5, k).tolist() == mmr(K, V / np.sqrt(d), k).tolist()
