"""What the tables of an atlas hold, in a hash each: two atlases are equal if these are, whatever DuckDB made of the bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl

from atlas.store.frames import frame
from atlas.store.schema import VIEWS, schema_columns

CONTENTS = "contents"
"""The table that says so."""
LEFT_OUT = ("run_log", CONTENTS)
"""Tables that are no part of the result: how long it took, and the hashes themselves."""

BLOCK_ROWS = 1 << 18
"""Rows that are read at once. The hashes do not depend on it."""


class Content(NamedTuple):
    """What a table holds."""

    rows: int
    sha256: str
    """Of its values by column, in the order of its rows."""


def compute_contents(connection: duckdb.DuckDBPyConnection, known: Mapping[str, Content] | None = None) -> dict[str, Content]:
    """Return what each table of an atlas holds, from its rows; of those that are `known`, what is known."""
    known = known or {}
    return {
        name: known[name] if name in known else _content(connection, name, columns)
        for name, columns in schema_columns().items()
        if name not in (*VIEWS, *LEFT_OUT)
    }


def identity(contents: Mapping[str, Content]) -> str:
    """Return one sha256 of all that the tables of an atlas hold."""
    return sha256(json.dumps([[name, *content] for name, content in sorted(contents.items())]).encode()).hexdigest()


def _content(connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str]) -> Content:
    hashes = {name: _Hashed() for name in columns}
    names = ", ".join(f'"{name}"' for name in columns)
    rows = 0
    # A row that was changed since may have a number far behind the others, so only blocks that hold some are asked for.
    blocks = connection.execute(f"SELECT DISTINCT rowid // {BLOCK_ROWS} AS block FROM {table} ORDER BY block").fetchall()
    for (number,) in blocks:
        within = f"rowid >= {number * BLOCK_ROWS} AND rowid < {(number + 1) * BLOCK_ROWS}"
        block = frame(connection.sql(f"SELECT {names} FROM {table} WHERE {within} ORDER BY rowid"))
        rows += len(block)
        for name in columns:
            hashes[name].update(block[name])
    said = [[name, kind, hashes[name].digests()] for name, kind in columns.items()]
    return Content(rows, sha256(json.dumps(said).encode()).hexdigest())


class _Hashed:
    """The values of a column, or of the lists in one: a hash of where there is none, one of lengths, one of the values.

    Each is fed end to end, so that it is the same however rows come in blocks.
    """

    def __init__(self) -> None:
        self._missing, self._lengths, self._values = sha256(), sha256(), sha256()
        self._inside: _Hashed | None = None

    def update(self, values: pl.Series) -> None:
        """Add more rows."""
        self._missing.update(values.is_null().to_numpy().tobytes())
        if isinstance(values.dtype, pl.List):
            self._lengths.update(_bytes(values.list.len().fill_null(0)))
            self._inside = self._inside or _Hashed()
            self._inside.update(values.filter(values.list.len() > 0).explode())
        elif values.dtype == pl.String:
            self._lengths.update(_bytes(values.str.len_bytes().fill_null(0)))
            self._values.update("".join(values.drop_nulls()).encode())
        elif values.dtype == pl.Boolean:
            self._values.update(values.fill_null(False).to_numpy().tobytes())
        else:
            self._values.update(_bytes(values.fill_null(0)))

    def digests(self) -> list[Any]:
        """Return the hashes."""
        own = [each.hexdigest() for each in (self._missing, self._lengths, self._values)]
        return [*own, self._inside.digests()] if self._inside else own


def _bytes(numbers: pl.Series) -> bytes:
    values = numbers.to_numpy()
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
