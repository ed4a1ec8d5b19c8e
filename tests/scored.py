"""Five experts and scores of theirs, as small as choosing among scores needs."""

from __future__ import annotations

import polars as pl

EXPERTS = pl.DataFrame(
    {
        "expert": [0, 1, 2, 3, 4],
        "title_task": [1, None, None, 1, None],
        "basis": ["order", "tokens", "silent", "task", "tokens"],
        "silent": [False, False, True, False, False],
        "dense": [False, True, False, False, False],
    },
    schema_overrides={"title_task": pl.Int32},
)


def scores(*rows: tuple[int, int, int, float, bool, bool]) -> pl.DataFrame:
    names = ("task", "hypothesis", "expert", "ranking", "testable", "order_supported")
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("task").cast(pl.Int32))
    all_rows = pl.col("ranking") - 0.1
    return frame.with_columns(covered=6, all_rows=all_rows, all_rows_low=all_rows - 0.1, all_rows_high=all_rows + 0.1)
