"""The schema that both sides of the door agree on."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import duckdb

SCHEMA_VERSION = 7
"""Raised when schema.sql changes so that an older reader or an older file would be misread."""

VIEWS = ("expert_overview", "expert_neighbours")
"""What can be read as a table and is not written."""

GENERATED = " GENERATED ALWAYS AS"
"""What the definition of a table says of a column that is computed when it is read."""


def schema() -> str:
    """Return the statements that make an empty atlas."""
    return files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")


@cache
def schema_columns() -> dict[str, dict[str, str]]:
    """Return the type of every column by its name, of every table and then every view, in the schema's order."""
    with duckdb.connect() as connection:
        connection.execute(schema())
        return by_table(connection.execute(statement("columns")).fetchall())


class Definition(NamedTuple):
    """What a name of a database stands for."""

    kind: str
    """'table' or 'view'."""
    sql: str
    """As DuckDB writes it, without parentheses, which come and go with how the file is stored."""


def definitions(connection: duckdb.DuckDBPyConnection) -> dict[str, Definition]:
    """Return the definition of every table and view of a database, by name."""
    rows = connection.execute(statement("definitions")).fetchall()
    return {name: Definition(kind, sql.replace("(", "").replace(")", "")) for name, kind, sql in rows}


@cache
def definitions_of_schema() -> dict[str, Definition]:
    """Return the definition of every table and view of an atlas, by name."""
    with duckdb.connect() as connection:
        connection.execute(schema())
        return definitions(connection)


def by_table(rows: list[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Return what `columns.sql` finds, as the type of each column of each table."""
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        columns.setdefault(table, {})[column] = kind
    return columns


def statement(name: str) -> str:
    """Return the SQL of `sql/<name>.sql`."""
    return files(__package__).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
