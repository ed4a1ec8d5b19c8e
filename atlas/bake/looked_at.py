"""What an expert's page shows of its cloud: by itself, and where a link leads to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import polars as pl

from atlas.bake.clouds import cloud_task
from atlas.bake.link import Link
from atlas.bake.points import Points, points_of
from atlas.bake.scores import best_scores, comparable
from atlas.store import Hypothesis, Store, Task

COMMON = ("norm", "importance", "band", "position")
OF_CORPORA = ("token", "document")
OF_LABELS = ("label", "template")


def first_task(store: Store, tasks: Mapping[int, Task], row: pl.DataFrame, points: Mapping[int, Points]) -> int:
    """Return the task that the page of an expert, a row of the overview, shows first; it has `points` on one at least."""
    scores = store.sql("SELECT * FROM scores WHERE expert = $expert", expert=row["expert"][0])
    best = best_scores(row, comparable(scores, list(tasks.values()))).rows(named=True)
    task = cloud_task(row.row(0, named=True), best[0] if best else None, points)
    return next(iter(points)) if task is None else task


def looked_at(store: Store, link: Link) -> Link:
    """Return a link with the colouring that its page has in an atlas, whatever it asks for.

    As the page does it: a colouring that is not known is as if left out, and of a task without points it is the expert's own. A
    link to no expert, or to one without points, stays as it is.
    """
    experts = store.experts()
    row = experts.filter(pl.col("expert") == link.expert)
    points = points_of(store.points([link.expert]), [link.expert])[link.expert]
    if row.is_empty() or not points:
        return link
    tasks = {task.task: task for task in store.tasks()}
    chosen, by = _read(tasks.values(), link.colour)
    wanted = link.task if chosen is None else chosen.name
    known = next((number for number in points if tasks[number].name == wanted), None)
    task = tasks[first_task(store, tasks, row, points) if known is None else known]
    return replace(link, colour=f"{task.name}:{by}" if by and task is chosen else task.name)


def _read(tasks: Iterable[Task], colour: str | None) -> tuple[Task | None, str | None]:
    """Return the task that a colouring names, and by what it is coloured if that is said and known."""
    named = {task.name: task for task in tasks}
    if colour is None or colour in named:
        return named.get(colour or ""), None
    name, _, by = colour.rpartition(":")
    task = named.get(name)
    return task, by if task and by in _ways(task) else None


def _ways(task: Task) -> Sequence[str]:
    """Return by what the page can colour the points of a task."""
    if task.kind == "corpus":
        return [*COMMON, *OF_CORPORA]
    return [*OF_LABELS, *COMMON, *(name for one in task.hypotheses for name in _parts(one))]


def _parts(hypothesis: Hypothesis) -> Sequence[str]:
    if not hypothesis.targets:
        return []
    if hypothesis.shape != "map":
        return [hypothesis.name]
    return [f"{hypothesis.name}.{part}" for part in range(1, len(hypothesis.targets[0]) + 1)]
