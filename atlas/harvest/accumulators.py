"""What is counted and summed over a corpus. Each thing is updated by batches of rows, merged exactly, saved and restored.

Merging is associative and commutative to the bit: counts are int64, sums are int64 fixed point. A sum that leaves its 64 bits is
noted where it happens and refused when its chunk is closed, so that no batch waits for a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import Any

import torch
from jaxtyping import Bool, Float, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from atlas.dictionary import Firings, Smixae
from atlas.errors import SumOverflow
from atlas.harvest.observed import Observed
from atlas.harvest.spared import spared

FIXED_POINT = 2**20
"""Units of a fixed-point sum in one unit of what is summed."""

MOST_ROWS = 2**13
"""Most rows that are added at once: so many values below 2⁶² ÷ `MOST_ROWS` do not leave 64 bits."""

CARRY_BITS = 40

BINS_PER_DOUBLING = 8
N_BINS = 64
"""Bins of the norm histogram, from the threshold to 2⁸ times it; the last one is open."""


class Sums:
    """Named int64 tensors that are only ever added to."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], device: torch.device) -> None:
        self.sums: dict[str, Int64[Tensor, "*any"]] = {
            name: torch.zeros(shape, dtype=torch.int64, device=device) for name, shape in shapes.items()
        }
        self._overflown: Bool[Tensor, ""] = torch.zeros((), dtype=torch.bool, device=device)

    def add(self, name: str, part: Int64[Tensor, "*any"]) -> None:
        """Add to one of them."""
        total = self.sums[name]
        total += part
        # Two numbers below 2⁶² add up to less than 2⁶³, so a sum that went too far is seen before it wraps round.
        self._overflown |= (total.abs().amax() >= 2**62) | (part.abs().amax() >= 2**62)

    def fixed(self, values: Float[Tensor, "*any"]) -> Int64[Tensor, "*any"]:
        """Return values as fixed-point integers, which add up to the same in any order."""
        if values.numel():
            self._overflown |= values.abs().amax().double() * FIXED_POINT >= 2**62 // MOST_ROWS
        return (values.double() * FIXED_POINT).round().long()

    def require_room(self) -> None:
        """Raise SumOverflow if anything left its 64 bits since the start."""
        if bool(self._overflown):
            raise SumOverflow(
                "A sum of the harvest left its 64 bits: codes or activations are too large, or the corpus is too long."
            )

    def merge(self, other: Sums) -> None:
        """Add what another part of the corpus gave."""
        for name, part in other.sums.items():
            self.add(name, part)
        self.require_room()


class Totals(Sums):
    """Tokens and firings: how many, in which documents and places, how strong, and the moments of codes.

    Norms and codes are summed in units of the threshold, so that dictionaries of any scale fit.
    """

    def __init__(self, n_experts: int, d_code: int, threshold: float, window_tokens: int, device: torch.device) -> None:
        pairs = list(combinations_with_replacement(range(d_code), 2))
        n_positions = window_tokens.bit_length() + 1
        super().__init__(
            {
                "tokens": (1,),
                "held_out_tokens": (1,),
                "documents": (1,),
                "position_tokens": (n_positions,),
                "firings": (n_experts,),
                "held_out_firings": (n_experts,),
                "documents_fired": (n_experts,),
                "positions_fired": (n_experts, n_positions),
                "moments": (n_experts, 1 + d_code + len(pairs)),
            },
            device,
        )
        self.max_norm: Float32[Tensor, "expert"] = torch.zeros(n_experts, device=device)
        self._n_experts = n_experts
        self._unit = threshold or 1.0
        self._pairs = pairs
        self._range_of = torch.tensor([position.bit_length() for position in range(window_tokens)], device=device)
        self.begin_chunk(0, 0)

    def begin_chunk(self, first_document: int, n_documents: int) -> None:
        """Expect rows of these documents, all of them before the chunk is closed."""
        self._first = first_document
        device = self.max_norm.device
        self._met = torch.zeros(n_documents, dtype=torch.bool, device=device)
        self._fired_in = torch.zeros(n_documents * self._n_experts, dtype=torch.bool, device=device)

    def update(self, seen: Observed) -> None:
        """Add a batch."""
        n_experts, tokens = self._n_experts, seen.tokens
        place = self._range_of[tokens.position]
        document = tokens.document - self._first
        self._met[document] = True
        self._fired_in[document.index_select(0, seen.row) * n_experts + seen.expert] = True
        n_places = self.sums["position_tokens"].shape[0]
        fired_at = torch.bincount(seen.expert * n_places + place.index_select(0, seen.row), minlength=n_experts * n_places).view(
            n_experts, n_places
        )
        self.sums["tokens"] += len(tokens.document)
        self.sums["held_out_tokens"] += tokens.held_out.sum()
        self.sums["position_tokens"] += torch.bincount(place, minlength=n_places)
        self.sums["positions_fired"] += fired_at
        self.sums["firings"] += fired_at.sum(dim=1)
        held_out = tokens.held_out.long().index_select(0, seen.row)
        self.sums["held_out_firings"].index_add_(0, seen.expert, held_out)
        code = (seen.code / self._unit).unbind(1)
        products = [code[i] * code[j] for i, j in self._pairs]
        moments = torch.stack([seen.norm / self._unit, *code, *products], dim=1)
        part = torch.zeros_like(self.sums["moments"])
        self.add("moments", part.index_add_(0, seen.expert, self.fixed(moments)))
        self.max_norm.scatter_reduce_(0, seen.expert, seen.norm, "amax")

    def close_chunk(self) -> None:
        """Count the documents of the chunk.

        Raises:
            SumOverflow: a sum left its 64 bits.
        """
        self.sums["documents"] += self._met.sum()
        self.sums["documents_fired"] += self._fired_in.view(-1, self._n_experts).sum(dim=0)
        self.begin_chunk(0, 0)
        self.require_room()

    def merge(self, other: Sums) -> None:
        """Add what another part of the corpus gave."""
        assert isinstance(other, Totals)
        super().merge(other)
        self.max_norm = torch.maximum(self.max_norm, other.max_norm)

    def state(self) -> dict[str, Tensor]:
        """Return everything, as named tensors."""
        return {**self.sums, "max_norm": self.max_norm}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` was taken from."""
        self.sums = {name: state[name] for name in self.sums}
        self.max_norm = state["max_norm"]


class Errors(Sums):
    """The error of the whole dictionary, and what each expert spares it, on held-out rows of the chunks that are measured.

    With it come, in `pairs`, the sums that say what would be spared if only some of the expert's axes were kept. With the scale s
    of its row, every firing adds (s, s·z) ⊗ (s, s·z, D·r): z is its code in units of the threshold, r what the dictionary
    leaves of the row, and D·r in units that make z·D·r one of the square of `unit`.

    Rows of some models are so long that a million of their squares leave 64 bits: what goes beyond 2⁴⁰ is carried to a second
    number.
    """

    CARRIED = {name: f"{name}_carry" for name in ("x", "x_squared", "residual_squared", "gain", "pairs")}

    def __init__(
        self, n_experts: int, d_in: int, d_code: int, device: torch.device, threshold: float = 1.0, unit: float = 1.0
    ) -> None:
        self.unit = unit
        """Length that rows are summed in units of, so that rows of any scale fit."""
        self._code_unit = threshold or 1.0
        shapes: dict[str, tuple[int, ...]] = {
            "x": (d_in,),
            "x_squared": (1,),
            "residual_squared": (1,),
            "gain": (n_experts,),
            "pairs": (n_experts, 1 + d_code, 1 + 2 * d_code),
        }
        carries = {self.CARRIED[name]: shape for name, shape in shapes.items()}
        super().__init__({"tokens": (1,), **shapes, **carries}, device)

    def add(self, name: str, part: Int64[Tensor, "*any"]) -> None:
        """Add to one of them, and carry; the low number is from 0 to 2⁴⁰ - 1, so that equal sums are equal numbers."""
        super().add(name, part)
        if name in self.CARRIED:
            low = self.sums[name]
            carry = low >> CARRY_BITS
            low -= carry << CARRY_BITS
            super().add(self.CARRIED[name], carry)

    @classmethod
    def values(cls, state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return a state's sums as numbers: rows in `unit`, squares in its square, `pairs` as they are."""
        found = {name: (state[carry] * 2.0**CARRY_BITS + state[name]) / FIXED_POINT for name, carry in cls.CARRIED.items()}
        return {"tokens": state["tokens"], **found}

    def update(
        self,
        x: Float[Tensor, "row d_in"],
        firings: Firings,
        held_out: Bool[Tensor, "token"],
        smixae: Smixae,
    ) -> Float32[Tensor, "firing"]:
        """Add one block: rows with their firings, of which the first ones are real.

        What each firing spares of the squared error is returned in the square of `unit`; NaN on rows that are not measured.
        """
        gains = torch.full((len(firings.token),), torch.nan, device=x.device)
        kept = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        kept[: len(held_out)] = held_out
        n = int(kept.sum())
        if not n:
            return gains
        here = kept[firings.token]
        number = kept.cumsum(0) - 1
        x = x[kept]
        fired = Firings(number[firings.token[here]].int(), firings.expert[here], firings.code[here])
        expert = fired.expert.long()
        residual, along, scale, gain = spared(x, fired, smixae)
        scaled = torch.cat([scale[:, None], scale[:, None] * (fired.code / self._code_unit)], dim=1)
        beside = torch.cat([scaled, along * (self._code_unit / self.unit**2)], dim=1)
        pairs = self.fixed(scaled[:, :, None] * beside[:, None, :])
        self.sums["tokens"] += n
        x, residual, gains[here] = x / self.unit, residual / self.unit, gain / self.unit**2
        self.add("x", self.fixed(x).sum(dim=0))
        self.add("x_squared", self.fixed(x.square().sum(dim=1)).sum(dim=0, keepdim=True))
        self.add("residual_squared", self.fixed(residual.square().sum(dim=1)).sum(dim=0, keepdim=True))
        self.add("gain", torch.zeros_like(self.sums["gain"]).index_add_(0, expert, self.fixed(gains[here])))
        self.add("pairs", torch.zeros_like(self.sums["pairs"]).index_add_(0, expert, pairs))
        return gains

    def state(self) -> dict[str, Tensor]:
        """Return everything, as named tensors."""
        return dict(self.sums)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` was taken from."""
        self.sums = {name: state[name] for name in self.sums}


class NormHistogram:
    """How often each expert's norm falls in each bin: logarithmic bins from the threshold up."""

    def __init__(self, n_experts: int, threshold: float, device: torch.device) -> None:
        self.threshold = threshold
        self.counts: Int64[Tensor, "expert bin"] = torch.zeros(n_experts, N_BINS, dtype=torch.int64, device=device)

    def update(self, seen: Observed) -> None:
        """Count a batch."""
        if self.threshold > 0:
            bins = ((seen.norm / self.threshold).log2() * BINS_PER_DOUBLING).long().clamp(0, N_BINS - 1)
        else:
            bins = torch.zeros_like(seen.expert)
        flat = seen.expert * N_BINS + bins
        self.counts += torch.bincount(flat, minlength=self.counts.numel()).view_as(self.counts)

    def merge(self, other: NormHistogram) -> None:
        """Add another part's counts."""
        self.counts += other.counts

    def state(self) -> dict[str, Tensor]:
        """Return everything, as named tensors."""
        return {"counts": self.counts}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` was taken from."""
        self.counts = state["counts"]


class VocabularyCounts:
    """Exact occurrences of every token id in the corpus."""

    def __init__(self, n_vocabulary: int, device: torch.device) -> None:
        self.counts: Int64[Tensor, "vocabulary"] = torch.zeros(n_vocabulary, dtype=torch.int64, device=device)

    def update(self, seen: Observed) -> None:
        """Count a batch."""
        ids = seen.tokens.token_id
        self.counts.index_add_(0, ids, torch.ones_like(ids, dtype=torch.int64))

    def merge(self, other: VocabularyCounts) -> None:
        """Add another part's counts."""
        self.counts += other.counts

    def state(self) -> dict[str, Tensor]:
        """Return everything, as named tensors."""
        return {"counts": self.counts}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` was taken from."""
        self.counts = state["counts"]
