"""Hypotheses as a TOML file states them, and the targets that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from atlas.errors import TaskError
from atlas.probe.scores.newton import MAX_CLASSES
from atlas.probe.tasks.stated import Stated, counted, listed, one_line, repeated
from atlas.probe.tasks.task import Hypothesis, Probe, Shape, Task

Kind = Literal["ring", "linear", "log", "map", "classes"]
KINDS: tuple[str, ...] = get_args(Kind)


@runtime_checkable
class Columns(Protocol):
    """Columns of a user's data, by name."""

    @property
    def label(self) -> Int64[np.ndarray, "row"]:
        """Return each row's label."""

    def numbers(self, name: str) -> Float64[np.ndarray, "row"]:
        """Return a column of numbers; NaN where there is none."""

    def words(self, name: str) -> tuple[tuple[str, ...], Int64[np.ndarray, "row"]]:
        """Return a column's distinct values in order, and each row's."""


class Labels(NamedTuple):
    """The labels that hypotheses are about."""

    names: tuple[str, ...]
    values: Float64[np.ndarray, "label"]


def stated_hypotheses(
    tables: Sequence[dict[str, Any]], whose: str, labels: Labels, columns: Columns | None = None
) -> tuple[Hypothesis, ...]:
    """Return the hypotheses that a TOML file states, with targets of the label where they are constant within each label.

    Raises:
        TaskError: one is not well formed, or two have one name.
    """
    found = []
    for number, table in enumerate(tables, start=1):
        named = table.get("name")
        who = f"The hypothesis '{named}' of {whose}" if isinstance(named, str) else f"Hypothesis {number} of {whose}"
        found.append(_hypothesis(Stated(table, who), labels, columns))
    if twice := repeated(hypothesis.name for hypothesis in found):
        raise TaskError(f"Two hypotheses of {whose} have the name '{twice}'; rename one.")
    return tuple(found)


def wanted_columns(table: dict[str, Any]) -> list[str]:
    """Return the columns that a hypothesis would read."""
    columns = table.get("columns", [])
    return [name for name in columns if isinstance(name, str)] if isinstance(columns, list) else []


def with_labels(hypothesis: Hypothesis, kept: Sequence[int]) -> Hypothesis:
    """Return a hypothesis about some of its labels; a class that none of them is in goes too."""
    if hypothesis.of_label is None:
        return hypothesis
    of_label = hypothesis.of_label[list(kept)]
    if hypothesis.shape != "classes" or not np.isfinite(of_label).all():
        return replace(hypothesis, of_label=of_label)
    left, index = np.unique(of_label[:, 0], return_inverse=True)
    names = tuple(hypothesis.class_names[int(n)] for n in left)
    probe: Probe = "logistic" if len(names) == 2 < len(hypothesis.class_names) else hypothesis.probe
    of_names = hypothesis.description == _named_classes(hypothesis.class_names)
    description = _named_classes(names) if of_names else hypothesis.description
    targets = index[:, None].astype(np.float64)
    return replace(hypothesis, of_label=targets, class_names=names, probe=probe, description=description)


def unusable(hypothesis: Hypothesis, task: Task) -> str | None:
    """Return why nothing can be fitted to a hypothesis' targets on the rows of a task, or nothing measured; None if both can."""
    targets = hypothesis.of_label if hypothesis.of_label is not None else hypothesis.of_row
    assert targets is not None
    unit = "label" if hypothesis.of_label is not None else "row"
    if missing := int((~np.isfinite(targets)).any(axis=1).sum()):
        return f"its target is no finite number in {missing:,} of {len(targets):,} {unit}s"
    if constant := [axis for axis in range(targets.shape[1]) if len(np.unique(targets[:, axis])) < 2]:
        which = f"number {constant[0] + 1} of its targets" if targets.shape[1] > 1 else "its target"
        return f"{which} is the same in every {unit}"
    if (n := len(hypothesis.class_names)) > MAX_CLASSES:
        return f"it has {n:,} classes, and {MAX_CLASSES} can be told apart"
    of_row = targets[[one.label for one in task.sentences]] if hypothesis.of_label is not None else targets
    report = task.report()[[one.template for one in task.sentences]]
    for side, which in ((report, "of the report set"), (~report, "that experts are ranked on")):
        found = np.unique(of_row[side], axis=0)
        if hypothesis.class_names:
            if absent := [name for n, name in enumerate(hypothesis.class_names) if n not in found]:
                return f"no row {which} is of the {'class' if len(absent) == 1 else 'classes'} {listed(absent, 'or')}"
        elif len(found) < 2:
            return f"its target is the same in every row {which}"
    return None


def _hypothesis(stated: Stated, labels: Labels, columns: Columns | None) -> Hypothesis:
    name, title = stated.line("name"), stated.line("title")
    kind = stated.text("kind")
    if kind not in KINDS:
        raise TaskError(f"{stated.who} is of the kind {kind!r}; Atlas knows {listed(KINDS)}.")
    read = stated.texts("columns", ()) if columns is not None else ()
    class_names: tuple[str, ...] = ()
    if kind == "classes":
        class_names, targets, description = _classes(stated, labels, columns, read)
    else:
        targets, description = _numbers(stated, kind, labels, columns, read)
    shapes: dict[str, Shape] = {"ring": "ring", "map": "map", "classes": "classes"}
    made = Hypothesis(
        name=name,
        title=title,
        shape=shapes.get(kind, "ordinal"),
        description=stated.line("description", one_line(description)),
        probe=_probe(stated, class_names),
        of_label=None if read else targets,
        of_row=targets if read else None,
        class_names=class_names,
    )
    stated.nothing_else()
    return _by_label(made, columns.label, len(labels.names)) if columns is not None and read else made


def _probe(stated: Stated, class_names: tuple[str, ...]) -> Probe:
    """Return the probe that a hypothesis asks for, or the plain one of its kind."""
    if not class_names:
        return "ridge" if stated.choice("probe", ("linear", "ridge"), "linear") == "ridge" else "linear"
    if len(class_names) > 2:
        stated.choice("probe", ("multinomial",), "multinomial")
        return "multinomial"
    return "multinomial" if stated.choice("probe", ("logistic", "multinomial"), "logistic") == "multinomial" else "logistic"


def _numbers(
    stated: Stated, kind: str, labels: Labels, columns: Columns | None, read: tuple[str, ...]
) -> tuple[NDArray[np.float64], str]:
    """Return the targets of a hypothesis about numbers, of the label or of the row, and how they follow."""
    if kind == "map":
        if columns is not None and read:
            if len(read) < 2:
                raise TaskError(f"{stated.who} is a map of one column; give two or more, or the kind linear.")
            return np.stack([columns.numbers(name) for name in read], axis=1), f"the columns {listed(read)}"
        return _given(stated, labels), "numbers given for each label"
    if kind == "ring" and columns is not None and len(read) == 2:
        return np.stack(
            [columns.numbers(name) for name in read], axis=1
        ), f"sine and cosine, as the columns {listed(read)} have them"
    if len(read) > 1:
        raise TaskError(f"{stated.who} has {counted(len(read), 'column')}; the kind {kind} takes one, the kind map several.")
    if kind == "ring" and not read and stated.has("degrees"):
        degrees = stated.numbers("degrees")
        if len(degrees) != len(labels.names):
            raise TaskError(
                f"{stated.who} has {counted(len(degrees), 'degree')} for {len(labels.names)} labels; give one for each."
            )
        return _on_ring(np.deg2rad(degrees)), "sine and cosine of an angle given for each label"
    base = columns.numbers(read[0]) if columns is not None and read else labels.values
    said = f"the column {read[0]}" if read else "the value"
    word = read[0] if read else "value"
    if kind == "ring":
        period = stated.number("period")
        return _on_ring(2 * np.pi * base / period), f"sine and cosine of 2π · {word} / {period:g}"
    if kind == "log":
        # What has no logarithm is no number, which is said of the hypothesis later.
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log1p(base)[:, None], f"ln(1 + {word})"
    return base[:, None].astype(np.float64), said


def _on_ring(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def _given(stated: Stated, labels: Labels) -> NDArray[np.float64]:
    """Return the targets that are listed for each label."""
    rows = stated.any("targets")
    if rows is None:
        raise TaskError(f"{stated.who} lacks the key 'targets'; it takes a list of numbers for each label.")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise stated.wrong("targets", "a list of numbers for each label")
    if len(rows) != len(labels.names):
        raise TaskError(f"{stated.who} has targets for {counted(len(rows), 'label')}; there are {len(labels.names)}.")
    numbers = [Stated({"targets": row}, stated.who).numbers("targets") for row in rows]
    widths = {len(row) for row in numbers}
    if len(widths) > 1 or widths == {0}:
        raise TaskError(f"{stated.who} has targets of {listed([str(n) for n in sorted(widths)])} numbers; give equally many.")
    return np.array(numbers)


def _classes(
    stated: Stated, labels: Labels, columns: Columns | None, read: tuple[str, ...]
) -> tuple[tuple[str, ...], NDArray[np.float64], str]:
    """Return the classes, the one of each label or row, and how they follow."""
    if columns is not None and read:
        if len(read) > 1:
            raise TaskError(f"{stated.who} has {len(read)} columns; the kind classes takes one.")
        names, index = columns.words(read[0])
        names = tuple(map(one_line, names))
        # A row without a class has no target.
        return names, np.where(index < 0, np.nan, index)[:, None].astype(np.float64), f"the column {read[0]}"
    table = stated.any("classes")
    if not isinstance(table, dict) or len(table) < 2:
        raise TaskError(f"{stated.who} takes classes = {{ name = [labels], … }}, two of them or more.")
    of_label: dict[str, int] = {}
    members = Stated(table, stated.who)
    for index_of_class, name in enumerate(table):
        if not name.strip() or one_line(name) != name:
            raise TaskError(f"{stated.who} has the class {name!r}; a class is named by one line of text.")
        for label in members.texts(name):
            if label not in labels.names:
                raise TaskError(f"{stated.who} has {label!r} in the class {name!r}; the labels are {listed(labels.names)}.")
            if label in of_label:
                raise TaskError(f"{stated.who} has the label {label!r} in two classes, or twice in one; leave one.")
            of_label[label] = index_of_class
        if index_of_class not in of_label.values():
            raise TaskError(f"{stated.who} has no label in the class {name!r}; name one, or leave the class out.")
    if missing := [label for label in labels.names if label not in of_label]:
        raise TaskError(f"{stated.who} has the label {missing[0]!r} in no class; each label is in one.")
    targets = np.array([[of_label[label]] for label in labels.names], dtype=np.float64)
    return tuple(table), targets, _named_classes(tuple(table))


def _named_classes(names: tuple[str, ...]) -> str:
    """Return how targets follow from classes of labels."""
    return f"classes {listed(names)}"


def _by_label(hypothesis: Hypothesis, label: Int64[np.ndarray, "row"], n_labels: int) -> Hypothesis:
    """Return a hypothesis with targets of the label, if they are the same in all of a label's rows."""
    of_row = hypothesis.of_row
    assert of_row is not None
    of_label = np.full((n_labels, of_row.shape[1]), np.nan)
    of_label[label] = of_row
    same = np.array_equal(of_label[label], of_row, equal_nan=True)
    return replace(hypothesis, of_label=of_label, of_row=None) if same else hypothesis
