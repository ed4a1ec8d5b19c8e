"""Which tasks are probed: those that come with Atlas, or some of them, and a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from atlas.errors import TaskError
from atlas.probe.tasks.names import NEWLINE_TASKS
from atlas.probe.tasks.sentences import builtin_tasks
from atlas.probe.tasks.source import DEFINITIONS, without_folder, without_folders
from atlas.probe.tasks.stated import repeated
from atlas.probe.tasks.task import Task
from atlas.probe.tasks.user import user_task


class Refused(NamedTuple):
    """A user's task that is left out."""

    name: str
    """The file's, without its folder, or the hub id."""
    reason: str
    """One line that names no folder: it is stored, and read by others."""


def chosen_tasks(names: Sequence[str] | None, sources: Sequence[str]) -> tuple[list[Task], list[Refused]]:
    """Return the tasks of those names that come with Atlas, or all of them for None, then the user's; and which were refused.

    Raises:
        TaskError: a name is none of Atlas' tasks, or stands twice.
    """
    known = {task.name: task for task in builtin_tasks()}
    wanted = tuple(known if names is None else names)
    if unknown := [name for name in wanted if name not in known]:
        raise _unknown(unknown[0], (*known, *NEWLINE_TASKS))
    if twice := repeated(wanted):
        raise TaskError(f"The task {twice!r} is named twice; name it once.")
    tasks = [known[name] for name in wanted]
    refused = []
    for source in sources:
        try:
            task = user_task(source)
        except TaskError as error:
            refused.append(Refused(without_folder(source), without_folders(str(error), source)))
            continue
        # Folders of some file systems do not know capital letters from small ones.
        if earlier := [one.name for one in tasks if one.name.casefold() == task.name.casefold()]:
            reason = f"A task named '{earlier[0]}' comes earlier. Give this one the key name in its TOML file, or leave one out."
            refused.append(Refused(without_folder(source), reason))
        else:
            tasks.append(task)
    return tasks, refused


def _unknown(name: str, known: Sequence[str]) -> TaskError:
    if name in DEFINITIONS:
        return TaskError(f"The text of {name!r} does not come with Atlas; give yours with --task, as docs/tasks.md says.")
    return TaskError(f"No task {name!r} comes with Atlas; it has {', '.join(known)}. A file of yours is given with --task.")
