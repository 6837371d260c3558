"""`mmdp latency` without the terminal: build or load the model, run the sweep, put the report together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from lmm_integration.adapters import adapter_for
from lmm_integration.latency import memory
from lmm_integration.latency.architectures import config_of
from lmm_integration.latency.machine import device_name
from lmm_integration.latency.published import published
from lmm_integration.latency.random_weights import count_weights, random_model
from lmm_integration.latency.rows import method_for, rows_for
from lmm_integration.latency.study import OnLine, open_folder, run_sweep
from lmm_integration.latency.summary import break_even_rows, summary_rows
from lmm_integration.latency.token_selection import time_selection
from lmm_integration.latency.workload import Workload, noise_workload, photo_workload
from solvers.environment import environment

DTYPES = ("float32", "float16", "bfloat16")
COLUMNS = 3000  # of LLaVA-NeXT's longest prompt, for the estimate before anything is built


@dataclass(frozen=True)
class Subject:
    """A model, what it is asked, and how it is called."""

    model: Any
    workload: Workload
    name: str
    random_weights: bool


def random_subject(name: str, *, dtype: str, device: str, words: int, batch: int, new_tokens: int) -> Subject:
    """A model of random weights, when memory holds it; ValueError in one sentence when not.

    Parameters
    ----------
    dtype : "auto" is bfloat16 on CUDA and float32 on a CPU, whose kernels for 16 bits are slow.
    batch, new_tokens : of the largest request.
    """
    config = config_of(name)
    kind = _dtype(dtype, device)
    tokens = COLUMNS if config.model_type == "llava_next" else config.image_seq_length
    needed = memory.need(
        config, count_weights(name), rows=batch, columns=tokens + words, new_tokens=new_tokens, number=kind.itemsize
    )
    what = f"{name} in {str(kind).removeprefix('torch.')} at batch {batch}"
    memory.check_fits(what, needed, memory.free_bytes(device), device)
    model = random_model(name, dtype=kind, device=device)
    model.generation_config.eos_token_id = None
    return Subject(model, noise_workload(model, words), name, True)


def loaded_subject(name: str, *, dtype: str, device: str) -> Subject:
    """A model of the Hugging Face hub, a folder, or the tiny one of the package, asked about photographs."""
    from lmm_integration.model_files import load_model

    if dtype == "auto" and torch.device(device).type == "cpu":
        dtype = "float32"
    loaded = load_model(name, dtype=dtype, device=device)
    return Subject(loaded.model, photo_workload(loaded.model, loaded.processor), name, loaded.random_weights)


def _dtype(name: str, device: str) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
    if name not in DTYPES:
        raise ValueError(f"dtype must be auto, {', '.join(DTYPES)}, got {name!r}")
    found: torch.dtype = getattr(torch, name)
    return found


def candidates(model: Any, inputs: dict[str, Any]) -> int:
    """Tokens of the first picture that a method may choose from."""
    adapter = adapter_for(model)
    with torch.no_grad():
        features = adapter.encode(model, inputs).pooler_output
    layout = adapter.layout(model, inputs, [unit.reshape(-1, unit.shape[-1]) for unit in features])[0]
    return int((~layout.newline).sum())


def latency_report(
    subject: Subject,
    methods: Sequence[str],
    kernels: Sequence[str],
    budgets: Sequence[int | float],
    batches: Sequence[int],
    lengths: Sequence[int],
    *,
    relevance: str | None,
    repeats: int,
    warmup: int,
    out: Path | None,
    on_line: OnLine | None = None,
) -> dict[str, Any]:
    """Everything that is measured, as plain types; see `summary_rows`, `break_even_rows`, `time_selection`."""
    model, workload = subject.model, subject.workload

    def named(name: str) -> Any:
        return method_for(model, name, relevance, random_weights=subject.random_weights)

    rows = rows_for(methods, kernels, budgets, named)
    one = workload.inputs(1)
    words = int((one["input_ids"] != adapter_for(model).placeholder(model)).sum())
    settings = {
        "model": subject.name,
        "random_weights": subject.random_weights,
        "relevance": relevance,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device_name": device_name(str(model.device)),
        "words": words,
        "pictures": workload.pictures,
        "new_tokens": max(lengths),
    }
    session = {"started": datetime.now(UTC).isoformat(timespec="seconds"), **_machine()}
    if out is not None:
        open_folder(out, settings, session)
    lines = run_sweep(
        model, workload, rows, batches, max(lengths), repeats=repeats, warmup=warmup, out=out, on_line=on_line
    )
    found = summary_rows(lines, lengths)
    alone, unread = time_selection(model, rows, candidates(model, one), batches, repeats=repeats, warmup=warmup)
    return {
        **settings,
        "rows": found,
        "break_even": break_even_rows(found, max(lengths)),
        "selection": alone,
        "skipped": [line for line in lines if "skipped" in line] + unread,
        "published": published(),
        "machine": session | _states(lines),
    }


def _machine() -> dict[str, Any]:
    facts = environment()
    packages = {name: version for name, version in facts.pop("packages").items() if version}
    return {**facts, **packages, "threads": torch.get_num_threads(), "cuda": torch.version.cuda}


def _states(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of the machine's states in front of every request, the least and the greatest value of each."""
    states = [line["machine"] for line in lines if "machine" in line]
    names = dict.fromkeys(name for state in states for name in state)
    values = {name: [state[name] for state in states if name in state] for name in names}
    return {name: f"{min(seen):g} to {max(seen):g}" for name, seen in values.items()}
