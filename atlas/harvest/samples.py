"""Firings kept of every expert, chosen by an order that is a property of the firing alone: never by when it arrived.

Each expert has a row with room for some more than it keeps. Firings that cannot be among the kept are turned away at once; the
others fill the row, and a full row is cut back to what it keeps. So a firing costs next to nothing once the rows have filled, and
memory follows the number of experts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from atlas.harvest.around import around
from atlas.harvest.observed import Observed

Columns = dict[str, Tensor]

_LAST = 2**63 - 1

AT_ONCE = 256
"""Experts whose rows are sorted at once."""


class Kept(ABC):
    """At most `k` firings of each expert."""

    types: dict[str, torch.dtype]
    """The columns, but for the code, which stands with them where `d_code` is given."""

    def __init__(self, n_experts: int, k: int, device: torch.device, d_code: int = 0) -> None:
        self.k = k
        self.n_experts = n_experts
        self._room = k + min(k, max(k // 2, 200))
        # A row is in two pieces, so that what is kept is saved as it stands, without a copy.
        self._kept, self._waiting = (self._columns(n_experts, width, d_code, device) for width in (k, self._room - k))
        self._n: Int64[Tensor, "expert"] = torch.zeros(n_experts, dtype=torch.int64, device=device)
        self._is_settled = True

    def _columns(self, n_experts: int, width: int, d_code: int, device: torch.device) -> Columns:
        made = {name: torch.zeros(n_experts, width, dtype=kind, device=device) for name, kind in self.types.items()}
        return {**made, "code": torch.zeros(n_experts, width, d_code, device=device)} if d_code else made

    @abstractmethod
    def update(self, seen: Observed) -> None:
        """Offer a batch's firings."""

    @abstractmethod
    def _hopeful(self, expert: Int64[Tensor, "firing"], offered: Columns) -> Bool[Tensor, "firing"]:
        """Return which firings may be among the kept, judged by what their experts are known to keep."""

    @abstractmethod
    def _best(self, held: Columns, filled: Bool[Tensor, "some room"], in_order: bool) -> Int64[Tensor, "some k"]:
        """Return which firings of some experts are kept, as places in their rows, in order of choice if wanted; -1 fills up."""

    @abstractmethod
    def _set_bar(self, full: Int64[Tensor, "full"], kept: Columns) -> None:
        """Note what some experts keep that keep k, so that less can be turned away."""

    def _offer(self, expert: Int64[Tensor, "firing"], offered: Columns) -> None:
        """Hold the firings that may be among the kept."""
        while len(expert):
            expert, by_expert = torch.sort(expert, stable=True)
            offered = _taken(offered, by_expert)
            place = self._n.index_select(0, expert) + ranks(expert, self.n_experts)
            late, expert_late, offered_late = place >= self._room, expert[:0], offered
            if bool(late.any()):
                rest, soon = late.nonzero()[:, 0], (~late).nonzero()[:, 0]
                expert_late, offered_late = expert.index_select(0, rest), _taken(offered, rest)
                expert, place, offered = expert.index_select(0, soon), place.index_select(0, soon), _taken(offered, soon)
            waits = place >= self.k
            for piece, first, chosen in ((self._kept, 0, ~waits), (self._waiting, self.k, waits)):
                here = chosen.nonzero()[:, 0]
                width = self._room - self.k if first else self.k
                there = expert.index_select(0, here) * width + place.index_select(0, here) - first
                for name, column in _taken(offered, here).items():
                    piece[name].flatten(0, 1).index_copy_(0, there, column)
            self._n += torch.bincount(expert, minlength=self.n_experts)
            self._is_settled = False
            expert = expert_late
            if len(expert):
                self._settle((self._n == self._room).nonzero()[:, 0])
                left = self._hopeful(expert, offered_late).nonzero()[:, 0]
                expert, offered = expert.index_select(0, left), _taken(offered_late, left)

    def _settle(self, experts: Int64[Tensor, "some"], in_order: bool = False) -> None:
        """Cut some experts' rows back to what is kept, and make the rest of what is kept of them zero."""
        # A few experts at a time: choosing takes several times the memory of what is chosen from.
        for some in torch.split(experts, AT_ONCE):
            held = {name: torch.cat([self._kept[name][some], self._waiting[name][some]], dim=1) for name in self._kept}
            filled = torch.arange(self._room, device=some.device) < self._n[some][:, None]
            best = self._best(held, filled, in_order)
            place, n = best.clamp(min=0), (best >= 0).sum(dim=1)
            for name, column in held.items():
                wide = (..., None) if column.ndim == 3 else (...,)
                held[name] = column.gather(1, place[wide].expand(*place.shape, *column.shape[2:])).masked_fill(best[wide] < 0, 0)
                self._kept[name][some] = held[name]
            self._n[some] = n
            full = n == self.k
            self._set_bar(some[full], {name: column[full] for name, column in held.items()})

    def state(self) -> Columns:
        """Return what is kept, a row of k per expert in order of choice, and how many of each row there are, as named tensors.

        They are what is kept itself, not a copy of it.
        """
        if not self._is_settled:
            self._settle(torch.arange(self.n_experts, device=self._n.device), in_order=True)
            self._is_settled = True
        return {**self._kept, "n": self._n}

    def restore(self, state: Columns) -> None:
        """Take up what `state` was taken from, in place of nothing."""
        self._kept, self._n = {name: state[name].clone() for name in self._kept}, state["n"].clone()
        full = self._n == self.k
        self._set_bar(full.nonzero()[:, 0], {name: column[full] for name, column in self._kept.items()})

    def firings(self) -> Columns:
        """Return what is kept as columns, sorted by expert and within it in order of choice, with the column `expert`."""
        return self._of(torch.arange(self.n_experts, device=self._n.device))

    def _of(self, experts: Int64[Tensor, "some"]) -> Columns:
        state = self.state()
        n = state.pop("n")[experts]
        filled = torch.arange(self.k, device=n.device) < n[:, None]
        return {"expert": experts.repeat_interleave(n), **{name: column[experts][filled] for name, column in state.items()}}

    def merge(self, other: Kept) -> None:
        """Offer what another part of the corpus kept."""
        for some in torch.split(torch.arange(self.n_experts, device=self._n.device), AT_ONCE):
            firings = other._of(some)
            self._offer(firings.pop("expert"), firings)


_PLACE = {"key": torch.int64, "document": torch.int64, "window": torch.int32, "position": torch.int32}


def _places(seen: Observed, chosen: Tensor) -> Columns:
    row = seen.row.index_select(0, chosen)
    found = {name: getattr(seen.tokens, name).index_select(0, row) for name in ("document", "window", "position")}
    return {"key": seen.key.index_select(0, chosen), **found}


def _taken(columns: Columns, chosen: Int64[Tensor, "chosen"]) -> Columns:
    # index_select is several times as fast as indexing with a tensor.
    return {name: column.index_select(0, chosen) for name, column in columns.items()}


class _BySmallest(Kept):
    """Keeps those whose first column is smallest."""

    def __init__(self, n_experts: int, k: int, device: torch.device, d_code: int = 0) -> None:
        super().__init__(n_experts, k, device, d_code)
        self._bar = torch.full((n_experts,), _LAST, dtype=torch.int64, device=device)
        self._by = next(iter(self.types))

    def _hopeful(self, expert: Int64[Tensor, "firing"], offered: Columns) -> Bool[Tensor, "firing"]:
        return offered[self._by] < self._bar.index_select(0, expert)

    def _best(self, held: Columns, filled: Bool[Tensor, "some room"], in_order: bool) -> Int64[Tensor, "some k"]:
        order = held[self._by].masked_fill(~filled, _LAST)
        smallest = order.topk(self.k, dim=1, largest=False, sorted=in_order)
        return smallest.indices.masked_fill(smallest.values == _LAST, -1)

    def _set_bar(self, full: Int64[Tensor, "full"], kept: Columns) -> None:
        self._bar[full] = kept[self._by].amax(dim=1)


class FiringSample(_BySmallest):
    """A uniform sample of each expert's firings, with code, place and what is around: those of the smallest key."""

    types = {**_PLACE, "around": torch.int64, "gain": torch.float32}

    def update(self, seen: Observed) -> None:
        """Offer a batch's firings."""
        chosen = (seen.key < self._bar.index_select(0, seen.expert)).nonzero()[:, 0]
        expert, code = seen.expert.index_select(0, chosen), seen.code.index_select(0, chosen)
        beside = {"around": around(seen, chosen, self.n_experts), "gain": seen.gain.index_select(0, chosen)}
        self._offer(expert, {**_places(seen, chosen), **beside, "code": code})


class FiredTokens(_BySmallest):
    """The token ids of a larger uniform sample of each expert's firings.

    A firing is one number, the upper half of its key above its token id, so that firings of equal number are alike.
    """

    types = {"firing": torch.int64}

    def update(self, seen: Observed) -> None:
        """Offer a batch's firings."""
        upper = seen.key >> 31
        chosen = (upper <= self._bar.index_select(0, seen.expert) >> 31).nonzero()[:, 0]
        token_id = seen.tokens.token_id.index_select(0, seen.row.index_select(0, chosen)).long()
        self._offer(seen.expert.index_select(0, chosen), {"firing": upper.index_select(0, chosen) << 31 | token_id})

    @staticmethod
    def token_ids(firing: Int64[np.ndarray, "firing"]) -> Int64[np.ndarray, "firing"]:
        """Return the token ids of kept firings."""
        return firing & (2**31 - 1)


class TopFirings(Kept):
    """Each expert's strongest firings, one per window content, ties broken by key."""

    types = {**_PLACE, "content": torch.int64, "norm": torch.float32, "around": torch.int64}

    def __init__(self, n_experts: int, k: int, device: torch.device, d_code: int = 0) -> None:
        super().__init__(n_experts, k, device, d_code)
        self._bar = torch.full((n_experts,), -1.0, device=device)

    def update(self, seen: Observed) -> None:
        """Offer a batch's firings."""
        # Of what an expert fires on in one window only the strongest can be kept: a burst takes one place.
        window = seen.windows()
        n_windows = int(window[-1]) + 1
        there = seen.expert * n_windows + window.index_select(0, seen.row)
        strongest = torch.full((self.n_experts * n_windows,), -1.0, device=there.device)
        strongest.scatter_reduce_(0, there, seen.norm, "amax")
        chosen = (
            (seen.norm == strongest.index_select(0, there)) & (seen.norm >= self._bar.index_select(0, seen.expert))
        ).nonzero()[:, 0]
        row = seen.row.index_select(0, chosen)
        offered = {
            **_places(seen, chosen),
            "content": seen.tokens.content.index_select(0, row),
            "norm": seen.norm.index_select(0, chosen),
            "around": around(seen, chosen, self.n_experts),
        }
        self._offer(seen.expert.index_select(0, chosen), offered)

    def _hopeful(self, expert: Int64[Tensor, "firing"], offered: Columns) -> Bool[Tensor, "firing"]:
        return offered["norm"] >= self._bar.index_select(0, expert)

    def _best(self, held: Columns, filled: Bool[Tensor, "some room"], in_order: bool) -> Int64[Tensor, "some k"]:
        by_strength = held["key"].argsort(dim=1, stable=True)
        norm = held["norm"].masked_fill(~filled, -1.0).gather(1, by_strength)
        by_strength = by_strength.gather(1, norm.argsort(dim=1, descending=True, stable=True))
        # Stable sorts: firings of one content stay in order, so the first of each is the one to keep.
        content, by_content = held["content"].gather(1, by_strength).sort(dim=1, stable=True)
        first = torch.ones_like(filled)
        first[:, 1:] = content[:, 1:] != content[:, :-1]
        # Places without a firing come last in order of strength, and may look like a content: they are left out.
        is_kept = torch.zeros_like(filled).scatter_(1, by_content, first) & filled.gather(1, by_strength)
        rank = is_kept.cumsum(dim=1) - 1
        is_kept &= rank < self.k
        best = torch.full((len(filled), self.k + 1), -1, device=filled.device)
        return best.scatter_(1, rank.where(is_kept, self.k), by_strength)[:, : self.k]

    def _set_bar(self, full: Int64[Tensor, "full"], kept: Columns) -> None:
        self._bar[full] = kept["norm"][:, -1]


def ranks(expert: Int64[Tensor, "firing"], n_experts: int) -> Int64[Tensor, "firing"]:
    """Return each firing's place among its expert's, from 0, where firings stand sorted by expert."""
    starts = torch.searchsorted(expert, torch.arange(n_experts, device=expert.device))
    return torch.arange(len(expert), device=expert.device) - starts.index_select(0, expert)


def sorted_by(keys: list[Tensor]) -> Int64[Tensor, "entry"]:
    """Return the permutation that sorts by the last key, then the one before it, and so on."""
    permutation = torch.arange(len(keys[0]), device=keys[0].device)
    for key in keys:
        permutation = permutation[torch.sort(key[permutation], stable=True).indices]
    return permutation
