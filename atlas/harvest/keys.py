"""The hash by which samples are chosen and ties are broken."""

from __future__ import annotations

import hashlib

import torch
from jaxtyping import Int64
from torch import Tensor

from atlas.activations.stream import Tokens

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def token_hashes(seed: int, corpus: str, tokens: Tokens) -> Int64[Tensor, "token"]:
    """Return a 64-bit hash of each token's place: the same wherever and whenever the token is met.

    Each part of the place is mixed in by splitmix64's finaliser (Steele, Lea and Flood 2014).
    """
    start = int.from_bytes(hashlib.blake2b(f"{seed} {corpus}".encode(), digest_size=8).digest(), "little")
    found = torch.full_like(tokens.document, _signed(start))
    for part in (tokens.document, tokens.window, tokens.position):
        found = _mixed(found, part)
    return found


def firing_hashes(token_hash: Int64[Tensor, "firing"], expert: Int64[Tensor, "firing"]) -> Int64[Tensor, "firing"]:
    """Return a 64-bit hash of each firing: its token's, with the expert mixed in."""
    return _mixed(token_hash, expert)


def keys(hashes: Int64[Tensor, "*any"]) -> Int64[Tensor, "*any"]:
    """Return hashes as keys to sort by, from 0 to 2⁶³ - 1."""
    return hashes & (2**63 - 1)


def chunk_key(seed: int, corpus: str, chunk: int) -> int:
    """Return a 64-bit hash of a chunk's number."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {corpus} chunk {chunk}".encode(), digest_size=8).digest(), "little")


def _mixed(x: Tensor, part: Tensor) -> Tensor:
    x = x + part + _signed(_GOLDEN)
    x = (x ^ _shifted(x, 30)) * _signed(_FIRST)
    x = (x ^ _shifted(x, 27)) * _signed(_SECOND)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shift right without copying the sign, which torch's int64 has and the hash's 64 bits have not."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
