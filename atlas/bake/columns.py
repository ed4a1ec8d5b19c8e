"""Columns of the table that the page starts with, each in the shortest of three forms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import WIDEST, Typed, narrow, typed

Array = npt.NDArray[Any]


def counts(column: pl.Series) -> Typed:
    """Return whole numbers from 0 up, or truth values as 0 and 1, in the fewest bytes that hold them."""
    return typed(narrow(column.cast(pl.Int64).to_numpy()))


def large_counts(column: pl.Series) -> dict[str, Any]:
    """Return whole numbers as `counts` does; where four bytes do not hold them, as so many different values."""
    return few(column) if (column >= WIDEST).any() else counts(column)


def floats(column: pl.Series) -> Array:
    """Return numbers as the page has them: float32, NaN where there is none."""
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float32)


def few(values: Iterable[Any]) -> dict[str, Any]:
    """Return values of which there are few different ones, None or lists among them: the different ones, and where each is."""
    seen: dict[Any, int] = {}
    at = [seen.setdefault(tuple(value) if isinstance(value, list) else value, len(seen)) for value in values]
    return {"values": list(seen), "at": typed(narrow(np.array(at, np.int64)))}


def text(values: Sequence[str]) -> dict[str, Any]:
    """Return texts end to end with their lengths, counted as scripts count: in UTF-16 code units."""
    lengths = [len(value.encode("utf-16-le")) // 2 for value in values]
    return {"text": "".join(values), "lengths": typed(narrow(np.array(lengths, np.int64)))}
