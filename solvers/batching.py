"""The frame of every raw door: samples of different length in one batch, each chosen from as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmdp.checks import Bool, Int, as_numbers, to_numpy

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Row:
    """One sample, padding removed.

    Attributes
    ----------
    index : its place in the batch.
    tokens : (m,) valid tokens, ascending; position p of the arrays is token tokens[p].
    k : how many to keep, at most m.
    arrays : by name, each restricted to the valid tokens: (m, d) or (H, m, d) for tokens, (m,) for weights.
    """

    index: int
    tokens: Int
    k: int
    arrays: dict[str, Array]


@dataclass(frozen=True)
class Sample:
    """One sample where it stands, padding and all.

    Attributes
    ----------
    index : its place in the batch.
    valid : (n,) real tokens; what stands in the padding must not be looked at.
    k : how many to keep, at most the number of valid tokens.
    arrays : by name, (n, d) or (H, n, d) for tokens, (n,) for weights.
    """

    index: int
    valid: Bool
    k: int
    arrays: dict[str, Array]

    def floats(self, name: str, dtype: npt.DTypeLike | None = None) -> Array:
        """The array in C order as `dtype`; None means float64 if it is, float32 otherwise. Copied only if need be."""
        array = self.arrays[name]
        if dtype is None:
            dtype = np.float64 if array.dtype.itemsize >= 8 else np.float32
        return np.ascontiguousarray(array, dtype=dtype)


@dataclass(frozen=True)
class Batch:
    """The checked arguments of a raw door.

    Attributes
    ----------
    arrays : by name, (B, n, d) or (B, H, n, d) for tokens, (B, n) for weights; floating dtypes are kept.
    k : (B,) budgets as asked, which may exceed the number of valid tokens.
    valid : (B, n) real tokens; what stands in the padding is never looked at.
    width : the largest budget asked for.
    single : one sample without a batch axis came in, so one goes out.
    tokens : the names of the arrays that hold tokens.
    """

    arrays: dict[str, Array]
    k: Int
    valid: Bool
    width: int
    single: bool
    tokens: tuple[str, ...]

    @classmethod
    def of(
        cls,
        k: Any,
        valid: Any,
        *,
        tokens: Mapping[str, Any],
        weights: Mapping[str, Any] | None = None,
        heads: bool = False,
        look: bool = True,
    ) -> Batch:
        """Check the arguments of a raw door.

        Parameters
        ----------
        k : int >= 0, or (B,) of them.
        valid : (n,) or (B, n) booleans, or None for all.
        tokens : by name, (n, d) or (B, n, d); with `heads` also (B, H, n, d), so that a single sample of several
            heads is (1, H, n, d). The widths may differ, everything before them may not.
        weights : by name, (n,) or (B, n) numbers, one per token; None entries are left out.
        look : whether to look for tokens that are not finite; a caller that sees them in passing says False and calls
            `refuse_bad_tokens` then.

        Raises
        ------
        ValueError : shapes that do not fit, a negative budget, a value of a valid token that is not finite, a
            negative weight.
        TypeError : a budget that is not a whole number, a mask that is not boolean.
        """
        arrays = {name: as_numbers(values, name, (2, 3, 4) if heads else (2, 3)) for name, values in tokens.items()}
        first = next(iter(arrays))
        single = arrays[first].ndim == 2
        shape = arrays[first].shape[:-1]
        for name, array in arrays.items():
            if array.shape[:-1] != shape:
                raise ValueError(
                    f"{first} and {name} must agree up to the width, got shapes {arrays[first].shape} and {array.shape}"
                )
            if array.shape[-1] < 1:
                raise ValueError(f"{name} must have at least one column, got shape {array.shape}")
        if len(shape) == 3 and shape[1] < 1:
            raise ValueError(f"{first} must have at least one head, got shape {arrays[first].shape}")
        per_token = (shape[-1],) if single else (shape[0], shape[-1])
        for name, values in (weights or {}).items():
            if values is not None:
                arrays[name] = as_numbers(values, name, (1, 2))
                if arrays[name].shape != per_token:
                    raise ValueError(f"{name} must have shape {per_token}, got {arrays[name].shape}")
        mask = _as_mask(valid, per_token)
        if single:
            arrays, mask = {name: array[None] for name, array in arrays.items()}, mask[None]
        for name, array in arrays.items():
            if name not in tokens:
                _check_values(name, array, mask, single, weight=True)
        budgets = _as_whole(k, "k", len(mask), single)
        if budgets.min(initial=0) < 0:
            raise ValueError(f"k must be >= 0, got {budgets.min()}")
        width = int(budgets.max() if len(budgets) else np.max(to_numpy(k), initial=0))
        batch = cls(arrays, budgets, mask, width, single, tuple(tokens))
        if look:
            batch.refuse_bad_tokens()
        return batch

    def refuse_bad_tokens(self) -> None:
        """ValueError for a value of a valid token that is not finite."""
        for name in self.tokens:
            _check_values(name, self.arrays[name], self.valid, self.single, weight=False)

    def given(self, tokens: Any, name: str) -> list[int | None]:
        """A given valid token (None, an int or (B,) ints) of each sample."""
        if tokens is None:
            return [None] * len(self.valid)
        wanted = _as_whole(tokens, name, len(self.valid), self.single)
        for b, i in enumerate(wanted):
            if not (0 <= i < self.valid.shape[1] and self.valid[b, i]):
                raise ValueError(
                    f"{name} must be a valid token, between 0 and {self.valid.shape[1] - 1}, got {i} in sample {b}"
                )
        return [int(i) for i in wanted]

    def positions(self, tokens: Any, name: str) -> list[int | None]:
        """Where `given` tokens stand among the valid tokens of their sample."""
        given = self.given(tokens, name)
        return [None if i is None else int(self.valid[b, :i].sum()) for b, i in enumerate(given)]

    def __iter__(self) -> Iterator[Row]:
        for b, mask in enumerate(self.valid):
            tokens = np.flatnonzero(mask)
            arrays = {
                name: np.take(array[b], tokens, axis=-1 if array.ndim == 2 else -2)
                for name, array in self.arrays.items()
            }
            yield Row(b, tokens, min(int(self.k[b]), len(tokens)), arrays)

    def choose(self, pick: Callable[[Row], Int]) -> Int:
        """(B, max k) tokens, or (k,) for a single sample: what `pick` chooses in each row, in its order, then -1.

        `pick` returns `row.k` distinct positions. The shape depends on the budgets asked for alone, never on the mask.
        """
        chosen = np.full((len(self.k), self.width), -1, dtype=np.int64)
        for row in self:
            chosen[row.index, : row.k] = row.tokens[pick(row)]
        return chosen[0] if self.single else chosen

    def samples(self) -> list[Sample]:
        """Every sample where it stands."""
        return [
            Sample(
                b,
                mask,
                min(int(k), int(np.count_nonzero(mask))),
                {name: array[b] for name, array in self.arrays.items()},
            )
            for b, (k, mask) in enumerate(zip(self.k, self.valid, strict=True))
        ]

    def share(self, pick: Callable[[Sample], Int]) -> Int:
        """`choose` for compiled code: samples uncopied, shared out among the threads that numba may use here.

        `pick` returns `sample.k` distinct tokens and lets other threads run. Numba is asked for a number only, its
        thread pool is not used, for not every one of them may be entered by two threads at once.
        """
        samples = self.samples()
        chosen = np.full((len(self.k), self.width), -1, dtype=np.int64)
        threads = min(len(samples), _threads()) if len(samples) > 1 else 1
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                picks = list(pool.map(pick, samples))
        else:
            picks = [pick(sample) for sample in samples]
        for sample, picked in zip(samples, picks, strict=True):
            chosen[sample.index, : sample.k] = picked
        return chosen[0] if self.single else chosen


def _threads() -> int:
    """How many threads numba may use here.

    `numba.get_num_threads` starts numba's pool, which sets the number of OpenMP threads of the whole process, torch's
    too. While there is no pool nobody can have limited it, and the configuration is the answer.
    """
    import numba  # late: the naive doors need none

    try:
        numba.threading_layer()  # type: ignore[attr-defined]
    except ValueError:
        return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    return int(numba.get_num_threads())


def _as_mask(valid: Any, shape: tuple[int, ...]) -> Bool:
    if valid is None:
        return np.ones(shape, dtype=np.bool_)
    mask = to_numpy(valid)
    if mask.dtype != np.bool_:
        raise TypeError(f"valid must be booleans, got dtype {mask.dtype}")
    if mask.shape != shape:
        raise ValueError(f"valid must have shape {shape}, got {mask.shape}")
    return mask


def _check_values(name: str, array: Array, mask: Bool, single: bool, *, weight: bool) -> None:
    allowed, wanted = np.isfinite(array), "finite"
    if weight:
        allowed, wanted = allowed & (array >= 0), "finite and >= 0"
    else:
        mask = mask[(slice(None), *([None] * (array.ndim - 3)), slice(None), None)]
    bad = ~allowed & mask
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} must be {wanted}, got {array[where]} at index {where[1:] if single else where}")


def _as_whole(values: Any, name: str, samples: int, single: bool) -> Int:
    if type(values) is int and abs(values) < 2**63:
        return np.full(samples, values, dtype=np.int64)
    array = to_numpy(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers, got {values!r}")
    shapes = ((),) if single else ((), (samples,))
    if array.shape not in shapes:
        raise ValueError(f"{name} must be one number{'' if single else f' or {samples}'}, got shape {array.shape}")
    return np.broadcast_to(array, (samples,)).astype(np.int64)
