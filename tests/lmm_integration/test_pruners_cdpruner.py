"""CDPruner picks what its paper and its released code say, sample by sample."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lmm_integration import CDPruner, VisualTokens  # noqa: E402


class Given:
    """A provider that is never called: the tests hand the relevance over themselves."""

    sign = -1

    def __call__(self, patches, text):
        raise AssertionError


def tokens_of(sizes, d=24, seed=0, sample=()):
    """Random units with random raw relevance."""
    generator = torch.Generator().manual_seed(seed)
    features = [torch.randn(n, d, generator=generator) for n in sizes]
    relevance = [torch.randn(n, generator=generator) for n in sizes]
    return VisualTokens(features, sample=sample, relevance=relevance)


def literal(x, r, k):
    """Greedy MAP by determinants: add the token that gives the largest log det, formed anew each time."""
    u = x.double().numpy() / np.linalg.norm(x.double().numpy(), axis=1, keepdims=True)
    cosines = u @ u.T
    np.fill_diagonal(cosines, 1.0)  # equal relevance is an exact tie, not one decided by rounding
    kernel = np.diag(r) @ cosines @ np.diag(r)
    chosen = []
    for _ in range(k):
        rest = [i for i in range(len(r)) if i not in chosen]
        chosen.append(max(rest, key=lambda i: np.linalg.slogdet(kernel[np.ix_([*chosen, i], [*chosen, i])])[1]))
    return chosen


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("theta", [None, 0.0, 0.5])
def test_the_picks_are_those_of_the_formula(sign, theta):
    """Sign, min-max with a floor of 1e-6, the theta form, then the greedy on log det."""
    tokens = tokens_of([40])
    raw = sign * tokens.relevance[0].double().numpy()
    r = np.clip((raw - raw.min()) / (raw.max() - raw.min()), 1e-6, 1)
    if theta is not None:
        r = np.exp(theta * r / (2 * (1 - theta)))
    (picks,) = CDPruner(relevance=Given(), sign=sign, theta=theta, order="selection").select(tokens, [15])
    assert picks.tolist() == literal(tokens.features[0], r, 15)
    (raster,) = CDPruner(relevance=Given(), sign=sign, theta=theta).select(tokens, [15])
    assert raster.tolist() == sorted(picks.tolist())


def test_the_sign_is_the_providers_unless_one_is_given():
    """The first pick is the token of lowest raw relevance for a provider of sign -1, of highest for +1."""
    tokens = tokens_of([30])
    first = {
        sign: int(CDPruner(relevance=Given(), sign=sign, order="selection").select(tokens, [1])[0])
        for sign in (None, -1, 1)
    }
    assert first[None] == first[-1] == int(tokens.relevance[0].argmin())
    assert first[1] == int(tokens.relevance[0].argmax())


def test_other_samples_of_the_batch_change_nothing():
    """The published code takes minimum and maximum over the batch; here a sample is chosen from as if alone."""
    tokens = tokens_of([20, 25])
    tokens.relevance[1].mul_(100)
    together = CDPruner(relevance=Given()).select(tokens, [6, 6])
    for i in range(2):
        alone = VisualTokens([tokens.features[i]], relevance=[tokens.relevance[i]])
        assert torch.equal(CDPruner(relevance=Given()).select(alone, [6])[0], together[i])


def test_units_of_one_sample_share_minimum_and_maximum():
    """Crops of one image are calibrated together: exactly one weight of 1 and one of 1e-6 among them."""
    weights = torch.cat(CDPruner(relevance=Given()).scaled(tokens_of([10, 12], sample=(0, 0))))
    assert (weights == 1).sum() == 1
    assert (weights == 1e-6).sum() == 1
    assert weights.min() == 1e-6


def test_constant_relevance_counts_as_all_ones():
    """Nothing is divided by a range of zero."""
    tokens = VisualTokens([torch.eye(5)], relevance=[torch.full((5,), 0.3)])
    assert CDPruner(relevance=Given()).scaled(tokens)[0].tolist() == [1.0] * 5


def test_more_tokens_than_the_rank_are_filled_by_relevance():
    """Duplicates exhaust the rank; the rest are the most relevant, each index once."""
    x = torch.eye(3)[torch.tensor([0, 0, 1, 1, 2, 2])]
    tokens = VisualTokens([x], relevance=[torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 1.0])])
    (picks,) = CDPruner(relevance=Given(), sign=1, order="selection").select(tokens, [5])
    assert picks.tolist() == [5, 3, 1, 4, 2]


def test_other_solvers_optimise_the_same_objective():
    """Greedy <= local search <= the proven optimum of the same log det."""
    tokens = tokens_of([11], seed=4)
    (problem,) = CDPruner(relevance=Given()).problems(tokens, [4])
    value = [
        problem.value(CDPruner(relevance=Given(), solver=solver).select(tokens, [4])[0].numpy())
        for solver in ("greedy", "local_search", "brute_force")
    ]
    assert value[0] <= value[1] + 1e-12
    assert value[1] <= value[2] + 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sign": 2}, "sign must be one of None, 1, -1, got 2"),
        ({"theta": 1.0}, r"theta must be in \[0, 1\), got 1.0"),
    ],
)
def test_options_are_checked_when_the_pruner_is_made(options, message):
    """One sentence with the value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        CDPruner(**options)


def test_missing_and_broken_relevance_is_refused():
    """None and NaN are named."""
    with pytest.raises(ValueError, match=r"VisualTokens\.relevance is None"):
        CDPruner(relevance=Given()).select(VisualTokens([torch.eye(3)]), [2])
    with pytest.raises(ValueError, match="relevance must be finite, got nan"):
        CDPruner(relevance=Given()).select(VisualTokens([torch.eye(3)], relevance=[torch.full((3,), torch.nan)]), [2])
