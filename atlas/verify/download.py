"""Whether the data that a site carries are the tables of its own database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from atlas.errors import AtlasDamaged
from atlas.store import Store
from atlas.store.copying import LEFT_OUT
from atlas.store.schema import VIEWS
from atlas.verify.report import Check, Fault


def verify_download(folder: Path, database: Path) -> Iterator[Check]:
    """Give the tables of the download folder that are not those of the database beside them."""
    with Store(database) as store:
        names = [name for name in store.tables if name not in (*VIEWS, *LEFT_OUT)]
        yield Check("tables as Parquet", len(names), tuple(fault for name in names for fault in _table(store, name, folder)))


def _table(store: Store, name: str, folder: Path) -> Iterator[Fault]:
    path = folder / f"{name}.parquet"
    where = f"{folder.name}/{path.name}"
    try:
        if not pl.read_parquet(path, glob=False).equals(store.table(name)):
            yield Fault("download", where, f"its rows are not those of the table {name}")
    except AtlasDamaged:
        return  # the table's own check tells of it
    except (OSError, pl.exceptions.PolarsError):
        yield Fault("download", where, "is not there, or cannot be read")
