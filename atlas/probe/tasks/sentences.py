"""Tasks whose sentences are made from templates: the ones that come with Atlas, and a user's own in the same form."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from atlas.errors import TaskError
from atlas.probe.tasks.hypotheses import Labels, stated_hypotheses, unusable
from atlas.probe.tasks.names import checked_name
from atlas.probe.tasks.stated import Stated, counted, listed, read_toml, stated_colours, stated_labels
from atlas.probe.tasks.task import FEWEST_GROUPS, Need, Sentence, Task

BUILTIN = Path(__file__).parents[1] / "builtin"
BUILTIN_TASKS = (
    "months",
    "weekdays",
    "numbers",
    "years",
    "hours",
    "temperatures",
    "time_units",
    "body_parts",
    "living_things",
    "colours",
    "letters",
    "letter_case",
    "compass",
    "ordinals",
    "ages",
)
"""In the order in which they are probed."""

SLOT = "{label}"


def load_task(path: Path) -> Task:
    """Return the task whose templates a TOML file holds: every label in each, or in `templates_per_label` of them.

    A name slot is filled with one name per template, so that a name never tells the label.

    Raises:
        TaskError: the file is not TOML, a key is missing, wrong or unknown, or a template has not exactly one label.
    """
    return task_of_templates(read_toml(path), path)


def builtin_tasks() -> list[Task]:
    """Return the tasks that come with Atlas and have text of their own."""
    return [load_task(BUILTIN / f"{name}.toml") for name in BUILTIN_TASKS]


def task_of_templates(raw: dict[str, Any], path: Path) -> Task:
    """Return the task that a read TOML file describes.

    Raises:
        TaskError: as of `load_task`.
    """
    whose = f"the task in '{path}'"
    stated = Stated(raw, whose[0].upper() + whose[1:])
    name = checked_name(stated.text("name"), stated.who)
    title, family = stated.line("title"), stated.line("family")
    labels, values = stated_labels(stated)
    if len(labels) < 2:
        said = f"only the label {labels[0]!r}" if labels else "no labels"
        raise TaskError(f"{stated.who} has {said}; a task takes at least 2.")
    groups, texts = _templates(stated, path)
    per_label = stated.whole("templates_per_label", len(texts))
    if per_label > len(texts):
        raise TaskError(f"{stated.who} has templates_per_label = {per_label}, and {counted(len(texts), 'template')}; give fewer.")
    chosen = _chosen(labels, groups, per_label)
    hypotheses = stated_hypotheses(stated.tables("hypotheses"), whose, Labels(labels, np.array(values)))
    task = Task(
        name=name,
        title=title,
        family=family,
        description=stated.line("description"),
        cyclic=stated.flag("cyclic"),
        labels=labels,
        values=np.array(values),
        colours=stated_colours(stated, len(labels)),
        hypotheses=hypotheses,
        needs=stated_needs(stated),
        natural_mentions=stated.flag("natural_mentions", True),
        sentences=tuple(
            _sentence(text, label, index, template)
            for template, text in enumerate(texts)
            for index, label in enumerate(labels)
            if template in chosen[index]
        ),
        groups=groups,
        files=(path,),
    )
    stated.nothing_else()
    for hypothesis in hypotheses:
        if reason := unusable(hypothesis, task):
            raise TaskError(f"The hypothesis '{hypothesis.name}' of {whose} cannot be tested: {reason}.")
    return task


def stated_needs(stated: Stated) -> tuple[Need, ...]:
    """Return what a task needs of a model.

    Raises:
        TaskError: it is nothing that a task can need.
    """
    known: tuple[Need, ...] = get_args(Need)
    given = stated.texts("needs", ())
    if unknown := [need for need in given if need not in known]:
        raise TaskError(f"{stated.who} needs {unknown[0]!r}; a task can need {listed(known, 'or')}.")
    return tuple(need for need in known if need in given)


def _templates(stated: Stated, path: Path) -> tuple[tuple[str, ...], list[str]]:
    """Return the group of each template, and its text with names in their places."""
    fills = stated.any("fills") or {}
    if not isinstance(fills, dict):
        raise stated.wrong("fills", "a table of names")
    names = Stated(fills, f"The table fills of '{path}'")
    of_slot = {slot: names.texts(slot) for slot in fills}
    tables = stated.tables("templates")
    if not tables:
        raise TaskError(f"{stated.who} has no templates; write [[templates]] with a group and a text for each.")
    groups, texts = [], []
    for number, table in enumerate(tables):
        template = Stated(table, f"Template {number} of '{path}'")
        groups.append(template.text("group"))
        text = template.text("text")
        template.nothing_else()
        for slot, of_this in of_slot.items():
            text = text.replace("{" + slot + "}", of_this[number % len(of_this)])
        if text.count(SLOT) != 1 or re.search(r"[{}]", text.replace(SLOT, "")):
            raise TaskError(f"{template.who} needs {SLOT} once and no slot without names: {text!r}.")
        texts.append(text)
    if (n := len(set(groups))) < FEWEST_GROUPS:
        raise TaskError(
            f"{stated.who} has templates in {counted(n, 'group')}; folds and report set are groups, so give "
            f"{FEWEST_GROUPS} or more."
        )
    return tuple(groups), texts


def _chosen(labels: Sequence[str], groups: Sequence[str], per_label: int) -> list[set[int]]:
    """Return the templates that each label stands in: equally many of every group, and every template about equally often.

    Ties are broken by a hash, so that neither the label nor its neighbours can be told from the template.
    """
    if per_label == len(groups):
        return [set(range(per_label)) for _ in labels]
    members: dict[str, list[int]] = {}
    for template, group in enumerate(groups):
        members.setdefault(group, []).append(template)
    used_group = dict.fromkeys(members, 0)
    used = [0] * len(groups)
    chosen = []
    for label in labels:
        left = {group: list(of_group) for group, of_group in members.items()}
        taken: dict[str, int] = dict.fromkeys(members, 0)
        mine: set[int] = set()
        for _ in range(per_label):
            group = min(
                (group for group in members if left[group]),
                key=lambda group: (taken[group], used_group[group] / len(members[group]), _tie(label, group)),
            )
            template = min(left[group], key=lambda template: (used[template], _tie(label, str(template))))
            left[group].remove(template)
            taken[group] += 1
            used_group[group] += 1
            used[template] += 1
            mine.add(template)
        chosen.append(mine)
    return chosen


def _tie(label: str, other: str) -> str:
    return hashlib.sha256(f"{label}\n{other}".encode()).hexdigest()


def _sentence(text: str, label: str, index: int, template: int) -> Sentence:
    before, after = text.split(SLOT)
    return Sentence(f"{before}{label}{after}", index, template, len(before), len(before) + len(label))
