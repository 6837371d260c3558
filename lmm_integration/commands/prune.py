"""`mmdp prune`: ask a model about a picture, with all of its visual tokens and with some."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lmm_integration.commands.arguments import Json, print_json, whole


def prune(
    model: Annotated[
        str, typer.Option(help="A Hugging Face id; a folder, one without weights is filled at random; or tiny.")
    ],
    image: Annotated[Path, typer.Option(help="A picture file.")],
    question: Annotated[str, typer.Option(help="What to ask about it.")],
    method: Annotated[str, typer.Option(help="A method, by its class name in any case.")] = "divprune",
    keep: Annotated[str, typer.Option(help="Tokens (64) or a share of them (0.11).")] = "64",
    relevance: Annotated[
        str | None, typer.Option(help="For methods that read it: a CLIP or SigLIP checkpoint, or llm.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the kept patches over the picture to this PNG.")] = None,
    max_new_tokens: Annotated[int, whole("--max-new-tokens", "Length of the answers.", least=1)] = 32,
    dtype: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    device: Annotated[str | None, typer.Option(help="By default CUDA where there is one.")] = None,
    json: Json = False,
) -> None:
    """Answers with and without pruning, tokens, times, and a picture of the kept patches."""
    from lmm_integration.budget import read_keep

    budget = read_keep(keep)
    if not image.is_file():
        raise ValueError(f"there is no picture at {image}")
    if out is not None and not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent} for the picture")
    from lmm_integration.ask import ask
    from lmm_integration.model_files import load_model, open_picture
    from lmm_integration.pruners.named import method_named

    pruner = method_named(method, relevance)
    picture = open_picture(image)
    loaded = load_model(model, dtype=dtype, device=device)
    if loaded.random_weights:
        print("mmdp: the folder holds no weights, so the model's are random and its answers are noise", file=sys.stderr)
    found = ask(loaded.model, loaded.processor, picture, question, pruner, budget, max_new_tokens=max_new_tokens)
    if out is not None:
        from lmm_integration.evaluate.kept_picture import draw_kept_tokens

        draw_kept_tokens(loaded.model, loaded.processor, picture, question, found).savefig(out)
    ((tokens, kept),) = found.tokens
    facts = {
        "model": model,
        "method": type(pruner).__name__,
        "tokens": tokens,
        "kept": kept,
        "answer": found.full,
        "pruned_answer": found.pruned,
        "seconds": found.seconds_full,
        "pruned_seconds": found.seconds_pruned,
        "selection_seconds": found.seconds_selection,
        "picture": None if out is None else str(out),
    }
    if json:
        print_json(facts)
        return
    print(f"all {tokens} tokens   {found.seconds_full:.2f} s   {found.full}")
    print(f"{kept} of them by {type(pruner).__name__}   {found.seconds_pruned:.2f} s   {found.pruned}")
    print(f"choosing them took {1000 * found.seconds_selection:.1f} ms; one run each, so times are a first impression")
