"""On how many tokens two experts fire together, counted exactly."""

from __future__ import annotations

import torch
from jaxtyping import Int, Int64
from torch import Tensor

from atlas.harvest.observed import Observed

MOST_EXPERTS = 16_384
"""Experts up to which all pairs are counted: half a gigabyte. Of more, pairs are counted on the token sample."""

PAIRS_AT_ONCE = {"cpu": 2**18, "cuda": 2**24}
"""Pairs that are written out at a time, per kind of device: few enough to stay in a processor's cache."""

_HALF = 2**31


class CoFiring:
    """Counts of all pairs of experts; of none where there are more than `MOST_EXPERTS`.

    Experts i < j have the entry j(j - 1)/2 + i. Counts are int32 until there are 2³¹ tokens, then int64.
    """

    def __init__(self, n_experts: int, device: torch.device) -> None:
        self.n_experts = n_experts
        n_pairs = n_experts * (n_experts - 1) // 2 if n_experts <= MOST_EXPERTS else 0
        self.counts: Int[Tensor, "pair"] = torch.zeros(n_pairs, dtype=torch.int32, device=device)
        self._tokens = 0

    @property
    def is_exact(self) -> bool:
        """Whether pairs are counted at all."""
        return self.n_experts <= MOST_EXPERTS

    def update(self, seen: Observed) -> None:
        """Count a batch's pairs."""
        if not self.is_exact:
            return
        self._make_room(len(seen.tokens.document))
        n_rows = len(seen.tokens.document)
        start = torch.searchsorted(seen.row, torch.arange(n_rows, device=seen.row.device)).index_select(0, seen.row)
        # Each firing is paired with those before it on its row.
        before = torch.arange(len(seen.row), device=seen.row.device) - start
        n_pairs = before.cumsum(0)
        total = int(n_pairs[-1]) if len(n_pairs) else 0
        step = PAIRS_AT_ONCE[seen.row.device.type]
        ends = torch.arange(step, total + step, step, device=seen.row.device)
        first = 0
        for last in torch.searchsorted(n_pairs, ends, right=True).tolist():
            self._count(seen.expert, slice(first, last), start, before)
            first = last

    def _count(self, expert: Tensor, later: slice, start: Tensor, before: Tensor) -> None:
        """Count the pairs of some firings with the earlier ones of their rows."""
        high, n = expert[later], before[later]
        base = (high * (high - 1) >> 1).repeat_interleave(n)
        at = (start[later] - (n.cumsum(0) - n)).repeat_interleave(n) + torch.arange(len(base), device=expert.device)
        self.counts.scatter_add_(0, base + expert.index_select(0, at), torch.ones_like(base, dtype=self.counts.dtype))

    def _make_room(self, n_tokens: int) -> None:
        self._tokens += n_tokens
        if self._tokens >= _HALF and self.counts.dtype == torch.int32:
            self.counts = self.counts.long()

    def merge(self, other: CoFiring) -> None:
        """Add another part's counts."""
        self._make_room(other._tokens)
        self.counts += other.counts

    def state(self) -> dict[str, Tensor]:
        """Return everything, as named tensors."""
        return {"counts": self.counts, "tokens": torch.tensor([self._tokens])}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` was taken from."""
        self.counts, self._tokens = state["counts"], int(state["tokens"])

    def of(self, expert: int) -> Int64[Tensor, "expert"]:
        """Return the tokens on which an expert fires together with each other one; 0 with itself."""
        others = torch.arange(self.n_experts, device=self.counts.device)
        low, high = others.clamp(max=expert), others.clamp(min=expert)
        together = (
            self.counts[(high * (high - 1) >> 1) + low - (others == expert).long()].long() if len(self.counts) else others * 0
        )
        together[expert] = 0
        return together
