"""A model and its processor by name: a Hugging Face id, a folder, or the tiny one of the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lmm_integration.quiet import without_bars

WEIGHTS = ("*.safetensors", "*.bin")


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode, its processor, and whether its weights are random."""

    model: Any
    processor: Any
    random_weights: bool


def load_model(name: str, *, dtype: str = "auto", device: str | None = None) -> Loaded:
    """Read a model that takes images and text.

    Parameters
    ----------
    name : an id on the Hugging Face hub; a folder as `save_pretrained` writes it; or "tiny", see `bundled_folder`. A
        folder with a config and a processor but no weights gives the model of that config with random weights, the
        same ones each time.
    dtype : "auto" is the checkpoint's own; or "float32", "float16", "bfloat16".
    device : None is CUDA where there is one, else the CPU.

    Raises
    ------
    ValueError : neither an id that can be read nor such a folder; a type or device that does not exist.
    """
    import transformers as hf

    if dtype not in ("auto", "float32", "float16", "bfloat16"):
        raise ValueError(f"dtype must be auto, float32, float16 or bfloat16, got {dtype!r}")
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    name = str(bundled_folder(name) or name)
    folder = Path(name)
    if folder.exists() and not (folder / "config.json").is_file():
        raise ValueError(f"{name} holds no model: there is no config.json in it")
    random_weights = folder.is_dir() and not any(next(folder.glob(pattern), None) for pattern in WEIGHTS)
    try:
        processor = hf.AutoProcessor.from_pretrained(name)
        if random_weights:
            config = hf.AutoConfig.from_pretrained(name)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model = hf.AutoModelForImageTextToText.from_config(config)
            model = model if dtype == "auto" else model.to(getattr(torch, dtype))
        else:
            with without_bars(name):
                model = hf.AutoModelForImageTextToText.from_pretrained(name, dtype=dtype)
        model = model.to(where)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"cannot read the model {name!r}: {first[0]}") from error
    return Loaded(model.eval(), processor, random_weights)


def bundled_folder(name: str) -> Path | None:
    """Where the tiny model of the package lies, "tiny" or by its tower "tiny:control"; None for other names.

    Raises
    ------
    ValueError : an unknown tower.
    """
    if name.split(":")[0] != "tiny":
        return None
    from lmm_integration import tiny

    return tiny.folder(*name.split(":")[1:])


def open_picture(path: str | Path) -> Any:
    """A PIL picture in RGB; ValueError where the file is none."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(f"{path} is not a picture that can be read: {error}") from error
