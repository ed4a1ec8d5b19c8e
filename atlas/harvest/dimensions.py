"""How much of an expert's importance is left where its contributions lie on a few axes only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

ENOUGH = 0.9
"""The share of importance that the dimensions needed must keep."""

LEAST_STRENGTH = 1e-8
"""Of a decoder's strongest direction, in squared length: what is weaker would divide the rounding of its products."""


def importance_kept(
    gram: Float[np.ndarray, "expert d_code d_code"],
    pairs: Float[np.ndarray, "expert 1+d_code 1+2*d_code"],
    gain: Float[np.ndarray, "expert"],
) -> Float64[np.ndarray, "expert rank"]:
    """Return the share of its gain that each expert keeps with its mean contribution and 0, 1, … d_code principal axes of them.

    1 is all of it. Axes and mean are of the very firings that the gain is of, weighted by the squared scale of their rows. With
    fewer axes a share may be below 0, or above that of more: an expert may spoil along one axis what it mends along another. NaN
    where the gain is not above 0.

    `pairs` are those of `Errors`, `gain` is in the units of z·D·r there; `gram` is D·Dᵀ of decoders that take codes as `pairs`
    has them to lengths in the root of that unit.
    """
    n_experts, d_code, _ = gram.shape
    weight, total, weighted = pairs[:, 0, 0], pairs[:, 0, 1 : 1 + d_code], pairs[:, 0, 1 + d_code :]
    mean = total / np.where(weight > 0, weight, 1.0)[:, None]
    # Of codes about their mean: with each other, and with D·r.
    spread = pairs[:, 1:, 1 : 1 + d_code] - mean[:, :, None] * total[:, None, :]
    along = pairs[:, 1:, 1 + d_code :] - mean[:, :, None] * weighted[:, None, :]

    # The same of contributions z·L, with U·r, where D = L·U and U has orthonormal rows.
    strength, directions = np.linalg.eigh(gram.astype(np.float64))
    strong = strength > LEAST_STRENGTH * strength[:, -1:]
    length = np.sqrt(np.where(strong, strength, 0.0))
    outward = directions * length[:, None, :]
    inward = directions * np.divide(1.0, length, out=np.zeros_like(length), where=strong)[:, None, :]
    variance, axes = (found[..., ::-1] for found in np.linalg.eigh(outward.transpose(0, 2, 1) @ spread @ outward))
    across = np.einsum("eka,ekl,ela->ea", axes, outward.transpose(0, 2, 1) @ along @ inward, axes)

    # To leave δ out of z·D adds 2s·δ·r + s²·‖δ‖² to the error: along each axis by itself, since they are orthogonal.
    lost = np.zeros((n_experts, d_code + 1))
    lost[:, :-1] = np.cumsum((2 * across + variance)[:, ::-1], axis=1)[:, ::-1]
    return 1 - np.divide(lost, gain[:, None], out=np.full_like(lost, np.nan), where=gain[:, None] > 0)


def dimensions_needed(kept: Float[np.ndarray, "expert rank"]) -> Float64[np.ndarray, "expert"]:
    """Return the fewest axes with which each expert keeps `ENOUGH` of its importance, 0 if its mean does; NaN where `kept` is."""
    return np.where(np.isnan(kept).any(axis=1), np.nan, np.argmax(kept >= ENOUGH, axis=1))
