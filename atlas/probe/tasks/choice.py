"""Which tasks are probed: those that come with Atlas, or some of them, and a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from atlas.errors import TaskError
from atlas.probe.tasks.sentences import builtin_tasks
from atlas.probe.tasks.stated import repeated
from atlas.probe.tasks.task import Task
from atlas.probe.tasks.user import user_task


class Refused(NamedTuple):
    """A user's task that is left out."""

    name: str
    """As the user named it."""
    reason: str
    """One line."""


def chosen_tasks(names: Sequence[str] | None, sources: Sequence[str]) -> tuple[list[Task], list[Refused]]:
    """Return the tasks of those names that come with Atlas, or all of them for None, then the user's; and which were refused.

    Raises:
        TaskError: a name is none of Atlas' tasks, or stands twice.
    """
    known = {task.name: task for task in builtin_tasks()}
    wanted = tuple(known if names is None else names)
    if unknown := [name for name in wanted if name not in known]:
        raise TaskError(f"No task {unknown[0]!r} comes with Atlas; it has {', '.join(known)}.")
    if twice := repeated(wanted):
        raise TaskError(f"The task {twice!r} is named twice; name it once.")
    tasks = [known[name] for name in wanted]
    refused = []
    for source in sources:
        try:
            task = user_task(source)
        except TaskError as error:
            refused.append(Refused(source, str(error)))
            continue
        if task.name in {earlier.name for earlier in tasks}:
            reason = f"A task named '{task.name}' comes earlier. Give this one the key name in its TOML file, or leave one out."
            refused.append(Refused(source, reason))
        else:
            tasks.append(task)
    return tasks, refused
