"""What a corpus shows of an expert: contexts of its firings, tokens, norms, places in the window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import narrow, packed, short
from atlas.bake.by_expert import ByExpert, rounded
from atlas.bake.contexts import NO_TOKEN, Texts, Windows
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
_SAMPLED = ("text", "count", "share", "share_low", "share_high", "lift")

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Corpus:
    """The windows of a corpus, and what experts did on it."""

    task: int
    seed: int
    """Of the hash that chose samples."""
    windows: Windows
    """Their tokens are places among the texts of the site."""
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

    def cloud(self, drawn: Points) -> dict[str, Any]:
        """Return what is said of each drawn point: the tokens around it, its position in the window and its document."""
        return {
            "hover": packed(narrow(self._around(drawn.window, drawn.position, HOVER_TOKENS))),
            "position": packed(narrow(drawn.position)),
            "document": packed(narrow(self.documents[np.searchsorted(self.windows.number, drawn.window)])),
        }

    def evidence(self, expert: int, *, kept: int) -> dict[str, Any]:
        """Return what an expert's firings show, of which `kept` are points in the atlas."""
        stats, tokens = self.stats[expert], self.tokens.columns(expert, "sampled", *_SAMPLED)
        counted = max(tokens.pop("sampled"), default=0)
        return {
            "task": self.task,
            "contexts": self._contexts(expert),
            "sampled": chosen(kept, stats["firings"], self.seed),
            "tokens": tokens | {"sampled": chosen(counted, stats["firings"], self.seed)},
            "norms": self.norms.columns(expert, "bin", "lower", "count"),
            "positions": self.positions.columns(expert, "lower", "upper", "firings", "rate"),
            "stats": stats,
            "kept": self.kept[expert],
        }

    def windows_payload(self, expert: int) -> dict[str, Any]:
        """Return as much of the windows of an expert's contexts as is ever shown, by stratum like the contexts themselves."""
        window, position = self._places(expert)
        first, last = self.windows.span(window, position, reach=WINDOW_TOKENS)
        at = np.minimum(position, WINDOW_TOKENS)
        contexts = []
        for stratum, begin, end in self._strata(expert):
            tokens = [self.windows.tokens[low : high + 1] for low, high in zip(first[begin:end], last[begin:end], strict=True)]
            columns = {"length": [len(one) for one in tokens], "at": at[begin:end].tolist()}
            contexts.append({"stratum": stratum, "tokens": packed(narrow(np.concatenate(tokens))), **columns})
        return {"task": self.task, "contexts": contexts}

    def _contexts(self, expert: int) -> list[dict[str, Any]]:
        columns: dict[str, list[Any]] = self.contexts.columns(expert, "norm", "around")
        tokens = self._around(*self._places(expert), CONTEXT_TOKENS)
        return [
            {"stratum": stratum, "tokens": packed(narrow(tokens[first:end]))}
            | {name: values[first:end] for name, values in columns.items()}
            for stratum, first, end in self._strata(expert)
        ]

    def _strata(self, expert: int) -> list[tuple[str, int, int]]:
        """Return each stratum that has contexts, and where among the expert's it begins and ends."""
        strata = self.contexts.column(expert, "stratum").tolist()
        return [(name, strata.index(name), strata.index(name) + strata.count(name)) for name in STRATA if name in strata]

    def _around(self, window: Array, position: Array, reach: int) -> Array:
        """Return the tokens round positions, shape (context, 2 * reach + 1), NO_TOKEN beyond the window."""
        return np.maximum(self.windows.around(window, position, before=reach, after=reach), NO_TOKEN)

    def _places(self, expert: int) -> tuple[Array, Array]:
        window, position = (self.contexts.column(expert, name) for name in ("window", "position"))
        return window, position


def corpora(store: Store, tasks: Sequence[int], *, seed: int) -> tuple[list[str], dict[int, Corpus]]:
    """Return the texts of all tokens of the corpora, and what the atlas holds of each, by its task."""
    windows = store.table("windows").filter(pl.col("task").is_in(tasks))
    tokens, vocabulary = rounded(store.table("expert_tokens")), store.table("vocabulary").filter(pl.col("task").is_in(tasks))
    ids = windows["tokens"].explode(empty_as_null=False).to_numpy()
    texts = Texts(dict(vocabulary.select("token", "text").iter_rows()), ids, tokens["token"].to_numpy())
    tokens = tokens.with_columns(text=pl.Series(texts.index(tokens["token"].to_numpy())))
    levels = pl.col("around").cast(pl.List(pl.String)).list.join("")
    contexts = rounded(store.contexts(strongest=STRONGEST, per_band=PER_BAND)).with_columns(around=levels)
    contexts = contexts.sort("expert", pl.col("stratum").cast(pl.Enum(STRATA)), maintain_order=True)
    stats, norms, positions = map(rounded, (store.norms(), store.table("norm_histogram"), store.table("position_rates")))
    found = {}
    for task in tasks:
        here = pl.col("task") == task
        own, fires = windows.filter(here).sort("window"), stats.filter(here).drop("task")
        found[task] = Corpus(
            task=task,
            seed=seed,
            windows=Windows(own, texts.index),
            documents=own["document"].to_numpy(),
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
    return texts.list, found
