"""The data behind a site: the database and its tables as Parquet, for those who want to ask more than the page answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from atlas.bake.folder import DOWNLOAD
from atlas.bake.numbers import count, significant
from atlas.store.copying import DATABASE, SCHEMA, copy_tables


@dataclass(frozen=True)
class DataFile:
    """A file to take away."""

    name: str
    address: str
    """In the site."""
    size: str
    rows: str | None
    """Of a table."""


@dataclass(frozen=True)
class Data:
    """What About says of the data that a site carries."""

    database: DataFile
    schema: DataFile
    tables: tuple[DataFile, ...]
    parquet_size: str
    """Of all tables."""
    written_bytes: int


def write_data(atlas_path: Path, site: Path, rows: Mapping[str, int]) -> Data:
    """Write the data into the site's download folder; `rows` are counted by table.

    Raises:
        OutputOccupied: it cannot be written.
        AtlasDamaged: a part of the atlas cannot be read.
    """
    folder = site / DOWNLOAD
    folder.mkdir()
    names = copy_tables(atlas_path, folder)
    tables = tuple(_file(folder / f"{name}.parquet", rows[name]) for name in names)
    return Data(
        database=_file(folder / DATABASE),
        schema=_file(folder / SCHEMA),
        tables=tables,
        parquet_size=_size(sum((folder / table.name).stat().st_size for table in tables)),
        written_bytes=sum(path.stat().st_size for path in folder.iterdir()),
    )


def _file(path: Path, rows: int | None = None) -> DataFile:
    return DataFile(path.name, f"{DOWNLOAD}/{path.name}", _size(path.stat().st_size), None if rows is None else count(rows))


def _size(size: int) -> str:
    unit, name = next(
        (unit, name) for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes")) if size >= unit or unit == 1
    )
    return f"{significant(size / unit)} {name}"
