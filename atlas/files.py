"""A file that is written: whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from atlas.errors import StorageError

_PART = re.compile(r"\..+\.(\d{1,10})\.part(\.wal)?")
"""What a file is called before it is whole, and the log that DuckDB keeps beside it."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line what cannot be written, and why.

    Raises:
        StorageError: the disk is full, or the place is not ours to write in.
    """
    try:
        yield
    except Exception as error:
        # Of the compute half, which a bake does without.
        from safetensors import SafetensorError

        if not isinstance(error, OSError | SafetensorError):
            raise
        said = (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
        raise StorageError(
            f"'{path}' cannot be written: {said}. What was there is as it was; free the disk, or give another path."
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a place to write a file to, and rename it over the one at `path`, or over what that links to, when whole.

    The place is this process' own, since two may write one file. The rights of a file that is there are kept.

    Raises:
        StorageError: the file cannot be written; what was there is as it was.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with writing(path):
        try:
            yield part
            part.chmod(_mode(target))
            _flush(part)
            os.replace(part, target)
        finally:
            _remove(part)


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it is in, where they are missing.

    Raises:
        StorageError: it cannot be made.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def share(path: Path) -> None:
    """Give a file the rights that new files have here: safetensors writes for its owner alone."""
    path.chmod(_new_mode())


def sweep(paths: Iterable[Path]) -> None:
    """Delete, of the given files and folders, those that a run which is no more left half written."""
    for path in list(paths):
        named = _PART.fullmatch(path.name)
        # One that this process would have is left by another of its number: who sweeps has not begun to write there.
        if named and (int(named[1]) == os.getpid() or not _is_running(int(named[1]))):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                _remove(path)


def sweep_beside(path: Path) -> None:
    """Delete what runs that are no more left half written in a file's place."""
    target = Path(os.path.realpath(path))
    sweep(target.parent.glob(f".{escape(target.name)}.*"))


def _flush(part: Path) -> None:
    """Have a file's content on the disk before its name is: a power cut must not leave a name without content."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def _mode(target: Path) -> int:
    """Return the rights of the file that is there, else those that new files have."""
    return target.stat().st_mode & 0o777 if target.exists() else _new_mode()


def _new_mode() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


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
