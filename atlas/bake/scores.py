"""What can be read from experts, and which hypothesis stands for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from atlas.bake.arrays import narrow, typed
from atlas.bake.columns import counts, floats
from atlas.store import Hypothesis, Task

R2 = "R²"
"""The measure that experts are compared by; balanced accuracy of classes is another thing and never stands beside it."""
BEST_COLUMNS = ("task", "hypothesis", "all_rows", "all_rows_low", "all_rows_high", "covered", "order_supported")


def comparable(scores: pl.DataFrame, tasks: Sequence[Task]) -> pl.DataFrame:
    """Return the scores that are an R²: those of classes are balanced accuracies, which no R² can be compared with."""
    named = [(task.task, one.hypothesis) for task in tasks for one in task.hypotheses if one.measure == R2]
    wanted = pl.DataFrame(named, schema={"task": scores.schema["task"], "hypothesis": scores.schema["hypothesis"]}, orient="row")
    return scores.join(wanted, on=["task", "hypothesis"], how="semi", maintain_order="left")


def best_scores(experts: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Return each expert's best hypothesis: its title's task before others, supported before not, then by ranking score.

    `scores` are comparable with each other.
    One row, with BEST_COLUMNS, per expert from which something can be read at all: testable, interval above 0. The choice
    among those looks at ranking templates only, so that it does not flatter the printed score, from the report templates.
    """
    return (
        _read(scores, above=0.0)
        .join(experts.select("expert", "title_task"), on="expert")
        .with_columns(at_home=(pl.col("task") == pl.col("title_task")).fill_null(False))
        .sort(
            ["expert", "at_home", "order_supported", "ranking", "task", "hypothesis"],
            descending=[False, True, True, True, False, False],
        )
        .unique("expert", keep="first", maintain_order=True)
        .select("expert", *BEST_COLUMNS)
    )


def scores_payload(experts: pl.DataFrame, scores: pl.DataFrame, task: Task) -> dict[str, Any]:
    """Return what can be read of one task: each expert's best hypothesis of it, and every hypothesis by itself.

    Rows are places in `experts`. The best is chosen as `best_scores` does it. By itself a hypothesis has the experts from which
    something of it can be read: testable, and the interval above 0, of a balanced accuracy above chance; None if there is none.
    """
    of_task = scores.filter(pl.col("task") == task.task)
    place = experts.select("expert").with_row_index("row")
    best = place.join(best_scores(experts, comparable(of_task, [task])), on="expert", maintain_order="left")
    at = {one.hypothesis: place for place, one in enumerate(task.hypotheses)}
    chosen = best["hypothesis"].replace_strict(list(at), list(at.values()), return_dtype=pl.Int64) if len(best) else best["row"]
    return {
        "best": {"hypothesis": typed(narrow(chosen.to_numpy())), **_columns(best)},
        "of": [_of(place, of_task, one) for one in task.hypotheses],
    }


def supported_orders(experts: pl.DataFrame, scores: pl.DataFrame) -> list[list[int]]:
    """Return the tasks that each expert has a supported order of, in the order of the overview."""
    found = scores.filter("order_supported").group_by("expert").agg(pl.col("task").unique().sort())
    tasks = dict(found.iter_rows())
    return [tasks.get(expert, []) for expert in experts["expert"]]


def _read(scores: pl.DataFrame, *, above: float) -> pl.DataFrame:
    return scores.filter(pl.col("testable") & (pl.col("all_rows_low") > above))


def _of(place: pl.DataFrame, scores: pl.DataFrame, hypothesis: Hypothesis) -> dict[str, Any] | None:
    above = 0.0 if hypothesis.measure == R2 else hypothesis.chance
    read = _read(scores.filter(pl.col("hypothesis") == hypothesis.hypothesis), above=above)
    return _columns(place.join(read, on="expert", maintain_order="left")) if len(read) else None


def _columns(found: pl.DataFrame) -> dict[str, Any]:
    return {
        "rows": counts(found["row"]),
        "value": typed(floats(found["all_rows"])),
        "low": typed(floats(found["all_rows_low"])),
        "high": typed(floats(found["all_rows_high"])),
        "supported": counts(found["order_supported"]),
        "covered": counts(found["covered"]),
    }
