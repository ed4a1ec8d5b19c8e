"""Windows of token ids ► contexts round a firing ► texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Array = npt.NDArray[Any]
OUTSIDE = -1
"""Stands where a context reaches past its window."""


class Windows:
    """The windows of one task, flat."""

    def __init__(self, windows: pl.DataFrame) -> None:
        windows = windows.sort("window")
        self.number = windows["window"].to_numpy()
        self._lengths = windows["tokens"].list.len().to_numpy().astype(np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._tokens = windows["tokens"].explode(empty_as_null=False).to_numpy()

    def around(self, window: Array, position: Array, *, before: int, after: int) -> Array:
        """Return token ids round positions, shape (context, before + 1 + after), OUTSIDE where there is none."""
        row = np.searchsorted(self.number, window)
        offset = position[:, None] + np.arange(-before, after + 1)
        inside = (offset >= 0) & (offset < self._lengths[row, None])
        return np.where(inside, self._tokens[np.where(inside, self._starts[row, None] + offset, 0)], OUTSIDE)


class Texts:
    """The texts of the tokens that one payload needs, the most frequent first; index 0 stands for no token."""

    def __init__(self, vocabulary: dict[int, str], *ids: Array) -> None:
        seen, counts = np.unique(np.concatenate([np.empty(0, np.int64), *map(np.ravel, ids)]), return_counts=True)
        kept = seen != OUTSIDE
        seen, counts = seen[kept], counts[kept]
        by_count = np.lexsort((seen, -counts))
        self._ids = seen
        self._index = np.empty(len(seen), np.int64)
        self._index[by_count] = np.arange(1, len(seen) + 1)
        self.list = ["", *(vocabulary[int(token)] for token in seen[by_count])]

    def index(self, ids: Array) -> Array:
        """Return token ids as places in `list`."""
        if not len(self._ids):
            return np.zeros(ids.shape, np.int64)
        place = np.searchsorted(self._ids, ids).clip(0, len(self._ids) - 1)
        return np.where(ids == OUTSIDE, 0, self._index[place])
