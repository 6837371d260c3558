"""What pruning saves of a prefill: `python -m benchmarks.prefill [--device cuda] [--rounds 5]`.

A LLaVA of middle size with random weights reads one picture of 576 tokens, unpruned and with every method, in turns
within each round, behind a green gate. A row holds the median of the rounds' own ratios to the unpruned call (vision
tower, selection and all), what the selection took, the operations of the decoder and the bytes of its cache. On a CPU
the clock is the processor time of one thread, on CUDA the wall clock around a synchronised call, with the peak of
allocated memory beside it. Random weights say nothing about answers. Writes benchmarks/results/prefill.json and, from
it, docs/_tables/prefill.md; `--page` writes the page alone, from what was measured before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from lmm_integration import IWP, DecoderShape, DivPrune, FastV, RandomPruner, kv_bytes, prefill_flops, prune
from solvers.environment import environment

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "prefill.json"
PAGE = ROOT / "docs" / "_tables" / "prefill.md"
GATE = ("tests/lmm_integration/test_in_llm.py", "tests/lmm_integration/test_prune_inputs.py")
IMAGE, TEXT = 99, 40
METHODS: dict[str, tuple[Any, int]] = {
    "unpruned": (None, 576),
    "random, 64 in": (RandomPruner(), 64),
    "DivPrune, 64 in": (DivPrune(), 64),
    "FastV, 64 behind its layer": (FastV(budget="final"), 64),
    "IWP, 64 behind its layer": (IWP(), 64),
    "DivPrune at layer 2, 64 behind it": (DivPrune(layer=2), 64),
}


def model_of_middle_size(device: str) -> Any:
    """16 layers of width 512, 24 x 24 patches, a small tower; 60 million weights."""
    vision = CLIPVisionConfig(
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=4,
        image_size=336,
        patch_size=14,
    )
    text = LlamaConfig(
        vocab_size=100,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=16,
        num_attention_heads=8,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=IMAGE, image_seq_length=576)
    return LlavaForConditionalGeneration(config).eval().to(device)


def prompt(device: str) -> dict[str, torch.Tensor]:
    """One picture and 40 words."""
    ids = torch.tensor([[1, 5, *[IMAGE] * 576, *range(10, 10 + TEXT - 2)]])
    pixels = torch.randn(1, 3, 336, 336, generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}
    return {name: value.to(device) for name, value in inputs.items()}


def seconds_of(call: Callable[[], object], device: str) -> float:
    """Processor time on a CPU, wall clock of a synchronised call on CUDA."""
    if device == "cpu":
        started = time.process_time()
        call()
        return time.process_time() - started
    torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def once(model: Any, inputs: dict[str, torch.Tensor], name: str, device: str) -> dict[str, Any]:
    """Seconds of one prefill, and what it left."""
    pruner, keep = METHODS[name]
    shape, columns = DecoderShape.of(model), inputs["input_ids"].shape[1]
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    call = lambda: model(**inputs, use_cache=True, logits_to_keep=1)  # noqa: E731 (one call, two ways to make it)
    if pruner is None:
        seconds, selection, lengths = seconds_of(call, device), 0.0, (columns,) * shape.layers
    else:
        with prune(model, pruner, keep=keep) as pruning:
            seconds = seconds_of(call, device)
        selection, lengths = pruning.stats.seconds, pruning.stats.layer_tokens
    return {
        "seconds": seconds,
        "selection": selection,
        "flops": prefill_flops(shape, lengths),
        "kv_bytes": kv_bytes(shape, lengths, inputs["pixel_values"].element_size()),
        "peak_bytes": None if device == "cpu" else torch.cuda.max_memory_allocated(),
    }


def measure(model: Any, inputs: dict[str, torch.Tensor], device: str, rounds: int) -> list[dict[str, Any]]:
    """One record per method, from `rounds` rounds after one of warm-up."""
    runs = [{name: once(model, inputs, name, device) for name in METHODS} for _ in range(rounds + 1)][1:]
    return [
        {
            "method": name,
            "ratio": median(run[name]["seconds"] / run["unpruned"]["seconds"] for run in runs),
            "seconds": median(run[name]["seconds"] for run in runs),
            "selection_seconds": median(run[name]["selection"] for run in runs),
            "flops_ratio": runs[0][name]["flops"] / runs[0]["unpruned"]["flops"],
            "kv_bytes": runs[0][name]["kv_bytes"],
            "peak_bytes": runs[0][name]["peak_bytes"],
        }
        for name in METHODS
    ]


def page(data: dict[str, Any]) -> str:
    """Markdown: where it was measured, then one line per method."""
    env = data["environment"]
    packages = ", ".join(
        f"{name} {env['packages'][name]}" for name in ("torch", "transformers", "numpy") if env["packages"].get(name)
    )
    on_cpu = data["device"] == "cpu"
    head, lines = ["", "time of the call", "operations of the decoder", "cache"], []
    if not on_cpu:
        head += ["of the time, selecting", "peak memory"]  # on a CPU the selection is timed by another clock
    for row in data["records"]:
        cells = [
            row["method"],
            f"{row['ratio']:.0%}",
            f"{row['flops_ratio']:.0%}",
            f"{row['kv_bytes'] / 2**20:.1f} MiB",
        ]
        if not on_cpu:
            share = row["selection_seconds"] / row["seconds"]
            cells += [f"{share:.1%}", f"{row['peak_bytes'] / 2**20:.0f} MiB"]
        lines.append(cells)
    where = (
        f"Measured on {data['date']} at commit `{data['commit']}` on {env['cpu'] if on_cpu else data['device']}, Python "
        f"{env['python']}, {packages}, {data['load']}; medians of {data['rounds']} rounds, "
        f"{'processor time of one thread' if on_cpu else 'wall clock'}.\n\n"
    )
    return where + "".join("| " + " | ".join(cells) + " |\n" for cells in (head, ["---"] * len(head), *lines))


def main() -> int:
    """The gate, then the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", action="store_true", help="say in the file that other work ran beside")
    parser.add_argument("--page", action="store_true", help="write the page alone, from the results there are")
    asked = parser.parse_args()
    if asked.page:
        PAGE.write_text(page(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")
        return 0
    gate = subprocess.run([sys.executable, "-m", "pytest", "-q", *GATE], cwd=ROOT, check=False)
    if gate.returncode:
        print("the gate is red: nothing is measured", file=sys.stderr)
        return 1
    torch.set_num_threads(1)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    model, inputs = model_of_middle_size(asked.device), prompt(asked.device)
    with torch.no_grad():
        records = measure(model, inputs, asked.device, asked.rounds)
    data = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "device": asked.device if asked.device == "cpu" else torch.cuda.get_device_name(),
        "rounds": asked.rounds,
        "load": "with other work on the machine" if asked.busy else "with nothing else running",
        "environment": environment(),
        "records": records,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(data), encoding="utf-8")
    for record in records:
        print(
            f"{record['method']:36} {record['ratio']:6.1%} of the time, {record['flops_ratio']:6.1%} of the operations, "
            f"{record['kv_bytes'] / 2**20:5.1f} MiB of cache"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
