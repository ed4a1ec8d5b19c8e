"""Tables ► one DuckDB file."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy.typing as npt
import polars as pl

from atlas.errors import AtlasBusy, AtlasDamaged
from atlas.files import make_folder, replacing, sweep_beside
from atlas.store.contents import CONTENTS, Content, compute_contents
from atlas.store.copying import literal, refusal
from atlas.store.schema import SCHEMA_VERSION, VIEWS, schema, schema_columns

Column = npt.NDArray[Any] | Sequence[Any] | pl.Series


def write_atlas(path: Path, tables: Mapping[str, Mapping[str, Column]]) -> None:
    """Write an atlas whose tables hold exactly these rows, in this order; a table that is not named stays empty.

    NaN is written as NULL. The file appears at `path` only once it is whole, in place of any earlier one.

    Raises:
        ValueError: a table or column is not in the schema, or one that is in it is missing from a table.
        duckdb.ConstraintException: a NULL stands where the schema allows none.
    """
    with _replacing(path) as part, _writing(part) as written:
        written.fill(tables)
        written.insert("provenance", {"key": ["schema_version"], "value": [json.dumps(SCHEMA_VERSION)]})
        written.seal()


def rewrite_tables(path: Path, tables: Mapping[str, Mapping[str, Column]], since: os.stat_result) -> None:
    """Give an atlas these rows in place of those that it has in the same tables; all others stay as they are.

    A new file is filled, which so holds nothing of the rows that it leaves out, and renamed over the atlas once it is whole.
    `since` says how the atlas was when what is written was made from it.

    Raises:
        AtlasBusy: the file was written by another program since.
        AtlasDamaged: its other tables cannot be read.
        StorageError: the copy cannot be written; the atlas is as it was.
        ValueError, duckdb.ConstraintException: as `write_atlas`.
    """
    with _replacing(path) as part:
        with _writing(part) as written:
            try:
                known = written.copy(path, without={*tables, CONTENTS})
            except duckdb.Error as error:
                if part.name in str(error):
                    raise
                said = " ".join(str(error).split())
                raise AtlasDamaged(f"{str(path)!r} is damaged: {said}. Run `atlas build` to build it again.") from error
            written.fill(tables)
            written.seal(known)
        if _version(path.stat()) != _version(since):
            raise AtlasBusy(f"{str(path)!r} was written by another program meanwhile. Run the same command again.")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """As `replacing`, of a file that DuckDB writes; its folder is made."""
    make_folder(path.parent)
    sweep_beside(path)
    with replacing(path) as part:
        try:
            yield part
        except duckdb.Error as error:
            # What the disk refuses comes as several kinds of error, which name the file.
            if part.name not in str(error):
                raise
            raise OSError(0, refusal(error)) from error


def _version(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


@contextmanager
def _writing(path: Path) -> Iterator[_Written]:
    """Give a new atlas to fill, which is whole in its file in the end."""
    with closing(duckdb.connect()) as connection:
        # DuckDB 1.x can read this storage version; the one that 2.0 writes by default it cannot.
        connection.execute(f"ATTACH {literal(path)} AS written (STORAGE_VERSION 'v1.0.0')")
        connection.execute("USE written")
        connection.execute(schema())
        yield _Written(connection)
        # To detach does it too, but leaves out why a disk refused.
        connection.execute("CHECKPOINT written")
        connection.execute("USE memory")
        connection.execute("DETACH written")


class _Written:
    """A new atlas that is open for writing."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._columns = {name: columns for name, columns in schema_columns().items() if name not in VIEWS}

    def copy(self, source: Path, without: Container[str]) -> dict[str, Content]:
        """Take over the rows of an atlas, in its order, but those of some tables; return what it says that the others hold.

        What was changed behind its back so stays known as changed.
        """
        # One thread keeps the rows in order without holding them.
        self._connection.execute("SET threads = 1")
        self._connection.execute(f"ATTACH {literal(source)} AS source (READ_ONLY)")
        for table in [name for name in self._columns if name not in without]:
            names = ", ".join(f'"{name}"' for name in self._columns[table])
            self._connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM source.{table}")
        stored = self._connection.execute(f"SELECT table_name, rows, sha256 FROM source.{CONTENTS}").fetchall()
        self._connection.execute("DETACH source")
        return {name: Content(rows, sha256) for name, rows, sha256 in stored if name not in without}

    def fill(self, tables: Mapping[str, Mapping[str, Column]]) -> None:
        _require("the atlas", "table", given=tables, known=self._columns, needed=())
        for table, given in tables.items():
            columns = self._columns[table]
            _require(f"table {table!r}", "column", given=given, known=columns, needed=columns)
            lengths = {name: len(given[name]) for name in columns}
            if len(set(lengths.values())) > 1:
                raise ValueError(f"The columns of table {table!r} differ in length: {lengths}.")
            self.insert(table, given)

    def seal(self, known: Mapping[str, Content] | None = None) -> None:
        """Write down what the tables hold, for `atlas verify` to find again; of some it may be known already."""
        found = compute_contents(self._connection, known)
        rows = [(name, *content) for name, content in found.items()]
        self.insert(CONTENTS, dict(zip(self._columns[CONTENTS], zip(*rows, strict=True), strict=True)))

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
