"""The sentences of labelled tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from atlas.bake.arrays import narrow, packed, typed
from atlas.bake.contexts import Texts
from atlas.store import Task


def sentences_payload(windows: pl.DataFrame, vocabulary: pl.DataFrame, task: Task) -> dict[str, Any]:
    """Return a labelled task's sentences, by window number: token texts, the probed position, the label and the template."""
    rows = windows.filter(pl.col("task") == task.task).sort("window")
    words = dict(vocabulary.filter(pl.col("task") == task.task).select("token", "text").iter_rows())
    ids = rows["tokens"].explode(empty_as_null=False).to_numpy().astype(np.int64)
    texts = Texts(words, ids)
    return {
        "texts": texts.list,
        "window": typed(narrow(rows["window"].to_numpy())),
        "length": packed(narrow(rows["tokens"].list.len().to_numpy())),
        "tokens": packed(narrow(texts.index(ids))),
        **{name: packed(narrow(rows[name].to_numpy())) for name in ("position", "label", "template")},
    }
