"""The precision study: its loops are the naive solvers in float64, and its tables show what was measured."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="16-bit arithmetic is torch's")
pytest.importorskip("skimage", reason="photo tokens need scikit-image")

from benchmarks import precision, precision_page
from benchmarks.greedy_inputs import sample

TOKENS = precision.exact(sample("clustered", 90, 24))
algorithms = pytest.mark.parametrize("algorithm", precision.ALGORITHMS, ids=lambda each: each.name)


@algorithms
@pytest.mark.parametrize("kind", ["clustered", "iid"])
def test_in_float64_the_loops_are_the_naive_solvers(algorithm, kind):
    """Otherwise a difference in 16 bits could be one of the rule."""
    data = precision.exact(sample(kind, 90, 24, 1))
    assert algorithm.in_type(data, 20, "float64").tolist() == algorithm.door(algorithm.naive)(data, 20).tolist()


@algorithms
def test_sixteen_bits_still_choose_distinct_tokens(algorithm):
    """Ties, overflow and vanished variances included."""
    low = precision.nearest(TOKENS, "bfloat16")
    huge = {name: part * 2.0**80 for name, part in low.items()}
    for data in (low, huge):
        picks = algorithm.in_type(data, 60, "bfloat16")
        assert len(set(picks.tolist())) == 60


@algorithms
def test_what_is_compared(algorithm):
    """Only the tokens, only the arithmetic, both, ours; the control and ours in float32 change nothing here."""
    found = list(precision.variants(algorithm, TOKENS, 10, 0))
    reference = algorithm.door(algorithm.naive)(TOKENS, 10)
    assert [what for what, *_ in found[:2]] == ["jitter 1e-6", "ours, float32 arithmetic"]
    for _, _, picks, against in found[:2]:
        assert picks.tolist() == against.tolist() == reference.tolist()
    for what, _, picks, against in found[2:]:
        assert (against.tolist() == reference.tolist()) or what in ("arithmetic", "ours, float32 arithmetic")
        if what.startswith("ours"):
            assert picks.tolist() == against.tolist()


def test_comparison_of_two_sets():
    """Overlap, first other step from 1, and the loss as a gap; a better set has a negative one."""
    problem = precision.problem_of("max-min", TOKENS, 4)
    good = precision.ALGORITHMS[0].door("solvers.farthest_first.naive")(TOKENS, 4)
    bad = np.array([*good[:2], *(i for i in range(90) if i not in good)][:4])
    facts = precision.compare(problem, bad, good)
    assert (facts["overlap"], facts["diverges"]) == (0.5, 3)
    assert facts["loss"] == pytest.approx((problem.value(good) - problem.value(bad)) / problem.value(bad))
    assert precision.compare(problem, good, bad)["loss"] < 0
    assert precision.compare(problem, good, good) == {"overlap": 1.0, "diverges": None, "loss": 0.0}


def test_the_table_of_the_documentation_is_that_of_the_results():
    """docs/_tables/precision.md is generated: `python -m benchmarks.precision --table`."""
    assert precision.TABLE.read_text(encoding="utf-8") == precision_page.page(precision.load_results())
