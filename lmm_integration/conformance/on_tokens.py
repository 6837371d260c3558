"""Checks of `select` alone: the right number of distinct tokens, whatever else is in the batch, in any precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lmm_integration.conformance.outcome import BreachError, NotApplicableError
from lmm_integration.conformance.samples import one_unit, rearranged, visual_tokens
from lmm_integration.tokens import Choice, Merged, VisualTokens, check_choice

SIZES = (49, 36, 20)
BUDGETS = [9, 12, 20]


def picks_of(pruner: Any, tokens: VisualTokens, k: list[int]) -> list[Tensor]:
    """What the pruner keeps of every unit; BreachError where it breaks the contract."""
    try:
        choices: list[Choice] = list(pruner.select(tokens, list(k)))
        if len(choices) != len(k):
            raise BreachError(f"{len(choices)} choices for {len(k)} units")
        return [check_choice(c, n, m, pruner) for c, n, m in zip(choices, tokens.sizes, k, strict=True)]
    except (ValueError, IndexError, RuntimeError) as error:
        raise BreachError(f"budgets {k} of {tokens.sizes} tokens: {error}") from error


def exact_budgets(pruner: Any) -> str:
    """k distinct tokens of n, for k = 1, some, all but one and all."""
    tried = [(1, 1), (1, 9), (4, 9), (8, 9), (9, 9), (30, 64)]
    for k, n in tried:
        picks_of(pruner, visual_tokens([n], seed=n), [k])
    picks_of(pruner, visual_tokens(SIZES), BUDGETS)
    return f"{len(tried)} budgets, and a batch of {len(SIZES)} sizes"


def independent_units(pruner: Any) -> str:
    """What is kept of a sample does not depend on its neighbours in the batch."""
    tokens = visual_tokens(SIZES)
    together = picks_of(pruner, tokens, BUDGETS)
    for i, picks in enumerate(together):
        (alone,) = picks_of(pruner, one_unit(tokens, i), [BUDGETS[i]])
        if not torch.equal(picks, alone):
            raise BreachError(f"unit {i} keeps {_short(alone)} alone, but {_short(picks)} beside others")
    return f"{len(SIZES)} units alone and together"


def repeatable(pruner: Any) -> str:
    """Twice the same call is twice the same answer; inputs and torch's random state stay as they were."""
    tokens, state = visual_tokens(SIZES), torch.get_rng_state()
    before = [unit.clone() for unit in tokens.features]
    first, second = picks_of(pruner, tokens, BUDGETS), picks_of(pruner, tokens, BUDGETS)
    if any(not torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        raise BreachError("two calls on the same tokens differ")
    if any(not torch.equal(a, b) for a, b in zip(before, tokens.features, strict=True)):
        raise BreachError("the tokens were changed in place")
    if not torch.equal(state, torch.get_rng_state()):
        raise BreachError("torch's global random state was used up; draw from a generator of your own")
    return "same answer, nothing changed"


def permutation(pruner: Any) -> str:
    """Tokens in another order: the same tokens are kept."""
    if getattr(pruner, "positional", False):
        raise NotApplicableError("declared positional: it goes by the place of a token, or by chance")
    tokens = visual_tokens((40, 30))
    plain = visual_tokens((40, 30))
    orders = [torch.randperm(n, generator=torch.Generator().manual_seed(n)) for n in plain.sizes]
    identity = [torch.arange(n) for n in plain.sizes]
    kept = picks_of(pruner, rearranged(tokens, identity), [8, 30])
    moved = picks_of(pruner, rearranged(tokens, orders), [8, 30])
    for i, (a, b, order) in enumerate(zip(kept, moved, orders, strict=True)):
        if set(a.tolist()) != set(order[b].tolist()):
            raise BreachError(
                f"unit {i} keeps other tokens when they come in another order (positional = True declares it)"
            )
    return "the same tokens in any order"


def precision(pruner: Any) -> str:
    """bfloat16, float16 and float64 tokens are taken; how many picks they share with float32 is told, not judged."""
    reference = picks_of(pruner, visual_tokens(SIZES), BUDGETS)
    shares = []
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        kept = picks_of(pruner, visual_tokens(SIZES, dtype=dtype), BUDGETS)
        same = sum(len(set(a.tolist()) & set(b.tolist())) for a, b in zip(reference, kept, strict=True))
        shares.append(f"{str(dtype).removeprefix('torch.')} {same} of {sum(BUDGETS)}")
    return "picks shared with float32: " + ", ".join(shares)


def odd_tokens(pruner: Any) -> str:
    """Copies and blank tokens are legal."""
    for fill in ("copies", "blanks"):
        tokens = visual_tokens([25])
        (unit,) = tokens.features
        unit[5:20] = unit[5] if fill == "copies" else 0.0
        picks_of(pruner, tokens, [12])
    return "copies and blank tokens"


def merging(pruner: Any) -> str:
    """A merged token says where it came from, and is finite."""
    tokens = visual_tokens(SIZES)
    choices = zip(pruner.select(tokens, BUDGETS), tokens.sizes, strict=True)
    merged = [(choice, n) for choice, n in choices if isinstance(choice, Merged)]
    if not merged:
        raise NotApplicableError("it merges nothing")
    for choice, n in merged:
        if len(choice.members) != n or int(choice.members.max()) >= len(choice.indices):
            raise BreachError(
                f"members must say for each of {n} tokens which of {len(choice.indices)} it went into, or -1"
            )
        if not choice.features.isfinite().all():
            raise BreachError("a merged token is not finite")
    return f"{len(merged)} units of merged tokens"


def _short(picks: Tensor) -> str:
    shown = ", ".join(map(str, picks[:6].tolist()))
    return f"[{shown}, ...]" if len(picks) > 6 else f"[{shown}]"


CHECKS: tuple[Callable[[Any], str], ...] = (
    exact_budgets,
    independent_units,
    repeatable,
    permutation,
    precision,
    odd_tokens,
    merging,
)
