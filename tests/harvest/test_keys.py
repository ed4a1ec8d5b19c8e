"""Firing keys are a fixed hash: the same as slow integers give, different for every part, and spread evenly."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch

from atlas.harvest.keys import firing_keys

WORD = 2**64 - 1
PARTS = ("document", "window", "position", "expert")


def slow_key(seed: int, corpus: str, *parts: int) -> int:
    """splitmix64's finaliser over one identity, in Python's own integers."""
    key = int.from_bytes(hashlib.blake2b(f"{seed} {corpus}".encode(), digest_size=8).digest(), "little")
    for part in parts:
        key = (key + part + 0x9E3779B97F4A7C15) & WORD
        key = ((key ^ key >> 30) * 0xBF58476D1CE4E5B9) & WORD
        key = ((key ^ key >> 27) * 0x94D049BB133111EB) & WORD
        key ^= key >> 31
    return key & (2**63 - 1)


def identities(n: int = 500) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    limits = {"document": 2**40, "window": 2**24, "position": 4096, "expert": 2**16}
    return {name: torch.from_numpy(rng.integers(0, limit, n)) for name, limit in limits.items()}


def one(**changed: Any) -> int:
    given: dict[str, Any] = {"seed": 3, "corpus": "docs", "document": 5, "window": 1, "position": 7, "expert": 11, **changed}
    return int(firing_keys(given["seed"], given["corpus"], *(torch.tensor([given[part]]) for part in PARTS)))


@pytest.mark.parametrize(("seed", "corpus"), [(0, "python-docs"), (-1, "größer.txt"), (2**70, "")], ids=["plain", "text", "huge"])
def test_keys_equal_those_of_plain_integers(seed: int, corpus: str) -> None:
    parts = identities()

    keys = firing_keys(seed, corpus, *parts.values())

    columns = zip(*(column.tolist() for column in parts.values()), strict=True)
    assert keys.tolist() == [slow_key(seed, corpus, *row) for row in columns]


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
    parts = identities()

    together = firing_keys(1, "docs", *parts.values())

    alone = firing_keys(1, "docs", *(column[17:18] for column in parts.values()))
    assert together[17] == alone[0]


def test_keys_of_consecutive_firings_are_spread_evenly_and_never_negative() -> None:
    """Neighbours in document, position and expert, as a harvest meets them: the worst case for a weak hash."""
    document, position, expert = (grid.flatten() for grid in torch.meshgrid(*(torch.arange(40),) * 3, indexing="ij"))

    keys = firing_keys(0, "docs", document, torch.zeros_like(document), position, expert)

    assert keys.min() >= 0
    assert len(keys.unique()) == len(keys)
    counts = np.bincount((keys >> 57).numpy(), minlength=64)
    expected = len(keys) / 64
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    # 63 degrees of freedom: 30 to 110 holds all but one in ten thousand of truly uniform samples.
    assert 30 < chi_squared < 110
    set_bits = [(keys >> bit & 1).double().mean().item() for bit in range(63)]
    assert np.abs(np.array(set_bits) - 0.5).max() < 5 * 0.5 / len(keys) ** 0.5
