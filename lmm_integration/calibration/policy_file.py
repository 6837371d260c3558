"""A depth policy as a JSON file, with everything that it was chosen from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lmm_integration.calibration.curves import Calibration
from lmm_integration.calibration.meter import described
from lmm_integration.pruners import DOP, DivPrune
from lmm_integration.tokens import InputPruner
from mmdp.depth_policy import DepthPolicy

FORMAT = "mmdp depth policy 1"


def save_policy(
    path: str | Path,
    policy: DepthPolicy,
    calibration: Calibration,
    budget: float,
    found: Mapping[str, Any] | None = None,
) -> None:
    """Write a policy, the budget, the curves and the settings; `found` is what else was measured, plain JSON values."""
    facts = {
        "format": FORMAT,
        "policy": asdict(policy),
        "keep": policy.tokens / calibration.full_tokens,
        "budget": budget,
        "found": dict(found or {}),
        "calibration": calibration.to_json(),
    }
    Path(path).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def load_policy(path: str | Path) -> tuple[DepthPolicy, Calibration]:
    """The policy of a file, and what it was chosen from; ValueError where the file is something else.

    `calibration.policy(budget)` chooses again, for any budget, without the model.
    """
    try:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        return DepthPolicy(**facts["policy"]), Calibration.from_json(facts["calibration"])
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is no depth policy: {error}") from error


def load_dop(path: str | Path, reducer: InputPruner | None = None) -> DOP:
    """The pruner of a policy in a file, for the reducer that it was chosen for; None is `DivPrune()`.

    Raises
    ------
    ValueError : no such file of a policy, or another reducer.
    """
    policy, calibration = load_policy(path)
    reducer = DivPrune() if reducer is None else reducer
    if (calibrated := calibration.settings.get("reducer")) != described(reducer):
        raise ValueError(f"{path} was calibrated with the reducer {calibrated}, got {described(reducer)}")
    return DOP(policy=policy, reducer=reducer, attn_prune=calibration.attn_prune)
