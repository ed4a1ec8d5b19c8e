"""What all experts do on the labels of one task: the payload that the label filter works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from atlas.bake.arrays import narrow, typed


def labels_payload(label_stats: pl.DataFrame, task: int, experts: Sequence[int], n_labels: int) -> dict[str, Any]:
    """Return one task's label_stats, label by label.

    `experts` are their numbers in the order of the manifest. Label i's experts are `rows[starts[i]:starts[i + 1]]`, as places in
    the manifest, with the label's rows that each fires on (of those that the manifest counts) and the lift.
    """
    place = pl.DataFrame({"expert": experts, "row": range(len(experts))}, schema={"expert": pl.Int64, "row": pl.Int64})
    found = (
        label_stats.filter(pl.col("task") == task)
        .with_columns(pl.col("expert").cast(pl.Int64))
        .join(place, on="expert")
        .sort("label", "row")
    )
    counts = np.bincount(found["label"].to_numpy(), minlength=n_labels)
    return {
        "starts": typed(narrow(np.concatenate([[0], np.cumsum(counts)]))),
        "rows": typed(narrow(found["row"].to_numpy())),
        "fired": typed(narrow(found["fired"].to_numpy())),
        "lift": typed(found["lift"].to_numpy().astype(np.float32)),
    }
