"""Who matters on one labelled task: what its page lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from atlas.bake.arrays import narrow, typed


def importance_payload(importance: pl.DataFrame, task: int, experts: Sequence[int]) -> dict[str, Any]:
    """Return the experts that fire on a task, the most important first: `rows` of the manifest, `importance`, and its `tokens`.

    `importance` is what an atlas gives of all tasks, `experts` are their numbers in the order of the manifest.
    """
    place = pl.DataFrame({"expert": experts}, schema={"expert": pl.Int32}).with_row_index("row")
    found = importance.filter(pl.col("task") == task).join(place, on="expert").sort("importance", "row", descending=[True, False])
    return {
        "rows": typed(narrow(found["row"].to_numpy())),
        "importance": typed(found["importance"].to_numpy().astype(np.float32)),
        "tokens": found["rows"].to_list()[0] if len(found) else 0,
    }
