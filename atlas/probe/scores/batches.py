"""Firings cut into blocks of experts that fire about equally often, padded to one length: what batched fits work on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from numpy.typing import NDArray

BLOCK_NUMBERS = 300_000
"""Numbers in one array of a block: small enough for a processor's cache, large enough that a block's overhead is nothing."""

EPSILON = float(np.finfo(np.float64).eps)


class Grouped(NamedTuple):
    """Firings, those of an expert beside one another and in the order of their rows."""

    row: Int64[np.ndarray, "firing"]
    expert: Int64[np.ndarray, "firing"]
    code: Float64[np.ndarray, "firing d_code"]
    """In the expert's own standard units."""
    middle: Float64[np.ndarray, "expert d_code"]
    """The mean code in those units: how far from zero the code was."""
    first: Int64[np.ndarray, "expert"]
    """Index of the expert's first firing."""
    n: Int64[np.ndarray, "expert"]


class Block(NamedTuple):
    """Some experts, and for each a line of firings as long as the longest."""

    expert: Int64[np.ndarray, "unit"]
    firing: Int64[np.ndarray, "unit place"]
    """Index of a firing; where there is none, of any."""
    there: Bool[np.ndarray, "unit place"]


def grouped(
    row: Int64[np.ndarray, "firing"],
    expert: Int64[np.ndarray, "firing"],
    code: Float[np.ndarray, "firing d_code"],
    n_experts: int,
) -> Grouped:
    """Return firings by expert and row, each expert's codes shifted and scaled to mean 0 and deviation 1.

    No fit depends on that but by rounding: it keeps tiny or far-off codes from losing their digits.
    """
    order = np.lexsort((row, expert))
    row, expert, code = row[order], expert[order], code[order].astype(np.float64)
    n = np.bincount(expert, minlength=n_experts)
    mean = means(expert, code, n)
    centred = code - mean[expert]
    variance = means(expert, centred**2, n)
    deviation = np.where(is_constant(variance, mean, n[:, None]), 1.0, np.sqrt(variance))
    return Grouped(row, expert, centred / deviation[expert], mean / deviation, np.cumsum(n) - n, n)


def means(
    cell: Int64[np.ndarray, "firing"], values: Float64[np.ndarray, "firing d"], n: Int64[np.ndarray, "cell"]
) -> Float64[np.ndarray, "cell d"]:
    """Return the mean of the values in each cell, 0 where it is empty."""
    total = [np.bincount(cell, weights=column, minlength=len(n)) for column in values.T]
    return np.stack(total, axis=1) / np.maximum(n, 1)[:, None]


def is_constant(variance: NDArray[Any], mean: NDArray[Any], n: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a variance is no more than the rounding of n equal numbers, by scikit-learn's bound.

    Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", for the two-pass algorithm.
    """
    return variance <= n * EPSILON * variance + (n * mean * EPSILON) ** 2


def blocks(given: Grouped, n: Int64[np.ndarray, "expert"], per_firing: int, per_expert: int = 0) -> Iterator[Block]:
    """Yield all experts, the rarest first, with the first n firings of each.

    A block's largest array holds about `BLOCK_NUMBERS` numbers, if a firing takes `per_firing` and an expert `per_expert`.
    """
    order = np.argsort(n, kind="stable")
    longest = np.maximum(n[order], 1)
    start = 0
    while start < len(order):
        sizes = np.arange(1, len(order) - start + 1) * (longest[start:] * per_firing + per_expert)
        stop = start + max(1, int(np.searchsorted(sizes, BLOCK_NUMBERS, side="right")))
        chosen = order[start:stop]
        place = np.arange(longest[stop - 1])
        there = place < n[chosen, None]
        yield Block(chosen, np.where(there, given.first[chosen, None] + place, 0), there)
        start = stop
