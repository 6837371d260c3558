"""`mmdp capture`: the visual tokens of a model, one token file for each picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lmm_integration.commands.arguments import Json, names, print_json, whole


def capture(
    model: Annotated[
        str, typer.Option(help="A Hugging Face id; a folder, one without weights is filled at random; or tiny.")
    ],
    images: Annotated[str, typer.Option(help="Picture files or folders of them, comma-separated.")],
    out: Annotated[Path, typer.Option(help="Folder for the token files, <picture>.safetensors; made where missing.")],
    question: Annotated[str | None, typer.Option(help="What is asked beside each picture.")] = None,
    relevance: Annotated[
        str | None, typer.Option(help="CLIP or SigLIP checkpoint, or llm; keeps the relevance to the question.")
    ] = None,
    layer: Annotated[int | None, whole("--layer", "Keeps keys and values of this decoder layer.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    device: Annotated[str | None, typer.Option(help="By default CUDA where there is one.")] = None,
    json: Json = False,
) -> None:
    """Token files of any model and pictures, for `mmdp solve` and `mmdp gap`. Pictures done before are not run again."""
    if relevance is not None and question is None:
        raise ValueError("--relevance needs --question")
    from lmm_integration.capture import capture as run
    from lmm_integration.capture import pictures_in
    from lmm_integration.model_files import load_model, open_picture
    from lmm_integration.relevance import relevance_named
    from mmdp.instances import save_tokens

    files = pictures_in([Path(name) for name in names(images, "--images")])
    out.mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if not (out / f"{file.stem}.safetensors").exists()]
    loaded = load_model(model, dtype=dtype, device=device) if missing else None
    tower = relevance_named(relevance) if relevance and missing else None
    written = []
    for number, file in enumerate(files, start=1):
        target = out / f"{file.stem}.safetensors"
        if loaded is not None and file in missing:
            picture = open_picture(file)
            instance = run(
                loaded.model,
                loaded.processor,
                picture,
                name=file.stem,
                question=question,
                relevance=tower,
                layer=layer,
            )
            partial = target.with_suffix(".part")
            save_tokens(instance, partial)
            partial.rename(target)
        written.append(str(target))
        print(f"{number}/{len(files)} {target}{'' if file in missing else ' (was there)'}", file=sys.stderr, flush=True)
    if json:
        print_json({"model": model, "files": written, "new": len(missing)})
