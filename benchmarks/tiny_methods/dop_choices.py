"""What each of the three curves runs on visual tokens within a budget of operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.tiny_methods.dop_measure import Arm, Said
from lmm_integration.calibration import Calibration
from lmm_integration.evaluate.accuracy.selector_flops import Choosing, selector_flops
from lmm_integration.evaluate.accuracy.task import Question
from lmm_integration.flops import DecoderShape
from lmm_integration.pruners import DivPrune
from solvers.depth_policy import solve_depth_policy

BUDGETS = (0.6, 0.4, 0.25, 0.15)  # of the operations of the dense prefill
DEPTHS = (0, 1, 2, 4, 6)  # measured; those in between lie on the line, all layers lose nothing
TOKENS = (8, 16, 32, 64, 128)
STEP = 4  # between the token counts that a policy may have

Answers = Mapping[tuple[Arm, str], Said]
Kept = npt.NDArray[np.bool_]


def axes(layers: int, n: int) -> dict[str, dict[int, Arm]]:
    """The arms of the three curves of DOP, by the parameter that leaves its full value."""
    return {
        "attention": {depth: Arm.to_depths(depth, layers, n, layers) for depth in DEPTHS},
        "mlp": {depth: Arm.to_depths(layers, depth, n, layers) for depth in DEPTHS},
        "tokens": {count: Arm.to_depths(layers, layers, count, layers) for count in TOKENS},
    }


def calibration_of(
    said: Answers, questions: Sequence[Question], text: Sequence[int], shape: DecoderShape, n: int
) -> Calibration:
    """The three curves, means over these questions, whose prompts have `text` tokens beside n visual ones."""
    curves = {
        name: {at: mean_kl(said, arm, questions) for at, arm in arms.items()}
        for name, arms in axes(shape.layers, n).items()
    }
    sizes = [(count, n) for count in text]
    return Calibration(**curves, full_tokens=n, sizes=sizes, shape=shape, attn_prune="qkv", settings={})


def mean_kl(said: Answers, arm: Arm, questions: Sequence[Question]) -> float:
    """Over questions, in nats."""
    return float(np.mean([said[arm, question.id].kl for question in questions]))


def choosing_flops(calibration: Calibration, tokens: int) -> int:
    """Operations of `DivPrune` for that many of n tokens; none where all stay."""
    d, n = calibration.shape.width, calibration.full_tokens
    return int(selector_flops(DivPrune(), Choosing(n, tokens, d, d, d, n, 0)) or 0)


def share(calibration: Calibration, arm: Arm) -> float:
    """Operations of an arm, the choice of its tokens included, over those of the dense prefill.

    Masked operations save nothing; an arm costs what it would if each were left out.
    """
    here = calibration.costs(arm.tokens) @ [1, sum(arm.attention), sum(arm.mlp)]
    return float((here + choosing_flops(calibration, arm.tokens)) / calibration.dense_cost)


def depth_policy(calibration: Calibration, budget: float) -> tuple[Arm, float]:
    """The policy of DOP of least summed divergence within the budget, exactly, and that sum."""
    counts = list(range(min(TOKENS), calibration.full_tokens + 1, STEP))
    problem = calibration.problem(budget, counts)
    choice = np.array([choosing_flops(calibration, count) for count in counts])
    policy = solve_depth_policy(replace(problem, cost=problem.cost + choice))
    depths = policy.attention_depth, policy.mlp_depth
    return Arm.to_depths(*depths, policy.tokens, calibration.shape.layers), policy.loss


def reducer_only(calibration: Calibration, budget: float) -> Arm:
    """Every operation, on as many tokens as the budget pays."""
    layers = calibration.shape.layers
    arms = (Arm.to_depths(layers, layers, n, layers) for n in range(calibration.full_tokens, 0, -1))
    return next(arm for arm in arms if share(calibration, arm) <= budget)


def one_left_out(layers: int, n: int) -> dict[tuple[int, int], Arm]:
    """(layer, 0 for its attention and 1 for its MLP) -> everything else."""
    found = {}
    for where in np.ndindex(layers, 2):
        runs = np.ones((layers, 2), dtype=bool)
        runs[where] = False
        found[where] = of_operations(runs, n)
    return found  # type: ignore[return-value]


def of_operations(runs: Kept, tokens: int) -> Arm:
    """(L, 2) bool as an arm."""
    return Arm(tokens, tuple(runs[:, 0].tolist()), tuple(runs[:, 1].tolist()))


def single_operations(calibration: Calibration, losses: npt.NDArray[np.float64], budget: float) -> tuple[Arm, float]:
    """The knapsack over single operations and token counts, without the rule that deeper ones go first, and its sum.

    Parameters
    ----------
    losses : (L, 2) divergence where an operation is left out alone.
    """
    from solvers.exact.depth_policy import knapsack  # late: OR-Tools takes 0.4 s to import

    found = []
    for count in calibration.counts:
        fixed, attention, mlp = calibration.costs(count)
        fixed += choosing_flops(calibration, count)
        allowed = budget * calibration.dense_cost
        if fixed <= allowed:
            runs, lost = knapsack(losses, np.array([attention, mlp]), fixed, allowed)
            found.append((lost + float(calibration.token_losses([count])[0]), -count, runs))
    total, tokens, runs = min(found, key=lambda one: one[:2])
    return of_operations(runs, -tokens), total
