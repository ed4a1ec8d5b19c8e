"""Whether the files of a checkpoint are still what was written."""

from __future__ import annotations

import re
from hashlib import file_digest
from pathlib import Path

from atlas.checkpoints import FILES, SUMS_FILE
from atlas.errors import CheckpointError
from atlas.files import replacing

_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")


def seal(folder: Path, *more: str) -> None:
    """Write down the hashes of a checkpoint's files, and of `more`, as far as they are there.

    Raises:
        StorageError: they cannot be written.
    """
    names = sorted({*FILES, *more} - {SUMS_FILE})
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in names if (folder / name).is_file()]
    with replacing(folder / SUMS_FILE) as part:
        part.write_text("".join(lines), encoding="utf-8")


def changed(folder: Path) -> Path | None:
    """Return a file of a checkpoint that is not what was written; None where none is known to be.

    A checkpoint that came without hashes, as those of other programs do, may hold anything.
    """
    sums = folder / SUMS_FILE
    if not sums.is_file():
        return None
    text = sums.read_bytes().decode("utf-8", "replace")
    for line in text[:-1].split("\n") if text.endswith("\n") else [text]:
        said = _LINE.fullmatch(line)
        if said is None:
            return sums
        path = folder / Path(said[2]).name
        if path.is_file() and _sha256(path) != said[1]:
            return path
    return None


def require_as_written(folder: Path) -> None:
    """Raise CheckpointError, naming the file, if one of a checkpoint is not what was written."""
    if path := changed(folder):
        raise CheckpointError(
            f"'{path}' is damaged (its content is not what was written). Copy the checkpoint again, or delete the folder "
            f"'{folder}' and train again; if you changed the file yourself, delete '{folder / SUMS_FILE}'."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
