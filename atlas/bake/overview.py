"""Every expert on one line: what the page starts with, and what it does not claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import typed
from atlas.bake.columns import counts, few, floats, large_counts, text
from atlas.bake.scores import BEST_COLUMNS
from atlas.store import Task

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Counts:
    """The negative summary: what an atlas does not claim."""

    experts: int
    silent: int
    dense: int
    supported: int
    """With a supported order for at least one hypothesis."""
    supported_above_luck: int
    """Of these, with a supported order whose score is above the best random projection's."""
    without_claim: int
    """Neither silent, nor with a supported order, nor with a title that names a task."""
    by_task: Mapping[int, int]
    """Experts with a supported order, by task."""

    @classmethod
    def of(cls, experts: pl.DataFrame, scores: pl.DataFrame, tasks: Sequence[Task]) -> Counts:
        """Count over the overview and the scores of all experts."""
        supported = scores.filter("order_supported")
        ordered = supported.select("task", "expert").unique()
        luck = {
            (task.task, one.hypothesis): one.references.get("random_projection", 0.0) for task in tasks for one in task.hypotheses
        }
        above = {
            row["expert"] for row in supported.iter_rows(named=True) if row["all_rows"] > luck[row["task"], row["hypothesis"]]
        }
        claimed = (
            pl.col("silent")
            | pl.col("basis").is_in(["order", "task"])
            | pl.col("expert").is_in(ordered["expert"].unique().to_list())
        )
        return cls(
            experts=len(experts),
            silent=int(experts["silent"].sum()),
            dense=int(experts["dense"].sum()),
            supported=ordered["expert"].n_unique(),
            supported_above_luck=len(above),
            without_claim=len(experts.filter(~claimed)),
            by_task=dict(ordered.group_by("task").len().sort("task").iter_rows()),
        )


def table(experts: pl.DataFrame, best: pl.DataFrame, shapes: pl.DataFrame, stats: pl.DataFrame) -> pl.DataFrame:
    """Return the overview with what else the page starts with: best scores, and what the first corpus says of dimensions.

    `best` has BEST_COLUMNS, `stats` are those of all corpora with `dimensions_needed`. Null where there is none.
    """
    renamed = best.rename({name: f"best_{name}" for name in BEST_COLUMNS})
    dimensions = shapes.filter(pl.col("task") == 0).select("expert", "effective_dimension")
    needed = stats.filter(pl.col("task") == 0).select("expert", "dimensions_needed")
    found = experts
    for joined in (renamed, dimensions, needed):
        found = found.join(joined, on="expert", how="left", maintain_order="left")
    return found


def columns(found: pl.DataFrame, cloud_tasks: Sequence[int | None], orders: Sequence[list[int]]) -> dict[str, Any]:
    """Return one column per field of the manifest's `experts`, in the order of the table."""
    return {
        "expert": counts(found["expert"]),
        "title": text(found["title"].to_list()),
        **{name: few(found[name]) for name in ("basis", "title_task", "measure")},
        "value": typed(floats(found["value"])),
        "firings": large_counts(found["firings"]),
        **{name: typed(floats(found[name])) for name in ("rate", "importance", "mean_norm")},
        **{name: counts(found[name]) for name in ("silent", "dense")},
        **{name: few(found[name]) for name in ("best_task", "best_hypothesis")},
        **{name: typed(floats(found[name])) for name in _MEASURED},
        "cloud_task": few(cloud_tasks),
        "orders": few(orders),
    }


_MEASURED = (
    *("best_all_rows", "best_all_rows_low", "best_all_rows_high", "best_covered", "effective_dimension", "dimensions_needed"),
)


def amount_values(found: pl.DataFrame, tasks: Sequence[Task]) -> dict[str, Array]:
    """Return what experts have of each amount, as the page sees it: float32, NaN where nothing is known.

    Coverage is a share of the labels of the best hypothesis' task.
    """
    labels = {task.task: len(task.labels) for task in tasks if task.labels}
    of = found["best_task"].replace_strict(list(labels), list(labels.values()), default=None, return_dtype=pl.Int64)
    plain = ("importance", "rate", "mean_norm", "effective_dimension", "dimensions_needed")
    return {
        "score": floats(found["best_all_rows"]),
        # As a script divides: where a number of labels is an edge, both fall into the same bin.
        "coverage": np.asarray((found["best_covered"] / of).cast(pl.Float64).fill_null(np.nan).to_numpy()),
        **{name: floats(found[name]) for name in plain},
    }
