"""Tables ► one DuckDB file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import numpy.typing as npt
import polars as pl

from atlas.store.schema import SCHEMA_VERSION, VIEWS, schema, schema_columns

Column = npt.NDArray[Any] | Sequence[Any] | pl.Series


def write_atlas(path: Path, tables: Mapping[str, Mapping[str, Column]]) -> None:
    """Write an atlas whose tables hold exactly these rows, in this order; a table that is not named stays empty.

    NaN is written as NULL. The file appears at `path` only once it is whole, in place of any earlier one.

    Raises:
        ValueError: a table or column is not in the schema, or one that is in it is missing from a table.
        duckdb.ConstraintException: a NULL stands where the schema allows none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with closing(_EmptyAtlas(partial)) as written:
            written.fill(tables)
            written.insert("provenance", {"key": ["schema_version"], "value": [json.dumps(SCHEMA_VERSION)]})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _EmptyAtlas:
    """A new file with every table of the schema and no rows."""

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect()
        # DuckDB 1.x can read this storage version; the one that 2.0 writes by default it cannot.
        self._connection.execute(f"ATTACH {_literal(str(path))} AS written (STORAGE_VERSION 'v1.0.0')")
        self._connection.execute("USE written")
        self._connection.execute(schema())
        self._columns = {name: columns for name, columns in schema_columns().items() if name not in VIEWS}

    def close(self) -> None:
        self._connection.execute("USE memory")
        self._connection.execute("DETACH written")
        self._connection.close()

    def fill(self, tables: Mapping[str, Mapping[str, Column]]) -> None:
        _require("the atlas", "table", given=tables, known=self._columns, needed=())
        for table, given in tables.items():
            columns = self._columns[table]
            _require(f"table {table!r}", "column", given=given, known=columns, needed=columns)
            lengths = {name: len(given[name]) for name in columns}
            if len(set(lengths.values())) > 1:
                raise ValueError(f"The columns of table {table!r} differ in length: {lengths}.")
            self.insert(table, given)

    def insert(self, table: str, given: Mapping[str, Column]) -> None:
        frame = pl.DataFrame({name: pl.Series(name, given[name]) for name in self._columns[table]})
        names = ", ".join(f'"{name}"' for name in frame.columns)
        self._connection.register("given", frame.with_columns(pl.selectors.float().fill_nan(None)))
        self._connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM given")
        self._connection.unregister("given")


def _require(where: str, what: str, *, given: Iterable[str], known: Iterable[str], needed: Iterable[str]) -> None:
    unknown = sorted(set(given) - set(known))
    missing = sorted(set(needed) - set(given))
    if unknown:
        raise ValueError(f"The schema knows no {what} {', '.join(map(repr, unknown))} in {where}.")
    if missing:
        raise ValueError(f"{where.capitalize()} lacks the {what} {', '.join(map(repr, missing))}.")


def _literal(text: str) -> str:
    """Quote a path for ATTACH, which takes no parameters."""
    return "'" + text.replace("'", "''") + "'"
