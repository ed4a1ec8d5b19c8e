"""One atlas ► files for others to read: the database without its log of the run, and every table as Parquet."""

from __future__ import annotations

import os
import re
from contextlib import closing
from pathlib import Path

import duckdb

from atlas.errors import AtlasDamaged, OutputOccupied
from atlas.store.schema import VIEWS, schema, schema_columns

DATABASE = "atlas.duckdb"
SCHEMA = "schema.sql"
LEFT_OUT = ("run_log",)
"""What tells of the machine that an atlas was made on."""


def copy_tables(source: Path, folder: Path) -> list[str]:
    """Write an atlas into a folder: as DATABASE, as a Parquet file per table, and SCHEMA; return the tables, in order.

    A table of LEFT_OUT is empty in the database, which is a new file and so holds nothing of its rows, and has no Parquet file.
    Parquet files of the same rows are the same bytes; a database's are not, since DuckDB does not clear all that it writes.

    Raises:
        OutputOccupied: the folder cannot be written.
        AtlasDamaged: a part of the atlas cannot be read.
    """
    tables = {name: columns for name, columns in schema_columns().items() if name not in (*VIEWS, *LEFT_OUT)}
    try:
        with closing(duckdb.connect()) as connection:
            # One thread keeps the rows in order without holding them, and the same rows in the same row groups.
            connection.execute("SET threads = 1")
            connection.execute("SET temp_directory = ''")
            connection.execute(f"ATTACH {literal(source)} AS source (READ_ONLY)")
            connection.execute(f"ATTACH {literal(folder / DATABASE)} AS written (STORAGE_VERSION 'v1.0.0')")
            connection.execute("USE written")
            connection.execute(schema())
            for table, columns in tables.items():
                rows = f"SELECT {', '.join(map(_quoted, columns))} FROM source.{table}"
                connection.execute(f"INSERT INTO written.{table} {rows}")
                connection.execute(f"COPY ({rows}) TO {literal(folder / f'{table}.parquet')} (FORMAT parquet, COMPRESSION zstd)")
            # To detach does it too, but leaves out why a disk refused.
            connection.execute("CHECKPOINT written")
            connection.execute("USE memory")
            connection.execute("DETACH written")
    except duckdb.Error as error:
        said = " ".join(str(error).split())
        if str(folder) in said:
            reason = refusal(error)
            raise OutputOccupied(
                f"The data cannot be written: {reason}. Free some space, or bake without --with-data."
            ) from error
        raise AtlasDamaged(f"{str(source)!r} is damaged: {said}. Run `atlas build` to build it again.") from error
    (folder / SCHEMA).write_text(schema(), encoding="utf-8")
    return list(tables)


def refusal(error: duckdb.Error) -> str:
    """Return why the operating system refuses what DuckDB would write, in its own words."""
    numbered = re.search(r'"errno":"([0-9]+)"', str(error))
    return os.strerror(int(numbered[1])) if numbered else str(error).splitlines()[0].rpartition(": ")[2]


def literal(path: Path) -> str:
    """Quote a path for a statement that takes no parameters."""
    return "'" + str(path).replace("'", "''") + "'"


def _quoted(column: str) -> str:
    return f'"{column}"'
