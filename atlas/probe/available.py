"""Which of the tasks that were asked for a model can be probed with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.errors import TaskError
from atlas.probe.newline import newline_task
from atlas.probe.tasks import NEWLINE_TASKS, Refused, Task, chosen_tasks, model_facts, unmet


class Absence(NamedTuple):
    """A task that is not probed, and why: one sentence."""

    name: str
    title: str
    reason: str


class Chosen(NamedTuple):
    """What was asked for, as far as that can be known without the model."""

    tasks: Sequence[Task]
    newline: Sequence[str]
    """Names of tasks about the place in a line, which are made from the model's own tokens."""
    refused: Sequence[Refused]
    """The user's own that cannot be used."""


class Available(NamedTuple):
    """What a model is probed with, and what is missing."""

    tasks: Sequence[Task]
    absent: Sequence[Absence]


def choose(names: Sequence[str] | None, sources: Sequence[str]) -> Chosen:
    """Return the tasks of these names that come with Atlas (None: all), and the user's own.

    Raises:
        TaskError: there is no task of that name, or none was asked for.
    """
    if names == [] and not sources:
        raise TaskError("--tasks none leaves nothing to probe; name tasks, or give one of your own with --task.")
    newline = [name for name in NEWLINE_TASKS if names is None or name in names]
    others = None if names is None else [name for name in names if name not in NEWLINE_TASKS]
    tasks, refused = chosen_tasks(others, sources)
    return Chosen(tasks, newline, refused)


def available(chosen: Chosen, model: LanguageModel, config: StreamConfig, seed: int) -> Available:
    """Return those of the chosen tasks that the model gives what they need, and why the others are absent."""
    facts = model_facts(model.tokenizer, model.has_head)
    tasks, absent = [], [Absence(one.name, one.name, one.reason) for one in chosen.refused]
    for task in chosen.tasks:
        reason = unmet(task.needs, facts)
        if reason is None:
            tasks.append(task)
        else:
            absent.append(Absence(task.name, task.title, reason))
    for name in chosen.newline:
        title = f"Place in a line of {NEWLINE_TASKS[name]} characters"
        if reason := unmet(("newline",), facts):
            absent.append(Absence(name, title, reason))
            continue
        try:
            tasks.append(newline_task(NEWLINE_TASKS[name], model.tokenizer, config, seed))
        except TaskError as error:
            absent.append(Absence(name, title, str(error)))
    return Available(tasks, absent)
