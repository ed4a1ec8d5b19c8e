"""An atlas from elsewhere reads nothing of this machine but itself."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from atlas.errors import AtlasDamaged, QueryError
from atlas.store import Store
from synthetic import Size, write_synthetic


@pytest.fixture
def atlas(tmp_path: Path) -> Path:
    """A small atlas, beside a file that is none of its business."""
    (tmp_path / "secret.csv").write_text("key,value\nsecret,1\n")
    return write_synthetic(tmp_path / "atlas.duckdb", size=Size(experts=3))


def test_a_view_in_a_tables_place_reads_nothing_else(atlas: Path) -> None:
    with duckdb.connect(str(atlas)) as connection:
        connection.execute("CREATE TABLE own AS FROM provenance; DROP TABLE provenance")
        reads = f"SELECT key, value::VARCHAR AS value FROM read_csv('{atlas.parent / 'secret.csv'}')"
        connection.execute(f"CREATE VIEW provenance AS FROM own UNION ALL {reads}")

    with pytest.raises(AtlasDamaged, match="disabled by configuration"):
        Store(atlas)


def test_the_view_of_the_schema_reads_nothing_else(atlas: Path) -> None:
    with duckdb.connect(str(atlas)) as connection:
        kind = connection.table("expert_overview").select("expert").types[0]
        reads = f"SELECT count(*) FROM read_csv('{atlas.parent / 'secret.csv'}')"
        connection.execute("CREATE TABLE own AS FROM expert_overview; DROP VIEW expert_overview")
        connection.execute(f"CREATE VIEW expert_overview AS SELECT * REPLACE ((expert + ({reads}))::{kind} AS expert) FROM own")

    with pytest.raises(AtlasDamaged, match="disabled by configuration"), Store(atlas) as store:
        store.table("expert_overview")


def test_a_query_reads_no_other_file(atlas: Path) -> None:
    with Store(atlas) as store, pytest.raises(QueryError, match="disabled by configuration"):
        store.sql(f"FROM read_csv('{atlas.parent / 'secret.csv'}')")
