"""The result type checks itself, prints, pickles, and `check` catches what is not true."""

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from mmdp import CertificateError, MaxMinDiversity, Selection, Status, check, optimality_gap

PROBLEM = MaxMinDiversity.from_features(np.eye(4), 2)


def selection(**changes) -> Selection:
    fields = {
        "indices": [2, 0],
        "objective": 1.0,
        "bound": 1.25,
        "status": Status.TIME_LIMIT,
        "solver": "test:naive",
        "problem": "max-min n=4 k=2",
        "gap_kind": "relative",
        "seconds": 0.5,
    }
    return Selection(**fields | changes)


def test_fields_and_derived_figures():
    """Indices keep their order and cannot be changed; kept is ascending; the gap follows the problem's rule."""
    answer = selection()
    assert answer.indices.tolist() == [2, 0]
    assert answer.kept.tolist() == [0, 2]
    assert answer.gap == 0.25
    assert not answer.proved
    with pytest.raises(ValueError, match="read-only"):
        answer.indices[0] = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indices": [1, 1]}, "distinct"),
        ({"indices": [-1, 1]}, ">= 0"),
        ({"bound": 0.5}, "at least the objective"),
        ({"bound": math.nan}, "NaN"),
        ({"seconds": -1.0}, "seconds must be >= 0, got -1.0"),
        ({"status": Status.OPTIMAL}, "optimal selection has bound = objective"),
    ],
)
def test_contradictions_are_refused(changes, message):
    """A Selection that contradicts itself cannot be made."""
    with pytest.raises(ValueError, match=message):
        selection(**changes)


@pytest.mark.parametrize(
    ("objective", "bound", "kind", "expected"),
    [
        (2.0, 3.0, "relative", 0.5),
        (-4.0, -3.0, "relative", 0.25),
        (-4.0, -3.0, "absolute", 1.0),
        (0.0, 0.0, "relative", 0.0),
        (0.0, 1.0, "relative", math.inf),
        (math.inf, math.inf, "relative", 0.0),
        (-math.inf, -math.inf, "absolute", 0.0),
        (-math.inf, 1.0, "absolute", math.inf),
        (-math.inf, math.inf, "relative", math.inf),
        (1.0, math.inf, "relative", math.inf),
    ],
)
def test_gap_is_never_nan(objective, bound, kind, expected):
    """Equal values give 0, x / 0 gives inf."""
    assert optimality_gap(objective, bound, kind) == expected


def test_json_has_null_for_infinity():
    """to_dict is plain JSON."""
    text = json.dumps(selection(bound=math.inf, stats={"ratio": math.inf}).to_dict(), allow_nan=False)
    loaded = json.loads(text)
    assert loaded["bound"] is None
    assert loaded["gap"] is None
    assert loaded["stats"]["ratio"] is None
    assert loaded["status"] == "time_limit"


def test_text_and_pickle():
    """str says what was solved, how well and why it stopped; pickling keeps everything."""
    answer = selection()
    assert "max-min n=4 k=2: test:naive time_limit" in str(answer)
    assert "gap 0.25" in str(answer)
    assert "nothing proved" in str(selection(bound=math.inf))
    again = pickle.loads(pickle.dumps(answer))
    assert again.to_dict() == answer.to_dict()


def test_check_accepts_the_truth():
    """The objective by its definition, k distinct indices."""
    check(PROBLEM, selection())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": 1.1}, r"the objective is 1.0, got 1.1"),
        ({"indices": [0, 7]}, "between 0 and 3, got 7"),
        ({"indices": [0]}, "asks for 2 tokens, got 1"),
        ({"status": Status.INFEASIBLE}, "must hold no indices"),
    ],
)
def test_check_catches_what_is_not_true(changes, message):
    """A wrong objective, foreign indices, a wrong size."""
    with pytest.raises(CertificateError, match=message):
        check(PROBLEM, replace(selection(), **changes))


def test_check_sees_constraints():
    """A set that breaks a constraint is no answer."""
    from mmdp import Constraints

    problem = MaxMinDiversity.from_features(np.eye(4), 2, constraints=Constraints(keep=(3,)))
    with pytest.raises(CertificateError, match="token 3 must be kept"):
        check(problem, selection())
