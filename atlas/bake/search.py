"""The search index: the text of a token ► the experts that fire on it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from atlas.bake.arrays import narrow, typed

SHARE_STEPS = 65_535


def searched(text: str) -> str:
    """Return a token's text as it is looked up: without the space before it or the mark of a word's inside, case folded.

    Folded as the page folds what is typed, by way of capitals: a script has no casefold.
    """
    folded = unicodedata.normalize("NFKC", text).upper().lower().replace("ς", "σ").strip()
    return folded.removeprefix("##") or folded


def search_payload(tokens: pl.DataFrame, vocabulary: Mapping[int, str], experts: Sequence[int]) -> dict[str, Any]:
    """Return the inverted index of a corpus' expert_tokens.

    `experts` are their numbers in the order of the manifest. The texts are sorted; row i's experts are
    `rows[starts[i]:starts[i + 1]]`, as places in the manifest, with the part of their sampled firings that is on the text, in
    steps of 1 / 65,535. Tokens of equal text, such as one with and one without a space before it, are one.
    """
    place = {expert: row for row, expert in enumerate(experts)}
    found = (
        tokens.select(
            text=pl.Series([searched(vocabulary[token]) for token in tokens["token"]], dtype=pl.String),
            row=pl.Series([place[expert] for expert in tokens["expert"]], dtype=pl.Int64),
            share=pl.Series(tokens["share"].to_list(), dtype=pl.Float64),
        )
        .filter(pl.col("text") != "")
        .group_by("text", "row")
        .agg(pl.col("share").sum())
        .with_columns(share=(pl.col("share").clip(0, 1) * SHARE_STEPS).round().cast(pl.UInt16))
        # Payloads are compared by byte, and the page looks texts up by UTF-16 code unit, as scripts compare text.
        .with_columns(order=pl.col("text").map_elements(lambda text: text.encode("utf-16-be"), return_dtype=pl.Binary))
        .sort(["order", "share", "row"], descending=[False, True, False])
    )
    texts = found.group_by("text", maintain_order=True).len()
    return {
        "texts": texts["text"].to_list(),
        "starts": typed(narrow(np.concatenate([[0], np.cumsum(texts["len"].to_numpy())]))),
        "rows": typed(narrow(found["row"].to_numpy())),
        "share": typed(found["share"].to_numpy()),
    }
