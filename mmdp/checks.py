"""The door: every array a user hands in is checked here once and comes back in the one form the rest relies on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


def to_numpy(values: Any) -> npt.NDArray[Any]:
    """Any array-like as numpy, torch tensors without importing torch; bfloat16 as float32, which holds it exactly."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if "bfloat16" in str(values.dtype) else values
        values = values.numpy()
    array = np.asarray(values)
    if array.dtype.kind == "V" and array.dtype.name == "bfloat16":  # as ml_dtypes has it; names take microseconds
        return from_bfloat16(array.view(np.uint16))
    return array


def from_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The numbers of bfloat16 patterns, each the upper half of a float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def as_numbers(values: Any, name: str, ndim: tuple[int, ...]) -> npt.NDArray[Any]:
    """A real array, finite or not, of a rank in `ndim`; floating input keeps its dtype, the rest becomes float64."""
    array = to_numpy(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers, got dtype {array.dtype}")
    if array.ndim not in ndim:
        allowed = " or ".join(f"{rank}-D" for rank in ndim)
        raise ValueError(f"{name} must be {allowed}, got shape {array.shape}")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def as_real(values: Any, name: str, ndim: tuple[int, ...]) -> npt.NDArray[Any]:
    """`as_numbers`, all of them finite."""
    array = as_numbers(values, name, ndim)
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{name} must be finite, got {array[where]} at index {where}")
    return array


def as_features(values: Any, name: str = "features") -> npt.NDArray[Any]:
    """An (n, d) array, n >= 0 tokens of width d >= 1."""
    array = as_real(values, name, (2,))
    if array.shape[1] < 1:
        raise ValueError(f"{name} must have at least one column, got shape {array.shape}")
    return array


def as_heads(values: Any, name: str) -> Float:
    """Keys or values as (H, n, d) float64; (n, d) is one head."""
    array = as_real(values, name, (2, 3)).astype(np.float64)
    return array[None] if array.ndim == 2 else array


def as_symmetric(values: Any, name: str) -> Float:
    """A symmetric (n, n) float64 matrix; asymmetry up to 1e-8 of the largest entry is averaged out."""
    array = as_real(values, name, (2,)).astype(np.float64)
    if array.shape[0] != array.shape[1]:
        raise ValueError(f"{name} must be square, got shape {array.shape}")
    if array.size:
        worst = np.abs(array - array.T)
        i, j = (int(v) for v in np.unravel_index(np.argmax(worst), worst.shape))
        if worst[i, j] > 1e-8 * np.abs(array).max():
            raise ValueError(
                f"{name} must be symmetric, got {array[i, j]} at ({i}, {j}) and {array[j, i]} at ({j}, {i})"
            )
    return (array + array.T) / 2


def as_psd(values: Any, name: str) -> Float:
    """A symmetric positive semidefinite matrix; eigenvalues down to -1e-8 of the largest diagonal entry pass."""
    array = as_symmetric(values, name)
    if not array.size:
        return array
    tolerance = 1e-8 * max(float(np.diag(array).max()), np.finfo(float).tiny)
    try:
        np.linalg.cholesky(array + tolerance * np.eye(len(array)))
    except np.linalg.LinAlgError:
        least = float(np.linalg.eigvalsh(array)[0])
        if least < -tolerance:
            raise ValueError(
                f"{name} must be positive semidefinite, got smallest eigenvalue {least:.3g} "
                f"(allowed >= {-tolerance:.3g})"
            ) from None
    return array


def as_distances(values: Any, name: str = "distances") -> Float:
    """A symmetric, non-negative (n, n) matrix with zero diagonal."""
    array = as_symmetric(values, name)
    if array.size and array.min() < 0:
        i, j = (int(v) for v in np.unravel_index(np.argmin(array), array.shape))
        raise ValueError(f"{name} must be >= 0, got {array[i, j]} at ({i}, {j})")
    diagonal = np.diag(array)
    if (diagonal != 0).any():
        i = int(np.flatnonzero(diagonal)[0])
        raise ValueError(f"{name} must have a zero diagonal, got {diagonal[i]} at ({i}, {i})")
    return array


def as_weights(values: Any, n: int, name: str) -> Float:
    """n finite numbers >= 0."""
    array = as_real(values, name, (1,)).astype(np.float64)
    if len(array) != n:
        raise ValueError(f"{name} must have one entry per token, got {len(array)} for {n} tokens")
    if n and array.min() < 0:
        i = int(np.argmin(array))
        raise ValueError(f"{name} must be >= 0, got {array[i]} at index {i}")
    return array


def as_budget(k: Any, n: int) -> int:
    """The number of tokens to keep, 0 <= k <= n."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise TypeError(f"k must be a whole number of tokens, got {k!r}")
    if not 0 <= k <= n:
        raise ValueError(f"k must be between 0 and n = {n}, got {k}")
    return int(k)


def as_token(token: Any, n: int, name: str) -> int:
    """One token, 0 <= token < n."""
    if isinstance(token, bool) or not isinstance(token, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {token!r}")
    if not 0 <= token < n:
        raise ValueError(f"{name} must be between 0 and {n - 1}, got {token}")
    return int(token)


def as_subset(subset: Any, n: int) -> Int:
    """Distinct indices in 0 .. n-1, in the order given."""
    array = np.asarray(subset)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"a subset must be a 1-D list of whole numbers, got {array.dtype} of shape {array.shape}")
    if array.min() < 0 or array.max() >= n:
        bad = array[(array < 0) | (array >= n)][0]
        raise ValueError(f"a subset must hold indices between 0 and {n - 1}, got {bad}")
    if len(np.unique(array)) != len(array):
        labels, counts = np.unique(array, return_counts=True)
        raise ValueError(f"a subset must hold distinct indices, got {labels[counts > 1][0]} more than once")
    return array.astype(np.int64)
