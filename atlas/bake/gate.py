"""What the gate sees: the map from an expert's contribution, as it is drawn, back to its code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Array = npt.NDArray[Any]

DRAWN_AXES = 3
LEAST_STRENGTH = 1e-6
"""Of a decoder's weakest direction, over its strongest, below which nothing of the code is found in the contribution."""
FIGURES = 7
"""Significant ones of the matrix; a weak direction multiplies what is rounded away."""
_ENTRIES = np.triu_indices(DRAWN_AXES)
_TOO_WIDE = "Its code has {d_code} numbers, and only the first three axes of its contribution are drawn."
_WRITES_LESS = "Its decoder writes into fewer directions than its code has numbers: its contribution does not tell its code."


class Gates:
    """The maps of all experts."""

    def __init__(self, code_axes: pl.DataFrame, *, d_code: int, threshold: float) -> None:
        """Take the rows of the table `code_axes`."""
        self._absent = _TOO_WIDE.format(d_code=d_code) if d_code > DRAWN_AXES else _WRITES_LESS
        self._threshold = threshold
        self._matrices: Mapping[int, Array] = {}
        if d_code <= DRAWN_AXES and len(code_axes):
            every = code_axes.sort("expert", "axis")
            # A row is an axis: a contribution is the code times the transpose.
            axes = np.array(every["code"].to_list(), np.float64).reshape(-1, d_code, d_code).transpose(0, 2, 1)
            experts = every["expert"].to_list()[::d_code]
            self._matrices = {expert: matrix for expert, matrix in zip(experts, turned(axes), strict=True) if matrix is not None}

    def payload(self, expert: int) -> dict[str, Any]:
        """Return the upper half of an expert's symmetric `matrix`, row by row, and the `threshold`; or why it is `absent`."""
        matrix = self._matrices.get(expert)
        if matrix is None:
            return {"absent": self._absent}
        return {"matrix": [float(f"{entry:.{FIGURES}g}") for entry in matrix[_ENTRIES]], "threshold": self._threshold}


def turned(axes: Array) -> list[Array | None]:
    """Return, of maps from code to contribution (expert, d_code, axis), those from drawn contribution to code, (3, 3) each.

    A code's own axes are arbitrary: any rotation of them, undone in encoder and decoder, is the same expert. So each code is
    turned to lie as its contribution does. With the inverse map U·S·Vᵀ that is U·S·Uᵀ, which is symmetric and keeps every norm.
    None where a decoder is degenerate.
    """
    d_code = axes.shape[1]
    # The map itself is V·S⁻¹·Uᵀ.
    _, strength, rows = np.linalg.svd(axes)
    is_known = strength[:, -1] > LEAST_STRENGTH * strength[:, 0]
    inverse = 1 / np.where(is_known[:, None], strength, 1.0)
    matrices = np.zeros((len(axes), DRAWN_AXES, DRAWN_AXES))
    matrices[:, :d_code, :d_code] = np.einsum("eki,ek,ekj->eij", rows, inverse, rows)
    return [matrix if known else None for matrix, known in zip(matrices, is_known, strict=True)]
