"""A file that a command writes: whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from atlas.errors import StorageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a place to write a file to, and rename it over the one at `path`, or over what that links to, when whole.

    The rights of a file that is there are kept. What a killed run left beside it is swept away.

    Raises:
        StorageError: the file cannot be written; what was there is as it was.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _sweep(target)
        try:
            yield part
            part.chmod(_mode(target))
            os.replace(part, target)
        finally:
            _remove(part)
    except OSError as error:
        said = error.strerror or error
        raise StorageError(
            f"'{path}' cannot be written: {said}. What was there is as it was; free the disk, or give another path."
        ) from error


def _mode(target: Path) -> int:
    """Return the rights of the file that is there, else those that new files have."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def _sweep(target: Path) -> None:
    """Delete what runs that are no more left half written in the file's place."""
    for path in target.parent.glob(".*.part"):
        found = re.fullmatch(re.escape(f".{target.name}.") + "([0-9]{1,10})[.]part", path.name)
        if found and not _is_running(int(found[1])):
            _remove(path)


def _is_running(process: int) -> bool:
    # Elsewhere signal 0 is no question; but there a file that is open cannot be deleted.
    if os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _remove(part: Path) -> None:
    """Delete a file that is not whole, and the log that DuckDB keeps beside it, as far as they are there."""
    for leftover in (part, part.with_name(f"{part.name}.wal")):
        with suppress(OSError):
            leftover.unlink()
