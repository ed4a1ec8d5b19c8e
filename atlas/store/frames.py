"""Rows of DuckDB ► polars frames."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import polars as pl


def frame(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """Return the rows of a relation, without pyarrow."""
    return pl.DataFrame(_Rows(relation.__arrow_c_stream__))


class _Rows:
    """Hands a relation's rows to polars without letting polars see the relation's type.

    Polars remembers the types of what it is given until the interpreter ends, and DuckDB 2.0 then reports leaks.
    """

    def __init__(self, stream: Callable[..., object]) -> None:
        self._stream = stream

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._stream(requested_schema)
