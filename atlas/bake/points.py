"""The firings that are drawn of an expert on a task, and how the page has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import Frame, narrow, packed, short, spread, typed
from atlas.bake.means import Marks

Array = npt.NDArray[Any]

DRAWN = 1_000
"""Most points drawn of an expert and task."""
GRAIN = 8
"""Steps that coordinates are rounded to: finer ones are seen on no screen, and take a seventh more room."""
NORM_STEPS = 65_535
IMPORTANCE_STEPS = 32_767
NOT_MEASURED = -32_768
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class Points:
    """Firings of one expert on one task; every array has a row for each."""

    window: Array
    position: Array
    """Of the firing's token in its window."""
    label: Array
    """UNLABELLED on a corpus."""
    xyz: Array
    """(firing, 3), in residual-stream units."""
    norm: Array
    importance: Array
    """NaN where it was not measured."""

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Points:
        """Take rows of the table `points`."""
        return cls(
            window=rows["window"].to_numpy(),
            position=rows["position"].to_numpy(),
            label=rows["label"].fill_null(UNLABELLED).to_numpy(),
            xyz=rows.select("x", "y", "z").to_numpy().astype(np.float64),
            norm=rows["norm"].to_numpy(),
            importance=rows["importance"].fill_null(np.nan).to_numpy(),
        )

    @property
    def count(self) -> int:
        """How many firings they are."""
        return len(self.norm)

    def at(self, rows: Array | slice) -> Points:
        """Return some of them."""
        return Points(*(getattr(self, name)[rows] for name in self.__slots__))

    def drawn(self) -> Points:
        """Return at most DRAWN of them, evenly over the labels, in the order of the text."""
        by_label = np.argsort(self.label, kind="stable")
        few = self.at(by_label[spread(self.count, DRAWN)])
        return few.at(np.lexsort((few.position, few.window)))


def points_of(rows: pl.DataFrame, experts: Sequence[int]) -> dict[int, dict[int, Points]]:
    """Return the points of each expert by task, from rows of the table `points`; an expert without points has no task."""
    rows = rows.sort("expert", "task", maintain_order=True)
    every = Points.of(rows)
    keys = rows.select("expert", "task").to_numpy()
    starts = np.flatnonzero(np.any(np.diff(keys, axis=0, prepend=-1), axis=1)).tolist()
    found: dict[int, dict[int, Points]] = {expert: {} for expert in experts}
    for (expert, task), first, end in zip(keys[starts].tolist(), starts, [*starts[1:], len(keys)], strict=False):
        found[expert][task] = every.at(slice(first, end))
    return found


def drawn_payload(drawn: Points, means: Marks | None) -> dict[str, Any]:
    """Return drawn points in whole steps of a cube of their own; `means` are the marks of a labelled task."""
    marks = np.empty((0, 3)) if means is None else means.xyz
    # The origin is where the expert is silent: it belongs in every picture.
    frame = Frame.around(np.concatenate([np.zeros((1, 3)), drawn.xyz, marks]))
    payload = {
        "origin": frame.stepped(np.zeros((1, 3)))[0].tolist(),
        "unit": short(frame.unit),
        **{axis: packed(column, repeats=False) for axis, column in zip("xyz", _grained(frame.stepped(drawn.xyz)).T, strict=True)},
        "norm": _norms(drawn.norm),
        **_importance(drawn.importance),
    }
    if means is None:
        return payload
    return payload | {
        "window": packed(narrow(np.diff(drawn.window, prepend=0))),
        "means": {"text": means.text, "label": means.label, **_typed(frame.stepped(means.xyz))},
    }


def _grained(steps: Array) -> Array:
    return (np.rint(steps / GRAIN) * GRAIN).astype(np.int16)


def _typed(steps: Array) -> Mapping[str, Any]:
    return {name: typed(steps[:, axis]) for axis, name in enumerate("xyz")}


def _norms(norm: Array) -> dict[str, Any]:
    most = float(norm.max())
    return {"most": short(most), "steps": typed(np.rint(norm / most * NORM_STEPS).astype(np.uint16))}


def _importance(importance: Array) -> dict[str, Any]:
    """Return the importance of each firing; nothing where none was measured."""
    measured = np.isfinite(importance)
    if not measured.any():
        return {}
    most = float(np.abs(importance[measured]).max()) or 1.0
    steps = np.full(len(importance), NOT_MEASURED, np.int16)
    steps[measured] = np.rint(importance[measured] / most * IMPORTANCE_STEPS)
    return {"importance": {"steps": packed(steps), "most": short(most)}}
