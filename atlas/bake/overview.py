"""Every expert on one line: the columns that the page starts with, and the small clouds of the list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import narrow, spread, typed
from atlas.store import Task

CLOUD_POINTS = 64
CLOUD_SHARE = 0.97
"""Share of these that the picture is made for: one far point would shrink all others to a speck."""
COLUMNS = (
    *("expert", "title", "basis", "title_task", "measure", "value"),
    *("firings", "rate", "importance", "mean_norm", "silent", "dense"),
)
R2 = "R²"
"""The measure that experts are compared by; balanced accuracy of classes is another thing and never stands beside it."""
BEST_COLUMNS = ("task", "hypothesis", "all_rows", "all_rows_low", "all_rows_high", "order_supported")


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
        scores.filter(pl.col("testable") & (pl.col("all_rows_low") > 0))
        .join(experts.select("expert", "title_task"), on="expert")
        .with_columns(at_home=(pl.col("task") == pl.col("title_task")).fill_null(False))
        .sort(
            ["expert", "at_home", "order_supported", "ranking", "task", "hypothesis"],
            descending=[False, True, True, True, False, False],
        )
        .unique("expert", keep="first", maintain_order=True)
        .select("expert", *BEST_COLUMNS)
    )


def task_scores(experts: pl.DataFrame, scores: pl.DataFrame, task: int) -> dict[str, Any]:
    """Return each expert's best hypothesis of one task, for those from which something of it can be read.

    `rows` are places in the overview; the choice and the floats are those of `best_scores` and `columns`.
    """
    best = best_scores(experts, scores.filter(pl.col("task") == task))
    placed = experts.select("expert").with_row_index("row").join(best, on="expert", maintain_order="left")
    rounded = placed.with_columns(pl.selectors.float().round_sig_figs(6))
    return {"rows": typed(narrow(placed["row"].to_numpy()))} | {name: rounded[name].to_list() for name in BEST_COLUMNS[1:5]}


def supported_orders(experts: pl.DataFrame, scores: pl.DataFrame) -> list[list[int]]:
    """Return the tasks that each expert has a supported order of, in the order of the overview."""
    found = scores.filter("order_supported").group_by("expert").agg(pl.col("task").unique().sort())
    tasks = dict(found.iter_rows())
    return [tasks.get(expert, []) for expert in experts["expert"]]


def columns(experts: pl.DataFrame, best: pl.DataFrame) -> dict[str, list[Any]]:
    """Return one list per field, in the order of the overview; floats with six significant figures."""
    renamed = best.rename({name: f"best_{name}" for name in BEST_COLUMNS})
    joined = experts.select(COLUMNS).join(renamed, on="expert", how="left", maintain_order="left")
    rounded = joined.with_columns(pl.selectors.float().round_sig_figs(6))
    return {name: rounded[name].to_list() for name in rounded.columns}


def cloud_task(expert: Mapping[str, Any], best: Mapping[str, Any] | None, points: Mapping[int, pl.DataFrame]) -> int | None:
    """Return the task that an expert is first shown on: its title's, else that of its best supported order, else the corpus."""
    ordered = best["task"] if best and best["order_supported"] else None
    wanted = (expert["title_task"], ordered, 0)
    return next((task for task in wanted if task is not None and task in points), None)


@dataclass(frozen=True)
class Cloud:
    """An expert in the list."""

    task: int | None
    """None where there is no point at all."""
    xyz: npt.NDArray[Any]
    """(point, 3), int8, from the middle of the points' own cube."""
    label: npt.NDArray[Any]
    """Label plus one; 0 where the task has none."""

    @classmethod
    def of(cls, task: int | None, points: pl.DataFrame | None) -> Cloud:
        """Choose points evenly over the labels, else over the rows."""
        if points is None:
            return cls(None, np.empty((0, 3), np.int8), np.empty(0, np.int64))
        by_label = points.sort("label", maintain_order=True)
        few = by_label[spread(len(by_label), CLOUD_POINTS)]
        xyz = few.select("x", "y", "z").to_numpy().astype(np.float64)
        label = few.select(pl.col("label").cast(pl.Int64) + 1).to_series().fill_null(0).to_numpy()
        away = np.linalg.norm(xyz - np.median(xyz, axis=0), axis=1)
        near = away <= np.quantile(away, CLOUD_SHARE, method="higher")
        xyz, label = xyz[near], label[near]
        middle = (xyz.min(axis=0) + xyz.max(axis=0)) / 2
        # The whole cloud stays in view however it is turned, so the farthest point sets the scale.
        reach = max(float(np.linalg.norm(xyz - middle, axis=1).max()), 1e-9)
        return cls(task, np.rint((xyz - middle) / reach * 127).astype(np.int8), label)


def cloud_payload(clouds: Sequence[Cloud]) -> dict[str, Any]:
    """Return a few experts' clouds end to end."""
    return {
        "points": [len(cloud.label) for cloud in clouds],
        "xyz": typed(np.concatenate([cloud.xyz for cloud in clouds])),
        "label": typed(narrow(np.concatenate([cloud.label for cloud in clouds]))),
    }


def task_payload(task: Task) -> dict[str, Any]:
    """Return what the page knows of a task from the start, labels and hypotheses with it."""
    return {
        "task": task.task,
        "name": task.name,
        "title": task.title,
        "kind": task.kind,
        "documents": task.documents,
        "cyclic": task.cyclic,
        "report_rows": task.report_rows,
        "has_text": task.has_text,
        "hypotheses": [
            {
                "hypothesis": hypothesis.hypothesis,
                "title": hypothesis.title,
                "shape": hypothesis.shape,
                "measure": hypothesis.measure,
                "of_label": hypothesis.of_label,
                "description": hypothesis.description,
                "testable": hypothesis.testable,
                "references": {name: hypothesis.references[name] for name in REFERENCES if name in hypothesis.references},
            }
            for hypothesis in task.hypotheses
        ],
    }


REFERENCES = ("chance", "random_projection", "top_components", "word_embedding")
