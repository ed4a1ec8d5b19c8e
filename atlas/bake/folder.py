"""The output folder: built beside its place, swapped in when whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atlas.errors import OutputOccupied

GENERATOR = "expert-atlas"
MANIFEST = Path("data", "atlas.js")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the place of `folder` if nothing is raised meanwhile.

    Raises:
        OutputOccupied: `folder` holds something that no earlier bake wrote.
    """
    folder = folder.absolute()
    if _occupied(folder):
        raise OutputOccupied(f"{folder.name!r} holds files that no bake wrote. Name another folder, or empty this one first.")
    fresh, old = (folder.with_name(f".{folder.name}.{role}") for role in ("partial", "replaced"))
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    finally:
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _occupied(folder: Path) -> bool:
    if not folder.exists():
        return False
    if not folder.is_dir():
        return True
    return any(folder.iterdir()) and not _baked(folder)


def _baked(folder: Path) -> bool:
    page = folder / "index.html"
    if not (page.is_file() and (folder / MANIFEST).is_file()):
        return False
    return f'<meta name="generator" content="{GENERATOR}">' in page.read_text(encoding="utf-8", errors="replace")
