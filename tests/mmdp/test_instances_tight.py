"""The worst cases: greedy methods, written out literally, do as badly as claimed, and no subset beats the optimum."""

import itertools
import math

import numpy as np
import pytest

from mmdp.instances import tight
from mmdp.instances.tight import TIGHT
from mmdp.instances.tight_max_min import isolated_centre

SIZES = {
    "max-min": (2, 3, 4, 6, 11, 64),
    "max-min-polygon": (3, 5, 6, 7, 12, 25),
    "max-min-line": (2, 3, 4, 5, 8, 20),
    "max-min-cycle": (3, 4, 5, 8, 10, 16),
    "conditional-dpp": (2, 4, 8),
    "implicit-weight": (2, 4, 8, 16),
}
CASES = [(family, k) for family, sizes in SIZES.items() for k in sizes]
MAX_MIN = [(family, k) for family, k in CASES if family.startswith("max-min")]


def farthest_first(distances: np.ndarray, k: int, start: int | None = None) -> list[int]:
    """Start at the token with the farthest nearest neighbour (or at `start`), then always add the farthest token."""
    n = len(distances)
    if start is None:
        start = max(range(n), key=lambda i: (min(distances[i, j] for j in range(n) if j != i), -i))
    chosen = [start]
    while len(chosen) < k:
        rest = (i for i in range(n) if i not in chosen)
        chosen.append(max(rest, key=lambda i: (distances[i, chosen].min(), -i)))
    return chosen


def greedy(problem) -> list[int]:
    """Add the token that makes the objective largest."""
    chosen: list[int] = []
    while len(chosen) < problem.k:
        rest = (i for i in range(problem.n) if i not in chosen)
        chosen.append(max(rest, key=lambda i: (problem.value([*chosen, i]), -i)))
    return chosen


@pytest.mark.parametrize(("family", "k"), CASES)
def test_the_optimal_set_has_the_optimal_value(family, k):
    """`optimal` holds k tokens and attains `optimum`."""
    case = tight(family, k)
    assert case.k == case.problem().k == case.instance.k == k
    assert len(case.optimal) == k
    assert case.problem().value(case.optimal) == pytest.approx(case.optimum, rel=1e-7)


@pytest.mark.parametrize(("family", "k"), [(f, k) for f, k in CASES if math.comb(tight(f, k).instance.n, k) < 13000])
def test_no_subset_is_better(family, k):
    """Brute force finds nothing above the claimed optimum."""
    case = tight(family, k)
    problem = case.problem()
    best = max(problem.value(subset) for subset in itertools.combinations(range(problem.n), k))
    assert best == pytest.approx(case.optimum, rel=1e-7)


@pytest.mark.parametrize(("family", "k"), MAX_MIN)
def test_farthest_first_does_as_badly_as_claimed(family, k):
    """With DivPrune's start rule the value is exactly `greedy`."""
    case = tight(family, k)
    problem = case.problem()
    assert problem.value(farthest_first(problem.distances, k)) == pytest.approx(case.greedy, rel=1e-9)


@pytest.mark.parametrize(("family", "k"), MAX_MIN)
def test_the_order_of_the_tokens_does_not_help(family, k):
    """Farthest-first does as badly when the tokens come in another order."""
    problem = tight(family, k).problem()
    rng = np.random.default_rng(k)
    for _ in range(3):
        order = rng.permutation(problem.n)
        picks = order[farthest_first(problem.distances[np.ix_(order, order)], k)]
        assert problem.value(picks) == pytest.approx(tight(family, k).greedy, rel=1e-9)


@pytest.mark.parametrize(("family", "k"), [(f, k) for f, k in MAX_MIN if k <= 16 and tight(f, k).every_start])
def test_no_start_helps(family, k):
    """Where `every_start` is claimed, farthest-first does as badly from every token."""
    case = tight(family, k)
    problem = case.problem()
    for start in range(problem.n):
        value = problem.value(farthest_first(problem.distances, k, start))
        assert value == pytest.approx(case.greedy, rel=1e-9)


@pytest.mark.parametrize(("family", "k"), [(f, k) for f, k in CASES if not f.startswith("max-min")])
def test_greedy_does_as_badly_as_claimed(family, k):
    """Greedy on log det, and on the explained energy, ends at `greedy`."""
    case = tight(family, k)
    problem = case.problem()
    assert problem.value(greedy(problem)) == pytest.approx(case.greedy, rel=1e-9)


@pytest.mark.parametrize(("family", "k"), CASES)
def test_the_ratio_respects_the_guarantee(family, k):
    """A proven factor is never undercut, and these families leave no more room above it than their pages say."""
    case = tight(family, k)
    assert case.guarantee - 1e-12 <= case.ratio < 1
    room = {"conditional-dpp": math.inf, "implicit-weight": 0.08, "max-min": 1e-3}.get(family, 1e-12)
    assert case.ratio <= case.guarantee + room


@pytest.mark.parametrize("k", [2, 3, 8, 40])
@pytest.mark.parametrize("angle", [0.01, 0.05, 0.1, 0.5])
def test_a_quarter_is_approached_as_the_formula_says(k, angle):
    """(1 - cos t) / (1 - cos 2t) = 1 / (4 cos^2(t / 2)) -> 1/4, attained by farthest-first."""
    case = isolated_centre(k, angle)
    assert case.ratio == pytest.approx(1 / (4 * math.cos(angle / 2) ** 2), rel=1e-9)
    problem = case.problem()
    assert problem.value(farthest_first(problem.distances, k)) == pytest.approx(case.greedy, rel=1e-12)


@pytest.mark.parametrize("k", SIZES["max-min-polygon"])
def test_the_polygon_meets_the_instance_wise_guarantee(k):
    """d_greedy = 1 - cos(phi / 2) with cos phi = 1 - d_opt: the certificate after a run is met with equality."""
    case = tight("max-min-polygon", k)
    phi = math.acos(1 - case.optimum)
    assert case.greedy == pytest.approx(1 - math.cos(phi / 2), rel=1e-9)


@pytest.mark.parametrize(("family", "k"), [("max-min-line", 6), ("max-min-cycle", 6), ("max-min-cycle", 8)])
def test_half_is_attained_in_a_metric(family, k):
    """The distances obey the triangle inequality and the ratio is 1/2 to the last bit."""
    case = tight(family, k)
    assert case.problem().ground.is_metric
    assert case.ratio == 0.5


@pytest.mark.parametrize(("k", "share"), [(2, 0.96), (4, 0.85), (8, 0.77)])
def test_greedy_map_loses_nearly_what_its_guarantee_allows(k, share):
    """The loss in nats against 2 log k!, the most that greedy can lose."""
    case = tight("conditional-dpp", k)
    assert (case.optimum - case.greedy) / (2 * math.log(math.factorial(k))) == pytest.approx(share, abs=0.01)
    assert case.optimum - case.greedy == pytest.approx(k * math.log(k), rel=0.04)


@pytest.mark.parametrize("k", SIZES["implicit-weight"])
def test_the_explained_energy_is_submodular_there(k):
    """The Gram matrix is non-negative, so the guarantee applies, and the ratio is that of the explained energies."""
    case = tight("implicit-weight", k)
    problem = case.problem()
    assert problem.is_submodular
    explained = problem.total_energy + np.array([case.greedy, case.optimum])
    assert explained[0] / explained[1] == pytest.approx(case.ratio, rel=1e-9)


def test_the_explained_energy_loses_more_as_k_grows():
    """From the golden ratio / 2 at k = 2 down towards 0.702."""
    ratios = [tight("implicit-weight", k).ratio for k in (2, 4, 8, 16, 64, 256)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == pytest.approx((1 + math.sqrt(5)) / 4, abs=1e-4)
    assert ratios[-1] == pytest.approx(0.7029, abs=2e-4)


@pytest.mark.parametrize("family", TIGHT)
def test_every_family_is_covered(family):
    """A family added to the table is a family tested here."""
    assert SIZES[family]


@pytest.mark.parametrize(
    ("family", "k", "message"),
    [
        ("max-min", 1, "k must be >= 2, got 1"),
        ("max-min-polygon", 4, "k must not be a power of two, got 4"),
        ("max-min-polygon", 2, "k must be between 3 and 1000, got 2"),
        ("max-min-line", 1, "k must be >= 2, got 1"),
        ("max-min-cycle", 2, "k must be >= 3, got 2"),
        ("conditional-dpp", 3, "k must be one of 2, 4, 8, got 3"),
        ("implicit-weight", 6, "k must be a power of two, got 6"),
        ("implicit-weight", 512, "k must be between 2 and 256, got 512"),
        ("max-mim", 4, "unknown family 'max-mim'; did you mean 'max-min'?"),
        ("xyz", 4, "unknown family 'xyz'; there are max-min, max-min-polygon"),
    ],
)
def test_impossible_cases_are_refused(family, k, message):
    """Where a family has no such case the message gives the allowed range."""
    with pytest.raises(ValueError) as error:
        tight(family, k)
    assert str(error.value).startswith(message)


def test_the_angle_is_checked_and_named():
    """Angles outside the proven range are refused; another angle is another instance."""
    with pytest.raises(ValueError, match=r"angle must be between 0.01 and 0.5, got 0.7"):
        isolated_centre(3, 0.7)
    assert isolated_centre(3, 0.1).instance.name != isolated_centre(3).instance.name
