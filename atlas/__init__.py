"""What every expert of a SMIXAE does: computed once, baked into a site that opens from disk, or read in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import atlas.store

__all__ = ["open"]


def open(path: str | Path) -> "atlas.store.Store":
    """Return the atlas at `path`, open for reading as polars frames; a context manager.

    Raises:
        AtlasError: there is none, or it cannot be read.
    """
    # Here, so that importing the library loads neither DuckDB nor polars.
    from atlas.store import Store

    return Store(Path(path))
