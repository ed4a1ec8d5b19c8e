"""Contributions: a code in an orthonormal basis of its expert's own output space, turned to the principal axes of a sample.

The model receives z·D, not z. With L·Lᵀ = D·Dᵀ, distances between contributions z·L are distances in the residual stream.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from numpy.typing import NDArray

N_AXES = 3
"""Coordinates that are drawn: padded with zeros for narrower codes, the first three axes of wider ones."""


def frames(
    gram: Float[np.ndarray, "expert d_code d_code"],
    expert: Integer[np.ndarray, "firing"],
    code: Float[np.ndarray, "firing d_code"],
) -> Float[np.ndarray, "expert d_code 3"]:
    """Return each expert's map from code to drawn coordinates, z·L·R.

    R turns to the principal axes of the expert's sampled contributions, widest first; an axis points where its sample is
    skewed to. An expert without firings keeps the axes of its decoder D. `gram` is D·Dᵀ.
    """
    n_experts, d_code, _ = gram.shape
    strength, axes = np.linalg.eigh(gram.astype(np.float64))
    basis = (axes * np.sqrt(np.maximum(strength, 0))[:, None, :])[:, :, ::-1]

    contribution = np.einsum("fc,fcd->fd", code.astype(np.float64), basis[expert])
    n = np.maximum(np.bincount(expert, minlength=n_experts), 1)
    mean = _sums(expert, contribution, n_experts) / n[:, None]
    centred = contribution - mean[expert]
    covariance = _sums(expert, centred[:, :, None] * centred[:, None, :], n_experts)
    rotation = np.linalg.eigh(covariance)[1][:, :, ::-1]
    rotation[np.abs(covariance).sum(axis=(1, 2)) == 0] = np.eye(d_code)
    skew = _sums(expert, np.einsum("fd,fde->fe", centred, rotation[expert]) ** 3, n_experts)
    turned = basis @ rotation * np.where(skew < 0, -1.0, 1.0)[:, None, :]

    drawn = np.zeros((n_experts, d_code, N_AXES))
    drawn[:, :, : min(d_code, N_AXES)] = turned[:, :, :N_AXES]
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
