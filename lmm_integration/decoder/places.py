"""A batch of sequences that lose tokens between layers: which token stands where, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Places:
    """What is left of a (B, L) batch, padded on the left.

    Attributes
    ----------
    column : (B, n) int64, the column of the whole batch that each place holds; ascending over the valid places.
    valid : (B, n) bool; the others are padding.
    """

    column: Tensor
    valid: Tensor

    @classmethod
    def whole(cls, real: Tensor) -> Places:
        """Nothing dropped yet; (B, L) bool, False for padding."""
        return cls(torch.arange(real.shape[1], device=real.device).expand_as(real), real)

    def drop(self, stays: Tensor) -> tuple[Places, Tensor] | None:
        """Keep the columns in `stays` (B, L): the new places and the (B, n') index that gathers them from the old.

        Rows that keep fewer are padded in front, where padding does no harm, whatever side the batch was padded on.
        None when no row loses a token.
        """
        now = stays.gather(1, self.column) & self.valid
        if torch.equal(now, self.valid):
            return None
        width = int(now.sum(1).max())
        order = now.byte().argsort(dim=1, stable=True)[:, now.shape[1] - width :]
        return Places(self.column.gather(1, order), now.gather(1, order)), order

    def of_columns(self, row: int, columns: Tensor) -> Tensor:
        """Where columns of a row stand now; they must not have been dropped."""
        here = self.valid[row].nonzero().flatten()
        return here[torch.searchsorted(self.column[row, here], columns.to(here.device))]

    def restore(self, states: Tensor, length: int) -> Tensor:
        """(B, length, d) from (B, n, d): a column that went answers as the last one before it that stayed."""
        rows = len(states)
        place = torch.full((rows, length), -1, device=states.device)
        column, valid = self.column.to(states.device), self.valid.to(states.device)
        batch = torch.arange(rows, device=states.device)[:, None].expand_as(column)
        place[batch[valid], column[valid]] = torch.arange(column.shape[1], device=states.device).expand_as(column)[
            valid
        ]
        return take(states, place.cummax(1).values.clamp(min=0))


def take(states: Tensor, order: Tensor) -> Tensor:
    """states[b, order[b]] of (B or 1, n, d) states for every row b."""
    order = order.to(states.device)
    return states.expand(len(order), -1, -1).gather(1, order[..., None].expand(-1, -1, states.shape[-1]))
