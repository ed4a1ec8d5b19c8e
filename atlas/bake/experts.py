"""Payloads of expert pages: several experts to a file, with the texts that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import Frame, narrow, packed, spread, typed
from atlas.bake.contexts import Texts, Windows
from atlas.bake.figures import label_places, labels_per_mean
from atlas.bake.sayings import sayings
from atlas.store import Store, Task

DRAWN_POINTS = 1_000
"""Most points drawn of an expert and task."""
HOVER_TOKENS = 5
"""Tokens on either side of a point's own that are shown with it."""
CONTEXT_TOKENS = 12
"""Tokens on either side of a firing in the list of strongest contexts."""
LABEL_FIRINGS = 5
"""Fewest firings behind a class mean that is drawn: the least that the label-order test counts."""
NORM_STEPS = 65_535

Array = npt.NDArray[Any]
Points = Mapping[int, pl.DataFrame]


class ExpertPages:
    """Makes the payloads of expert pages from the tables that are small enough to hold whole."""

    def __init__(self, store: Store, tasks: Mapping[int, Task], experts: pl.DataFrame, scores: pl.DataFrame) -> None:
        self._tasks = tasks
        self._n_experts = len(experts)
        self._overview = {row["expert"]: row for row in experts.iter_rows(named=True)}
        self._windows = Windows(store.table("windows").filter(pl.col("task") == 0))
        vocabulary = store.table("vocabulary").filter(pl.col("task") == 0)
        self._vocabulary = dict(vocabulary.select("token", "text").iter_rows())
        self._scores = by_expert(scores)
        self._tokens = by_expert(store.table("expert_tokens").filter(pl.col("task") == 0))
        self._firings = by_expert(store.table("top_firings").filter(pl.col("task") == 0))
        self._norms = by_expert(store.table("norm_histogram").filter(pl.col("task") == 0))
        self._labels = by_expert(store.table("label_stats"))

    def payload(self, points: Mapping[int, Points]) -> dict[str, Any]:
        """Return the payload of a few experts, whose points are given by expert and task."""
        drawn = {expert: _drawn(tables) for expert, tables in points.items()}
        hover = {expert: self._around(tables.get(0), HOVER_TOKENS) for expert, tables in drawn.items()}
        strongest = {expert: self._around(self._firings.get(expert), CONTEXT_TOKENS) for expert in points}
        tokens = {expert: self._token_ids(expert) for expert in points}
        texts = Texts(self._vocabulary, *hover.values(), *strongest.values(), *tokens.values())
        return {
            "texts": texts.list,
            "experts": {
                str(expert): {
                    "sayings": self._sayings(expert),
                    "tasks": [self._cloud(expert, task, few, len(points[expert][task])) for task, few in drawn[expert].items()],
                    "hover": packed(narrow(texts.index(hover[expert]))),
                    "contexts": self._contexts(expert, texts.index(strongest[expert])),
                    "tokens": self._token_columns(expert, texts.index(tokens[expert])),
                    "labels": self._label_columns(expert),
                    "norms": _columns(self._norms.get(expert), "bin", "lower", "count"),
                    "scores": _columns(self._scores.get(expert), *_SCORES),
                }
                for expert in points
            },
        }

    def _sayings(self, expert: int) -> list[str]:
        scores = self._scores.get(expert)
        rows = [] if scores is None else list(scores.iter_rows(named=True))
        return sayings(self._overview[expert], rows, self._tasks, n_experts=self._n_experts)

    def _cloud(self, expert: int, task: int, drawn: pl.DataFrame, kept: int) -> dict[str, Any]:
        labels = self._labels.get(expert)
        means = None if labels is None or task == 0 else _means(labels.filter(pl.col("task") == task), self._tasks[task])
        # The origin is where the expert is silent: it belongs in every picture.
        places = [np.zeros((1, 3)), _xyz(drawn)] + ([] if means is None else [_xyz(means)])
        frame = Frame.around(np.concatenate(places))
        return {
            "task": task,
            "kept": kept,
            "origin": frame.stepped(np.zeros((1, 3)))[0].tolist(),
            "unit": _short(frame.unit),
            **_coordinates(frame.stepped(_xyz(drawn))),
            "norm": _norms(drawn["norm"].to_numpy()),
            **({} if task == 0 else {"window": typed(narrow(drawn["window"].to_numpy()))}),
            **({} if means is None else {"means": _mean_columns(frame, means)}),
        }

    def _around(self, rows: pl.DataFrame | None, reach: int) -> Array:
        if rows is None:
            return np.empty((0, 2 * reach + 1), np.int64)
        return self._windows.around(rows["window"].to_numpy(), rows["position"].to_numpy(), before=reach, after=reach)

    def _token_ids(self, expert: int) -> Array:
        rows = self._tokens.get(expert)
        return np.empty(0, np.int64) if rows is None else rows["token"].to_numpy().astype(np.int64)

    def _contexts(self, expert: int, tokens: Array) -> list[dict[str, Any]]:
        rows = self._firings.get(expert)
        if rows is None:
            return []
        return [{"norm": _short(norm), "tokens": context.tolist()} for norm, context in zip(rows["norm"], tokens, strict=True)]

    def _token_columns(self, expert: int, tokens: Array) -> dict[str, Any]:
        rows = self._tokens.get(expert)
        return _columns(rows, "count", "sampled", "share", "lift") | {"text": tokens.tolist()}

    def _label_columns(self, expert: int) -> dict[str, Any]:
        return _columns(self._labels.get(expert), "task", "label", "fired", "fires", "lift")


def sentences_payload(store_windows: pl.DataFrame, vocabulary: pl.DataFrame, task: Task) -> dict[str, Any]:
    """Return a labelled task's sentences, by window number: token texts, the probed position and the label."""
    rows = store_windows.filter(pl.col("task") == task.task).sort("window")
    words = dict(vocabulary.filter(pl.col("task") == task.task).select("token", "text").iter_rows())
    ids = rows["tokens"].explode(empty_as_null=False).to_numpy().astype(np.int64)
    texts = Texts(words, ids)
    return {
        "texts": texts.list,
        "window": typed(narrow(rows["window"].to_numpy())),
        "length": packed(narrow(rows["tokens"].list.len().to_numpy())),
        "tokens": packed(narrow(texts.index(ids))),
        "position": packed(narrow(rows["position"].to_numpy())),
        "label": packed(narrow(rows["label"].to_numpy())),
    }


def by_expert(frame: pl.DataFrame) -> dict[int, pl.DataFrame]:
    """Return the rows of each expert, in their order."""
    parts = frame.partition_by("expert", as_dict=True, maintain_order=True)
    return {int(key[0]): rows for key, rows in parts.items()}


def by_expert_and_task(frame: pl.DataFrame, experts: Sequence[int]) -> dict[int, dict[int, pl.DataFrame]]:
    """Return the rows of each expert and task; an expert without rows has no task."""
    found: dict[int, dict[int, pl.DataFrame]] = {expert: {} for expert in experts}
    for key, rows in frame.partition_by("expert", "task", as_dict=True, maintain_order=True).items():
        found[int(key[0])][int(key[1])] = rows
    return {expert: dict(sorted(tables.items())) for expert, tables in found.items()}


_SCORES = (
    *("task", "hypothesis", "r2_all", "r2_all_low", "r2_all_high", "r2_fires", "rows_fires", "r2_left_out_label"),
    *("covered", "active_rows", "testable", "p_order_adjusted", "order_supported"),
)


def _drawn(tables: Points) -> dict[int, pl.DataFrame]:
    return {task: rows.sort("label", maintain_order=True)[spread(len(rows), DRAWN_POINTS)] for task, rows in tables.items()}


def _xyz(rows: pl.DataFrame) -> Array:
    return rows.select("x", "y", "z").to_numpy().astype(np.float64)


def _coordinates(steps: Array) -> dict[str, Any]:
    return {name: typed(steps[:, axis]) for axis, name in enumerate("xyz")}


def _means(labels: pl.DataFrame, task: Task) -> pl.DataFrame:
    """Return the marks of a cloud in label order: the mean contribution of each label, or of a few neighbouring ones."""
    step, names, places = labels_per_mean(task), [label.name for label in task.labels], label_places(task)
    weighted = [(pl.col(axis) * pl.col("fired")).sum() / pl.col("fired").sum() for axis in "xyz"]
    means = (
        labels.group_by(first=pl.col("label") // step * step)
        .agg(*weighted, pl.col("fired").sum())
        .filter(pl.col("fired") >= LABEL_FIRINGS)
        .sort("first")
    )
    spans = [(first, min(first + step, len(names)) - 1) for first in means["first"]]
    return means.with_columns(
        text=pl.Series([names[a] if a == b else f"{names[a]}–{names[b]}" for a, b in spans], dtype=pl.String),
        place=pl.Series([(places[a] + places[b]) / 2 for a, b in spans], dtype=pl.Float64),
    )


def _mean_columns(frame: Frame, means: pl.DataFrame) -> dict[str, Any]:
    return {"text": means["text"].to_list(), "place": means["place"].to_list(), **_coordinates(frame.stepped(_xyz(means)))}


def _norms(norm: Array) -> dict[str, Any]:
    most = float(norm.max())
    return {"most": _short(most), "steps": typed(np.rint(norm / most * NORM_STEPS).astype(np.uint16))}


def _columns(rows: pl.DataFrame | None, *names: str) -> dict[str, Any]:
    if rows is None:
        return {name: [] for name in names}
    rounded = rows.select(names).with_columns(pl.selectors.float().round_sig_figs(5))
    return {name: rounded[name].to_list() for name in names}


def _short(number: float) -> float:
    return float(f"{number:.5g}")
