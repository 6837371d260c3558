"""What is evaluated: a model, its pruners by name, and the cells of the table to fill."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lmm_integration.budget import check_budgets

NONE, BLIND, RANDOM = "none", "blind", "random"
WEIGHTS = ("*.json", "*.safetensors", "*.bin", "*.jinja")
WHOLE = 1 << 26  # larger files are told apart by their size and their two ends
END = 1 << 20


@dataclass(frozen=True)
class Cell:
    """A method at a budget; the random baseline has several draws. `none` keeps 1.0 of the tokens, `blind` 0.0."""

    method: str
    keep: int | float
    draw: int = 0


def cells(methods: Sequence[str], keeps: Sequence[int | float], draws: int = 1) -> list[Cell]:
    """Every method at every budget; `none` and `blind` once, `random` `draws` times.

    >>> [(c.method, c.keep) for c in cells(["none", "blind", "divprune"], [0.25, 16])]
    [('none', 1.0), ('blind', 0.0), ('divprune', 0.25), ('divprune', 16)]
    """
    if draws < 1:
        raise ValueError(f"draws must be >= 1, got {draws}")
    once = {NONE: 1.0, BLIND: 0.0}
    budgets = check_budgets(keeps)
    found = []
    for method in methods:
        if method in once:
            found.append(Cell(method, once[method]))
            continue
        found += [Cell(method, keep, draw) for keep in budgets for draw in range(draws if method == RANDOM else 1)]
    if not found:
        raise ValueError("there is nothing to evaluate: name a method, and a budget for those that prune")
    return list(dict.fromkeys(found))


@dataclass(frozen=True, eq=False)
class Bench:
    """A loaded model and the pruners that cells name.

    Attributes
    ----------
    model, processor : as of `transformers`.
    pruners : by label; `none` and `blind` need none. One with `for_questions(questions, draw)` is asked for the pruner
        of every batch, as `RandomDraws` and oracles that know the answer are.
    name : of the model, in tables.
    fingerprint : changes where the model does; answers are resumed by it.
    described : label -> the options of a pruner, likewise.
    """

    model: Any
    processor: Any
    pruners: Mapping[str, Any]
    name: str = "model"
    fingerprint: str = ""
    described: Mapping[str, str] = field(default_factory=dict)

    def build(self) -> Bench:
        """Itself: it is loaded already."""
        return self


@dataclass(frozen=True)
class Setup:
    """A bench that is not loaded yet; other processes load their own.

    Attributes
    ----------
    name : of the model, in tables.
    source : what `load_model` reads.
    methods : labels, of which `none`, `blind` and `random` are no published methods. Budgets of all count the tokens
        that are left behind their stage.
    relevance : for methods that read it, see `relevance_named`; with `sign` in place of its own.
    seed : of the random draws.
    dtype, device : as in `load_model`; "auto" takes float32 on the CPU, where half precision is slow.
    """

    name: str
    source: str
    methods: tuple[str, ...]
    relevance: str | None = None
    sign: int | None = None
    seed: int = 0
    dtype: str = "auto"
    device: str | None = None

    def build(self) -> Bench:
        """Load the model, and the relevance tower where a method reads it."""
        import torch

        from lmm_integration.evaluate.accuracy.drawn import RandomDraws
        from lmm_integration.model_files import load_model

        on_cpu = self.device == "cpu" or (self.device is None and not torch.cuda.is_available())
        dtype = "float32" if self.dtype == "auto" and on_cpu else self.dtype
        pruners = {label: self._pruner(label) for label in self.methods if label not in (NONE, BLIND, RANDOM)}
        if RANDOM in self.methods:
            pruners[RANDOM] = RandomDraws(self.seed)
        loaded = load_model(self.source, dtype=dtype, device=self.device)
        if getattr(loaded.processor, "image_processor", None) is None:
            raise ValueError(f"{self.source} holds no processor for pictures, only {type(loaded.processor).__name__}")
        return Bench(loaded.model, loaded.processor, pruners, self.name, self.fingerprint, self.described)

    def _pruner(self, label: str) -> Any:
        from lmm_integration.pruners.named import method_named

        return _counting_what_is_left(method_named(label, self.relevance, self.sign))

    @cached_property
    def fingerprint(self) -> str:
        """Of the model's files, its type and device."""
        return _digest(_files(self.source), self.dtype, str(self.device))

    @cached_property
    def described(self) -> dict[str, str]:
        """The options of every method and what its file holds, without loading a tower."""
        from lmm_integration.pruners.named import check_method, token_chooser

        said = {NONE: NONE, BLIND: BLIND, RANDOM: f"seed {self.seed}"}
        for label in self.methods:
            if label in said:
                continue
            parts = [repr(_counting_what_is_left(check_method(label, self.relevance)()))]
            if file := label.partition(":")[2]:
                parts.append(_file_digest(Path(file)))
            if "relevance" in token_chooser(label).requires:
                parts += [_files(str(self.relevance)), str(self.sign)]
            said[label] = " ".join(parts)
        return said


def _counting_what_is_left(pruner: Any) -> Any:
    """FastV's layer mean cannot be small in a shallow decoder; here every budget counts tokens left at the end, and
    panels compare what that costs.
    """
    return dataclasses.replace(pruner, budget="final") if hasattr(pruner, "budget") else pruner


def _files(source: str) -> str:
    """A digest of a folder's configs and weights; of an id, the id and the revision that is here."""
    folder = Path(source)
    if not folder.is_dir():
        return _digest(source, _revision(source))
    parts = []
    for file in sorted({file for pattern in WEIGHTS for file in folder.glob(pattern)}):
        parts += [file.name, _file_digest(file)]
    return _digest(*parts)


def _revision(source: str) -> str:
    from transformers import AutoConfig

    from lmm_integration.relevance.named import EMBEDDINGS

    if source == EMBEDDINGS:  # the model's own words, which no hub has
        return ""
    try:
        return str(getattr(AutoConfig.from_pretrained(source), "_commit_hash", ""))
    except (OSError, ValueError):  # said in full when it is loaded
        return ""


def _file_digest(file: Path) -> str:
    size = file.stat().st_size
    with file.open("rb") as data:
        if size <= WHOLE:
            return hashlib.sha256(data.read()).hexdigest()
        first = data.read(END)
        data.seek(-END, os.SEEK_END)
        return hashlib.sha256(first + data.read() + str(size).encode()).hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
