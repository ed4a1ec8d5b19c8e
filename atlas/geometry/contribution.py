"""Contributions: a code in an orthonormal basis of its expert's own output space, turned to the principal axes of a sample.

The model receives z·D, not z. With L·Lᵀ = D·Dᵀ, distances between contributions z·L are distances in the residual stream.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Integer
from numpy.typing import NDArray

N_AXES = 3
"""Coordinates that are drawn: padded with zeros for narrower codes, the first three axes of wider ones."""

ROUNDING = 1e-24
"""Spread, in units of the sum of squares, up to which firings differ by no more than the rounding of their mean."""


class Axes(NamedTuple):
    """The principal axes of every expert's sampled contributions, widest first."""

    code: Float64[np.ndarray, "expert d_code axis"]
    """Maps codes to places on the axes, as `code @ axes.code[expert]`; there are d_code axes."""
    variance: Float64[np.ndarray, "expert axis"]
    """Of the sample along each axis, about its mean, in squares of residual-stream units; 0 without firings."""


def axes(
    gram: Float[np.ndarray, "expert d_code d_code"],
    expert: Integer[np.ndarray, "firing"],
    code: Float[np.ndarray, "firing d_code"],
) -> Axes:
    """Return each expert's map from code to all its principal axes, z·L·R, and the variance along them.

    R turns to the principal axes of the expert's sampled contributions; an axis points where its sample is skewed to. An expert
    whose sample has no spread keeps the axes of its decoder D, the strongest first. `gram` is D·Dᵀ.
    """
    n_experts, d_code, _ = gram.shape
    strength, directions = np.linalg.eigh(gram.astype(np.float64))
    basis = (directions * np.sqrt(np.maximum(strength, 0))[:, None, :])[:, :, ::-1]

    contribution = np.einsum("fc,fcd->fd", code.astype(np.float64), basis[expert])
    n = np.maximum(np.bincount(expert, minlength=n_experts), 1)
    mean = _sums(expert, contribution, n_experts) / n[:, None]
    centred = contribution - mean[expert]
    covariance = _sums(expert, centred[:, :, None] * centred[:, None, :], n_experts) / n[:, None, None]
    spread, rotation = (found[..., ::-1] for found in np.linalg.eigh(covariance))
    has_none = spread.sum(axis=1) <= ROUNDING * (mean**2).sum(axis=1)
    variance = np.where(has_none[:, None], 0.0, np.maximum(spread, 0))
    rotation = np.where(has_none[:, None, None], np.eye(d_code), rotation)
    skew = _sums(expert, np.einsum("fd,fde->fe", centred, rotation[expert]) ** 3, n_experts)
    sign = np.where((skew < 0) & ~has_none[:, None], -1.0, 1.0)
    return Axes(basis @ rotation * sign[:, None, :], variance)


def frames(
    gram: Float[np.ndarray, "expert d_code d_code"],
    expert: Integer[np.ndarray, "firing"],
    code: Float[np.ndarray, "firing d_code"],
) -> Float64[np.ndarray, "expert d_code 3"]:
    """Return each expert's map from code to drawn coordinates: the first three of its `axes`, padded with zeros."""
    n_experts, d_code, _ = gram.shape
    drawn = np.zeros((n_experts, d_code, N_AXES))
    drawn[:, :, : min(d_code, N_AXES)] = axes(gram, expert, code).code[:, :, :N_AXES]
    return drawn


def coordinates(
    frame: Float[np.ndarray, "expert d_code 3"],
    expert: Integer[np.ndarray, "firing"],
    code: Float[np.ndarray, "firing d_code"],
) -> Float[np.ndarray, "firing 3"]:
    """Return the drawn coordinates of firings, in residual-stream units."""
    return np.einsum("fc,fcd->fd", code.astype(np.float64), frame[expert]).astype(np.float32)


def _sums(expert: Integer[np.ndarray, "firing"], values: NDArray[Any], n_experts: int) -> NDArray[Any]:
    """Return the sum of each expert's values, added in the order they stand in."""
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    sums = [np.bincount(expert, weights=column, minlength=n_experts) for column in flat.T]
    return np.stack(sums, axis=1).reshape(n_experts, *values.shape[1:])
