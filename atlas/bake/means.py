"""Where experts stand on labels: the marks in a cloud, one for each label or for a few neighbouring ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.figures import labels_per_mean
from atlas.store import Task

Array = npt.NDArray[Any]

LABEL_FIRINGS = 5
"""Fewest firings behind a class mean that is drawn: the least that the label-order test counts."""


@dataclass(frozen=True)
class Marks:
    """The marks of one expert on one task, in label order."""

    xyz: Array
    """(mark, 3): mean contributions."""
    text: list[str]
    label: list[int]
    """The label, or the first of several."""


class Means:
    """The marks of all experts on all tasks."""

    def __init__(self, labels: pl.DataFrame, tasks: Sequence[Task]) -> None:
        """Take the rows of `label_stats`."""
        self._named = {task.task: _named(task) for task in tasks}
        self._step = steps = {task.task: labels_per_mean(task) for task in tasks}
        sums = (
            labels.with_columns(step=pl.col("task").replace_strict(list(steps), list(steps.values()), return_dtype=pl.Int64))
            .with_columns(mark=pl.col("label") // pl.col("step"))
            .sort("expert", "task", "label")
        )
        keys = sums.select("expert", "task", "mark").to_numpy().reshape(-1, 3)
        starts = np.flatnonzero(np.any(np.diff(keys, axis=0, prepend=-1), axis=1))
        fired = sums["fired"].to_numpy().astype(np.int64)
        weighted = sums.select("x", "y", "z").to_numpy().astype(np.float64).reshape(-1, 3) * fired[:, None]
        if len(starts):
            # Sums in the order of labels: the same atlas gives the same last digit.
            weighted, fired = np.add.reduceat(weighted, starts), np.add.reduceat(fired, starts)
        is_drawn = fired >= LABEL_FIRINGS
        keys, self._xyz = keys[starts][is_drawn], weighted[is_drawn] / fired[is_drawn, None]
        self._mark = keys[:, 2]
        firsts = np.flatnonzero(np.any(np.diff(keys[:, :2], axis=0, prepend=-1), axis=1)).tolist()
        ends = [*firsts[1:], len(keys)]
        self._slices = {
            (expert, task): slice(first, end)
            for (expert, task), first, end in zip(keys[firsts, :2].tolist(), firsts, ends, strict=False)
        }

    def of(self, expert: int, task: int) -> Marks:
        """Return the marks of one expert on one task; none where it fires on no label often enough."""
        found = self._slices.get((expert, task), slice(0))
        first = self._mark[found] * self._step[task]
        return Marks(self._xyz[found], [self._named[task][mark] for mark in self._mark[found]], first.tolist())


def _named(task: Task) -> list[str]:
    """Return the text of each mark: of a label, or of the first to the last of several."""
    step = labels_per_mean(task)
    found = []
    for first in range(0, len(task.labels), step):
        last = min(first + step, len(task.labels)) - 1
        names = task.labels[first].name, task.labels[last].name
        found.append(names[0] if first == last else "–".join(names))
    return found
