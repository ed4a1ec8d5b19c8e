"""What a task may be called: its name is that of a folder in the work folder, and of an option's value."""

from __future__ import annotations

import re

from atlas.errors import TaskError
from atlas.probe.tasks.stated import shortened

NEWLINE_TASKS = {"newline_80": 80, "newline_150": 150}
"""Width of the lines of each task that is made of the model's own tokens, in characters."""

LONGEST_NAME = 60
"""In characters: of four bytes each, a file system still takes it."""

TAKEN = (*NEWLINE_TASKS, "python-docs", "done.json", "tables.json", "tables.safetensors")
"""Names of other tasks and corpora, and what the probe stage keeps beside the folders of tasks."""

_DEVICES = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)
"""What Windows takes for a device, in any folder and with any ending."""
_NAME = re.compile(r"\w([\w.-]*[\w-])?")


def checked_name(name: str, who: str) -> str:
    """Return a task's name.

    Raises:
        TaskError: it is no name, or Atlas keeps it for itself.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise TaskError(
            f"{who} has the name {shortened(name)}; a name is letters, digits, '_', '.' and '-', at most {LONGEST_NAME} of them, "
            "and neither begins with '.' or '-' nor ends with '.'. Give one by the key name."
        )
    if _DEVICES.fullmatch(name):
        raise TaskError(f"{who} has the name {name!r}, which is a device's on Windows; give another by the key name.")
    if name.casefold() in TAKEN:
        raise TaskError(f"{who} has the name {name!r}, which Atlas keeps for itself; give another by the key name.")
    return name
