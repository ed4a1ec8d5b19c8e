"""How alike experts are, for a block of pairs at a time: there is never a matrix of all pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

BLOCK_EXPERTS = 1024
"""Experts on either side of a block: its numbers take some tens of MB, whatever the number of experts."""

DECIMALS = 5
"""Values are rounded to so many decimals before they are ranked; float32 products are good for no more."""

_NUMBERS = 2**32
"""A rounded value times this, plus an expert's number counted down from it, sorts by value, then by number."""


class Sampled(NamedTuple):
    """Tokens chosen without regard to experts, with every firing on them: columns of token_sample and token_sample_firings.

    Of one corpus; tokens are numbered from 0.
    """

    window: Integer[np.ndarray, "token"]
    position: Integer[np.ndarray, "token"]
    token: Integer[np.ndarray, "firing"]
    expert: Integer[np.ndarray, "firing"]


@runtime_checkable
class Similarity(Protocol):
    """A number from 0 to 1 for every pair of experts, the same both ways."""

    @property
    def n_experts(self) -> int:
        """Experts that there are."""

    def block(self, rows: slice, columns: slice) -> Float[Tensor, "row column"]:
        """Return the similarities of a block, on whichever device they are made."""

    def only(self, chosen: Integer[np.ndarray, "chosen"]) -> Similarity:
        """Return the same numbers of these experts alone, numbered from 0."""


class Overlap:
    """How much two linear maps share of what they span: ‖A·Bᵀ‖²_F ÷ (‖A·Aᵀ‖_F · ‖B·Bᵀ‖_F) of their rows A and B.

    1 where A·x and B·x are one but for a rotation and a factor; cos² where each has one row. A map of zeros, or with a
    number that is not finite, shares nothing with any other.
    """

    def __init__(self, maps: Float[Tensor, "expert row d_in"]) -> None:
        wide = torch.where(maps.isfinite().all(dim=2).all(dim=1)[:, None, None], maps, 0.0).float()
        # Scaled to a largest number of 1 first: squares of squares leave float32's range early.
        wide /= wide.abs().amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        length = (wide @ wide.transpose(1, 2)).flatten(1).norm(dim=1).sqrt()
        wide /= torch.where(length > 0, length, 1.0)[:, None, None]
        # By row, then expert: the product of each pair of rows is then a block of its own, added up in place.
        self._rows: Float[Tensor, "row expert d_in"] = wide.transpose(0, 1).contiguous()

    @property
    def n_experts(self) -> int:
        """Experts that there are."""
        return self._rows.shape[1]

    def block(self, rows: slice, columns: slice) -> Float[Tensor, "row column"]:
        """Return the overlaps of a block."""
        these, those = self._rows[:, rows], self._rows[:, columns]
        shared = torch.zeros(these.shape[1], those.shape[1], device=self._rows.device)
        for one in these:
            for other in those:
                product = one @ other.T
                shared.addcmul_(product, product)
        return shared.clamp_max_(1.0)

    def only(self, chosen: Integer[np.ndarray, "chosen"]) -> Overlap:
        """Return the overlaps of these experts alone."""
        return Overlap(self._rows[:, torch.from_numpy(chosen.astype(np.int64)).to(self._rows.device)].transpose(0, 1))


class Cosine:
    """The cosine of two sparse rows without negative numbers; a row of zeros is like no other."""

    def __init__(self, counts: Any) -> None:
        """Take a scipy sparse matrix, one row an expert."""
        length = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
        scale = np.divide(1.0, length, out=np.zeros(len(length)), where=length > 0)
        self._rows = counts.tocsr().multiply(scale[:, None]).tocsr().astype(np.float32)

    @property
    def n_experts(self) -> int:
        """Experts that there are."""
        return int(self._rows.shape[0])

    def block(self, rows: slice, columns: slice) -> Float[Tensor, "row column"]:
        """Return the cosines of a block."""
        return torch.from_numpy((self._rows[rows] @ self._rows[columns].T).toarray()).clamp_max_(1.0)

    def only(self, chosen: Integer[np.ndarray, "chosen"]) -> Cosine:
        """Return the cosines of these experts alone."""
        return Cosine(self._rows[chosen])


class Mix:
    """A weighted mean of two similarities."""

    def __init__(self, first: Similarity, second: Similarity, first_share: float) -> None:
        self.first = first
        self.second = second
        self.first_share = first_share

    @property
    def n_experts(self) -> int:
        """Experts that there are."""
        return self.first.n_experts

    def block(self, rows: slice, columns: slice) -> Float[Tensor, "row column"]:
        """Return the means of a block."""
        first = self.first.block(rows, columns)
        return torch.lerp(self.second.block(rows, columns).to(first.device), first, self.first_share)

    def only(self, chosen: Integer[np.ndarray, "chosen"]) -> Mix:
        """Return the means of these experts alone."""
        return Mix(self.first.only(chosen), self.second.only(chosen), self.first_share)


class Nearest(NamedTuple):
    """The most similar others of each expert, first the most similar."""

    other: Int64[np.ndarray, "expert rank"]
    """Of equals the one of the smaller number; -1 where there are no more of a similarity above 0."""
    value: Float[np.ndarray, "expert rank"]
    """Rounded to `DECIMALS`; 0 where there are no more."""

    def only(self, chosen: Int64[np.ndarray, "chosen"]) -> Nearest:
        """Return the others of these experts alone, numbered from 0: no more of each than there are others."""
        number = np.full(len(self.other) + 1, -1)
        number[chosen] = np.arange(len(chosen))
        most = min(self.other.shape[1], max(1, len(chosen) - 1))
        # The last number, which -1 points at, is -1.
        return Nearest(number[self.other[chosen, :most]], self.value[chosen, :most])


def nearest(similarity: Similarity, k: int, told: Callable[[int, int], None] = lambda done, of: None) -> Nearest:
    """Return the k most similar others of each expert, exactly; every pair is computed once."""
    n = similarity.n_experts
    starts = range(0, n, BLOCK_EXPERTS)
    best = torch.zeros(n, k, dtype=torch.int64)
    pairs = [(a, b) for a in starts for b in starts if a <= b]
    for done, (a, b) in enumerate(pairs):
        rows, columns = slice(a, min(a + BLOCK_EXPERTS, n)), slice(b, min(b + BLOCK_EXPERTS, n))
        values = similarity.block(rows, columns)
        rounded = (values.double() * 10**DECIMALS).round().long()
        if a == b:
            rounded.fill_diagonal_(0)
        _offer(best, rows, columns, rounded)
        if a != b:
            _offer(best, columns, rows, rounded.T)
        told(done + 1, len(pairs))
    value = best // _NUMBERS
    other = torch.where(value > 0, _NUMBERS - 1 - best % _NUMBERS, -1)
    return Nearest(other.numpy(), value.numpy() / 10**DECIMALS)


def _offer(best: Int64[Tensor, "expert rank"], rows: slice, columns: slice, rounded: Int64[Tensor, "row column"]) -> None:
    """Take up what of a block is among the best of its rows."""
    number = torch.arange(columns.start, columns.stop, device=rounded.device)
    keys = torch.where(rounded > 0, rounded * _NUMBERS + (_NUMBERS - 1 - number), 0)
    top = keys.topk(min(best.shape[1], keys.shape[1]), dim=1).values.cpu()
    best[rows] = torch.cat([best[rows], top], dim=1).topk(best.shape[1], dim=1).values
