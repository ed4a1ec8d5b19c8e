"""What a corpus shows of an expert: contexts of its firings, tokens, norms, places in the window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import narrow, packed, short
from atlas.bake.by_expert import ByExpert, rounded
from atlas.bake.contexts import Texts, Windows
from atlas.bake.points import Points
from atlas.bake.sayings import chosen
from atlas.bake.shapes import needed
from atlas.store import Store

HOVER_TOKENS = 5
"""Tokens on either side of a point's own that are shown with it."""
CONTEXT_TOKENS = 12
"""Tokens on either side of a firing in the lists of contexts."""
WINDOW_TOKENS = 128
"""Most tokens on either side of a firing, for who asks for more."""
STRONGEST = 20
"""Contexts of an expert's strongest firings."""
PER_BAND = 5
"""Contexts from each quarter of its norms, which say what the strongest do not."""
STRATA = ("top", "q75", "q50", "q25", "q0")

_KEPT = ("importance_kept", "dimensions_needed")
_SAMPLED = ("count", "share", "share_low", "share_high", "lift")

Array = npt.NDArray[Any]
_NOWHERE = np.empty(0, np.int64)


class Shown(NamedTuple):
    """Token ids of what an expert's page shows of a corpus."""

    hover: Array
    """Round each drawn point, shape (point, 2 * HOVER_TOKENS + 1)."""
    contexts: Array
    """Round each kept firing, shape (context, 2 * CONTEXT_TOKENS + 1)."""
    tokens: Array


class Spans(NamedTuple):
    """As much of the windows of an expert's contexts as is ever shown."""

    ids: Array
    """Of all of them, end to end."""
    lengths: Array
    at: Array
    """Of each, the place of its firing."""


@dataclass(frozen=True)
class Corpus:
    """The windows of a corpus, and what experts did on it."""

    task: int
    seed: int
    """Of the hash that chose samples."""
    windows: Windows
    documents: Array
    """Of each window."""
    contexts: ByExpert
    """By stratum, in the order of the page."""
    tokens: ByExpert
    norms: ByExpert
    positions: ByExpert
    stats: Mapping[int, Mapping[str, Any]]
    """Of those that fire on it."""
    kept: Mapping[int, Mapping[str, Any]]
    """How much of their importance few axes keep: `said` in a sentence, and the `shares`."""

    def shown(self, expert: int, drawn: Points | None) -> Shown:
        """Return the ids of what an expert's page shows, whose drawn points are given."""
        window, position = (_NOWHERE, _NOWHERE) if drawn is None else (drawn.window, drawn.position)
        return Shown(
            self.windows.around(window, position, before=HOVER_TOKENS, after=HOVER_TOKENS),
            self.windows.around(*self._places(expert), before=CONTEXT_TOKENS, after=CONTEXT_TOKENS),
            self.tokens.column(expert, "token").to_numpy(),
        )

    def spans(self, expert: int) -> Spans:
        """Return what is shown when more context is asked for, in the order of the contexts."""
        window, position = self._places(expert)
        first, last = self.windows.span(window, position, reach=WINDOW_TOKENS)
        lengths = last - first + 1
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return Spans(self.windows.tokens[np.repeat(first, lengths) + within], lengths, np.minimum(position, WINDOW_TOKENS))

    def cloud(self, drawn: Points, shown: Shown, texts: Texts) -> dict[str, Any]:
        """Return what is said of each drawn point: the tokens around it, its position in the window and its document."""
        return {
            "hover": packed(narrow(texts.index(shown.hover))),
            "position": packed(narrow(drawn.position)),
            "document": packed(narrow(self.documents[np.searchsorted(self.windows.number, drawn.window)])),
        }

    def evidence(self, expert: int, shown: Shown, texts: Texts, *, kept: int) -> dict[str, Any]:
        """Return what an expert's firings show, of which `kept` are points in the atlas."""
        stats, tokens = self.stats[expert], self.tokens.columns(expert, "sampled", *_SAMPLED)
        counted = max(tokens.pop("sampled"), default=0)
        return {
            "task": self.task,
            "contexts": self._contexts(expert, texts.index(shown.contexts).tolist()),
            "sampled": chosen(kept, stats["firings"], self.seed),
            "tokens": tokens
            | {"text": texts.index(shown.tokens).tolist(), "sampled": chosen(counted, stats["firings"], self.seed)},
            "norms": self.norms.columns(expert, "bin", "lower", "count"),
            "positions": self.positions.columns(expert, "lower", "upper", "firings", "rate"),
            "stats": stats,
            "kept": self.kept[expert],
        }

    def windows_payload(self, expert: int, spans: Spans, texts: Texts) -> dict[str, Any]:
        """Return the windows of an expert's contexts, by stratum like the contexts themselves."""
        ends = np.cumsum(spans.lengths)
        contexts = []
        for stratum, first, end in self._strata(expert):
            here = slice(ends[first] - spans.lengths[first], ends[end - 1])
            columns = {"length": spans.lengths[first:end].tolist(), "at": spans.at[first:end].tolist()}
            contexts.append({"stratum": stratum, "tokens": packed(narrow(texts.index(spans.ids[here]))), **columns})
        return {"task": self.task, "contexts": contexts}

    def _contexts(self, expert: int, tokens: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
        norms, around = (self.contexts.column(expert, name).to_list() for name in ("norm", "around"))
        return [
            {
                "stratum": stratum,
                "norm": norms[first:end],
                "tokens": tokens[first:end],
                "around": around[first:end],
            }
            for stratum, first, end in self._strata(expert)
        ]

    def _strata(self, expert: int) -> list[tuple[str, int, int]]:
        """Return each stratum that has contexts, and where among the expert's it begins and ends."""
        strata = self.contexts.column(expert, "stratum").to_list()
        return [(name, strata.index(name), strata.index(name) + strata.count(name)) for name in STRATA if name in strata]

    def _places(self, expert: int) -> tuple[Array, Array]:
        window, position = (self.contexts.column(expert, name).to_numpy() for name in ("window", "position"))
        return window, position


def corpora(store: Store, tasks: Sequence[int], *, seed: int) -> dict[int, Corpus]:
    """Return what the atlas holds of each corpus, by its task."""
    windows, stats = store.table("windows"), rounded(store.norms())
    by_stratum = pl.col("stratum").cast(pl.Enum(STRATA))
    levels = pl.col("around").cast(pl.List(pl.String)).list.join("")
    contexts = rounded(store.contexts(strongest=STRONGEST, per_band=PER_BAND)).with_columns(around=levels)
    contexts = contexts.sort("expert", by_stratum, maintain_order=True)
    tokens, norms = rounded(store.table("expert_tokens")), rounded(store.table("norm_histogram"))
    positions = rounded(store.table("position_rates"))
    found = {}
    for task in tasks:
        here = pl.col("task") == task
        own, fires = windows.filter(here), stats.filter(here).drop("task")
        found[task] = Corpus(
            task=task,
            seed=seed,
            windows=Windows(own),
            documents=own.sort("window")["document"].to_numpy(),
            contexts=ByExpert(contexts.filter(here)),
            tokens=ByExpert(tokens.filter(here)),
            norms=ByExpert(norms.filter(here)),
            positions=ByExpert(positions.filter(here)),
            stats={row.pop("expert"): row for row in fires.drop(_KEPT).iter_rows(named=True)},
            kept={
                expert: {"said": needed(kept, axes), "shares": [short(share) for share in kept or []]}
                for expert, kept, axes in fires.select("expert", *_KEPT).iter_rows()
            },
        )
    return found
