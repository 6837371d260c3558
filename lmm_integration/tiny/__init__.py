"""A small LLaVA that is really trained, ships with the package, and answers questions about drawn scenes.

`folder()` is a local folder for `from_pretrained`; `test_questions(300)` are held-out questions with their answers.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

TOWERS = ("labelled", "control")
_WHERE = {
    "calibration_questions": "lmm_integration.tiny.questions",
    "test_questions": "lmm_integration.tiny.questions",
}

__all__ = ["TOWERS", "calibration_questions", "folder", "test_questions"]


def folder(tower: str = "labelled") -> Path:
    """Where the weights, the config and the processor lie, as `save_pretrained` writes them.

    Parameters
    ----------
    tower : "labelled": the vision tower was trained with labels of patches; "control": with labels of whole pictures only.
        `folder(...) / "clip"` holds the `CLIPModel` of the tower, for `ClipRelevance`.

    Raises
    ------
    ValueError : unknown tower, or one whose weights are not there.
    """
    if tower not in TOWERS:
        raise ValueError(f"tower must be one of {', '.join(TOWERS)}, got {tower!r}")
    where = weights(tower)
    if not where.is_dir():
        raise ValueError(
            f"the weights of the {tower} tower do not ship; make them: python -m lmm_integration.tiny.training --runs {tower} --ship"
        )
    return where


def weights(tower: str) -> Path:
    """Where the folder of a tower lies, or will."""
    return Path(__file__).parent / "weights" / tower


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
