"""Implicit weights: attention as a sum of rank-1 updates, the objective behind IWP."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mmdp.checks import Float, Int, as_heads, as_psd
from mmdp.constraints import Constraints
from mmdp.ground_set import GroundSet
from mmdp.objectives.rank1_gram import Form, Kernel, check_parts, rank1_gram
from mmdp.problem import GapKind, Problem


class ImplicitWeight(Problem):
    """max over |S| = k of -|| sum_{i not in S} dW_i ||_F^2 = -y^T G y, y the 0/1 vector of the pruned tokens.

    Attention computes q K^T V = q (sum_i k_i^T v_i): each token adds a rank-1 update dW_i = phi(k_i)^T v_i to an
    implicit weight matrix :cite:p:`iwp2026`, and G_ij = <dW_i, dW_j>_F is a Gram matrix, hence the energy y^T G y of
    the pruned rest is convex. Choosing y is a cardinality-constrained binary quadratic program; NP-hard. The value is
    0 at k = n and never positive.

    `form` says which G (kappa is the kernel on keys, S_ij the normalised <dW_i, dW_j>, h counts heads):

    * ``"truncation"``: G_ij = sum_h kappa(k_i, k_j) (v_i . v_j), the energy itself. Entries may be negative: neither
      monotone nor submodular in general.
    * ``"squared"``: G = diag(p) (mean_h S o S) diag(p), with p_i = ||dW_i||_F, or the size seen by `query`. Entries
      are >= 0, so the explained energy 1^T G 1 - y^T G y is monotone submodular and greedy reaches 1 - 1/e of its
      optimum. The form behind IWP's squared duplication metric; recommended.
    * ``"query_weighted"``: G = sum_h (A^T A) o (V V^T) with A_qi the attention of query q to token i: the output
      error of the given queries with the softmax normaliser frozen.

    Examples
    --------
    >>> problem = ImplicitWeight.from_keys_values([[1.0], [1.0], [2.0]], [[1.0], [1.0], [1.0]], k=1)
    >>> problem.value([2]), problem.value([0, 1, 2])
    (-4.0, 0.0)
    """

    name: ClassVar[str] = "implicit-weight"
    gap_kind: ClassVar[GapKind] = "relative"

    form: Form | None
    kernel: Kernel | None

    @classmethod
    def from_keys_values(
        cls,
        K: Any,
        V: Any,
        k: int,
        query: Any = None,
        kernel: Kernel = "linear",
        form: Form = "truncation",
        *,
        constraints: Constraints | None = None,
    ) -> ImplicitWeight:
        """Keys and values of one attention layer.

        Parameters
        ----------
        K, V : (n, d) or (H, n, d) keys and (n, d_v) or (H, n, d_v) values; never normalised here.
        k : how many to keep.
        query : None (the plain Gram), or (d,), (m, d) or (H, m, d) query vectors. ``"truncation"`` and ``"squared"``
            take one query per head and replace ||dW_i|| by |kappa(q, k_i)| ||v_i||; ``"query_weighted"`` needs it and
            takes m of them.
        kernel : ``"linear"`` kappa(x, y) = x . y, or ``"softmax"`` kappa(x, y) = exp(x . y / sqrt(d)).
        form : see the class.

        With the softmax kernel G is formed in logs and divided by max_i G_ii; `log_scale` is the log of that divisor,
        so the energy in its own units is exp(log_scale) times minus the value.
        """
        keys, values = as_heads(K, "K"), as_heads(V, "V")
        queries = check_parts(keys, values, query, kernel, form)
        problem = cls(GroundSet.of_size(keys.shape[1]), k, constraints)
        problem.form, problem.kernel = form, kernel
        problem._parts = (keys, values, queries)
        return problem

    @classmethod
    def from_gram(cls, G: Any, k: int, *, constraints: Constraints | None = None) -> ImplicitWeight:
        """The (n, n) positive semidefinite Gram matrix of the updates."""
        matrix = as_psd(G, "G")
        problem = cls(GroundSet.of_size(len(matrix)), k, constraints)
        problem.form, problem.kernel, problem._parts = None, None, None
        problem.__dict__["_gram"] = (matrix, 0.0)  # fills the cache of the property
        return problem

    _parts: tuple[Float, Float, Float | None] | None

    @cached_property
    def _gram(self) -> tuple[Float, float]:
        if self._parts is None or self.kernel is None or self.form is None:
            raise RuntimeError("a problem without keys and values carries its Gram matrix")
        return rank1_gram(*self._parts, kernel=self.kernel, form=self.form)

    @property
    def gram(self) -> Float:
        """(n, n) matrix G, divided by exp(log_scale)."""
        return self._gram[0]

    @property
    def log_scale(self) -> float:
        """Natural log of the factor that G was divided by (0 for the linear kernel)."""
        return self._gram[1]

    @property
    def keys_values(self) -> tuple[Float, Float] | None:
        """(H, n, d) keys and (H, n, d_v) values; None when the Gram matrix was given."""
        return None if self._parts is None else self._parts[:2]

    @cached_property
    def is_submodular(self) -> bool:
        """Whether G >= 0 entrywise, so that the explained energy is monotone submodular."""
        return bool((self.gram >= 0).all())

    @cached_property
    def total_energy(self) -> float:
        """1^T G 1, the energy when everything is pruned."""
        return max(float(self.gram.sum()), 0.0)

    def _value(self, subset: Int) -> float:
        pruned = np.setdiff1d(np.arange(self.n), subset)
        energy = float(self.gram[np.ix_(pruned, pruned)].sum())
        return -energy if energy > 0 else 0.0
