"""Tasks that users bring: a table of labelled text, or a matrix of rows with a table of what each row is."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atlas.errors import TaskError
from atlas.probe.tasks.hypotheses import Labels, stated_hypotheses, unusable, wanted_columns, with_labels
from atlas.probe.tasks.sentences import stated_needs, task_of_templates
from atlas.probe.tasks.source import Source, read_source, with_definition
from atlas.probe.tasks.stated import (
    Stated,
    are_numbers,
    listed,
    read_toml,
    stated_colours,
    stated_labels,
    stated_values,
)
from atlas.probe.tasks.table import RowColumns, in_order
from atlas.probe.tasks.task import FEWEST_GROUPS, Hypothesis, Sentence, Task

TEXT_COLUMNS = ("text", "sentence", "Sentence", "prompt")
LABEL_COLUMNS = ("label", "Label", "class", "category")
"""Looked for in this order where no column is named."""

MOST_LABELS = 500

N_GROUPS = 9
"""Groups that templates are dealt to where the data has none."""

MOST_IN_DATA_ORDER = 20
"""Labels up to which words keep the order in which they first appear; more are sorted."""

_NAME = re.compile(r"\w[\w.-]*")
_PREFIXED = re.compile(r"(\d{1,9})_(.+)", re.ASCII | re.DOTALL)
"""A label that carries its place in the order."""


def user_task(source: str) -> Task:
    """Return a user's task: a table with a text and a label column, a data set's hub id, or a TOML file that describes one.

    The table is a .csv, .tsv, .jsonl or .json, each also as .gz or .zst, or a .parquet. A TOML file of the same name beside it is
    read by itself; `docs/tasks.md` has its keys. Rows that cannot be used are left out, and `remarks` says which and why.

    Raises:
        TaskError: no task can be made of it.
    """
    path = Path(source)
    if path.suffix == ".toml":
        raw = read_toml(path)
        if "templates" in raw:
            return task_of_templates(raw, path)
    return task_of_rows(read_source(source))


def task_of_rows(source: Source) -> Task:
    """Return the task of a table, with or without a matrix.

    Raises:
        TaskError: no task can be made of it.
    """
    stated = Stated(with_definition(source), f"T{source.whose[1:]}")
    for key in ("data", "matrix", "metadata", "tensor", "definition"):
        stated.has(key)
    name = stated.text("name", re.sub(r"[^\w.-]+", "_", source.stem))
    if not _NAME.fullmatch(name):
        raise TaskError(f"{stated.who} has the name {name!r}; a name is letters, digits, '_', '.' and '-'.")
    remarks: list[str] = []
    labels, rows = _labelled(stated, source, remarks)
    rows = _probed(stated, source, labels, rows, remarks)
    kept, rows = _repeated(stated, labels, rows, remarks)
    names = tuple(labels.names[number] for number in kept)
    templates, groups = _templates(stated, source, rows, remarks)
    place = {number: index for index, number in enumerate(kept)}
    sentences = tuple(
        Sentence(row.text, place[row.label], template, row.start, row.end) for row, template in zip(rows, templates, strict=True)
    )
    _remark_missing(sentences, groups, names, remarks)
    colours = stated_colours(stated, len(labels.names))
    task = Task(
        name=name,
        title=stated.text("title", readable(name)),
        family=stated.text("family", name),
        description=stated.text("description", f"{len(rows):,} rows of {source.table.name[:1].lower()}{source.table.name[1:]}."),
        cyclic=stated.flag("cyclic", False),
        labels=names,
        values=labels.values[kept],
        colours=tuple(colours[number] for number in kept) if colours else (),
        hypotheses=_hypotheses(stated, source, labels, rows, kept, remarks),
        needs=stated_needs(stated),
        natural_mentions=stated.flag("natural_mentions", False),
        sentences=sentences,
        groups=groups,
        matrix=None if source.matrix is None else source.matrix[[row.number for row in rows]],
        remarks=tuple(remarks),
    )
    stated.nothing_else()
    return task


def last_mention(text: str, label: str) -> tuple[int, int] | None:
    """Return where a text has a label as a word for the last time, spelled so or else in other case; None where it has not."""
    # A digit of `6.5` is not the label 6.
    word = rf"(?<!\w)(?<!\d[.,]){re.escape(label)}(?!\w)(?![.,]\d)"
    for flags in (re.NOFLAG, re.IGNORECASE):
        if places := [match.span() for match in re.finditer(word, text, flags)]:
            return places[-1]
    return None


def readable(name: str) -> str:
    """Return a name as a title has it."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


class _Row(NamedTuple):
    """A row that is kept."""

    number: int
    """In the table."""
    text: str
    label: int
    """Among all labels that the task states or has."""
    group: str
    start: int = 0
    end: int = 0


def _labelled(stated: Stated, source: Source, remarks: list[str]) -> tuple[Labels, list[_Row]]:
    """Return the labels in order, and the rows that have one."""
    table = source.table
    column = stated.text("label") if stated.has("label") else table.first_of(LABEL_COLUMNS, "label")
    words = table.words(column)
    groups = table.words(stated.text("group")) if stated.has("group") else None
    if source.matrix is None:
        text_column = stated.text("text") if stated.has("text") else table.first_of(TEXT_COLUMNS, "text")
        texts = table.texts(text_column)
    else:
        texts = [""] * table.n_rows
    if not table.n_rows:
        raise TaskError(f"{stated.who} has no rows.")
    left_out: Counter[str] = Counter()
    whole: list[int] = []
    for row, word in enumerate(words):
        if not word:
            left_out[f"the column {column!r} is empty"] += 1
        elif groups is not None and not groups[row]:
            left_out["they have no group"] += 1
        elif source.matrix is None and not texts[row].strip():
            left_out["their text is empty"] += 1
        else:
            whole.append(row)
    _say_left_out(stated, table.n_rows, left_out, remarks)
    labels, shown = _labels(stated, [words[row] for row in whole])
    number = {label: index for index, label in enumerate(labels.names)}
    rows = [
        _Row(row, texts[row], number[label], groups[row] if groups else "")
        for row, label in zip(whole, shown, strict=True)
        if label in number
    ]
    unknown = [label for label in shown if label not in number]
    if unknown:
        reason = f"their label is not among the task's: {listed(tuple(dict.fromkeys(unknown)))}"
        _say_left_out(stated, len(whole), Counter({reason: len(unknown)}), remarks)
    return labels, rows


def _say_left_out(stated: Stated, n_rows: int, left_out: Counter[str], remarks: list[str]) -> None:
    """Remark how many rows were left out for which reason.

    Raises:
        TaskError: none is left.
    """
    said = [f"{n:,} of {n_rows:,} rows left out: {reason}." for reason, n in left_out.items()]
    if said and left_out.total() == n_rows:
        raise TaskError(f"{stated.who} has no row that can be used: {' '.join(said)}")
    remarks.extend(said)


def _labels(stated: Stated, words: Sequence[str]) -> tuple[Labels, list[str]]:
    """Return the labels in order, and each row's, as it is shown.

    A number before each label (`03_Thursday`) says its place and is not shown.
    """
    found = list(dict.fromkeys(words))
    parts = {word: match.groups() for word in found if (match := _PREFIXED.fullmatch(word))}
    prefixed = len(parts) == len(found) == len({shown for _, shown in parts.values()})
    of_word = {word: parts[word][1] if prefixed else word for word in found}
    if stated.has("labels"):
        names, values = stated_labels(stated)
        if not set(names) & set(of_word.values()):
            of_word = {word: word for word in found}
    else:
        if prefixed:
            found.sort(key=lambda word: int(parts[word][0]))
        elif are_numbers(found) or len(found) > MOST_IN_DATA_ORDER:
            found = in_order(found)
        names = tuple(of_word[word] for word in found)
        values = stated_values(stated, names)
    if len(names) > MOST_LABELS:
        raise TaskError(
            f"{stated.who} has {len(names):,} labels; a task has at most {MOST_LABELS}. Bin them, or take another label column "
            "and give this one as a hypothesis' columns."
        )
    return Labels(names, np.array(values, dtype=np.float64)), [of_word[word] for word in words]


def _probed(stated: Stated, source: Source, labels: Labels, rows: list[_Row], remarks: list[str]) -> list[_Row]:
    """Return the rows with the place in their text that is probed; those without one are left out."""
    if source.matrix is not None:
        return rows
    if stated.has("start") or stated.has("end"):
        start, end = (source.table.numbers(stated.text(key)) for key in ("start", "end"))
        found = [_span(row.text, start[row.number], end[row.number]) for row in rows]
        reason = "their offsets are not whole numbers within the text"
    else:
        position = stated.choice("position", ("label", "end")) if stated.has("position") else None
        mentions = [last_mention(row.text, labels.names[row.label]) for row in rows]
        without = mentions.count(None)
        if position == "end" or (position is None and without):
            why = f": {without:,} of {len(rows):,} do not have their label as a word" if position is None else ""
            remarks.append(f"Probed at the end of each text{why}.")
            return [row._replace(start=start, end=end) for row in rows for start, end in [_last_word(row.text)]]
        remarks.append("Probed where the label ends in its text, at the last mention.")
        found, reason = mentions, "their text does not have the label as a word"
    _say_left_out(stated, len(rows), Counter({reason: found.count(None)} if None in found else {}), remarks)
    return [row._replace(start=place[0], end=place[1]) for row, place in zip(rows, found, strict=True) if place is not None]


def _span(text: str, start: float, end: float) -> tuple[int, int] | None:
    inside = float(start).is_integer() and float(end).is_integer() and 0 <= start < end <= len(text)
    return (int(start), int(end)) if inside else None


def _last_word(text: str) -> tuple[int, int]:
    """Return where the last word of a text that is not blank begins and ends."""
    end = len(text.rstrip())
    return end - len(text[:end].split()[-1]), end


def _repeated(stated: Stated, labels: Labels, rows: list[_Row], remarks: list[str]) -> tuple[list[int], list[_Row]]:
    """Return the labels that have two rows or more, and their rows."""
    times = Counter(row.label for row in rows)
    kept = [number for number in range(len(labels.names)) if times[number] > 1]
    if len(kept) < 2:
        said = f"{len(kept)} labels" if not kept else f"1 label, {labels.names[kept[0]]!r},"
        raise TaskError(f"{stated.who} has {said} with two rows or more; a task takes at least 2 such labels.")
    for n, said in ((1, "have one row, which is left out"), (0, "have no row")):
        if few := tuple(name for number, name in enumerate(labels.names) if times[number] == n):
            one = said.replace("have", "has", 1)
            remarks.append(f"{len(few):,} of {len(labels.names):,} labels {one if len(few) == 1 else said}: {listed(few)}.")
    return kept, [row for row in rows if times[row.label] > 1]


def _templates(stated: Stated, source: Source, rows: Sequence[_Row], remarks: list[str]) -> tuple[list[int], tuple[str, ...]]:
    """Return each row's template, and each template's group.

    A template is the text without what is probed; rows of a matrix are one each. Groups are those of the data, or templates are
    dealt to them by a hash, so that no two folds share one.
    """
    number: dict[tuple[str, str], int] = {}
    templates = []
    for row in rows:
        context = str(row.number) if source.matrix is not None else f"{row.text[: row.start]}\0{row.text[row.end :]}"
        templates.append(number.setdefault((row.group, context), len(number)))
    if stated.has("group"):
        groups = tuple(group for group, _ in number)
        if (n := len(set(groups))) < FEWEST_GROUPS:
            raise TaskError(
                f"{stated.who} has {n} groups in the column {stated.text('group')!r}; ranking and report set take at least "
                f"{FEWEST_GROUPS}. Leave the key group out to have rows dealt to groups."
            )
        return templates, groups
    if len(number) < FEWEST_GROUPS:
        raise TaskError(
            f"{stated.who} has {len(number)} templates, its texts without their labels; ranking and report set take at least "
            f"{FEWEST_GROUPS}. Vary the sentences."
        )
    n_groups = min(N_GROUPS, len(number))
    dealt = sorted(number, key=lambda key: hashlib.sha256(key[1].encode()).hexdigest())
    of_key = {key: f"group {place % n_groups + 1}" for place, key in enumerate(dealt)}
    what = "rows" if source.matrix is not None else "templates"
    remarks.append(f"No column of groups: {len(number):,} {what} are dealt to {n_groups} groups by a hash.")
    return templates, tuple(of_key[key] for key in number)


def _remark_missing(sentences: Sequence[Sentence], groups: Sequence[str], labels: Sequence[str], remarks: list[str]) -> None:
    """Remark labels that half the groups or more lack."""
    n_groups = len(set(groups))
    of_label: dict[int, set[str]] = {}
    for sentence in sentences:
        of_label.setdefault(sentence.label, set()).add(groups[sentence.template])
    if few := tuple(name for index, name in enumerate(labels) if 2 * len(of_label[index]) <= n_groups):
        remarks.append(f"Missing from half of the {n_groups} groups or more: {listed(few)}.")


def _hypotheses(
    stated: Stated, source: Source, labels: Labels, rows: Sequence[_Row], kept: list[int], remarks: list[str]
) -> tuple[Hypothesis, ...]:
    """Return the hypotheses that something can be fitted to."""
    tables = stated.tables("hypotheses")
    if not stated.has("hypotheses") and are_numbers(labels.names):
        tables = [{"name": "linear", "title": "Value", "kind": "linear"}]
    if "hypotheses" not in source.raw:
        for table in list(tables):
            if missing := [name for name in wanted_columns(table) if name not in source.table.columns]:
                tables = [one for one in tables if one is not table]
                remarks.append(f"{table['title']} is left out: it reads {listed(tuple(missing))}, which the data does not have.")
    columns = RowColumns(source.table, [row.number for row in rows], np.array([row.label for row in rows], dtype=np.int64))
    found = []
    for hypothesis in stated_hypotheses(tables, source.whose, labels, columns):
        one = with_labels(hypothesis, kept)
        if reason := unusable(one):
            remarks.append(f"{one.title} is left out: {reason}.")
        else:
            found.append(one)
    return tuple(found)
