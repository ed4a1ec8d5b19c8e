"""What a figure draws of one expert, read from an atlas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas.bake.arrays import Frame, spread
from atlas.bake.colours import LINE, data_colours, label_colours, ordered
from atlas.bake.figures import MARGIN, is_on_an_axis, labels_per_mean
from atlas.bake.gate import Gates
from atlas.bake.looked_at import first_task
from atlas.bake.means import Marks, Means
from atlas.bake.numbers import count, percent
from atlas.bake.points import Points, points_of
from atlas.errors import ConfigError, NotInAtlas
from atlas.figure.config import FigureConfig
from atlas.store import Store, Task

Array = npt.NDArray[Any]

DRAWN_AXES = 3
LABEL, NORM = "label", "norm"
"""What points are coloured by; those of a corpus have no label."""
PILES = 96
"""Columns of a cloud with one axis, whose points are piled up where they would lie over each other."""


@dataclass(frozen=True)
class Bar:
    """The axis of numbers that points are coloured by."""

    title: str
    low: float
    high: float


@dataclass(frozen=True)
class Cloud:
    """The cloud of one expert on one task. Coordinates are about the place where the expert is silent."""

    xyz: Array
    """(point, 3), in residual-stream units, or as the gate sees them in those of codes."""
    colours: list[str]
    """Of each point."""
    means: Array
    """(mean, 3)."""
    mean_names: list[str]
    mean_colours: list[str]
    axes: Array
    """(axis, 2, 3): the ends of each, the named one last."""
    axis_names: list[str]
    path: Array
    """(step, 3): the class means in label order, closed where the labels are; none where they are not joined."""
    bar: Bar | None
    sphere: float | None
    """Distance from the origin at which the gate opens; None where contributions are drawn."""
    caption: str

    @property
    def is_flat(self) -> bool:
        """Whether there is one axis, along which points are piled up."""
        return len(self.axis_names) == 1


def read_cloud(store: Store, expert: int, config: FigureConfig) -> Cloud:
    """Return what is drawn of an expert.

    Raises:
        NotInAtlas: there is no such expert, or it has no point on the task.
        ConfigError: its codes cannot be drawn.
    """
    found = store.experts()
    numbers = found["expert"].to_list()
    if expert not in numbers:
        raise NotInAtlas(f"There is no expert {expert}. This atlas has experts {min(numbers)} to {max(numbers)}.")
    tasks = {task.task: task for task in store.tasks()}
    points = points_of(store.points([expert]), [expert])[expert]
    if not points:
        raise NotInAtlas(f"Expert {expert} has no points: it fires on nothing that this atlas keeps. Draw another one.")
    if config.colour is None:
        task, by = tasks[first_task(store, tasks, found.filter(pl.col("expert") == expert), points)], LABEL
    else:
        task, by = _named([tasks[number] for number in points], expert, config.colour)
    return _Reading(store, expert, task, by, config).cloud(points[task.task])


def _named(tasks: list[Task], expert: int, colour: str) -> tuple[Task, str]:
    """Return the task that is named, and by what its points are coloured. A task's name may hold a colon."""
    named = {task.name: task for task in tasks}
    if colour in named:
        return named[colour], LABEL
    name, _, by = colour.rpartition(":")
    if name not in named:
        raise NotInAtlas(f"Expert {expert} has no points on {colour!r}. It has some on {', '.join(named)}.")
    if by not in (LABEL, NORM):
        raise ConfigError(f"A figure is coloured by {LABEL} or {NORM}, not by {by!r}. Name the task with --task {name}.")
    return named[name], by


class _Reading:
    """One expert on one task, looked up in an atlas."""

    def __init__(self, store: Store, expert: int, task: Task, by: str, config: FigureConfig) -> None:
        self._task, self._config, self._expert = task, config, expert
        self._by_norm = by == NORM or not task.labels
        of = {"expert": expert, "task": task.task}
        labels = store.sql("SELECT * FROM label_stats WHERE expert = $expert AND task = $task", **of)
        self._marks: Marks = Means(labels, [task]).of(expert, task.task)
        scores = store.sql("SELECT * FROM scores WHERE expert = $expert AND task = $task AND order_supported", **of)
        shapes = {one.hypothesis: one.shape for one in task.hypotheses}
        self._supported = {shapes[number] for number in scores["hypothesis"]} - {"map"} != set()
        axes = store.sql("SELECT * FROM code_axes WHERE expert = $expert", expert=expert).sort("axis")
        self._shares: list[float] = axes["share"].to_list()
        self._gate = _gate(store, axes, expert) if config.view == "gate" else None

    def cloud(self, points: Points) -> Cloud:
        by_label = np.argsort(points.label, kind="stable")
        drawn = points.at(by_label[spread(points.count, self._config.points)])
        xyz, means = self._seen(drawn.xyz), self._seen(self._marks.xyz)
        if self._flat:
            xyz[:, 1], means[:, 1] = _piled(xyz[:, 0])
        is_joined = len(means) > 1 and (self._config.join or self._supported)
        colours, bar = self._colours(drawn)
        return Cloud(
            xyz=xyz,
            colours=colours,
            means=means,
            mean_names=self._marks.text,
            mean_colours=self._mean_colours(),
            axes=self._axes(np.concatenate([np.zeros((1, 3)), xyz, means, self._gate_ends()])),
            axis_names=self._axis_names(),
            path=_path(means, closed=self._task.cyclic) if is_joined else np.empty((0, 3)),
            bar=bar,
            sphere=None if self._gate is None else self._gate[1],
            caption=self._caption(drawn, points.count, is_joined),
        )

    @property
    def _flat(self) -> bool:
        return len(self._shares) == 1

    def _seen(self, xyz: Array) -> Array:
        return xyz.copy() if self._gate is None else xyz @ self._gate[0]

    def _gate_ends(self) -> Array:
        """Return where the axes meet the threshold: as far as they reach at least."""
        if self._gate is None:
            return np.empty((0, 3))
        ends = self._gate[1] * np.eye(3)[: len(self._shares)]
        return np.concatenate([-ends, ends])

    def _axes(self, drawn: Array) -> Array:
        """Return the axes through the origin, each as long as the side of the cube that is drawn."""
        frame = Frame.around(drawn)
        ends = []
        for axis in range(min(DRAWN_AXES, len(self._shares))):
            along = np.zeros((2, 3))
            along[:, axis] = frame.centre[axis] + np.array([-MARGIN, MARGIN]) * frame.half
            if self._flat:
                along[:, 1] = drawn[:, 1].min() - frame.half / PILES
            ends.append(along)
        return np.stack(ends)

    def _axis_names(self) -> list[str]:
        shares = self._shares[:DRAWN_AXES]
        if self._gate is not None:
            return [f"code {axis}" for axis in range(1, len(shares) + 1)]
        return [f"axis {axis} · {percent(share)}" if share > 0 else f"axis {axis}" for axis, share in enumerate(shares, start=1)]

    def _colours(self, drawn: Points) -> tuple[list[str], Bar | None]:
        """Return the colour of each point, and the axis that they are read off."""
        if self._by_norm:
            low, high = float(drawn.norm.min()), float(drawn.norm.max())
            return ordered((drawn.norm - low) / ((high - low) or 1.0), "light"), Bar(NORM, low, high)
        colours = self._label_colours()
        values = [label.value for label in self._task.labels]
        bar = Bar(self._task.title, min(values), max(values)) if is_on_an_axis(self._task) else None
        return [colours[label] for label in drawn.label], bar

    def _label_colours(self) -> list[str]:
        """Return the colour of each label; of those that are not asked for the colour of lines."""
        colours = label_colours(self._task, "light")
        return [colour if kept else LINE["light"] for colour, kept in zip(colours, self._kept, strict=True)]

    @property
    def _kept(self) -> Array:
        """Whether each label is asked for. Names that the task has not are passed over, as on the page."""
        names = [label.name for label in self._task.labels]
        only = set(self._config.only).intersection(names) or set(names)
        return np.array([name in only and name not in self._config.without for name in names], bool)

    def _mean_colours(self) -> list[str]:
        if self._by_norm:
            return [data_colours()["light"]["none"]] * len(self._marks.xyz)
        colours = self._label_colours()
        middle = labels_per_mean(self._task) // 2
        return [colours[min(first + middle, len(colours) - 1)] for first in self._marks.label]

    @property
    def _boundary(self) -> str:
        return {1: "two strokes", 2: "circle"}.get(len(self._shares), "sphere")

    def _joining(self, is_joined: bool) -> str:
        if is_joined:
            return f", joined in label order (order {'' if self._supported else 'not '}supported)"
        is_tested = any(one.of_label and one.shape in ("ring", "ordinal") for one in self._task.hypotheses)
        return ", not joined (order not supported)" if is_tested else ""

    def _caption(self, points: Points, kept: int, is_joined: bool) -> str:
        task, drawn = self._task, points.count
        firings = f"{count(drawn)} of {count(kept)} firings" if drawn < kept else f"{count(drawn)} firings"
        place = f"at the labels of {task.title}" if task.labels else f"on {task.title}"
        shown = "coloured by norm" if self._by_norm else "coloured by label"
        said = [f"Expert {self._expert}: {firings} {place}, {shown}."]
        if not self._by_norm and (grey := int((~self._kept[points.label]).sum())):
            said.append(f"Grey are {count(grey)} of them, at labels that are filtered out.")
        if len(self._marks.text):
            several = f" of {labels_per_mean(task)} labels each" if labels_per_mean(task) > 1 else ""
            said.append(f"Large marks are class means{several}{self._joining(is_joined)}.")
        if self._gate is None:
            said.append("Drawn is what each firing adds to the residual stream, on its principal axes.")
        else:
            said.append(f"Drawn are codes as the gate sees them; the gate opens outside of the {self._boundary}.")
        return " ".join(said)


def _path(means: Array, *, closed: bool) -> Array:
    return np.concatenate([means, means[:1]]) if closed else means


def _gate(store: Store, axes: pl.DataFrame, expert: int) -> tuple[Array, float]:
    """Return the (3, 3) map from contributions to codes, and the threshold."""
    dictionary = store.provenance()["dictionary"]
    stored = Gates(axes, d_code=dictionary["d_code"], threshold=dictionary["threshold"]).payload(expert)
    if "absent" in stored:
        raise ConfigError(f"Expert {expert} cannot be drawn as the gate sees it: {stored['absent']} Leave --view out.")
    matrix = np.zeros((3, 3))
    matrix[np.triu_indices(3)] = stored["matrix"]
    return matrix + np.triu(matrix, 1).T, stored["threshold"]


def _piled(x: Array) -> tuple[Array, float]:
    """Return the heights of points that lie along one line, and that of the marks below them, in the units of the line."""
    span = float(np.ptp(x)) or 1.0
    column = np.minimum(PILES - 1, ((x - x.min()) / span * PILES).astype(np.int64))
    place = np.array([(column[:at] == one).sum() for at, one in enumerate(column)])
    step = span * min(1 / PILES, 1 / 3 / max(1, place.max() + 1))
    return place * step, -0.1 * span
