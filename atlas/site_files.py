"""Files of a site's folder, which anyone may have made: what is read is a plain file inside it, of a size that fits in memory."""

from __future__ import annotations

import errno
from pathlib import Path

MOST = 1 << 29
"""Bytes of a page, a payload or a record; more than any browser takes as one text."""


def inside(folder: Path, name: str) -> Path | None:
    """Return what a name stands for in a folder; None where there is nothing, or it leads out of the folder."""
    path = folder / name
    try:
        there = path.exists() and path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a name too long, or with NUL in it; links that lead to each other
        return None
    return path if there else None


def plain_file(folder: Path, name: str) -> Path | None:
    """Return a file of a folder; None where there is none, it is a pipe or a device, or it leads out of the folder."""
    path = inside(folder, name)
    return path if path is not None and path.is_file() else None


def content(folder: Path, name: str) -> bytes:
    """Return what is in a file of a folder.

    Raises:
        OSError: there is no plain file of that name inside the folder, it cannot be read, or it is larger than `MOST`.
    """
    path = plain_file(folder, name)
    if path is None:
        raise FileNotFoundError(errno.ENOENT, "No plain file of the site", name)
    with path.open("rb") as file:
        held = file.read(MOST + 1)
    if len(held) > MOST:
        raise OSError(errno.EFBIG, "Larger than any file of a site", name)
    return held
