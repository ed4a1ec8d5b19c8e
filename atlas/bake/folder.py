"""The output folder: a new site is made whole inside it, hidden, then moved in file by file.

Every file but the page and the record is named after its content, so an old and a new site can lie in one folder and the page
says which one counts. The order of the steps in `_install` makes the folder show one of them, whole, wherever it is stopped.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from atlas.errors import OutputOccupied
from atlas.site_files import content, plain_file

GENERATOR = "expert-atlas"
RECORD = "baked.json"
PAGE = "index.html"
ASSETS = "assets"
DATA = "data"
DOWNLOAD = "download"
"""The database and its tables, where a bake takes them along."""
WORKING = ".atlas-bake"
"""Where a site is made before it is whole. Inside the output folder, which is then the only one that must be writable."""

STAGES = ("train", "harvest", "probe", "geometry", "evaluate")
"""Folders of a work folder, in which nothing else may lie."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Record:
    """What a bake wrote, as baked.json keeps it."""

    files: dict[str, str]
    """The sha256 of every file but the record itself, by its path inside the folder, with forward slashes."""
    strange: tuple[str, ...] = ()
    """Names in it that no bake writes, such as those that lead out of the folder."""

    @classmethod
    def of(cls, folder: Path) -> Record:
        """Return the record of everything in a folder."""
        files = (path for path in folder.rglob("*") if path.is_file())
        return cls({path.relative_to(folder).as_posix(): _sha256(path) for path in files})

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Return the record that a bake left in a folder; None if there is none, or a file of that name from elsewhere."""
        if plain_file(folder, RECORD) is None:
            return None
        try:
            stored = json.loads(content(folder, RECORD))
        except (ValueError, RecursionError):
            return None
        if not isinstance(stored, dict) or stored.get("generator") != GENERATOR:
            return None
        files = stored.get("files")
        if not isinstance(files, dict):
            return None
        own = {name: str(digest) for name, digest in files.items() if _inside(name)}
        return cls(own, tuple(name for name in files if name not in own))

    def write(self, folder: Path, place: Path) -> None:
        """Write the record into `folder`, whole or not at all, by way of a file in `place`."""
        text = json.dumps({"files": self.files, "generator": GENERATOR}, ensure_ascii=False, indent=1, sort_keys=True)
        part = place / RECORD
        part.write_text(text + "\n", encoding="utf-8")
        os.replace(part, folder / RECORD)

    def changed(self, folder: Path) -> list[str]:
        """Return the files in `folder` that are missing or no longer what the bake wrote, in order."""
        return [name for name, digest in sorted(self.files.items()) if _sha256_or_none(folder, name) != digest]


@contextmanager
def replacing(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder to fill; its files take the place of an earlier bake in `folder` if nothing is raised meanwhile.

    Files that no bake wrote stay as they are; with `overwrite` a first bake joins them.

    Raises:
        OutputOccupied: `folder` is in use or cannot be written, or files that no bake wrote are in it or in the way.
    """
    require_usable(folder, overwrite)
    place = Path(os.path.realpath(folder))
    made = [missing for missing in (place, *place.parents) if not missing.exists()]
    working = place / WORKING
    lock = FileLock(working / "lock")
    try:
        with _one_line(folder):
            working.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise OutputOccupied(f"Another bake is writing into '{folder}'. Wait for it, or name another folder.") from error
        try:
            with _one_line(folder, *_FULL):
                yield _emptied(working)
            with _one_line(folder):
                _install(working / "site", place, working, folder)
        finally:
            # While the lock is held, so that nothing of a later bake is swept away.
            shutil.rmtree(working, ignore_errors=True)
            lock.release()
            with suppress(OSError):
                working.rmdir()
    finally:
        for missing in made:
            with suppress(OSError):
                missing.rmdir()


def require_usable(folder: Path, overwrite: bool = False) -> None:
    """Raise OutputOccupied unless a bake may write into `folder`; write nothing.

    What can be known before the site is made is looked at here, the rest once the names of all files are known.
    """
    with _one_line(folder):
        _require_usable(folder, overwrite)


def _require_usable(folder: Path, overwrite: bool) -> None:
    if not folder.exists():
        existing = next(parent for parent in Path(os.path.realpath(folder)).parents if parent.exists())
        _require_writable(existing)
        return
    _require_writable(folder)
    if (folder / WORKING).is_symlink():
        raise OutputOccupied(f"'{folder / WORKING}' is a link and is in the way. Remove it, or name another folder with --out.")
    record = Record.read(folder)
    path = folder / RECORD
    if record is None and path.is_file() and path.read_text("utf-8", "replace").startswith('{\n "files": {'):
        raise OutputOccupied(
            f"'{path}', which says what a bake wrote there, is damaged. Delete '{folder}', or name another folder with --out."
        )
    if record is None and not overwrite and any(path.name != WORKING for path in folder.iterdir()):
        raise OutputOccupied(
            f"'{folder}' holds files that no bake wrote. Name another folder, or add --overwrite to bake the site beside them."
        )
    _refuse_strangers(folder, [PAGE, RECORD], record, folder)


def require_beside(folder: Path, work: Path, overwrite: bool = False) -> None:
    """Raise OutputOccupied if what stages write into a work folder would keep a bake out of `folder`; write nothing."""
    out, parts = Path(os.path.realpath(folder)), Path(os.path.realpath(work))
    joins = overwrite or Record.read(folder) is not None
    if out.parent.is_relative_to(parts) and out.relative_to(parts).parts[0] in STAGES:
        raise OutputOccupied(f"'{folder}' lies in what a stage keeps in '{work}'. Name another folder with --out or --work.")
    if parts.is_relative_to(out) and not joins:
        raise OutputOccupied(
            f"'{folder}' would hold the work folder '{work}', which no bake writes. Name another folder with --out or --work, or "
            "add --overwrite to bake the site beside it."
        )


def _require_writable(folder: Path) -> None:
    if not folder.is_dir():
        code = errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK):
        code = errno.EROFS if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
    else:
        return
    raise OSError(code, os.strerror(code))


def _refuse_strangers(place: Path, names: Iterable[str], record: Record | None, folder: Path) -> None:
    """Raise OutputOccupied if something that no bake wrote stands where one of these files must go."""
    ours = {RECORD, *record.files} if record else set()
    folders: set[Path] = set()
    for name in names:
        target = place / name
        folders.update(path for path in target.parents if path.is_relative_to(place) and path != place)
        if os.path.lexists(target) and (name not in ours or target.is_dir()):
            raise OutputOccupied(
                f"'{folder / name}' was not written by a bake and is in the way. Move it, or name another folder with --out."
            )
    for path in sorted(folders):
        if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
            raise OutputOccupied(
                f"'{folder / path.relative_to(place)}' is no folder of a bake and is in the way. "
                "Move it, or name another folder with --out."
            )


def _emptied(working: Path) -> Path:
    """Return an empty folder, once what a bake that was killed may have left is swept away."""
    for leftover in working.iterdir():
        if leftover.is_dir():
            shutil.rmtree(leftover)
        elif leftover.name != "lock":
            leftover.unlink()
    site = working / "site"
    site.mkdir()
    return site


def _install(site: Path, place: Path, working: Path, folder: Path) -> None:
    """Move a finished site into place. Stopped anywhere, the folder shows the old site or the new one."""
    old, new = Record.read(place), Record.of(site)
    _refuse_strangers(place, [RECORD, *new.files], old, folder)
    kept = old.files if old else {}
    # From here on a later bake knows every file of both sites as its own.
    Record({**new.files, **kept}).write(place, working)
    for name in sorted(new.files):
        if name != PAGE:
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(site / name, target)
    if PAGE in new.files:
        os.replace(site / PAGE, place / PAGE)
    for name in sorted(kept.keys() - new.files.keys()):
        _remove(place, name)
    new.write(place, working)


def _remove(place: Path, name: str) -> None:
    """Remove a file of an earlier bake, and its folders where they are empty then.

    Names come from a file that anyone may have edited, so only what a bake writes, inside the folder, is ever removed.
    """
    path = place / name
    elsewhere = PurePosixPath(name).parts[0] not in (ASSETS, DATA, DOWNLOAD) or os.path.realpath(path.parent) != str(path.parent)
    if elsewhere or not os.path.lexists(path) or path.is_dir():
        return
    path.unlink()
    for parent in path.parents:
        if parent == place or any(parent.iterdir()):
            return
        parent.rmdir()


@contextmanager
def _one_line(folder: Path, *codes: int) -> Iterator[None]:
    """Turn what the operating system refuses (with one of these codes, if any are given) into an OutputOccupied."""
    try:
        yield
    except OSError as error:
        # filelock's Timeout is an OSError too, without a code.
        if error.errno is None or (codes and error.errno not in codes):
            raise
        reason = os.strerror(error.errno)
        raise OutputOccupied(f"The site cannot be written to '{folder}': {reason}. Name another folder with --out.") from error


def _inside(name: str) -> bool:
    """Return whether a name is what a record can hold: a plain path that leads nowhere but down."""
    path = PurePosixPath(name)
    downward = str(path) == name != "." and not path.is_absolute() and ".." not in path.parts
    return downward and not any(character in "\\\0" or "\ud800" <= character <= "\udfff" for character in name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_or_none(folder: Path, name: str) -> str | None:
    path = plain_file(folder, name)
    return None if path is None else _sha256(path)
