"""What the list and the search know of experts on the first corpus: tokens they fire on, and their strongest contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.contexts import OUTSIDE, Joined, Pieces, Windows, Words
from atlas.bake.corpora import CONTEXT_TOKENS, STRONGEST
from atlas.store import Store

Array = npt.NDArray[Any]

REACH = 8
"""Tokens on either side of the firing in the one context that the list shows of an expert."""
BLOCK = 4_096
"""Experts whose contexts' words are counted at a time."""


@dataclass(frozen=True)
class Evidence:
    """Tables of the first corpus."""

    vocabulary: Mapping[int, str]
    tokens: pl.DataFrame
    """Rows of `expert_tokens`."""
    windows: Windows
    top: pl.DataFrame
    """The strongest firings that an expert's page shows, each expert's strongest first."""

    @classmethod
    def of(cls, store: Store) -> Evidence:
        """Read it from an atlas."""
        first = pl.col("task") == 0
        return cls(
            vocabulary=dict(store.table("vocabulary").filter(first).select("token", "text").iter_rows()),
            tokens=store.table("expert_tokens").filter(first),
            windows=Windows(store.table("windows").filter(first)),
            top=store.contexts(strongest=STRONGEST, per_band=0).filter(first),
        )

    def strongest(self, experts: Sequence[int]) -> Joined:
        """Return the context of each expert's strongest firing, as running text; empty where it has none."""
        found = _in_order(experts).join(self.top.unique("expert", keep="first"), on="expert", how="left", maintain_order="left")
        is_there = found["window"].is_not_null()
        ids = np.full((len(found), 2 * REACH + 1), OUTSIDE, np.int64)
        ids[is_there.to_numpy()] = self.windows.around(*_places(found.filter(is_there)), before=REACH, after=REACH)
        return Joined.of(ids, Pieces(self.vocabulary))

    def words(self, experts: Sequence[int]) -> tuple[list[str], pl.DataFrame]:
        """Return the words of the contexts that pages show, and who has them, as places in these and in `experts`.

        A word that a context cuts is not in it. Each pair weighs in how many of the expert's contexts the word is.
        """
        words = Words(self.windows, self.vocabulary)
        top = self.top.join(_in_order(experts), on="expert").sort("row", maintain_order=True)
        row, (first, last) = top["row"].to_numpy().astype(np.int64), self.windows.span(*_places(top), reach=CONTEXT_TOKENS)
        many = max(1, len(words.texts))
        pairs, weights = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for begin in range(0, len(experts), BLOCK):
            here = slice(*np.searchsorted(row, [begin, begin + BLOCK]))
            context, word = words.within(first[here], last[here])
            # A word counts once a context, however often it is in it.
            once, _ = _distinct(context * many + word)
            found, counted = _distinct(row[here][once // many] * many + once % many)
            pairs.append(found)
            weights.append(counted)
        pair = np.concatenate(pairs)
        columns = {"text": pair % many, "row": pair // many, "weight": np.concatenate(weights)}
        return words.texts, pl.DataFrame(columns, schema={"text": pl.UInt32, "row": pl.UInt32, "weight": pl.UInt8})


def _distinct(keys: Array) -> tuple[Array, Array]:
    """Return the different keys, sorted, and how often each is there."""
    keys = np.sort(keys)
    firsts = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[firsts], np.diff(firsts, append=len(keys))


def _in_order(experts: Sequence[int]) -> pl.DataFrame:
    return pl.DataFrame({"expert": experts}, schema={"expert": pl.Int32}).with_row_index("row")


def _places(firings: pl.DataFrame) -> tuple[Array, Array]:
    return firings["window"].to_numpy(), firings["position"].to_numpy()
