"""A problem as plain arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from mmdp.certificates import fields
from mmdp.constraints import Constraints
from mmdp.ground_set import Metric
from mmdp.objectives import ConditionalDPP, ImplicitWeight, MaxMinDiversity, MaxSumDiversity
from mmdp.problem import Problem

Arrays = dict[str, npt.NDArray[Any]]
QUOTAS = ("min_per_group", "max_per_group")


def problem_to_arrays(problem: Problem) -> Arrays:
    """What the problem was given; implicit weights as their Gram matrix. TypeError for other objectives."""
    arrays: Arrays = {"objective": np.asarray(problem.name), "k": np.asarray(problem.k)}
    arrays |= _constraint_arrays(problem.constraints)
    if type(problem) is MaxMinDiversity:
        return arrays | _ground_arrays(problem)
    if type(problem) is ConditionalDPP:
        if problem.ground.features is None:
            return arrays | {"kernel": problem.kernel}
        theta = {} if problem.theta is None else {"theta": np.asarray(problem.theta)}
        return arrays | {"features": problem.ground.features, "relevance": problem.relevance} | theta
    if type(problem) is MaxSumDiversity:
        relevance = {} if problem.relevance is None else {"relevance": problem.relevance}
        return arrays | _ground_arrays(problem) | relevance | {"lam": np.asarray(problem.lam)}
    if type(problem) is ImplicitWeight:
        return arrays | {"gram": problem.gram}
    raise TypeError(f"there is no file format for problems of type {type(problem).__name__}")


def problem_from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Problem:
    """The problem again; KeyError, TypeError or ValueError where the arrays do not make one."""
    given = dict(arrays)
    objective, k = fields.text(given.pop("objective"), "objective"), fields.whole(given.pop("k"), "k")
    constraints = _constraints_from(given)
    problem: Problem
    if objective == MaxMinDiversity.name and "distances" in given:
        problem = MaxMinDiversity.from_distances(given.pop("distances"), k, constraints=constraints)
    elif objective == MaxMinDiversity.name:
        metric = _metric(given.pop("metric"))
        problem = MaxMinDiversity.from_features(given.pop("features"), k, metric, constraints=constraints)
    elif objective == MaxSumDiversity.name:
        relevance, lam = given.pop("relevance", None), fields.number(given.pop("lam"), "lam")
        extra: dict[str, Any] = {"relevance": relevance, "lam": lam, "constraints": constraints}
        if "distances" in given:
            problem = MaxSumDiversity.from_distances(given.pop("distances"), k, **extra)
        else:
            metric = _metric(given.pop("metric"))
            problem = MaxSumDiversity.from_features(given.pop("features"), k, metric, **extra)
    elif objective == ConditionalDPP.name and "kernel" in given:
        problem = ConditionalDPP.from_kernel(given.pop("kernel"), k, constraints=constraints)
    elif objective == ConditionalDPP.name:
        theta = fields.number(given.pop("theta"), "theta") if "theta" in given else None
        features, relevance = given.pop("features"), given.pop("relevance")
        problem = ConditionalDPP.from_features(features, k, relevance, theta, constraints=constraints)
    elif objective == ImplicitWeight.name:
        problem = ImplicitWeight.from_gram(given.pop("gram"), k, constraints=constraints)
    else:
        raise ValueError(f"unknown objective {objective!r}")
    if given:
        raise ValueError(f"a problem of {objective} has no {', '.join(sorted(given))}")
    return problem


def _ground_arrays(problem: MaxMinDiversity | MaxSumDiversity) -> Arrays:
    if problem.ground.features is None:
        return {"distances": problem.distances}
    return {"features": problem.ground.features, "metric": np.asarray(problem.ground.metric)}


def _constraint_arrays(constraints: Constraints) -> Arrays:
    """Only what is asked for."""
    arrays: Arrays = {}
    if constraints.keep:
        arrays["keep"] = np.array(constraints.keep, dtype=np.int64)
    if constraints.forbidden_pairs:
        arrays["forbidden_pairs"] = np.array(constraints.forbidden_pairs, dtype=np.int64)
    if constraints.groups is not None:
        arrays["groups"] = np.array(constraints.groups, dtype=np.int64)
    for name in QUOTAS:
        quota = getattr(constraints, name)
        if quota:
            arrays[name] = np.array(sorted(quota.items()), dtype=np.int64)
    return arrays


def _constraints_from(given: Arrays) -> Constraints:
    keep, groups = (given.pop(name, None) for name in ("keep", "groups"))
    pairs = given.pop("forbidden_pairs", np.zeros((0, 2), dtype=np.int64))
    quotas = {name: dict(_pairs(given.pop(name), name)) for name in QUOTAS if name in given}
    return Constraints(
        keep=() if keep is None else tuple(fields.indices(keep, "keep").tolist()),
        forbidden_pairs=tuple(_pairs(pairs, "forbidden_pairs")),
        groups=None if groups is None else tuple(_whole(groups, "groups", 1).tolist()),
        **quotas,
    )


def _pairs(array: npt.NDArray[Any], name: str) -> list[tuple[int, int]]:
    rows = _whole(array, name, 2)
    if rows.shape[1] != 2:
        raise ValueError(f"{name} must have two columns, got shape {rows.shape}")
    return [(int(a), int(b)) for a, b in rows]


def _whole(array: npt.NDArray[Any], name: str, ndim: int) -> npt.NDArray[Any]:
    if array.ndim != ndim or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a {ndim}-D array of whole numbers, got {array.dtype} of shape {array.shape}")
    return array


def _metric(array: npt.NDArray[Any]) -> Metric:
    allowed: tuple[Metric, ...] = get_args(Metric)[:3]
    name = fields.text(array, "metric")
    for metric in allowed:
        if metric == name:
            return metric
    raise ValueError(f"metric must be one of {', '.join(allowed)}, got {name!r}")
