"""Tables of which one expert's rows are had without a frame for each of thousands."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Array = npt.NDArray[Any]

FIGURES = 5
"""Significant ones of what is written of a number."""


class ByExpert:
    """A table, sorted by expert; the rows of each stay in their order."""

    def __init__(self, rows: pl.DataFrame) -> None:
        rows = rows.sort("expert", maintain_order=True)
        experts = rows["expert"].to_numpy()
        self._starts = np.searchsorted(experts, np.arange(experts.max(initial=-1) + 2)).tolist()
        self._columns = {column.name: _held(column) for column in rows.get_columns()}

    def __contains__(self, expert: int) -> bool:
        first, end = self._place(expert)
        return end > first

    def column(self, expert: int, name: str) -> Array:
        """Return one column of an expert's rows."""
        first, end = self._place(expert)
        return self._columns[name][first:end]

    def columns(self, expert: int, *names: str) -> dict[str, list[Any]]:
        """Return columns of an expert's rows."""
        first, end = self._place(expert)
        return {name: self._columns[name][first:end].tolist() for name in names}

    def rows(self, expert: int) -> list[dict[str, Any]]:
        """Return an expert's rows."""
        columns = self.columns(expert, *self._columns)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _place(self, expert: int) -> tuple[int, int]:
        return (self._starts[expert], self._starts[expert + 1]) if expert + 1 < len(self._starts) else (0, 0)


def _held(column: pl.Series) -> Array:
    """Return a column as an array, of objects where it has texts or lists, or lacks a value."""
    if column.dtype.is_numeric() and not column.null_count():
        return column.to_numpy()
    objects = np.empty(len(column), object)
    objects[:] = column.to_list()
    return objects


def rounded(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with their numbers as they are written: no figure that a reader could use is lost."""
    return rows.with_columns(pl.selectors.float().cast(pl.Float64).round_sig_figs(FIGURES))
