"""Whether the files of a checkpoint are still what was written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import file_digest
from pathlib import Path
from typing import NamedTuple

from atlas.checkpoints import CONFIG_FILE, FILES, SUMS_FILE, WEIGHTS_FILE
from atlas.errors import CheckpointError
from atlas.files import replacing

_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")


class Unlike(NamedTuple):
    """A file of a checkpoint that is not what was written."""

    path: Path
    said: str


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
    return next((one.path for one in unlike(folder) if one.path.is_file()), None)


def unlike(folder: Path) -> Iterator[Unlike]:
    """Give the files of a checkpoint that are not what was written, or not there, and what its list of hashes lacks."""
    sums = folder / SUMS_FILE
    if not sums.is_file():
        return
    text = sums.read_bytes().decode("utf-8", "replace")
    listed = set()
    for line in text[:-1].split("\n") if text.endswith("\n") else [text]:
        said = _LINE.fullmatch(line)
        if said is None:
            yield Unlike(sums, f"holds {line[:80]!r}, which is no hash of a file")
            continue
        path = folder / Path(said[2]).name
        listed.add(path.name)
        if not path.is_file():
            yield Unlike(path, "is not there; it was written")
        elif _sha256(path) != said[1]:
            yield Unlike(path, "is not what was written")
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if name not in listed and (folder / name).is_file():
            yield Unlike(sums, f"does not list {name}")


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
