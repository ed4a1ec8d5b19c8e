"""An atlas from elsewhere reads nothing of this machine but itself, and shows nothing but its tables."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from atlas.errors import AtlasDamaged, QueryError
from atlas.store import Store
from synthetic import Size, write_synthetic


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small atlas."""
    return write_synthetic(tmp_path_factory.mktemp("written") / "atlas.duckdb", size=Size(experts=3)).read_bytes()


@pytest.fixture
def atlas(tmp_path: Path, written: bytes) -> Path:
    """A small atlas, beside a file that is none of its business."""
    (tmp_path / "secret.csv").write_text("key,value\nsecret,1\n")
    path = tmp_path / "atlas.duckdb"
    path.write_bytes(written)
    return path


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ("CREATE VIEW {0} AS FROM own UNION ALL SELECT name, '', value FROM duckdb_settings()", "run_log is a view, not a table"),
        (
            "CREATE VIEW {0} AS WITH RECURSIVE endless AS (SELECT '' AS a UNION ALL FROM endless) SELECT a, a, a FROM endless",
            "run_log is a view, not a table",
        ),
        (
            "CREATE TABLE {0} (stage VARCHAR NOT NULL, key VARCHAR NOT NULL, value VARCHAR AS (current_setting('threads')))",
            "the table run_log has a column that is computed",
        ),
    ],
    ids=["settings", "endless", "generated"],
)
def test_a_table_is_a_plain_table(atlas: Path, changes: str, told: str) -> None:
    with duckdb.connect(str(atlas)) as connection:
        connection.execute("CREATE TABLE own AS FROM run_log; DROP TABLE run_log")
        connection.execute(changes.format("run_log"))

    with pytest.raises(AtlasDamaged, match=told):
        Store(atlas)


@pytest.mark.parametrize(
    "forged",
    [
        "SELECT * REPLACE (0.5::DOUBLE AS rate) FROM own",
        "SELECT * REPLACE ((expert + (SELECT count(*) FROM read_csv('secret.csv')))::INTEGER AS expert) FROM own",
    ],
)
def test_a_view_says_what_the_schema_says(atlas: Path, forged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(atlas.parent)
    with duckdb.connect(str(atlas)) as connection:
        connection.execute("CREATE TABLE own AS FROM expert_overview")
        connection.execute(f"CREATE OR REPLACE VIEW expert_overview AS {forged}")

    with pytest.raises(AtlasDamaged, match="the view expert_overview is not defined as an atlas has it"):
        Store(atlas)


@pytest.mark.parametrize("macro", ["round(a) AS 7", "duckdb_views() AS TABLE SELECT 1 AS one"])
def test_a_function_of_the_file_takes_no_functions_place(atlas: Path, macro: str) -> None:
    with duckdb.connect(str(atlas)) as connection:
        connection.execute(f"CREATE MACRO {macro}")

    with pytest.raises(AtlasDamaged, match="it defines the function"):
        Store(atlas)


def test_other_tables_and_views_are_left_alone(atlas: Path) -> None:
    with duckdb.connect(str(atlas)) as connection:
        connection.execute("CREATE TABLE own AS FROM run_log; CREATE VIEW mine AS FROM own; ")

    with Store(atlas) as store:
        assert len(store.experts()) == 3


def test_a_query_reads_no_other_file(atlas: Path) -> None:
    with Store(atlas) as store, pytest.raises(QueryError, match="disabled by configuration"):
        store.sql(f"FROM read_csv('{atlas.parent / 'secret.csv'}')")
