"""Certificate files: everything comes back, and a file cut short or edited says so in one sentence."""

from __future__ import annotations

import math
import zipfile
from dataclasses import fields

import numpy as np
import pytest

from mmdp import (
    ConditionalDPP,
    Constraints,
    ImplicitWeight,
    MaxMinDiversity,
    MaxSumDiversity,
    Selection,
    Status,
    check,
)
from mmdp.certificates import CertificateError, best_certificate, load, save
from mmdp.problem import Problem

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 5)).astype(np.float32)
GROUPS = Constraints(
    keep=(2,), forbidden_pairs=((0, 1),), groups=(0, 1, 7) * 4, min_per_group={7: 1}, max_per_group={0: 2, 1: 3}
)
PROBLEMS = {
    "max-min": MaxMinDiversity.from_features(X, 4, "chordal"),
    "max-min, constrained": MaxMinDiversity.from_features(X, 4, constraints=GROUPS),
    "max-min, distances": MaxMinDiversity.from_distances(2 - 2 * np.eye(12), 4),
    "dpp": ConditionalDPP.from_features(X, 4, RNG.random(12), 0.3),
    "dpp, kernel": ConditionalDPP.from_kernel(X.astype(float) @ X.T, 4),
    "rank-1": ImplicitWeight.from_keys_values(X, X[:, :3], 4, kernel="softmax"),
    "max-sum": MaxSumDiversity.from_features(X, 4, relevance=RNG.standard_normal(12), lam=0.5),
    "max-sum, distances": MaxSumDiversity.from_distances(1 - np.eye(12), 4),
    "no tokens": MaxMinDiversity.from_features(np.zeros((0, 2)), 0),
}


def answer(problem, **changes):
    """k tokens within the constraints, with the cheap certificate."""
    indices = np.array([2, 3, 4, 9][: problem.k])
    bound, certificate = best_certificate(problem, "cheap")
    given = {
        "indices": indices,
        "objective": problem.value(indices),
        "bound": max(bound, problem.value(indices)),
        "status": Status.FEASIBLE,
        "solver": "test:naive",
        "problem": f"{problem.name} n={problem.n} k={problem.k}",
        "gap_kind": problem.gap_kind,
        "seconds": 0.25,
        "certificate": certificate,
    }
    return Selection(**given | changes)


@pytest.mark.parametrize("name", PROBLEMS)
def test_everything_comes_back(name, tmp_path):
    """The problem, its constraints, the claim and the certificate, bit by bit; and the check goes through."""
    problem = PROBLEMS[name]
    before = answer(problem)
    save(tmp_path / "a.npz", problem, before)
    same, after = load(tmp_path / "a.npz")
    assert type(same) is type(problem)
    assert (same.n, same.k, same.constraints) == (problem.n, problem.k, problem.constraints)
    assert same.ground.features is None or same.ground.features.dtype == problem.ground.features.dtype
    assert same.value(before.indices) == problem.value(before.indices)
    assert after.to_dict() == before.to_dict()
    for field in fields(before.certificate):
        np.testing.assert_array_equal(
            getattr(after.certificate, field.name), getattr(before.certificate, field.name), strict=True
        )
    assert check(same, after) == check(problem, before)


def test_an_answer_without_certificate_and_bound_is_kept(tmp_path):
    """Infinity survives; check then proves the value alone."""
    problem = PROBLEMS["max-min"]
    save(tmp_path / "a.npz", problem, answer(problem, bound=math.inf, certificate=None))
    same, after = load(tmp_path / "a.npz")
    assert after.bound == math.inf
    assert check(same, after) == math.inf


def test_infeasible_is_an_answer(tmp_path):
    """No indices, -inf."""
    problem = PROBLEMS["max-min, constrained"]
    nothing = answer(
        problem, indices=[], objective=-math.inf, bound=-math.inf, status=Status.INFEASIBLE, certificate=None
    )
    save(tmp_path / "a.npz", problem, nothing)
    same, after = load(tmp_path / "a.npz")
    assert after.status is Status.INFEASIBLE
    assert check(same, after) == math.inf


def test_own_objectives_have_no_file(tmp_path):
    """Only what a reader can pose again is written."""

    class Own(Problem):
        name, gap_kind = "own", "relative"

        def _value(self, subset):
            return 0.0

    problem = Own(PROBLEMS["max-min"].ground, 4)
    with pytest.raises(TypeError, match="no file format for problems of type Own"):
        save(tmp_path / "a.npz", problem, answer(PROBLEMS["max-min"]))
    assert not (tmp_path / "a.npz").exists()


def rewritten(path, changes):
    """The file with some arrays changed, or left out where the new value is None."""
    with np.load(path) as file:
        arrays = {**dict(file), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize("size", [0, 10, 500, -1])
def test_a_file_cut_short_is_refused(size, tmp_path):
    """At the start, in the middle, and by a single byte."""
    path = tmp_path / "a.npz"
    save(path, PROBLEMS["max-min"], answer(PROBLEMS["max-min"]))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"a.npz is not a certificate file, or is damaged: .") as error:
        load(path)
    assert "\n" not in str(error.value)


def test_a_file_with_a_flipped_bit_is_refused(tmp_path):
    """Every member has a checksum."""
    path = tmp_path / "a.npz"
    save(path, PROBLEMS["max-min"], answer(PROBLEMS["max-min"]))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("problem/features.npy").header_offset + 100
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        load(path)


def test_other_files_are_refused(tmp_path):
    """A plain array, an archive of something else, a pickle, text."""
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", format=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("mmdp")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("format", "mmdp certificate 1")
    for name in ("array.npy", "other.npz", "pickle.npz", "text.npz", "zip.npz"):
        with pytest.raises(ValueError, match=f"{name} is not a (valid )?certificate file") as error:
            load(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": np.asarray("mmdp certificate 9")}, "its format is 'mmdp certificate 9', this version reads"),
        ({"format": None}, "it lacks 'format'"),
        ({"problem/k": None}, "it lacks 'k'"),
        ({"problem/k": np.asarray(13)}, "k must be between 0 and n = 12, got 13"),
        ({"problem/k": np.asarray(2.5)}, "k must be one whole number"),
        ({"problem/metric": np.asarray("manhattan")}, "metric must be one of"),
        ({"problem/objective": np.asarray("best")}, "unknown objective 'best'"),
        ({"problem/features": np.full((12, 5), np.nan)}, "features must be finite"),
        ({"problem/relevance": np.ones(12)}, "a problem of max-min has no relevance"),
        ({"problem/keep": np.asarray([12])}, "keep must hold indices between 0 and 11, got 12"),
        ({"problem/forbidden_pairs": np.asarray([[0, 1, 2]])}, "forbidden_pairs must have two columns"),
        ({"selection/indices": np.asarray([0.5])}, "indices must be a list of whole numbers"),
        ({"selection/indices": np.asarray([1, 1])}, "indices must be distinct"),
        ({"selection/objective": np.asarray(math.nan)}, "selection/objective must be one number"),
        ({"selection/bound": np.asarray(-1.0)}, "bound must be at least the objective"),
        ({"selection/status": np.asarray("great")}, "'great' is not a valid Status"),
        ({"selection/status": None}, "it lacks 'selection/status'"),
        ({"certificate": np.asarray("magic")}, "unknown kind of certificate 'magic'; there are angle, colouring"),
        ({"certificate": np.asarray("ddfact")}, "a ddfact certificate holds x, got classes, threshold, triples"),
        ({"certificate/classes": None}, "a colouring certificate holds threshold, classes, triples, got"),
        ({"certificate/threshold": np.asarray("low")}, "threshold must be one finite number"),
    ],
)
def test_an_edited_file_that_does_not_fit_is_refused(changes, message, tmp_path):
    """One sentence that names the file and what is wrong."""
    path = tmp_path / "a.npz"
    save(path, PROBLEMS["max-min"], answer(PROBLEMS["max-min"]))
    rewritten(path, changes)
    with pytest.raises(ValueError, match=f"a.npz is not a valid certificate file: .*{message}") as error:
        load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"problem/features": X[::-1]},
        {"problem/k": np.asarray(3)},
        {"problem/metric": np.asarray("cosine")},
        {"problem/keep": np.asarray([0])},
        {"selection/indices": np.asarray([0, 1, 2, 3])},
        {"selection/objective": np.asarray(1.2)},
        {"selection/bound": np.asarray(1.2)},
        {"certificate/threshold": np.asarray(1.2)},
        {"certificate/classes": np.zeros(12, dtype=int)},
    ],
)
def test_an_edited_file_that_fits_does_not_hold(changes, tmp_path):
    """The problem, the claim or the proof: whichever was changed, the check fails."""
    problem, path = PROBLEMS["max-min"], tmp_path / "a.npz"
    save(path, problem, answer(problem))
    assert problem.value([2, 3, 4, 9]) < 1.2 < answer(problem).bound
    rewritten(path, changes)
    with pytest.raises(CertificateError) as error:
        check(*load(path))
    assert "\n" not in str(error.value)
