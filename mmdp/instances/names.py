"""One name for every instance: what `load` takes, what `mmdp instances` lists."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmdp.instances.instance import Instance
from mmdp.instances.mdplib import MDPLIB, read_mdplib
from mmdp.instances.photo_features import KINDS
from mmdp.instances.photos import GRID, TOKENS, photo_tokens, stacked_photo_tokens
from mmdp.instances.pictures import PHOTOS
from mmdp.instances.synthetic import clustered, duplicates, gaussian
from mmdp.instances.tight import TIGHT
from mmdp.instances.token_file import load_tokens


@dataclass(frozen=True)
class Family:
    """One row of the table of instances.

    Attributes
    ----------
    pattern : how its names look; brackets mark what may be left out.
    n, d : number of tokens and their width, in words.
    summary : what it is, in one line.
    build : from the parts of the name after the family to the instance; ValueError where they do not fit the pattern.
    examples : names to start from.
    """

    pattern: str
    n: str
    d: str
    summary: str
    build: Callable[[list[str]], Instance]
    examples: tuple[str, ...]


def load(name: str | Path) -> Instance:
    """The instance of a name, or from a file.

    Parameters
    ----------
    name : a name as in `describe`, for example "photo/astronaut/pca", "gaussian/100x64/0" or "tight/max-min/6"; or
        the path of a token file (.safetensors) or of an MDPLIB file (.txt).

    Raises
    ------
    ValueError : unknown name; the nearest known one is suggested.
    FileNotFoundError : no such file.
    ImportError : a photo without scikit-image, or a token file without safetensors.

    Examples
    --------
    >>> load("gaussian/100x64").name
    'gaussian/100x64/0'
    >>> load("gausian/100x64")
    Traceback (most recent call last):
        ...
    ValueError: unknown instance 'gausian/100x64'; did you mean 'gaussian/100x64/0'?
    """
    suffix = Path(name).suffix.lower()
    if suffix == ".safetensors":
        return load_tokens(name)
    if suffix == ".txt":
        return read_mdplib(name)
    if isinstance(name, Path):
        raise ValueError(f"an instance file must end in .safetensors or .txt, got {str(name)!r}")
    head, *parts = name.split("/")
    if head not in FAMILIES:
        raise ValueError(f"unknown instance {name!r}{_hint(name)}")
    try:
        return FAMILIES[head].build(parts)
    except _MismatchError:
        raise ValueError(
            f"unknown instance {name!r}; its names look like {FAMILIES[head].pattern}{_hint(name)}"
        ) from None


def list_names() -> list[str]:
    """Names to start from: every photo in every feature map, and some of each generator.

    Examples
    --------
    >>> "photo/astronaut/pca" in list_names()
    True
    """
    return [name for family in FAMILIES.values() for name in family.examples]


def describe() -> list[Family]:
    """The table of instances, one row per family of names.

    Examples
    --------
    >>> describe()[2].pattern
    'gaussian/<n>x<d>[/<seed>]'
    """
    return list(FAMILIES.values())


class _MismatchError(Exception):
    """The parts of a name do not fit its family's pattern."""


def _numbers(text: str, count: int) -> list[int]:
    """ "100x64" -> [100, 64]."""
    words = text.split("x")
    if len(words) != count or not all(word.isascii() and word.isdigit() for word in words):
        raise _MismatchError
    return [int(word) for word in words]


def _seed(parts: list[str]) -> int:
    """The last, optional part of a name."""
    if len(parts) > 1:
        raise _MismatchError
    return _numbers(parts[0], 1)[0] if parts else 0


def _photo(parts: list[str]) -> Instance:
    if len(parts) < 2 or parts[0] not in PHOTOS or parts[1] not in KINDS:
        raise _MismatchError
    size, seed = parts[2] if parts[2:] else f"{GRID}x{GRID}", _seed(parts[3:])
    if "x" not in size:
        return photo_tokens(parts[0], parts[1], _numbers(size, 1)[0], seed)
    rows, columns = _numbers(size, 2)
    if rows != columns:
        raise _MismatchError
    return photo_tokens(parts[0], parts[1], seed=seed, grid=rows)


def _photos(parts: list[str]) -> Instance:
    if len(parts) < 2 or parts[1] not in KINDS:
        raise _MismatchError
    return stacked_photo_tokens(_numbers(parts[0], 1)[0], parts[1], _seed(parts[2:]))


def _sized(build: Callable[..., Instance], count: int) -> Callable[[list[str]], Instance]:
    """The builder of "<a>x<b>..[/<seed>]"."""

    def named(parts: list[str]) -> Instance:
        if not parts:
            raise _MismatchError
        return build(*_numbers(parts[0], count), seed=_seed(parts[1:]))

    return named


def _mdplib(parts: list[str]) -> Instance:
    if len(parts) < 2 or parts[0] not in MDPLIB:
        raise _MismatchError
    return MDPLIB[parts[0]](_numbers(parts[1], 1)[0], _seed(parts[2:]))


def _tight(parts: list[str]) -> Instance:
    if len(parts) != 2 or parts[0] not in TIGHT:
        raise _MismatchError
    return TIGHT[parts[0]](_numbers(parts[1], 1)[0]).instance


FAMILIES: dict[str, Family] = {
    "photo": Family(
        f"photo/<{'|'.join(PHOTOS)}>/<{'|'.join(KINDS)}>[/<n|rows x columns>[/<seed>]]",
        f"{TOKENS} or fewer, 2304 (48x48)",
        "64, 104 (daisy), 588 (raw)",
        "patches of a photograph; with n a random subset, with 48x48 a finer grid",
        _photo,
        (*(f"photo/{photo}/{kind}" for photo in PHOTOS for kind in KINDS), "photo/astronaut/pca/48x48"),
    ),
    "photos": Family(
        f"photos/<count>/<{'|'.join(KINDS)}>[/<seed>]",
        f"{TOKENS} count",
        "64, 104 (daisy), 588 (raw)",
        "patches of the first photographs of the list, stacked",
        _photos,
        ("photos/5/pca", "photos/5/daisy"),
    ),
    "gaussian": Family(
        "gaussian/<n>x<d>[/<seed>]",
        "any",
        "any",
        "independent random directions",
        _sized(gaussian, 2),
        ("gaussian/100x64/0", "gaussian/576x64/0"),
    ),
    "clustered": Family(
        "clustered/<n>x<d>x<clusters>[/<seed>]",
        "any",
        "any",
        "Gaussian clusters around a common mean direction",
        _sized(clustered, 3),
        ("clustered/100x64x10/0", "clustered/576x64x48/0"),
    ),
    "duplicates": Family(
        "duplicates/<n>x<d>x<distinct>[/<seed>]",
        "any",
        "any",
        "few distinct tokens, repeated bit by bit",
        _sized(duplicates, 3),
        ("duplicates/100x64x20/0", "duplicates/576x64x60/0"),
    ),
    "mdplib": Family(
        f"mdplib/<{'|'.join(MDPLIB)}>/<n>[/<seed>]",
        "any",
        "distances only",
        "benchmark families of the maximum diversity problem",
        _mdplib,
        (*(f"mdplib/gkd/{n}/0" for n in (10, 15, 30, 100, 500)), "mdplib/mdg/100/0", "mdplib/som/100/0"),
    ),
    "tight": Family(
        f"tight/<{'|'.join(TIGHT)}>/<k>",
        "2 k to 4 k",
        "2 or k, or distances only",
        "worst cases that meet the guarantee of a greedy method",
        _tight,
        (
            *(f"tight/{name}/6" for name in ("max-min", "max-min-polygon", "max-min-line", "max-min-cycle")),
            "tight/conditional-dpp/4",
            "tight/implicit-weight/8",
        ),
    ),
}


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, list_names(), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
