"""Certificates prove what brute force finds, and nothing else: changed in any field they fail."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import (
    ConditionalDPP,
    ImplicitWeight,
    MaxMinDiversity,
    MaxSumDiversity,
    Selection,
    Status,
    bound_path,
    check,
    upper_bounds,
)
from mmdp.bounds import ddfact_bound, qp_bound
from mmdp.bounds.colouring import best_colouring
from mmdp.bounds.max_min import farthest_first_picks
from mmdp.certificates import (
    AngleCertificate,
    CertificateError,
    ColouringCertificate,
    DDFactCertificate,
    HadamardCertificate,
    OnlyChoiceCertificate,
    QPCertificate,
    RowSumCertificate,
    SimplexCertificate,
    SpectralCertificate,
    ThetaCertificate,
    best_certificate,
)
from mmdp.certificates.far_core import core, far_pairs
from mmdp.certificates.qp import energy_bound

RNG = np.random.default_rng(0)
POINTS = RNG.standard_normal((24, 4))
MAX_MIN = MaxMinDiversity.from_features(POINTS, 6)
DPP = ConditionalDPP.from_features(RNG.standard_normal((24, 12)), 6, RNG.random(24))
RANK1 = ImplicitWeight.from_keys_values(RNG.standard_normal((24, 4)), RNG.standard_normal((24, 4)), 9)
MAX_SUM = MaxSumDiversity.from_features(POINTS, 6, relevance=RNG.random(24))
ANGLES = 2 * np.pi * np.arange(5) / 5
PENTAGON = MaxMinDiversity.from_features(np.column_stack([np.cos(ANGLES), np.sin(ANGLES)]), 3, "euclidean")


def optimum(problem):
    """By enumeration."""
    return max(problem.value(S) for S in itertools.combinations(range(problem.n), problem.k))


def claim(problem, certificate, bound=None):
    """A selection with the first k tokens whose bound is what the certificate proves."""
    indices = np.arange(problem.k)
    return Selection(
        indices=indices,
        objective=problem.value(indices),
        bound=certificate.verify(problem) if bound is None else bound,
        status=Status.FEASIBLE,
        solver="test:naive",
        problem="test",
        gap_kind=problem.gap_kind,
        certificate=certificate,
    )


def colouring():
    """With classes and triples: a five-cycle takes three colours, two classes joined by a fifth token."""
    distances = np.full((5, 5), 0.5)
    for i in range(5):
        distances[i, (i + 1) % 5] = distances[(i + 1) % 5, i] = 1.0
    np.fill_diagonal(distances, 0)
    problem = MaxMinDiversity.from_distances(distances, 3)
    found = best_colouring(distances, 3)
    assert len(found.triples) == 1
    return problem, ColouringCertificate(found.threshold, found.classes, found.triples)


def theta():
    """Hoffman's multiplier for the pentagon: lambda_max(J + Z) = sqrt 5 < 3."""
    far = far_pairs(PENTAGON.distances, 1.5)
    close = ~far & ~np.eye(5, dtype=bool)
    least = np.linalg.eigvalsh(close.astype(float))[0]
    return PENTAGON, ThetaCertificate(1.5, 3, np.arange(5), -5 / (2 - least) * close)


def examples():
    """A problem and a certificate of each kind."""
    picks = farthest_first_picks(MAX_MIN.distances, 5, np.arange(24))
    relaxed = qp_bound(RANK1.gram, 9)
    return {
        "angle": (MAX_MIN, AngleCertificate(picks)),
        "colouring": colouring(),
        "ddfact": (DPP, DDFactCertificate(ddfact_bound(DPP.factor, 6).x)),
        "hadamard": (DPP, HadamardCertificate()),
        "only-choice": (MAX_MIN.with_k(24), OnlyChoiceCertificate()),
        "qp": (RANK1, QPCertificate(relaxed.shift, relaxed.x)),
        "row-sum": (MAX_SUM, RowSumCertificate()),
        "simplex": (MAX_MIN, SimplexCertificate()),
        "spectral": (DPP, SpectralCertificate()),
        "theta": theta(),
    }


def test_examples_cover_every_kind():
    """A kind added is a kind tampered with."""
    from mmdp.certificates.file import KINDS

    found = examples()
    assert sorted(found) == sorted(KINDS)
    assert all(certificate.kind == kind for kind, (_, certificate) in found.items())


@pytest.mark.parametrize("kind", examples())
def test_a_certificate_supports_its_bound_and_no_lower_one(kind):
    """check returns the bound; a claim below it fails."""
    problem, certificate = examples()[kind]
    good = claim(problem, certificate)
    assert check(problem, good) == good.bound
    if good.bound - good.objective > 1e-6:
        below = (good.objective + good.bound) / 2
        with pytest.raises(CertificateError, match=f"the {kind} certificate proves the bound"):
            check(problem, replace(good, bound=below))


@pytest.mark.parametrize("kind", examples())
def test_a_certificate_refuses_another_objective(kind):
    """It says in one sentence which objective it is about."""
    problem, certificate = examples()[kind]
    other = DPP if isinstance(problem, MaxMinDiversity) else MAX_MIN
    with pytest.raises(CertificateError) as error:
        certificate.verify(other)
    assert "\n" not in str(error.value)


def changed(certificate, name, rng):
    """The same certificate with one field made better, or moved: what a cheat or an accident does."""
    value = getattr(certificate, name)
    if name == "threshold":
        return replace(certificate, threshold=value * 0.6)
    if name == "k":
        return replace(certificate, k=value - 1)
    if name == "picks":
        return replace(certificate, picks=value[:1])
    if name == "triples":
        return replace(certificate, triples=np.vstack([value, value]))
    if name == "classes":
        return replace(certificate, classes=np.where(value == value.max(), 0, value))
    if name == "groups":
        return replace(certificate, groups=value[[1, 0, *range(2, len(value))]])
    if name == "shift":
        return replace(certificate, shift=value + 0.01 * np.abs(value).max())
    if name == "multiplier":
        half = value.copy()
        half[np.nonzero(half)[0][0]] /= 2
        return replace(certificate, multiplier=half)
    return replace(certificate, x=rng.random(len(value)))


FIELDS = [(kind, field.name) for kind, (_, certificate) in examples().items() for field in fields(certificate)]


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_tampered_with_in_any_field_it_fails(kind, name):
    """The claimed bound no longer follows, and the message is one sentence."""
    problem, certificate = examples()[kind]
    good = claim(problem, certificate)
    bad = changed(certificate, name, np.random.default_rng(1))
    with pytest.raises(CertificateError) as error:
        check(problem, replace(good, certificate=bad))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("angle", {"picks": [0, 1, 2, 3, 4, 5]}, "need 1 to k - 1 picks, got 6"),
        ("angle", {"picks": [24]}, "below n = 24"),
        ("colouring", {"classes": [0, 1, 0, 1]}, "4 classes do not fit 5 tokens"),
        ("colouring", {"classes": [-1] * 5}, "a token of the core has no class"),
        ("colouring", {"classes": [0] * 5}, "two tokens of a class are far apart"),
        ("colouring", {"triples": np.zeros((0, 3), dtype=int)}, "it takes 3 classes, not fewer than k = 3"),
        ("colouring", {"triples": [[0, 1, 5]]}, "name classes that exist"),
        ("colouring", {"threshold": -1.0}, "must be above 0"),
        ("theta", {"threshold": 0.0}, "must be above 0"),
        ("theta", {"groups": [0, 1, 2, 3, 5]}, "do not fit 5 tokens"),
        ("theta", {"groups": [0, 0, 0, 3, 4]}, "two tokens of a group are far apart"),
        ("theta", {"groups": [0, 1, 2, 3, -1]}, "a token of the core has no group"),
        ("theta", {"k": 4}, "about sets of 4 tokens, the problem about 3"),
        ("theta", {"multiplier": np.zeros((5, 5))}, "which is not below k = 3"),
        ("theta", {"multiplier": -np.ones((5, 5)) + np.eye(5)}, ">= 0 between far groups"),
        ("ddfact", {"x": np.full(24, -1.0)}, "x must hold 24 numbers >= 0"),
        ("ddfact", {"x": np.zeros(24)}, "fewer than k = 6 independent tokens"),
        ("ddfact", {"x": np.ones(23)}, "got 23"),
        ("qp", {"shift": np.zeros(23)}, "must hold 24 numbers each, got 23"),
        ("qp", {"shift": np.full(24, 10.0)}, "not positive semidefinite"),
    ],
)
def test_each_condition_has_its_sentence(kind, changes, message):
    """What is wrong is said."""
    problem, certificate = examples()[kind]
    with pytest.raises(CertificateError, match=message):
        replace(certificate, **changes).verify(problem)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("theta", {"threshold": math.nan}, "threshold must be one finite number"),
        ("theta", {"k": 1}, "k must be one whole number >= 2"),
        ("theta", {"multiplier": np.full((5, 5), np.inf)}, "multiplier must be a 2-D array of finite numbers"),
        ("colouring", {"classes": [0.5] * 5}, "classes must be a 1-D array of whole numbers"),
        ("colouring", {"triples": [0, 1, 2]}, "triples must have three columns"),
        ("angle", {"picks": [-1]}, "picks must be a 1-D array of whole numbers >= 0"),
        ("ddfact", {"x": ["a"]}, "x must be a 1-D array of finite numbers"),
    ],
)
def test_fields_of_the_wrong_form_are_refused(kind, changes, message):
    """ValueError, before anything is verified."""
    with pytest.raises(ValueError, match=message):
        replace(examples()[kind][1], **changes)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, name in FIELDS if name in ("threshold", "multiplier", "x", "shift")]
)
@pytest.mark.parametrize("size", [1e160, 1e300])
def test_absurd_numbers_are_refused(kind, name, size):
    """Overflow ends in a refusal, neither in a warning nor in a bound."""
    problem, certificate = examples()[kind]
    good = claim(problem, certificate)
    absurd = replace(certificate, **{name: np.asarray(getattr(certificate, name)) * size})
    if name == "x" and kind == "ddfact":  # the bound does not depend on the scale of x, as long as nothing overflows
        absurd = replace(certificate, x=np.full(24, size))
    with pytest.raises(CertificateError):
        check(problem, replace(good, certificate=absurd))


def test_a_triple_with_a_triangle_is_refused():
    """Three far tokens in three classes are not two."""
    problem = MaxMinDiversity.from_distances(1 - np.eye(3), 3)
    with pytest.raises(CertificateError, match="three far tokens come from the classes of a triple"):
        ColouringCertificate(0.5, [0, 1, 2], [[0, 1, 2]]).verify(problem)


@st.composite
def problems(draw):
    """Small problems of every objective, with duplicates, zero rows, ties and k at both ends."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, d = draw(st.integers(2, 9)), draw(st.integers(1, 6))
    X = rng.standard_normal((n, d)) + draw(st.sampled_from([0.0, 2.0]))
    if draw(st.booleans()):
        X = X[rng.integers(0, max(1, n // 2), n)]
    if draw(st.booleans()):
        X[0] = 0
    k = draw(st.integers(0, n))
    kind = draw(st.sampled_from(["cosine", "chordal", "euclidean", "given", "dpp", "kernel", "rank1", "sum", "ties"]))
    if kind in ("given", "ties"):
        D = np.triu(rng.integers(1, 4, (n, n)) if kind == "ties" else rng.random((n, n)), 1)
        return MaxMinDiversity.from_distances(D + D.T, k)
    if kind == "dpp":
        return ConditionalDPP.from_features(X, k, rng.integers(0, 3, n) if draw(st.booleans()) else rng.random(n))
    if kind == "kernel":
        return ConditionalDPP.from_kernel(X @ X.T, k)
    if kind == "rank1":
        return ImplicitWeight.from_keys_values(X, rng.standard_normal((n, 3)), k)
    if kind == "sum":
        return MaxSumDiversity.from_features(X, k, relevance=rng.standard_normal(n))
    return MaxMinDiversity.from_features(X, k, kind)


@given(problems(), st.sampled_from(["cheap", "full"]))
@settings(deadline=None, max_examples=300)
def test_the_best_certificate_is_at_least_the_optimum(problem, effort):
    """Against brute force; it verifies to the same bound again."""
    bound, certificate = best_certificate(problem, effort)
    best = optimum(problem)
    assert bound >= best - 1e-12 * (abs(best) if math.isfinite(best) else 1.0)
    assert certificate.verify(problem) == bound


@pytest.mark.parametrize("problem", [MAX_MIN, DPP, RANK1, MAX_SUM], ids=lambda problem: problem.name)
def test_full_effort_is_as_good_as_the_upper_bounds(problem):
    """And cheap effort is no better than full effort."""
    full = best_certificate(problem, "full")[0]
    least = min(upper_bounds(problem).values())
    assert full <= least + 1e-9 * abs(least)
    assert full <= best_certificate(problem, "cheap")[0]
    assert best_certificate(problem, "none") == (math.inf, None)


def test_a_subclass_is_an_objective_of_its_own():
    """Its values need not be those of the class it comes from: no bound, and no certificate holds for it."""

    class Half(MaxMinDiversity):
        name = "half"

        def _value(self, subset):
            return 10 + super()._value(subset)

    half = Half.from_features(POINTS, 6)
    assert best_certificate(half) == (math.inf, None)
    assert set(bound_path(half, [1, 6]).values()) == {math.inf}
    assert upper_bounds(half) == {}
    for kind in ("angle", "simplex"):
        with pytest.raises(CertificateError, match=r"got (a problem of )?half"):
            examples()[kind][1].verify(half)


def test_effort_has_a_name():
    """A wrong one is refused with the names there are."""
    with pytest.raises(ValueError, match="effort must be one of none, cheap, full, got 'some'"):
        best_certificate(MAX_MIN, "some")


@pytest.mark.parametrize("k", [2, 8])
def test_any_picks_are_an_angle_certificate(k):
    """Random picks give a valid bound in every metric, and given distances must obey the triangle inequality."""
    rng = np.random.default_rng(k)
    for metric in ("cosine", "chordal", "euclidean"):
        problem = MaxMinDiversity.from_features(POINTS[:11], k, metric)
        for _ in range(5):
            picks = rng.choice(11, k - 1, replace=False)
            assert AngleCertificate(picks).verify(problem) >= optimum(problem)
        given = MaxMinDiversity.from_distances(problem.distances, k)
        if metric == "cosine":
            with pytest.raises(CertificateError, match="needs a metric"):
                AngleCertificate(picks).verify(given)
        else:
            assert AngleCertificate(picks).verify(given) >= optimum(given)


@given(st.integers(0, 10**6), st.floats(1e-8, 1e8))
@settings(deadline=None, max_examples=60)
def test_the_quadratic_bound_scales_with_the_matrix(seed, scale):
    """At any point, for signed matrices of any size: at most the least energy, by enumeration."""
    rng = np.random.default_rng(seed)
    n, m = 7, int(rng.integers(0, 8))
    F = rng.standard_normal((n, int(rng.integers(1, 9)))) * math.sqrt(scale)
    Q = F @ F.T
    least = min(Q[np.ix_(S, S)].sum() for S in map(list, itertools.combinations(range(n), m)))
    shift = -rng.random(n) * 0.1 * scale
    bound = energy_bound(Q, m, shift, rng.random(n))
    assert bound <= least + 1e-12 * np.abs(Q).sum()
    relaxed = qp_bound(Q, n - m)
    assert energy_bound(Q, m, relaxed.shift, relaxed.x) == pytest.approx(relaxed.value, abs=1e-11 * np.abs(Q).sum())


def test_a_matrix_just_short_of_semidefinite_is_refused():
    """A least eigenvalue of -1e-9 relative is no rounding; -1e-16 is."""
    F = np.random.default_rng(3).standard_normal((40, 10))
    Q = F @ F.T
    scale = np.diag(Q)
    assert math.isfinite(energy_bound(Q, 20, 1e-17 * scale, np.full(40, 0.5)))
    with pytest.raises(CertificateError, match="not positive semidefinite"):
        energy_bound(Q, 20, 1e-9 * scale, np.full(40, 0.5))


@given(st.integers(0, 10**6), st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_the_core_holds_every_clique(seed, k):
    """And every token of it has k - 1 neighbours in it."""
    rng = np.random.default_rng(seed)
    far = np.triu(rng.random((9, 9)) < 0.6, 1)
    far |= far.T
    alive = core(far, k)
    assert (far[np.ix_(alive, alive)].sum(axis=1) >= k - 1).all()
    for clique in itertools.combinations(range(9), k):
        if all(far[i, j] for i, j in itertools.combinations(clique, 2)):
            assert alive[list(clique)].all()
