"""Tokens chosen without regard to experts, each with every firing on it."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

from atlas.harvest.observed import Observed
from atlas.harvest.samples import ranks, sorted_by

ROOM = 4
"""Behind what is kept there is room for one part in so many of it, which arrivals fill before the sample is chosen anew."""
LEAST_ROOM = {"tokens": 1_024, "firings": 16_384}
"""Entries that there is room for in any case."""
MOVED_AT_ONCE = 4_096
"""Tokens whose firings are copied by one index, which would take more memory than the firings if it were for all."""

LAST = 2**63 - 1


class TokenSample:
    """Of each group the k tokens of the smallest order, ties broken by the token's key, with every firing on them.

    A token that was offered to several groups is kept for each of them by itself.
    """

    def __init__(self, n_groups: int, k: int, d_code: int, device: torch.device) -> None:
        def column(dtype: torch.dtype, *widths: int) -> Tensor:
            return torch.zeros(0, *widths, dtype=dtype, device=device)

        self.n_groups = n_groups
        self.k = k
        self._tokens = _Columns(
            {
                "group": column(torch.int64),
                "order": column(torch.int64),
                "key": column(torch.int64),
                "document": column(torch.int64),
                "window": column(torch.int32),
                "position": column(torch.int32),
                "held_out": column(torch.bool),
                "n_firings": column(torch.int64),
            }
        )
        # In the order of the tokens that they are on.
        self._firings = _Columns({"expert": column(torch.int32), "code": column(torch.float32, d_code)})
        self._n_chosen = 0
        self._worst = torch.full((n_groups,), LAST, device=device)

    def update(
        self, seen: Observed, row: Int64[Tensor, "chosen"], group: Int64[Tensor, "chosen"], order: Int64[Tensor, "chosen"]
    ) -> None:
        """Offer rows of a batch, each to a group from 0 to n_groups - 1: to several if need be, never twice to one."""
        hopeful = self._hopeful(group, order)
        if not len(hopeful):
            return
        row = row[hopeful]
        # A column that nonzero() returned is strided, which searchsorted warns of.
        of_row = seen.row.contiguous()
        start = torch.searchsorted(of_row, row)
        n_firings = torch.searchsorted(of_row, row, right=True) - start
        at = _spans(start, n_firings)
        self._append(
            {
                "group": group[hopeful],
                "order": order[hopeful],
                "key": seen.token_key[row],
                "document": seen.tokens.document[row],
                "window": seen.tokens.window[row],
                "position": seen.tokens.position[row],
                "held_out": seen.tokens.held_out[row],
                "n_firings": n_firings,
            },
            {"expert": seen.expert[at], "code": seen.code[at]},
        )

    def merge(self, other: TokenSample) -> None:
        """Offer what another part of the corpus kept."""
        self._take(other.state())

    def settle(self) -> None:
        """Choose among what is kept and what has arrived since."""
        if len(self._tokens) > self._n_chosen:
            self._choose(0, 0)

    def state(self) -> dict[str, Tensor]:
        """Return the kept tokens, sorted by (group, order, key), and the firings on them, sorted by (token, expert).

        `token` is an index into the kept tokens. Tensors of later calls are others: what is returned here is never changed.
        """
        self.settle()
        tokens = self._tokens.held()
        n_firings = tokens.pop("n_firings")
        token = torch.arange(len(n_firings), dtype=torch.int32, device=n_firings.device).repeat_interleave(n_firings)
        return {**tokens, "token": token, **self._firings.held()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` was taken from, in place of nothing."""
        self._take(state)

    def _take(self, state: dict[str, Tensor]) -> None:
        n_firings = torch.bincount(state["token"], minlength=len(state["key"]))
        tokens = {name: n_firings if name == "n_firings" else state[name] for name in self._tokens.columns}
        hopeful = self._hopeful(tokens["group"], tokens["order"])
        at = _spans((n_firings.cumsum(0) - n_firings)[hopeful], n_firings[hopeful])
        firings = {name: state[name][at] for name in self._firings.columns}
        self._append({name: column[hopeful] for name, column in tokens.items()}, firings)
        self.settle()

    def _hopeful(self, group: Int64[Tensor, "offered"], order: Int64[Tensor, "offered"]) -> Int64[Tensor, "hopeful"]:
        """Return which tokens may be among the kept, judged by what was kept when last chosen."""
        return (order <= self._worst[group]).nonzero().flatten()

    def _append(self, tokens: dict[str, Tensor], firings: dict[str, Tensor]) -> None:
        n_tokens, n_firings = len(tokens["key"]), len(firings["expert"])
        if not (self._tokens.fits(n_tokens) and self._firings.fits(n_firings)):
            self._choose(n_tokens, n_firings)
        self._tokens.append(tokens)
        self._firings.append(firings)

    def _choose(self, n_tokens: int, n_firings: int) -> None:
        """Keep the k first of each group, with room for at least so many tokens and firings more."""
        tokens = self._tokens.held()
        by_place = sorted_by([tokens["key"], tokens["order"], tokens["group"]])
        rank = ranks(tokens["group"][by_place], self.n_groups)
        chosen = by_place[rank < self.k]
        last = by_place[rank == self.k - 1]
        self._worst = torch.full_like(self._worst, LAST)
        self._worst[tokens["group"][last]] = tokens["order"][last]
        of_each = tokens["n_firings"]
        start = of_each.cumsum(0) - of_each
        one_each = torch.ones_like(chosen)
        room = max(n_tokens, len(chosen) // ROOM, LEAST_ROOM["tokens"])
        self._tokens.keep(chosen, one_each, len(chosen), room)
        total = int(of_each[chosen].sum())
        self._firings.keep(start[chosen], of_each[chosen], total, max(n_firings, total // ROOM, LEAST_ROOM["firings"]))
        self._n_chosen = len(chosen)


class _Columns:
    """Columns of one length, with room behind them that costs no copy to fill."""

    def __init__(self, columns: dict[str, Tensor]) -> None:
        self.columns = columns
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def held(self) -> dict[str, Tensor]:
        """Return the columns without the room behind them."""
        return {name: column[: self._n] for name, column in self.columns.items()}

    def fits(self, n: int) -> bool:
        """Whether there is room for n entries more."""
        return self._n + n <= len(next(iter(self.columns.values())))

    def append(self, entries: dict[str, Tensor]) -> None:
        """Put entries behind the others; there is room for them. They are cast to the columns' own types."""
        n = len(next(iter(entries.values())))
        for name, column in self.columns.items():
            column[self._n : self._n + n] = entries[name]
        self._n += n

    def keep(self, start: Int64[Tensor, "span"], length: Int64[Tensor, "span"], total: int, room: int) -> None:
        """Leave the entries of these spans only, in this order, with so much room behind their total."""
        # One column at a time, so that no more than one is there twice.
        for name, column in self.columns.items():
            moved = torch.empty(total + room, *column.shape[1:], dtype=column.dtype, device=column.device)
            filled = 0
            for first in range(0, len(start), MOVED_AT_ONCE):
                at = _spans(start[first : first + MOVED_AT_ONCE], length[first : first + MOVED_AT_ONCE])
                torch.index_select(column, 0, at, out=moved[filled : filled + len(at)])
                filled += len(at)
            self.columns[name] = moved
        self._n = total


def _spans(start: Int64[Tensor, "span"], length: Int64[Tensor, "span"]) -> Int64[Tensor, "entry"]:
    """Return the indices from each start on, as many as its length says, one span after the other."""
    before = length.cumsum(0) - length
    shift = (start - before).repeat_interleave(length)
    return shift + torch.arange(len(shift), device=shift.device)
