"""The two stages of one model, and its folder for `from_pretrained`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lmm_integration.tiny.build import clip_model, llava_model
from lmm_integration.tiny.training.language import Answering, answer_losses, standardise
from lmm_integration.tiny.training.loop import train
from lmm_integration.tiny.training.recipes import RUNS, TOWERS
from lmm_integration.tiny.training.tower import TowerLosses, tower_batch
from lmm_integration.tiny.words import processor, tokenizer

Say = Callable[[str], None]


def train_tower(name: str, seed: int, out: Path, say: Say = print) -> Any:
    """The `CLIPModel` of the first stage, trained unless `out` holds it."""
    recipe, words = TOWERS[name], tokenizer()
    torch.manual_seed(seed)
    module = TowerLosses(clip_model(), recipe.labels)
    train(
        module,
        lambda rng, step: module(
            *tower_batch(recipe, rng, words), pooled=step >= recipe.pooled_from, named=step >= recipe.named_from
        ),
        steps=recipe.steps,
        rate=recipe.rate,
        decay=recipe.decay,
        warmup=recipe.warmup,
        seed=seed,
        folder=out / f"tower-{name}-{seed}",
        say=say,
    )
    return module.clip.eval()


def train_language(name: str, seed: int, out: Path, say: Say = print, until: int | None = None) -> tuple[Any, Any]:
    """The LLaVA and the `CLIPModel` of a run, with everything before it, trained unless `out` holds it.

    Parameters
    ----------
    until : stop at this step; such a part of a run has a folder of its own.
    """
    run, words = RUNS[name], tokenizer()
    recipe = run.language
    clip = train_tower(run.tower, seed, out, say)
    torch.manual_seed(seed)
    llava = llava_model(clip)
    standardise(llava)
    if run.after:
        before, _ = train_language(run.after, seed, out, say, run.after_step or None)
        take_weights(llava, before, same_tower=RUNS[run.after].tower == run.tower)
    module = Answering(llava, recipe.tower_scale > 0, recipe.emphasis)
    tower = {id(p) for p in llava.model.vision_tower.parameters()}
    rest = [p for p in module.parameters() if p.requires_grad and id(p) not in tower]
    groups = [{"params": rest, "scale": 1.0}]
    if recipe.tower_scale > 0:
        groups.append({"params": list(llava.model.vision_tower.parameters()), "scale": recipe.tower_scale})
    train(
        module,
        answer_losses(recipe, module, words),
        steps=recipe.steps,
        rate=recipe.rate,
        decay=recipe.decay,
        warmup=recipe.warmup,
        seed=seed,
        folder=folder_of(name, seed, out, until),
        groups=groups,
        until=until,
        say=say,
    )
    return llava.eval(), clip


def take_weights(llava: Any, other: Any, *, same_tower: bool) -> None:
    """Copy the language model; with the same tower, which may have been tuned, that and the projector too."""
    for part in ("language_model", *(("multi_modal_projector", "vision_tower") if same_tower else ())):
        getattr(llava.model, part).load_state_dict(getattr(other.model, part).state_dict())
    llava.lm_head.load_state_dict(other.lm_head.state_dict())


def export(name: str, seed: int, out: Path, folder: Path, say: Say = print) -> None:
    """Write a trained run as a folder: float16 safetensors, processor, CLIP model, recipe and log."""
    llava, clip = train_language(name, seed, out, say)
    folder.mkdir(parents=True, exist_ok=True)
    tuned = getattr(llava.model.vision_tower, "vision_model", llava.model.vision_tower)
    clip.vision_model.load_state_dict(tuned.state_dict())
    llava.half().save_pretrained(folder)
    processor().save_pretrained(folder)
    clip.half().save_pretrained(folder / "clip")
    tokenizer().save_pretrained(folder / "clip")
    chain = list(chain_of(name))
    recipe = {
        "run": name,
        "seed": seed,
        "tower": asdict(TOWERS[RUNS[name].tower]),
        "language": [{"run": part} | asdict(RUNS[part].language) | {"until": until} for part, until in chain],
    }
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n")
    tower_log = out / f"tower-{RUNS[name].tower}-{seed}" / "log.jsonl"
    (folder / "tower_log.jsonl").write_bytes(tower_log.read_bytes())
    lines = []
    for part, until in chain:
        for line in (folder_of(part, seed, out, until) / "log.jsonl").read_text().splitlines():
            lines.append(json.dumps({"run": part} | json.loads(line)) + "\n")
    (folder / "language_log.jsonl").write_text("".join(lines))


def chain_of(name: str) -> Iterator[tuple[str, int | None]]:
    """The runs behind one, first to last, and the step where the next one leaves each; None for its end."""
    run = RUNS[name]
    if run.after:
        *before, (last, _) = chain_of(run.after)
        yield from before
        yield last, run.after_step or None
    yield name, None


def folder_of(name: str, seed: int, out: Path, until: int | None) -> Path:
    """Of the checkpoint and the log of a run, or of a part of it."""
    return out / (f"{name}-{seed}" if until is None else f"{name}-{seed}-to-{until}")
