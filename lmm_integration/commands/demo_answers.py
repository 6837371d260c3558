"""The second half of the demo: the small model of the package answers questions, with all visual tokens and with few."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmm_integration.model_files import Loaded

METHODS, KEEPS, QUESTIONS, QUICK_QUESTIONS = "none,blind,random,divprune", "0.25,0.11,0.06", 210, 14
SHOWN = ("count", "color", "shape")
SHOWN_KEEP = 0.11


def answer_questions(out: Path, *, jobs: int, quick: bool) -> None:
    """A short evaluation in `out / "answers"`, and one picture of kept tokens for each of some kinds of questions."""
    from lmm_integration import tiny
    from lmm_integration.commands.evaluate import evaluate
    from lmm_integration.model_files import load_model

    folder = out / "answers"
    evaluate(methods=METHODS, keep=KEEPS, limit=QUICK_QUESTIONS if quick else QUESTIONS, draws=1, jobs=jobs, out=folder)
    loaded = load_model(str(tiny.folder()), dtype="float32")
    written = [draw_answers(loaded, kind, folder) for kind in SHOWN[: 1 if quick else None]]
    print(f"in {folder}, tokens kept and what is answered: {', '.join(written)}")


def draw_answers(loaded: Loaded, kind: str, folder: Path) -> str:
    """Ask the first test question of a kind twice, and show what is left of the picture; the name of the file."""
    from lmm_integration import tiny
    from lmm_integration.ask import ask
    from lmm_integration.evaluate.kept_picture import draw_kept_tokens
    from lmm_integration.pruners import DivPrune

    (question,) = tiny.test_questions(1, kinds=(kind,))
    (picture,) = question.images
    asked = loaded.model, loaded.processor, picture, question.question
    found = ask(*asked, DivPrune(), SHOWN_KEEP, max_new_tokens=8)
    draw_kept_tokens(*asked, found).savefig(folder / f"kept_{kind}.png")
    return f"kept_{kind}.png"
