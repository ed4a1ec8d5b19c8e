"""The hash by which samples are chosen and ties are broken."""

from __future__ import annotations

import hashlib

import torch
from jaxtyping import Int64
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def firing_keys(
    seed: int,
    corpus: str,
    document: Int64[Tensor, "firing"],
    window: Int64[Tensor, "firing"],
    position: Int64[Tensor, "firing"],
    expert: Int64[Tensor, "firing"],
) -> Int64[Tensor, "firing"]:
    """Return a 63-bit hash of each firing's whole identity: the same wherever and whenever the firing is met.

    Each part is mixed in by splitmix64's finaliser (Steele, Lea and Flood 2014).
    """
    start = int.from_bytes(hashlib.blake2b(f"{seed} {corpus}".encode(), digest_size=8).digest(), "little")
    key = torch.full_like(document, _signed(start))
    for part in (document, window, position, expert):
        key = _mixed(key + part + _signed(_GOLDEN))
    return key & (2**63 - 1)


def _mixed(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)) * _signed(_FIRST)
    x = (x ^ _shifted(x, 27)) * _signed(_SECOND)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift right without copying the sign, which torch's int64 has and the hash's 64 bits have not."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
