"""The experts near each expert, by kind: what the foot of its page leads on to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from atlas.bake.numbers import count
from atlas.store import Store

KINDS = ("output", "encoder", "co_firing", "context")
"""In the order of the page: what they write, what they read, firing together, the words around their firings."""

LEAST_SAMPLED = 20
"""Firings on the token sample below which the geometry stage compares no contexts."""

Row = Mapping[str, Any]


class Neighbours:
    """Gives the neighbours of one expert after another."""

    def __init__(self, store: Store, experts: pl.DataFrame) -> None:
        self._overview = {row["expert"]: row for row in experts.iter_rows(named=True)}
        norms = store.table("experts").select("expert", "decoder_norm", "encoder_norm")
        self._norms = {row.pop("expert"): row for row in norms.iter_rows(named=True)}
        sampled = store.sampled()
        self._sampled = dict(sampled.iter_rows())
        place = experts.select("expert").with_row_index("row").join(sampled, on="expert", how="left")
        found = (
            store.neighbours()
            .join(place.rename({"expert": "neighbour", "firings": "sampled"}), on="neighbour", maintain_order="left")
            .with_columns(pl.col("value").round_sig_figs(3), pl.col("sampled").fill_null(0))
        )
        self._of = {kind: _Lists(found.filter(pl.col("kind") == kind), _COUNTED.get(kind)) for kind in KINDS}

    def payload(self, expert: int) -> dict[str, Any]:
        """Return the neighbours of each kind, the nearest first: columns `row` (place in the manifest) and `value`; or why none.

        Where the value is an estimate from a count, `n` is that: tokens on which both fire, or the neighbour's sampled firings.
        """
        return {kind: self._columns(kind, expert) for kind in KINDS}

    def _columns(self, kind: str, expert: int) -> dict[str, Any]:
        columns: dict[str, Any] = self._of[kind].of(expert)
        return columns or {"absent": self._absent(kind, expert)}

    def _absent(self, kind: str, expert: int) -> str:
        """Return why an expert has no neighbour of a kind."""
        row, norms, sampled = self._overview[expert], self._norms[expert], self._sampled.get(expert, 0)
        if len(self._overview) == 1:
            return "This dictionary has no other expert."
        if kind == "encoder":
            return _ENCODES_NOTHING if norms["encoder_norm"] == 0 else "No other expert reads what it reads."
        if not row["firings"]:
            return "It fires on no token of the corpus."
        if kind == "output":
            return _WRITES_NOTHING if norms["decoder_norm"] == 0 else "No other expert writes into its directions."
        if row["dense"]:
            return "It is dense: experts that fire on more than a tenth of the tokens are left out, since they would be near all."
        if kind == "co_firing":
            return "No other expert fires on two or more of its tokens, dense ones left out."
        if sampled < LEAST_SAMPLED:
            return f"It fires on {count(sampled)} of the sampled tokens; {LEAST_SAMPLED} are needed to compare the words there."
        return "No other expert fires among the words around its firings."


_COUNTED = {"co_firing": "tokens", "context": "sampled"}
"""What the value of a kind is an estimate from."""
_WRITES_NOTHING = "Its decoder is zero: it writes nothing."
_ENCODES_NOTHING = "Its encoder is zero: it reads nothing."


class _Lists:
    """The neighbours of one kind, sorted by expert, found without a frame for each of thousands of experts."""

    def __init__(self, rows: pl.DataFrame, counted: str | None) -> None:
        self._experts = rows["expert"].to_numpy()
        names = {"row": "row", "value": "value"} | ({"n": counted} if counted else {})
        self._columns = {shown: rows[name].to_numpy() for shown, name in names.items()}

    def of(self, expert: int) -> dict[str, list[Any]]:
        """Return an expert's columns; none at all where it has no neighbour."""
        first, end = np.searchsorted(self._experts, [expert, expert + 1])
        return {name: column[first:end].tolist() for name, column in self._columns.items()} if end > first else {}
