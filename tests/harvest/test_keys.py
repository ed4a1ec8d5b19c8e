"""Keys are a fixed hash: the same as slow integers give, different for every part, and spread evenly."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch

from atlas.activations.stream import Tokens
from atlas.harvest.keys import chunk_key, firing_hashes, keys, token_hashes

WORD = 2**64 - 1
PARTS = ("document", "window", "position", "expert")


def slow_hash(seed: int, corpus: str, *parts: int) -> int:
    """splitmix64's finaliser over one identity, in Python's own integers."""
    found = int.from_bytes(hashlib.blake2b(f"{seed} {corpus}".encode(), digest_size=8).digest(), "little")
    for part in parts:
        found = (found + part + 0x9E3779B97F4A7C15) & WORD
        found = ((found ^ found >> 30) * 0xBF58476D1CE4E5B9) & WORD
        found = ((found ^ found >> 27) * 0x94D049BB133111EB) & WORD
        found ^= found >> 31
    return found


def tokens_at(document: torch.Tensor, window: torch.Tensor, position: torch.Tensor) -> Tokens:
    """Tokens at these places, of the types that a stream gives them."""
    zeros = torch.zeros_like(document)
    return Tokens(document, window.int(), position.int(), zeros.int(), zeros, zeros.bool())


def firing_keys(
    seed: int, corpus: str, document: torch.Tensor, window: torch.Tensor, position: torch.Tensor, expert: torch.Tensor
) -> torch.Tensor:
    return keys(firing_hashes(token_hashes(seed, corpus, tokens_at(document, window, position)), expert))


def places(n: int = 500) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    limits = {"document": 2**40, "window": 2**24, "position": 4096, "expert": 2**16}
    return {name: torch.from_numpy(rng.integers(0, limit, n)) for name, limit in limits.items()}


def one(**changed: Any) -> int:
    given: dict[str, Any] = {"seed": 3, "corpus": "docs", "document": 5, "window": 1, "position": 7, "expert": 11, **changed}
    document, window, position, expert = (torch.tensor([given[part]]) for part in PARTS)
    return int(firing_keys(given["seed"], given["corpus"], document, window, position, expert))


@pytest.mark.parametrize(("seed", "corpus"), [(0, "python-docs"), (-1, "größer.txt"), (2**70, "")], ids=["plain", "text", "huge"])
def test_hashes_equal_those_of_plain_integers(seed: int, corpus: str) -> None:
    parts = places()
    rows = list(zip(*(column.tolist() for column in parts.values()), strict=True))

    of_tokens = token_hashes(seed, corpus, tokens_at(parts["document"], parts["window"], parts["position"]))
    of_firings = firing_hashes(of_tokens, parts["expert"])

    assert [found & WORD for found in of_tokens.tolist()] == [slow_hash(seed, corpus, *row[:3]) for row in rows]
    assert [found & WORD for found in of_firings.tolist()] == [slow_hash(seed, corpus, *row) for row in rows]
    assert keys(of_firings).tolist() == [slow_hash(seed, corpus, *row) & (2**63 - 1) for row in rows]


def test_key_of_one_known_firing_never_changes() -> None:
    """Atlases of two versions show the same sample only while this number stands."""
    assert one() == 9_213_906_793_160_542_086


@pytest.mark.parametrize(
    "changed",
    [{"seed": 4}, {"corpus": "docs2"}, {"document": 6}, {"window": 2}, {"position": 8}, {"expert": 12}],
    ids=lambda changed: next(iter(changed)),
)
def test_each_part_changes_the_key(changed: dict[str, Any]) -> None:
    assert one(**changed) != one()


def test_parts_are_not_interchangeable() -> None:
    assert one(window=7, position=1) != one(window=1, position=7)


def test_key_does_not_depend_on_its_neighbours() -> None:
    parts = places()

    together = firing_keys(1, "docs", **parts)

    alone = firing_keys(1, "docs", **{name: column[17:18] for name, column in parts.items()})
    assert together[17] == alone[0]


def test_keys_of_consecutive_firings_are_spread_evenly_and_never_negative() -> None:
    """Neighbours in document, position and expert, as a harvest meets them: the worst case for a weak hash."""
    document, position, expert = (grid.flatten() for grid in torch.meshgrid(*(torch.arange(40),) * 3, indexing="ij"))

    found = firing_keys(0, "docs", document, torch.zeros_like(document), position, expert)

    assert found.min() >= 0
    assert len(found.unique()) == len(found)
    counts = np.bincount((found >> 57).numpy(), minlength=64)
    expected = len(found) / 64
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    # 63 degrees of freedom: 30 to 110 holds all but one in ten thousand of truly uniform samples.
    assert 30 < chi_squared < 110
    set_bits = [(found >> bit & 1).double().mean().item() for bit in range(63)]
    assert np.abs(np.array(set_bits) - 0.5).max() < 5 * 0.5 / len(found) ** 0.5


# Chunks


def chosen(share: float, seed: int = 0, corpus: str = "docs") -> set[int]:
    return {chunk for chunk in range(2000) if chunk_key(seed, corpus, chunk) < share * 2**64}


def test_keys_of_chunks_are_uniform() -> None:
    # Five standard deviations of a binomial count.
    assert abs(len(chosen(0.1)) - 200) < 5 * (2000 * 0.1 * 0.9) ** 0.5
    assert abs(len(chosen(0.5)) - 1000) < 5 * (2000 * 0.25) ** 0.5
    assert (len(chosen(0.0)), len(chosen(1.0))) == (0, 2000)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"corpus": "docs2"}], ids=["seed", "corpus"])
def test_chunks_are_chosen_anew_for_each_seed_and_corpus(changed: dict[str, Any]) -> None:
    # Of two independent halves a quarter of all is common.
    assert abs(len(chosen(0.5) & chosen(0.5, **changed)) - 500) < 5 * (2000 * 0.25 * 0.75) ** 0.5
