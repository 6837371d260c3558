"""A training loop that writes what it sees and goes on where it stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SMOOTH = 0.95
EVERY = 25  # steps between lines of the log
SAVED = 250  # steps between checkpoints


def schedule(step: int, steps: int, warmup: int) -> float:
    """The share of the full rate: linear up, then half a cosine down to 3 %."""
    return min(1.0, (step + 1) / warmup) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def train(
    module: nn.Module,
    losses: Callable[[np.random.Generator, int], dict[str, Tensor]],
    *,
    steps: int,
    rate: float,
    decay: float,
    warmup: int,
    seed: int,
    folder: Path,
    groups: list[dict[str, Any]] | None = None,
    until: int | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Minimise the sum of the losses by AdamW.

    Parameters
    ----------
    module : whose weights are trained, saved in `folder/checkpoint.pt` and read from there when it exists.
    losses : from a generator and the step to losses by name; entries with "right" or "auc" in their name are accuracies
        and not part of the sum. The generator of every step depends on seed and step alone, so an interrupted run goes
        on as if it had not been.
    groups : parameter groups of AdamW with a `scale` of the rate; None trains everything.
    until : stop after this step of the schedule; None goes to its end.
    """
    groups = groups or [{"params": [p for p in module.parameters() if p.requires_grad], "scale": 1.0}]
    weights = [p for group in groups for p in group["params"]]
    optimiser = torch.optim.AdamW(groups, lr=rate, weight_decay=decay, betas=(0.9, 0.98))
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / "checkpoint.pt", folder / "log.jsonl"
    first, mean = 0, {}
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        module.load_state_dict(saved["module"])
        optimiser.load_state_dict(saved["optimiser"])
        first, mean = saved["step"], saved["mean"]
    started = time.process_time()
    last = steps if until is None else until
    for step in range(first, last):
        for group in optimiser.param_groups:
            group["lr"] = rate * group["scale"] * schedule(step, steps, warmup)
        found = losses(np.random.default_rng([seed, step]), step)
        total = torch.stack([value for name, value in found.items() if not is_accuracy(name)]).sum()
        optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        for name, value in found.items():
            if math.isfinite(now := float(value.detach())):
                mean[name] = SMOOTH * mean.get(name, now) + (1 - SMOOTH) * now
        done = step + 1
        if done % EVERY == 0 or done == last:
            line = {"step": done, "cpu_seconds": round(time.process_time() - started, 1)}
            line |= {name: round(value, 4) for name, value in mean.items()}
            with log.open("a") as file:
                file.write(json.dumps(line) + "\n")
            say(json.dumps(line))
        if done % SAVED == 0 or done == last:
            state = {"module": module.state_dict(), "optimiser": optimiser.state_dict(), "step": done, "mean": mean}
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)


def is_accuracy(name: str) -> bool:
    """Entries that are watched, not minimised."""
    return "right" in name or "auc" in name
