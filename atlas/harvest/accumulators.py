"""What is kept of a corpus: each thing is updated block by block, merged exactly, saved and restored.

Merging is associative and commutative to the bit: counts are int64, sums are int64 fixed point, and samples are chosen by a hash
of what a firing is, never by when it arrived.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from atlas.activations.stream import Tokens
from atlas.dictionary import Firings, Smixae
from atlas.errors import SumOverflow
from atlas.harvest.keys import firing_keys

FIXED_POINT = 2**20
"""Units of a fixed-point sum in one unit of what is summed."""

BINS_PER_DOUBLING = 8
N_BINS = 64
"""Bins of the norm histogram, from the threshold to 2⁸ times it; the last one is open."""


class Observed(NamedTuple):
    """One block of real rows with what the dictionary made of them."""

    x: Float[Tensor, "token d_in"]
    residual: Float[Tensor, "token d_in"]
    """x minus its reconstruction."""
    tokens: Tokens
    row: Int64[Tensor, "firing"]
    """Row of the block that each firing is on."""
    expert: Int64[Tensor, "firing"]
    code: Float[Tensor, "firing d_code"]
    norm: Float[Tensor, "firing"]
    gain: Float[Tensor, "firing"]
    """How much the row's squared error would grow without this firing's contribution."""
    key: Int64[Tensor, "firing"]


def observe(x: Float[Tensor, "token d_in"], firings: Firings, tokens: Tokens, smixae: Smixae, seed: int, corpus: str) -> Observed:
    """Return the block's real rows with the firings on them; `x` and `firings` may go on into padding rows."""
    n_real = len(tokens.document)
    residual = (x - smixae.reconstruction(firings, x))[:n_real]
    real = firings.token < n_real
    row, expert, code = firings.token[real].long(), firings.expert[real].long(), firings.code[real]
    # ‖r + szD‖² - ‖r‖² = 2s z·(D r) + s²‖zD‖², with r the residual, D the expert's decoder and s the scale of the row.
    along = (residual @ smixae.decoder.flatten(0, 1).T).view(n_real, smixae.n_experts, smixae.d_code)[row, expert]
    energy = (torch.bmm(code[:, None], smixae.decoder_gram[expert])[:, 0] * code).sum(dim=1)
    scale = smixae.row_scale(x)[row]
    key = firing_keys(seed, corpus, tokens.document[row], tokens.window[row].long(), tokens.position[row].long(), expert)
    return Observed(
        x=x[:n_real],
        residual=residual,
        tokens=tokens,
        row=row,
        expert=expert,
        code=code,
        norm=code.norm(dim=1),
        gain=scale * (2 * (code * along).sum(dim=1) + scale * energy),
        key=key,
    )


class Totals:
    """Counts and sums: tokens, firings, norms, importance, and the error of the whole dictionary on held-out rows."""

    def __init__(self, n_experts: int, d_in: int, device: torch.device) -> None:
        def zeros(n: int) -> Tensor:
            return torch.zeros(n, dtype=torch.int64, device=device)

        self.sums: dict[str, Int64[Tensor, "entry"]] = {
            "tokens": zeros(1),
            "held_out_tokens": zeros(1),
            "firings": zeros(n_experts),
            "held_out_firings": zeros(n_experts),
            "norm": zeros(n_experts),
            "gain": zeros(n_experts),
            "x": zeros(d_in),
            "x_squared": zeros(1),
            "residual_squared": zeros(1),
        }
        self.max_norm: Float32[Tensor, "expert"] = torch.zeros(n_experts, device=device)

    def update(self, seen: Observed) -> None:
        """Add one block."""
        held_out = seen.tokens.held_out
        firing_held_out = held_out[seen.row]
        n_experts = len(self.max_norm)
        self.sums["tokens"] += len(held_out)
        self.sums["held_out_tokens"] += held_out.sum()
        self.sums["firings"] += torch.bincount(seen.expert, minlength=n_experts)
        self.sums["held_out_firings"] += torch.bincount(seen.expert[firing_held_out], minlength=n_experts)
        self._add("norm", _per_expert(seen.norm, seen.expert, n_experts))
        self._add("gain", _per_expert(seen.gain[firing_held_out], seen.expert[firing_held_out], n_experts))
        self.max_norm.scatter_reduce_(0, seen.expert, seen.norm, "amax")
        x, residual = seen.x[held_out], seen.residual[held_out]
        self._add("x", _fixed(x).sum(dim=0))
        self._add("x_squared", _fixed(x.square().sum(dim=1)).sum(dim=0, keepdim=True))
        self._add("residual_squared", _fixed(residual.square().sum(dim=1)).sum(dim=0, keepdim=True))

    def _add(self, name: str, part: Int64[Tensor, "entry"]) -> None:
        total = self.sums[name]
        if int(total.abs().max()) + int(part.abs().max()) >= 2**62:
            raise SumOverflow(f"The sum of {name} left its 64 bits. Map a smaller part of the corpus.")
        total += part

    def merge(self, other: Totals) -> None:
        """Add what another part of the corpus gave."""
        for name, part in other.sums.items():
            self._add(name, part)
        self.max_norm = torch.maximum(self.max_norm, other.max_norm)

    def state(self) -> dict[str, Tensor]:
        """Return everything, as named tensors."""
        return {**self.sums, "max_norm": self.max_norm}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Totals:
        """Return what `state` was taken from."""
        restored = cls(len(state["firings"]), len(state["x"]), state["firings"].device)
        restored.max_norm = state["max_norm"]
        restored.sums = {name: state[name] for name in restored.sums}
        return restored


def _fixed(values: Float[Tensor, "*any"]) -> Int64[Tensor, "*any"]:
    """Return values as fixed-point integers, which add up to the same in any order.

    Raises:
        SumOverflow: a block of such values could overflow by itself.
    """
    if values.numel() and float(values.abs().max()) * FIXED_POINT >= 2**50:
        raise SumOverflow(f"A value of {float(values.abs().max()):.3g} is too large for the fixed-point sums of a harvest.")
    return (values.double() * FIXED_POINT).round().long()


def _per_expert(values: Float[Tensor, "firing"], expert: Int64[Tensor, "firing"], n_experts: int) -> Int64[Tensor, "expert"]:
    """Return the fixed-point sum of each expert's values."""
    total = torch.zeros(n_experts, dtype=torch.int64, device=values.device)
    return total.index_add_(0, expert, _fixed(values))


class NormHistogram:
    """How often each expert's norm falls in each bin: logarithmic bins from the threshold up."""

    def __init__(self, n_experts: int, threshold: float, device: torch.device) -> None:
        self.threshold = threshold
        self.counts: Int64[Tensor, "expert bin"] = torch.zeros(n_experts, N_BINS, dtype=torch.int64, device=device)

    def update(self, seen: Observed) -> None:
        """Count one block."""
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
        return {"counts": self.counts, "threshold": torch.tensor(self.threshold, dtype=torch.float64)}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> NormHistogram:
        """Return what `state` was taken from."""
        restored = cls(len(state["counts"]), float(state["threshold"]), state["counts"].device)
        restored.counts = state["counts"]
        return restored


class VocabularyCounts:
    """Exact occurrences of every token id in the corpus."""

    def __init__(self, n_vocabulary: int, device: torch.device) -> None:
        self.counts: Int64[Tensor, "vocabulary"] = torch.zeros(n_vocabulary, dtype=torch.int64, device=device)

    def update(self, seen: Observed) -> None:
        """Count one block."""
        self.counts += torch.bincount(seen.tokens.token_id.long(), minlength=len(self.counts))

    def merge(self, other: VocabularyCounts) -> None:
        """Add another part's counts."""
        self.counts += other.counts

    def state(self) -> dict[str, Tensor]:
        """Return everything, as named tensors."""
        return {"counts": self.counts}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> VocabularyCounts:
        """Return what `state` was taken from."""
        restored = cls(len(state["counts"]), state["counts"].device)
        restored.counts = state["counts"]
        return restored


class Kept(ABC):
    """Firings chosen per expert, at most `k` each, by an order that is a property of the firing alone.

    Subclasses say which order. Of firings that an expert has in windows of equal content, `distinct` keeps the first only.
    """

    distinct = False

    def __init__(self, n_experts: int, d_code: int, k: int, device: torch.device) -> None:
        self.k = k
        self.n_experts = n_experts
        self.firings: dict[str, Tensor] = {
            "expert": torch.zeros(0, dtype=torch.int64, device=device),
            "key": torch.zeros(0, dtype=torch.int64, device=device),
            "norm": torch.zeros(0, device=device),
            "code": torch.zeros(0, d_code, device=device),
            "document": torch.zeros(0, dtype=torch.int64, device=device),
            "window": torch.zeros(0, dtype=torch.int32, device=device),
            "position": torch.zeros(0, dtype=torch.int32, device=device),
            "token_id": torch.zeros(0, dtype=torch.int32, device=device),
            "content": torch.zeros(0, dtype=torch.int64, device=device),
        }
        self._arrived: list[dict[str, Tensor]] = []
        self.settle()

    @abstractmethod
    def _order(self, firings: dict[str, Tensor]) -> list[Tensor]:
        """Return sort keys, the weightiest last."""

    @abstractmethod
    def _hopeless(self, seen: Observed) -> Bool[Tensor, "firing"]:
        """Return which firings cannot be among the kept, judged by what is kept already."""

    def update(self, seen: Observed) -> None:
        """Offer one block's firings."""
        hopeful = ~self._hopeless(seen)
        row = seen.row[hopeful]
        self._arrived.append(
            {
                "expert": seen.expert[hopeful],
                "key": seen.key[hopeful],
                "norm": seen.norm[hopeful],
                "code": seen.code[hopeful],
                "document": seen.tokens.document[row],
                "window": seen.tokens.window[row],
                "position": seen.tokens.position[row],
                "token_id": seen.tokens.token_id[row],
                "content": seen.tokens.content[row],
            }
        )
        self._n_arrived += len(row)
        if self._n_arrived > max(self.n_experts * self.k, 65_536):
            self.settle()

    def settle(self) -> None:
        """Choose among what is kept and what has arrived since."""
        parts = [self.firings, *self._arrived]
        self.firings = self._chosen({name: torch.cat([part[name] for part in parts]) for name in self.firings})
        self._arrived, self._n_arrived = [], 0
        self._worst_key, self._worst_norm = self._worst("key", 2**63 - 1), self._worst("norm", -1.0)

    def _chosen(self, firings: dict[str, Tensor]) -> dict[str, Tensor]:
        firings = _sorted(firings, self._order(firings))
        if self.distinct:
            # Stable sorts: within (expert, content) firings stay in order, so the first of each is the one to keep.
            by_content = _order([firings["content"], firings["expert"]])
            expert, content = firings["expert"][by_content], firings["content"][by_content]
            repeats = torch.zeros(len(expert), dtype=torch.bool, device=expert.device)
            repeats[1:] = (expert[1:] == expert[:-1]) & (content[1:] == content[:-1])
            first = torch.zeros_like(repeats)
            first[by_content] = ~repeats
            firings = {name: column[first] for name, column in firings.items()}
        rank = ranks(firings["expert"], self.n_experts)
        return {name: column[rank < self.k] for name, column in firings.items()}

    def merge(self, other: Kept) -> None:
        """Offer what another part of the corpus kept."""
        other.settle()
        self._arrived.append(other.firings)
        self.settle()

    def state(self) -> dict[str, Tensor]:
        """Return everything, as named tensors."""
        self.settle()
        return {**self.firings, "k": torch.tensor(self.k), "n_experts": torch.tensor(self.n_experts)}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Kept:
        """Return what `state` was taken from."""
        restored = cls(int(state["n_experts"]), state["code"].shape[1], int(state["k"]), state["code"].device)
        restored.firings = {name: state[name] for name in restored.firings}
        restored.settle()
        return restored

    def _worst(self, name: str, otherwise: float | int) -> Tensor:
        """Return each expert's `name` at rank k - 1, or `otherwise` where fewer are kept."""
        worst = torch.full((self.n_experts,), otherwise, dtype=self.firings[name].dtype, device=self.firings[name].device)
        last = ranks(self.firings["expert"], self.n_experts) == self.k - 1
        worst[self.firings["expert"][last]] = self.firings[name][last]
        return worst


class FiringSample(Kept):
    """A uniform sample of each expert's firings, the k of the smallest key."""

    def _order(self, firings: dict[str, Tensor]) -> list[Tensor]:
        return [firings["key"], firings["expert"]]

    def _hopeless(self, seen: Observed) -> Bool[Tensor, "firing"]:
        return seen.key > self._worst_key[seen.expert]


class TopFirings(Kept):
    """Each expert's strongest firings, one per window content, ties broken by key."""

    distinct = True

    def _order(self, firings: dict[str, Tensor]) -> list[Tensor]:
        return [firings["key"], -firings["norm"], firings["expert"]]

    def _hopeless(self, seen: Observed) -> Bool[Tensor, "firing"]:
        return seen.norm < self._worst_norm[seen.expert]


@dataclass(frozen=True)
class Accumulators:
    """Everything that one pass keeps."""

    totals: Totals
    histogram: NormHistogram
    vocabulary: VocabularyCounts
    sample: FiringSample
    top: TopFirings

    @classmethod
    def empty(cls, smixae: Smixae, n_vocabulary: int, sample: int, top: int) -> Accumulators:
        """Return accumulators that have seen nothing, for `sample` and `top` firings per expert."""
        n, device = smixae.n_experts, smixae.device
        return cls(
            Totals(n, smixae.d_in, device),
            NormHistogram(n, smixae.threshold, device),
            VocabularyCounts(n_vocabulary, device),
            FiringSample(n, smixae.d_code, sample, device),
            TopFirings(n, smixae.d_code, top, device),
        )

    def update(self, seen: Observed) -> None:
        """Add one block."""
        for name in _KINDS:
            getattr(self, name).update(seen)

    def merge(self, other: Accumulators) -> None:
        """Add what another shard kept."""
        for name in _KINDS:
            getattr(self, name).merge(getattr(other, name))

    def state(self) -> dict[str, Tensor]:
        """Return everything, as named tensors on the CPU."""
        return {f"{name}.{key}": value.cpu() for name in _KINDS for key, value in getattr(self, name).state().items()}

    @classmethod
    def from_state(cls, state: dict[str, Tensor], device: torch.device) -> Accumulators:
        """Return what `state` was taken from."""

        def named(name: str) -> dict[str, Tensor]:
            return {key[len(name) + 1 :]: v.to(device) for key, v in state.items() if key.startswith(f"{name}.")}

        return cls(**{name: kind.from_state(named(name)) for name, kind in _KINDS.items()})


_KINDS: dict[str, Any] = {
    "totals": Totals,
    "histogram": NormHistogram,
    "vocabulary": VocabularyCounts,
    "sample": FiringSample,
    "top": TopFirings,
}


def ranks(expert: Int64[Tensor, "firing"], n_experts: int) -> Int64[Tensor, "firing"]:
    """Return each firing's place among its expert's, from 0, where firings stand sorted by expert."""
    starts = torch.searchsorted(expert, torch.arange(n_experts, device=expert.device))
    return torch.arange(len(expert), device=expert.device) - starts[expert]


def _order(keys: list[Tensor]) -> Int64[Tensor, "firing"]:
    """Return the permutation that sorts by the last key, then the one before it, and so on."""
    permutation = torch.arange(len(keys[0]), device=keys[0].device)
    for key in keys:
        permutation = permutation[torch.sort(key[permutation], stable=True).indices]
    return permutation


def _sorted(firings: dict[str, Tensor], keys: list[Tensor]) -> dict[str, Tensor]:
    permutation = _order(keys)
    return {name: column[permutation] for name, column in firings.items()}
