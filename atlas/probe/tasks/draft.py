"""A first TOML file for a user's table: columns guessed, labels in order with their counts, numeric columns as hypotheses."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atlas.errors import TaskError
from atlas.probe.tasks.hypotheses import MOST_CLASSES
from atlas.probe.tasks.source import Source, read_source
from atlas.probe.tasks.table import Table
from atlas.probe.tasks.user import LABEL_COLUMNS, MOST_LABELS, TEXT_COLUMNS, task_of_rows

TARGET = "target_"
"""Columns of this name become hypotheses; other numeric ones are proposed in comments."""


def draft(source: str) -> str:
    """Return a commented TOML file for a table or a data set's hub id, which `user_task` reads.

    Raises:
        TaskError: the table cannot be read, has a TOML file beside it, or no task can be made of it.
    """
    given = read_source(source)
    if given.raw:
        raise TaskError(f"'{source}' is described by a TOML file already; see what it gives with `atlas tasks show {source}`.")
    table = given.table
    label = _guessed_label(table)
    text = _guessed_text(table, label)
    raw: dict[str, Any] = {"text": text, "label": label}
    task = task_of_rows(given._replace(raw=raw))
    words = Counter(sentence.label for sentence in task.sentences)
    probed = next(remark for remark in task.remarks if remark.startswith("Probed"))
    position = "end" if "at the end" in probed else "label"
    others = [name for name in table.columns if name not in (text, label)]
    numeric = [name for name in others if _is_numeric(table, name)]
    wordy = [name for name in others if name not in numeric and 2 <= len(_distinct(table, name)) <= MOST_CLASSES]
    lines = [
        f"# A task from {Path(source).name or source}: {len(task.sentences):,} rows, {len(task.labels)} labels.",
        "# Every key but data may be left out; lines that begin with # are proposals. docs/tasks.md explains them.",
        "",
        _key("data", Path(source).name if Path(source).is_file() else source),
        _key("name", task.name),
        _key("title", task.title),
        _key("family", task.family, "an expert's title does not tell tasks of one family apart"),
        _key("description", task.description),
        "cyclic = false  # true where the first label follows the last",
        "natural_mentions = false  # true where a word of running text that is spelled as a label means it",
        "",
        "# Columns.",
        _key("text", text),
        _key("label", label),
        *(f"# {_key('group', name)}" for name in wordy),
        "# A group is never torn apart between fitting and testing: one source, author or kind of sentence. Without the key,",
        "# templates are dealt to groups.",
        _key("position", position, '"label": where the label ends in the text; "end": the end of the text'),
        "",
        "# Labels in order, with their rows.",
        "labels = [",
        *(f"    {_text(name)},  # {words[number]:,}" for number, name in enumerate(task.labels)),
        "]",
        f"# values = {json.dumps([_short(value) for value in task.values.tolist()])}",
        f"# colours = [{', '.join([_text('#1a6fcc')] * len(task.labels))}]",
        '# needs = ["case"]  # and "newline", "causal": what a model must give',
    ]
    stated = list(_targets(table, numeric))
    read = {name for columns, _ in stated for name in columns}
    lines += _default_hypothesis(task.hypotheses != ())
    for columns, kind in stated:
        lines += ["", *_hypothesis(columns, kind, real=_varies(given, task.sentences, table, columns))]
    for name in numeric:
        if name not in read:
            lines += ["", *_hypothesis((name,), "linear", real=False)]
    for name in wordy:
        lines += ["", *_hypothesis((name,), "classes", real=False)]
    return "\n".join(lines) + "\n"
