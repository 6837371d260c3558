"""Captured tokens on disk: one safetensors file per instance."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmdp.checks import from_bfloat16
from mmdp.instances.instance import Instance

VERSION = "1"
TENSORS = ("features", "relevance", "keys", "values", "query", "image")
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U8": "<u1",
}


def save_tokens(instance: Instance, path: str | Path) -> None:
    """Write the tokens of an instance, each array in its own dtype, to a safetensors file.

    The header (string to string) holds ``mmdp_tokens``, the version of this format; ``name``; ``grid`` as "24x24" and
    ``k`` where known; and ``source``, the mapping of the instance as JSON. The tensors are those of ``features``,
    ``relevance``, ``keys``, ``values``, ``query`` and ``image`` that the instance has.

    Raises
    ------
    ValueError : the instance has only distances (`write_mdplib` writes those).
    FileNotFoundError : the folder does not exist.
    """
    if instance.features is None:
        raise ValueError(f"instance {instance.name!r} has only distances; a token file needs features")
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} to write {path.name} to")
    from safetensors.numpy import save

    header = {"mmdp_tokens": VERSION, "name": instance.name, "source": json.dumps(dict(instance.source))}
    if instance.grid is not None:
        header["grid"] = f"{instance.grid[0]}x{instance.grid[1]}"
    if instance.k is not None:
        header["k"] = str(instance.k)
    tensors = {name: getattr(instance, name) for name in TENSORS if getattr(instance, name) is not None}
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, metadata=header))


def load_tokens(path: str | Path) -> Instance:
    """Read a token file; dtypes are kept, except that bfloat16 (as torch writes it) becomes float32, exactly.

    A safetensors file without the header of `save_tokens` is taken as well, under its file name, if it holds
    ``features``; tensors of other names are ignored.

    Raises
    ------
    FileNotFoundError : no such file.
    ValueError : not a safetensors file, another version of the format, no ``features``, or arrays that do not fit
        each other.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no token file at {path}")
    header, views = _read(path)
    version = header.get("mmdp_tokens", VERSION)
    if version != VERSION:
        raise ValueError(f"{path} has version {version!r} of the token format; this mmdp reads version {VERSION!r}")
    if "features" not in views:
        raise ValueError(f"{path} holds no tensor 'features'; it has {', '.join(sorted(views)) or 'none'}")
    arrays = {name: _array(path, name, view) for name, view in views.items() if name in TENSORS}
    try:
        return Instance(
            name=header.get("name", path.stem),
            grid=_grid(header.get("grid")),
            k=_budget(header.get("k")),
            source=_source(header.get("source", "{}")),
            **arrays,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold one set of tokens: {error}") from error


def _read(path: Path) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The header's strings, and each tensor as its dtype, shape and bytes."""
    from safetensors import SafetensorError, deserialize

    data = path.read_bytes()
    parse: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = deserialize
    try:
        views = parse(data)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error
    length = int.from_bytes(data[:8], "little")
    header: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return header, dict(views)


def _array(path: Path, name: str, view: dict[str, Any]) -> npt.NDArray[Any]:
    code = view["dtype"]
    if code not in _DTYPES:
        raise ValueError(f"{path}: tensor {name!r} has dtype {code}; allowed are {', '.join(_DTYPES)}")
    array = np.frombuffer(view["data"], dtype=_DTYPES[code]).reshape(view["shape"])
    if code == "BF16":
        return from_bfloat16(array)
    return array.astype(array.dtype.newbyteorder("="))


def _grid(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise ValueError(f"grid must look like '24x24', got {text!r}")
    return int(found[1]), int(found[2])


def _budget(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise ValueError(f"k must be a whole number, got {text!r}")
    return int(text)


def _source(text: str) -> dict[str, str]:
    try:
        source = json.loads(text)
    except json.JSONDecodeError:
        source = None
    if not isinstance(source, dict):
        raise ValueError(f"source must be a JSON object, got {text!r}")
    return {str(key): str(value) for key, value in source.items()}
