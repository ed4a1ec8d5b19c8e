"""Tables of which one expert's rows are had without a frame for each of thousands."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

FIGURES = 5
"""Significant ones of what is written of a number."""


class ByExpert:
    """A table, sorted by expert; the rows of each stay in their order."""

    def __init__(self, rows: pl.DataFrame) -> None:
        rows = rows.sort("expert", maintain_order=True)
        self._experts = rows["expert"].to_numpy()
        self._columns = {column.name: column for column in rows.get_columns()}

    def __contains__(self, expert: int) -> bool:
        first, end = self._place(expert)
        return end > first

    def column(self, expert: int, name: str) -> pl.Series:
        """Return one column of an expert's rows."""
        first, end = self._place(expert)
        return self._columns[name].slice(first, end - first)

    def columns(self, expert: int, *names: str) -> dict[str, list[Any]]:
        """Return columns of an expert's rows."""
        first, end = self._place(expert)
        return {name: self._columns[name].slice(first, end - first).to_list() for name in names}

    def rows(self, expert: int) -> list[dict[str, Any]]:
        """Return an expert's rows."""
        columns = self.columns(expert, *self._columns)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _place(self, expert: int) -> tuple[int, int]:
        first, end = np.searchsorted(self._experts, [expert, expert + 1]).tolist()
        return first, end


def rounded(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with their numbers as they are written: no figure that a reader could use is lost."""
    return rows.with_columns(pl.selectors.float().cast(pl.Float64).round_sig_figs(FIGURES))
