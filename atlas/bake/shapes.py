"""What an expert's cloud looks like on each source, in sentences that say no more than was tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from atlas.bake.numbers import by_chance, count, probability, significant
from atlas.store import Store, Task

Row = Mapping[str, Any]

_STRUCTURELESS = "structureless clouds of this size and spread"
_BOUNDARY = "clouds at the boundary, {median},"
_SAID: Mapping[str, tuple[str, str, str]] = {
    "loop": (". Its hole closes at {value} times the distance at which it opens", _STRUCTURELESS, "below"),
    "gap": (": the widest gap between them is {value} of their rms", _STRUCTURELESS, "below"),
    "bend": (": {value} of the variance off their first axis follows from the place along it", _STRUCTURELESS, "below"),
    "local_dimension": (": up close, within {radius} of their rms, they have {value} dimensions", _STRUCTURELESS, "above"),
    "thickness": (": across it they spread {value} of what they do along it", _BOUNDARY, "above"),
    "flatness": (": off their first two axes they spread {value} of what they do along the second", _BOUNDARY, "above"),
}
"""How a statistic is said, which clouds it is compared with, and on which side of the limit 95 % of these stay."""
SURE = 0.05
"""Adjusted p up to which a test stands out."""
ONE_EACH = 50
"""Labels from which on a task's cloud has one point of each, as the geometry stage takes them."""
_DESCRIBED = ("points", "effective_dimension", "rms", "local_dimension", "local_radius", "loops", "clusters")
_TESTED = ("statistic", "value", "null_median", "null_limit", "p_adjusted")


class Shapes:
    """Gives the shapes of one expert after another."""

    def __init__(self, store: Store, tasks: Mapping[int, Task]) -> None:
        self._tasks = tasks
        self._sources = {number: _called(task, tasks) for number, task in tasks.items()}
        self._shapes = _by_expert(store.table("shapes"))
        self._tests = _by_expert(store.table("shape_tests"))
        self._classes = {(row["task"], row["class"]): row for row in store.table("shape_classes").iter_rows(named=True)}

    def payload(self, expert: int) -> list[dict[str, Any]]:
        """Return, per source, the sentences, the class or null, and where there is one its description and its tests."""
        tests = self._tests.get(expert, [])
        return [self._shape(row, [test for test in tests if test["task"] == row["task"]]) for row in self._shapes.get(expert, [])]

    def _shape(self, row: Row, tests: Sequence[Row]) -> dict[str, Any]:
        counted = self._classes.get((row["task"], row["class"]))
        shown = {"task": row["task"], "class": row["class"], "said": said(row, tests, counted, self._sources[row["task"]])}
        if row["class"] is None:
            return shown
        described = {name: _short(row[name]) for name in _DESCRIBED}
        spectrum = [_short(share) for share in row["spectrum"]]
        columns = {name: [_short(test[name]) for test in tests] for name in _TESTED}
        measured = measured_on(row["points"], self._tasks[row["task"]])
        return shown | described | {"measured": measured, "spectrum": spectrum, "tests": columns}


def said(row: Row, tests: Sequence[Row], counted: Row | None, source: str) -> list[str]:
    """Return the sentences on one shape: what it looks like with the test that speaks for it, and how many would by chance.

    `row` is of the table shapes, `tests` are its rows of shape_tests, `counted` that of its class in shape_classes.
    """
    shape = row["class"]
    if shape is None:
        return [f"No shape on {source}. {row['absent']}"]
    if shape == "unclear":
        return [_unclear(tests, source)]
    found = [f"On {source}{_looks(row)}{_evidence(row, tests)}."]
    if counted:
        found.append(_by_chance(shape, counted))
    return found


def measured_on(points: int, task: Task) -> str:
    """Return which firings a shape rests on; on a corpus or a task of many labels they are fewer than a scene draws."""
    if task.kind != "corpus" and len(task.labels) < ONE_EACH:
        return f"Measured on {count(points)} firings."
    return f"Measured on {count(points)} of these firings, one on each {'token' if task.kind == 'corpus' else 'label'}."


def needed(kept: Sequence[float] | None, dimensions: int | None) -> str:
    """Return how few axes keep 90 % of an expert's importance; `kept` are the shares by the mean, then with each axis more."""
    if kept is None or dimensions is None:
        return "Its importance is not above 0, so that there is none to keep."
    if dimensions == 0:
        return "The mean contribution alone keeps 90\u202f% of its importance."
    axes = "1 axis keep" if dimensions == 1 else f"{dimensions} axes keep"
    return f"The mean and {axes} 90\u202f% of its importance."


def _called(task: Task, tasks: Mapping[int, Task]) -> str:
    several = sum(one.kind == "corpus" for one in tasks.values()) > 1
    return "the corpus" if task.kind == "corpus" and not several else task.title


def _looks(row: Row) -> str:
    return {
        "ring": " its contributions form a ring: one loop stands out",
        "clusters": f" its contributions fall into {count(max(row['clusters'], 2))} clusters",
        "line or ray": " its contributions lie along a line or ray",
        "curve": " its contributions lie along a curve",
        "sheet": " its contributions lie on a sheet",
    }[row["class"]]


def _evidence(row: Row, tests: Sequence[Row]) -> str:
    by_name = {test["statistic"]: test for test in tests}
    if len(row["spectrum"]) == 1 and row["class"] == "line or ray":
        return ": they have one axis only, and no gap that stands out"
    test = by_name.get(row["statistic"])
    if test is None:
        return ""
    what, others, side = _SAID[test["statistic"]]
    radius = "¼" if row["local_radius"] == 0.25 else significant(row["local_radius"])
    numbers = {"value": significant(test["value"]), "median": significant(test["null_median"]), "radius": radius}
    limit, p = significant(test["null_limit"]), probability(test["p_adjusted"])
    return f"{what.format(**numbers)}; 95\u202f% of {others.format(**numbers)} stay {side} {limit} (adjusted p {p})"


def _unclear(tests: Sequence[Row], source: str) -> str:
    first = min(((test["p_adjusted"], test["statistic"]) for test in tests), default=(1.0, ""))
    if first[0] > SURE:
        return f"Unclear on {source}: nothing but its spread. No test tells it from structureless clouds of like size and spread."
    return (
        f"Unclear on {source}: one test or more stands out ({first[1].replace('_', ' ')}, adjusted p {probability(first[0])}), "
        "but it has none of the shapes that are told apart here."
    )


def _by_chance(shape: str, counted: Row) -> str:
    experts, tested = counted["experts"], counted["tested"]
    are = "is" if experts == 1 else "are"
    return (
        f"{count(experts)} of {count(tested)} experts {are} called {shape} here; "
        f"if all of them were structureless, {by_chance(counted['expected'])} would be."
    )


def _by_expert(table: pl.DataFrame) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in table.iter_rows(named=True):
        found.setdefault(row["expert"], []).append(row)
    return found


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
