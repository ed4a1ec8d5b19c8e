"""Tasks that users bring: a table of labelled text, or a matrix of rows with a table of what each row is."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atlas.errors import TaskError
from atlas.probe.tasks.hypotheses import Labels, stated_hypotheses, unusable, wanted_columns, with_labels
from atlas.probe.tasks.names import checked_name
from atlas.probe.tasks.sentences import stated_needs, task_of_templates
from atlas.probe.tasks.source import Source, read_source, with_definition
from atlas.probe.tasks.stated import (
    Stated,
    are_numbers,
    counted,
    listed,
    one_line,
    read_toml,
    stated_colours,
    stated_labels,
    stated_values,
)
from atlas.probe.tasks.table import RowColumns, Table, in_order, is_toml
from atlas.probe.tasks.task import FEWEST_GROUPS, Hypothesis, Sentence, Task

TEXT_COLUMNS = ("text", "sentence", "Sentence", "prompt")
LABEL_COLUMNS = ("label", "Label", "class", "category")
"""Looked for in this order where no column is named."""

MOST_LABELS = 500

N_GROUPS = 9
"""Groups that templates are dealt to where the data has none."""

MOST_IN_DATA_ORDER = 20
"""Labels up to which words keep the order in which they first appear; more are sorted."""

_PREFIXED = re.compile(r"(\d{1,9})_(.+)", re.ASCII | re.DOTALL)
"""A label that carries its place in the order."""


def user_task(source: str) -> Task:
    """Return a user's task: a table with a text and a label column, a data set's hub id, or a TOML file that describes one.

    The table is a .csv, .tsv, .jsonl or .json, each also as .gz or .zst, or a .parquet. A TOML file of the same name beside it is
    read by itself; `docs/tasks.md` has its keys. Rows that cannot be used are left out, and `remarks` says which and why;
    `assumptions` says how the others were read.

    Raises:
        TaskError: no task can be made of it.
    """
    path = Path(source)
    if is_toml(path):
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
    name = checked_name(stated.text("name", re.sub(r"[^\w.-]+", "_", source.stem)), stated.who)
    notes = _Notes()
    labels, rows = _labelled(stated, source, notes)
    rows = _probed(stated, source, labels, rows, notes)
    kept, rows = _repeated(stated, labels, rows, notes)
    names = tuple(labels.names[number] for number in kept)
    templates, groups = _templates(stated, source, rows, notes)
    place = {number: index for index, number in enumerate(kept)}
    sentences = tuple(
        Sentence(row.text, place[row.label], template, row.start, row.end) for row, template in zip(rows, templates, strict=True)
    )
    _note_labels(sentences, groups, names, stated.has("values"), notes)
    colours = stated_colours(stated, len(labels.names))
    task = Task(
        name=name,
        title=stated.line("title", readable(name)),
        family=stated.line("family", name),
        description=stated.line("description", f"{len(rows):,} rows of {one_line(source.table.shown)}."),
        cyclic=stated.flag("cyclic", False),
        labels=names,
        values=labels.values[kept],
        colours=tuple(colours[number] for number in kept) if colours else (),
        hypotheses=(),
        needs=stated_needs(stated),
        natural_mentions=stated.flag("natural_mentions", False),
        sentences=sentences,
        groups=groups,
        matrix=None if source.matrix is None else source.matrix[[row.number for row in rows]],
        files=source.files,
    )
    hypotheses = _hypotheses(stated, source, labels, rows, kept, task, notes)
    stated.nothing_else()
    return replace(task, hypotheses=hypotheses, remarks=tuple(notes.left_out), assumptions=tuple(notes.assumed))


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


def text_column(table: Table) -> str:
    """Return the column of texts that is known by its name.

    Raises:
        TaskError: there is none.
    """
    return table.first_of(TEXT_COLUMNS, "text", " Rows of numbers without text are given by the keys matrix and metadata.")


@dataclass
class _Notes:
    """What is said of how a task was made."""

    left_out: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)


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


def _labelled(stated: Stated, source: Source, notes: _Notes) -> tuple[Labels, list[_Row]]:
    """Return the labels in order, and the rows that have one."""
    table = source.table
    column = stated.text("label") if stated.has("label") else table.first_of(LABEL_COLUMNS, "label")
    words = table.words(column)
    groups = table.words(stated.text("group")) if stated.has("group") else None
    if source.matrix is None:
        texts = table.texts(stated.text("text") if stated.has("text") else text_column(table))
    else:
        texts = [""] * table.n_rows
    if not table.n_rows:
        raise TaskError(f"{stated.who} has no rows; add some to {table.name}, at least two of each label.")
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
    _say_left_out(stated, table.n_rows, left_out, notes)
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
        how = "names in place of numbers" if are_numbers(unknown) and not are_numbers(labels.names) else "them like that"
        next_step = f" The labels are {listed(labels.names)}: write {how} in the column {column!r}."
        _say_left_out(stated, len(whole), Counter({reason: len(unknown)}), notes, next_step)
    return labels, rows


def _say_left_out(stated: Stated, n_rows: int, left_out: Counter[str], notes: _Notes, next_step: str = "") -> None:
    """Note how many rows were left out for which reason.

    Raises:
        TaskError: none is left; it ends with the next step.
    """
    said = [f"{n:,} of {counted(n_rows, 'row')} left out: {reason}." for reason, n in left_out.items()]
    if said and left_out.total() == n_rows:
        raise TaskError(f"{stated.who} has no row that can be used: {' '.join(said)}{next_step}")
    notes.left_out.extend(said)


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


def _probed(stated: Stated, source: Source, labels: Labels, rows: list[_Row], notes: _Notes) -> list[_Row]:
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
            notes.assumed.append(f"Probed at the end of each text{why}.")
            notes.assumed.append(
                "Whatever fires on ends of sentences fires on all of its labels, so an expert's title says little."
            )
            return [row._replace(start=start, end=end) for row in rows for start, end in [_last_word(row.text)]]
        notes.assumed.append("Probed where the label ends in its text, at the last mention.")
        found, reason = mentions, "their text does not have the label as a word"
    _say_left_out(stated, len(rows), Counter({reason: found.count(None)} if None in found else {}), notes)
    return [row._replace(start=place[0], end=place[1]) for row, place in zip(rows, found, strict=True) if place is not None]


def _span(text: str, start: float, end: float) -> tuple[int, int] | None:
    inside = float(start).is_integer() and float(end).is_integer() and 0 <= start < end <= len(text)
    return (int(start), int(end)) if inside else None


def _last_word(text: str) -> tuple[int, int]:
    """Return where the last word of a text that is not blank begins and ends."""
    end = len(text.rstrip())
    return end - len(text[:end].split()[-1]), end


def _repeated(stated: Stated, labels: Labels, rows: list[_Row], notes: _Notes) -> tuple[list[int], list[_Row]]:
    """Return the labels that have two rows or more, and their rows."""
    times = Counter(row.label for row in rows)
    kept = [number for number in range(len(labels.names)) if times[number] > 1]
    if len(kept) < 2:
        said = "0 labels" if not kept else f"1 label, {labels.names[kept[0]]!r},"
        raise TaskError(f"{stated.who} has {said} with two rows or more; a task takes at least 2 such labels.")
    for n, said in ((1, "have one row, which is left out"), (0, "have no row")):
        if few := tuple(name for number, name in enumerate(labels.names) if times[number] == n):
            one = said.replace("have", "has", 1)
            of = counted(len(labels.names), "label")
            notes.left_out.append(f"{len(few):,} of {of} {one if len(few) == 1 else said}: {listed(few)}.")
    return kept, [row for row in rows if times[row.label] > 1]


def _templates(stated: Stated, source: Source, rows: Sequence[_Row], notes: _Notes) -> tuple[list[int], tuple[str, ...]]:
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
                f"{stated.who} has {counted(n, 'group')} in the column {stated.text('group')!r}; ranking and report set "
                f"take at least {FEWEST_GROUPS}. Leave the key group out to have rows dealt to groups."
            )
        return templates, groups
    if len(number) < FEWEST_GROUPS:
        raise TaskError(
            f"{stated.who} has {counted(len(number), 'template')}, its texts without their labels; ranking and report set take "
            f"at least {FEWEST_GROUPS}. Vary the sentences, or give rows of numbers as a matrix (docs/tasks.md)."
        )
    n_groups = min(N_GROUPS, len(number))
    dealt = sorted(number, key=lambda key: hashlib.sha256(key[1].encode()).hexdigest())
    of_key = {key: f"group {place % n_groups + 1}" for place, key in enumerate(dealt)}
    what = "rows" if source.matrix is not None else "templates"
    notes.assumed.append(f"No column of groups: {len(number):,} {what} are dealt to {n_groups} groups by a hash.")
    return templates, tuple(of_key[key] for key in number)


def _note_labels(
    sentences: Sequence[Sentence], groups: Sequence[str], labels: Sequence[str], has_values: bool, notes: _Notes
) -> None:
    """Note labels that half the groups or more lack, and those that spell one number."""
    n_groups = len(set(groups))
    of_label: dict[int, set[str]] = {}
    for sentence in sentences:
        of_label.setdefault(sentence.label, set()).add(groups[sentence.template])
    if few := tuple(name for index, name in enumerate(labels) if 2 * len(of_label[index]) <= n_groups):
        notes.assumed.append(f"Missing from half of the {n_groups} groups or more, and kept: {listed(few)}.")
    if has_values or not are_numbers(labels):
        return
    spelled: dict[float, list[str]] = {}
    for label in labels:
        spelled.setdefault(float(label), []).append(label)
    for value, names in spelled.items():
        if len(names) > 1:
            notes.assumed.append(
                f"The labels {listed(names)} are one value, {value:g}, and kept apart; spell them alike to join them."
            )


def _hypotheses(
    stated: Stated, source: Source, labels: Labels, rows: Sequence[_Row], kept: list[int], task: Task, notes: _Notes
) -> tuple[Hypothesis, ...]:
    """Return the hypotheses that something can be fitted to, and measured on the report set."""
    tables = stated.tables("hypotheses")
    if not stated.has("hypotheses") and are_numbers(labels.names):
        tables = [{"name": "linear", "title": "Value", "kind": "linear"}]
    if "hypotheses" not in source.raw:
        for table in list(tables):
            if missing := [name for name in wanted_columns(table) if name not in source.table.columns]:
                tables = [one for one in tables if one is not table]
                notes.left_out.append(
                    f"{table['title']} is left out: it reads {listed(tuple(missing))}, which the data does not have."
                )
    columns = RowColumns(source.table, [row.number for row in rows], np.array([row.label for row in rows], dtype=np.int64))
    found = []
    for hypothesis in stated_hypotheses(tables, source.whose, labels, columns):
        one = with_labels(hypothesis, kept)
        if reason := unusable(one, task):
            notes.left_out.append(f"{one.title} is left out: {reason}.")
        else:
            found.append(one)
    return tuple(found)
