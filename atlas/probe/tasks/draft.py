"""A first TOML file for a user's table: columns guessed, labels in order with their counts, numeric columns as hypotheses."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from atlas.errors import TaskError
from atlas.probe.scores.newton import MAX_CLASSES
from atlas.probe.tasks.source import bare_source
from atlas.probe.tasks.stated import are_numbers, one_line
from atlas.probe.tasks.table import Table
from atlas.probe.tasks.task import FEWEST_GROUPS, Task
from atlas.probe.tasks.user import LABEL_COLUMNS, MOST_LABELS, TEXT_COLUMNS, readable, task_of_rows, text_column

TARGET = "target_"
"""Columns of this name become hypotheses; other ones are proposed in comments."""


def draft(source: str, folder: Path) -> str:
    """Return a commented TOML file, to be written to `folder`, that describes a table or a data set's hub id.

    Raises:
        TaskError: the table cannot be read, or no task can be made of it.
    """
    given = bare_source(source)
    table = given.table
    label = _label_column(table)
    text = _text_column(table, label)
    others = [name for name in table.columns if name.strip() and name not in (text, label)]
    tables = _tables(table, others)
    stated: dict[str, Any] = {"text": text, "label": label}
    task = task_of_rows(given._replace(raw=stated))
    if task.hypotheses:
        tables.insert(0, {"name": "linear", "title": "Value", "kind": "linear"})
    proposed = [one for one in tables if "columns" in one and not one["columns"][0].startswith(TARGET)]
    meant = [one for one in tables if one not in proposed]
    tested = {one.name for one in task_of_rows(given._replace(raw=stated | {"hypotheses": meant})).hypotheses}
    path = Path(source)
    data = Path(os.path.relpath(path, folder)).as_posix() if path.is_file() else source
    lines = [
        *_head(task, data),
        *_columns(task, text, label, [name for name in others if _groups(table, name)]),
        *_labels(task),
        *(line for one in meant if one["name"] in tested for line in ("", *_hypothesis(one))),
    ]
    for one in tables:
        if one["name"] not in tested:
            lines += ["", *(f"# {line}" for line in _hypothesis(one))]
    return "\n".join(lines) + "\n"


def _label_column(table: Table) -> str:
    """Return the column of labels: one of the usual names, or else the one with the fewest words, or else numbers."""
    if known := [name for name in LABEL_COLUMNS if name in table.columns]:
        return known[0]
    few = {
        name: (are_numbers(words), len(words))
        for name in table.columns
        if name not in TEXT_COLUMNS and 2 <= len(words := _words(table, name)) <= min(MOST_LABELS, table.n_rows // 2)
    }
    if not few:
        raise TaskError(
            f"{table.name} has no column of 2 to {MOST_LABELS} words that occur again and could be its labels; add one."
        )
    return min(few, key=lambda name: few[name])


def _text_column(table: Table, label: str) -> str:
    """Return the column of texts: one of the usual names, or else the one with the longest."""
    length = {
        name: sum(map(len, column))
        for name, column in table.columns.items()
        if name != label and all(isinstance(value, str) for value in column)
    }
    if length and not any(name in table.columns for name in TEXT_COLUMNS):
        return max(length, key=lambda name: length[name])
    return text_column(table)


def _words(table: Table, name: str) -> set[str]:
    """Return a column's distinct words and numbers; none if it holds something else."""
    if any(isinstance(value, list | dict | bytes) for value in table.columns[name]):
        return set()
    return set(table.words(name)) - {""}


def _classes(table: Table, name: str) -> bool:
    """Return whether a column could hold classes."""
    words = _words(table, name)
    return 2 <= len(words) <= MAX_CLASSES and (len(words) == 2 or not are_numbers(words))


def _groups(table: Table, name: str) -> bool:
    """Return whether a column could hold groups: a few words, each in several rows."""
    words = _words(table, name)
    return FEWEST_GROUPS <= len(words) <= table.n_rows // 2 and not are_numbers(words)


def _tables(table: Table, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a hypothesis for each column that could be one: a sine and its cosine are a ring, two values are classes."""
    rest = list(names)
    found: list[dict[str, Any]] = []
    while rest:
        name = rest.pop(0)
        words = _words(table, name)
        cosine = name.replace("sin", "cos")
        columns = [name]
        if words and are_numbers(words) and cosine != name and cosine in rest:
            rest.remove(cosine)
            columns, kind = [name, cosine], "ring"
        elif _classes(table, name):
            kind = "classes"
        elif words and are_numbers(words):
            kind = "linear"
        else:
            continue
        short = name.removeprefix(TARGET) or name
        if kind == "ring":
            short = f"{short.replace('sin', '')}_ring".replace("__", "_").strip("_")
        short = one_line(short).strip() or kind
        found.append({"name": short, "title": readable(short) or short, "kind": kind, "columns": columns})
    times = Counter(one["name"] for one in found)
    taken = {"linear", *(name for name, n in times.items() if n == 1)}
    for one in found:
        if times[one["name"]] > 1 or one["name"] == "linear":
            one["name"] = _free(one_line(one["columns"][0]).strip() or one["kind"], taken)
            taken.add(one["name"])
    return found


def _free(name: str, taken: Set[str]) -> str:
    """Return a name with a number, if it is taken."""
    return next(new for new in (name, *(f"{name}_{n}" for n in range(2, len(taken) + 3))) if new not in taken)


def _head(task: Task, data: str) -> list[str]:
    return [
        "# A task for `atlas probe --task`. Every key but data may be left out; docs/tasks.md says what each one does.",
        "",
        f"data = {_text(data)}",
        f"name = {_text(task.name)}",
        f"title = {_text(task.title)}",
        f"family = {_text(task.family)}  # the title of an expert does not tell tasks of one family apart",
        f"description = {_text(task.description)}",
        "cyclic = false  # true where the first label follows the last",
        "natural_mentions = false  # true where a word of running text that is spelled as a label means it",
        '# needs = ["case"]  # what a model must give: "case", "newline", "causal"',
    ]


def _columns(task: Task, text: str, label: str, groups: Sequence[str]) -> list[str]:
    at_label = all(one.text[one.start : one.end].casefold() == task.labels[one.label].casefold() for one in task.sentences)
    return [
        "",
        "# Columns. Rows of one group are never parted into fitted and tested ones; without groups, templates are dealt to some.",
        f"text = {_text(text)}",
        f"label = {_text(label)}",
        *(f"# group = {_text(name)}" for name in groups),
        f"position = {_text('label' if at_label else 'end')}  # probed: where the label ends in the text, or the text's end",
    ]


def _labels(task: Task) -> list[str]:
    rows = Counter(one.label for one in task.sentences)
    return [
        "",
        "# In order, with the rows that each one has.",
        "labels = [",
        *(f"    {_text(name)},  # {rows[index]:,}" for index, name in enumerate(task.labels)),
        "]",
        f"# values = {json.dumps(task.values.tolist())}",
        f"# colours = {json.dumps(['#808080'] * len(task.labels))}",
    ]


def _hypothesis(stated: dict[str, Any]) -> list[str]:
    columns = [f"columns = [{', '.join(map(_text, stated['columns']))}]"] if "columns" in stated else []
    return ["[[hypotheses]]", *(f"{key} = {_text(stated[key])}" for key in ("name", "title", "kind")), *columns]


def _text(value: str) -> str:
    """Return a text as TOML has it: as JSON does, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
