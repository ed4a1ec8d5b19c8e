"""Windows of token ids ► contexts round a firing ► texts, and the words in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.search import WORD, folded, is_mark

Array = npt.NDArray[Any]
OUTSIDE = -1
"""Stands where a context reaches past its window."""
NO_TOKEN = 0
"""The place of no token among texts."""
BLOCK = 4_096
"""Windows whose words are found at a time."""


class Windows:
    """The windows of one task, flat."""

    def __init__(self, windows: pl.DataFrame, form: Callable[[Array], Array] = np.asarray) -> None:
        """`form` is applied to the token ids."""
        windows = windows.sort("window")
        self.number = windows["window"].to_numpy()
        self.tokens = form(windows["tokens"].explode(empty_as_null=False).to_numpy())
        self.lengths = windows["tokens"].list.len().to_numpy().astype(np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths

    def around(self, window: Array, position: Array, *, before: int, after: int) -> Array:
        """Return token ids round positions, shape (context, before + 1 + after), OUTSIDE where there is none."""
        row = self._row(window)
        offset = position[:, None] + np.arange(-before, after + 1)
        inside = (offset >= 0) & (offset < self.lengths[row, None])
        return np.where(inside, self.tokens[np.where(inside, self.starts[row, None] + offset, 0)], OUTSIDE)

    def span(self, window: Array, position: Array, *, reach: int) -> tuple[Array, Array]:
        """Return the places in `tokens` of the first and the last one within reach of positions."""
        row = self._row(window)
        first, last = np.maximum(position - reach, 0), np.minimum(position + reach, self.lengths[row] - 1)
        return self.starts[row] + first, self.starts[row] + last

    def _row(self, window: Array) -> Array:
        return np.searchsorted(self.number, window)


class Pieces:
    """Tokens as pieces of running text: with the space before a word, without the mark of a word's inside."""

    def __init__(self, vocabulary: Mapping[int, str], form: Callable[[str], str] = str) -> None:
        """`form` is applied to each piece."""
        self._ids = np.array(sorted(vocabulary), np.int64)
        self._texts = np.array([*(form(_piece(vocabulary[token])) for token in sorted(vocabulary)), ""], object)

    def of(self, ids: Array) -> Array:
        """Return the pieces of token ids; of OUTSIDE an empty one."""
        return self._texts[np.where(ids == OUTSIDE, len(self._ids), np.searchsorted(self._ids, ids))]


class Joined(NamedTuple):
    """Contexts as running text."""

    before: list[str]
    token: list[str]
    after: list[str]

    @classmethod
    def of(cls, ids: Array, pieces: Pieces) -> Joined:
        """Join contexts of token ids, shape (context, tokens), whose firing is in the middle."""
        middle, texts = ids.shape[1] // 2, pieces.of(ids)
        return cls(
            ["".join(row[:middle]) for row in texts],
            texts[:, middle].tolist(),
            ["".join(row[middle + 1 :]) for row in texts],
        )

    def part(self, first: int, size: int) -> Joined:
        """Return a few of them."""
        return Joined(*(texts[first : first + size] for texts in self))


class Words:
    """The words of a task's windows, folded: letters and numbers that stand together, however tokens part them."""

    def __init__(self, windows: Windows, vocabulary: Mapping[int, str]) -> None:
        known: dict[str, int] = {}
        first, last, word = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        pieces = Pieces(vocabulary, folded)
        for start in range(0, len(windows.starts), BLOCK):
            lengths = windows.lengths[start : start + BLOCK]
            place = int(windows.starts[start])
            texts = pieces.of(windows.tokens[place : place + int(lengths.sum())])
            # No word goes on from one window into the next.
            texts[(np.cumsum(lengths) - 1)[lengths > 0]] += "\n"
            ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
            found = list(WORD.finditer("".join(texts)))
            begin, end = np.array([match.span() for match in found], np.int64).reshape(-1, 2).T
            at = np.array([known.setdefault(match[0], len(known)) for match in found], np.int64)
            first.append(place + np.searchsorted(ends, begin, side="right"))
            last.append(place + np.searchsorted(ends, end - 1, side="right"))
            word.append(at)
        self.texts = list(known)
        self._first, self._last, self._word = np.concatenate(first), np.concatenate(last), np.concatenate(word)

    def within(self, first: Array, last: Array) -> tuple[Array, Array]:
        """Return the words that lie whole between first and last tokens, as pairs: which of these, and a place in `texts`."""
        low = np.searchsorted(self._first, first)
        many = np.maximum(np.searchsorted(self._last, last, side="right") - low, 0)
        begin = np.repeat(low - (np.cumsum(many) - many), many)
        return np.repeat(np.arange(len(first)), many), self._word[begin + np.arange(len(begin))]


class Texts:
    """The texts of tokens, the most frequent first; NO_TOKEN stands for none."""

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
            return np.full(ids.shape, NO_TOKEN)
        place = np.searchsorted(self._ids, ids).clip(0, len(self._ids) - 1)
        return np.where(ids == OUTSIDE, NO_TOKEN, self._index[place])


def _piece(text: str) -> str:
    is_inside = text.startswith("##") and len(text) > 2 and (text[2].isalnum() or is_mark(text[2]))
    return text[2:] if is_inside else text
