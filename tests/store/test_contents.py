"""The hash of what a table holds changes with every value, and with nothing else."""

from __future__ import annotations

import json
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pytest

from atlas.store import Store, identity, rewrite_tables, write_atlas
from atlas.store.contents import LEFT_OUT, compute_contents
from atlas.store.schema import VIEWS, schema, schema_columns
from synthetic import synthetic_tables, write_synthetic


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("contents") / "atlas.duckdb")


def test_every_table_but_the_log_has_its_hash_and_the_rows_give_the_same(atlas: Path) -> None:
    with Store(atlas) as store:
        assert list(store.contents()) == [name for name in schema_columns() if name not in (*VIEWS, *LEFT_OUT)]
        assert store.contents() == store.computed_contents()
        assert {name: content.rows for name, content in store.contents().items()} == {
            name: rows for name, rows in store.row_counts().items() if name not in LEFT_OUT
        }


def test_hashes_do_not_depend_on_how_many_rows_are_read_at_once(atlas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atlas.store.contents.BLOCK_ROWS", 997)

    with Store(atlas) as store:
        assert store.computed_contents() == store.contents()


def test_two_files_of_the_same_rows_have_the_same_identity(atlas: Path, tmp_path: Path) -> None:
    tables = synthetic_tables()
    log = {"stage": ["harvest"], "key": ["seconds"], "value": ["1.5"]}
    write_atlas(tmp_path / "same.duckdb", {**tables, "run_log": log})

    with Store(atlas) as one, Store(tmp_path / "same.duckdb") as other:
        assert identity(one.contents()) == identity(other.contents())


def test_prompts_that_are_added_are_in_the_hashes(atlas: Path, tmp_path: Path) -> None:
    path = tmp_path / "atlas.duckdb"
    path.write_bytes(atlas.read_bytes())
    rewrite_tables(path, {"prompts": {"prompt": [0], "text": ["another"]}}, path.stat())

    with Store(atlas) as before, Store(path) as after:
        assert after.contents() == after.computed_contents()
        changed = {name for name, content in after.contents().items() if content != before.contents()[name]}
    assert changed == {"prompts"}


def test_a_table_that_was_changed_stays_known_as_changed_when_prompts_are_added(atlas: Path, tmp_path: Path) -> None:
    path = tmp_path / "atlas.duckdb"
    path.write_bytes(atlas.read_bytes())
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE titles SET title = 'forged' WHERE expert = 1")
    rewrite_tables(path, {"prompts": {"prompt": [0], "text": ["another"]}}, path.stat())

    with Store(path) as store:
        stored, computed = store.contents(), store.computed_contents()
    assert {name for name in stored if stored[name] != computed[name]} == {"titles"}


def altered(kind: str) -> str:
    """SQL for another value than `old`, of a type of the schema."""
    if kind == "VARCHAR":
        return "coalesce(old, '') || 'x'"
    if kind == "BOOLEAN":
        return "NOT coalesce(old, false)"
    if kind.endswith("[]"):
        return f"list_append(coalesce(old, []), {'[]' if kind.endswith('[][]') else 'NULL'})"
    return "coalesce(old, 0) + 1"


def test_one_other_value_in_any_column_of_any_table_is_another_hash(
    atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "atlas.duckdb"
    path.write_bytes(atlas.read_bytes())
    with Store(atlas) as store:
        stored = {name: content for name, content in store.contents().items() if content.rows}
    known, changed = schema_columns(), 0
    with duckdb.connect(str(path)) as connection:
        for table, content in stored.items():
            monkeypatch.setattr("atlas.store.contents.schema_columns", lambda table=table: {table: known[table]})
            for column, kind in known[table].items():
                connection.execute("BEGIN")
                value = altered(kind).replace("old", f'"{column}"')
                connection.execute(f'UPDATE {table} SET "{column}" = {value} WHERE rowid = {content.rows // 2}')
                assert compute_contents(connection)[table] != content, (table, column)
                connection.execute("ROLLBACK")
                changed += 1
    assert changed > 150


TWINS: dict[str, tuple[str, list[Any], list[Any]]] = {
    "nothing and nought": ("INTEGER", [0], [None]),
    "nothing and no text": ("VARCHAR", [""], [None]),
    "nothing and an empty list": ("DOUBLE[]", [[]], [None]),
    "nothing inside and a shorter list": ("DOUBLE[]", [[1.0, None]], [[1.0]]),
    "where texts end": ("VARCHAR", ["ab", "c"], ["a", "bc"]),
    "where lists end": ("INTEGER[]", [[1, 2], [3]], [[1], [2, 3]]),
    "where lists of lists end": ("DOUBLE[][]", [[[1.0], [2.0]]], [[[1.0, 2.0]]]),
    "the order of rows": ("INTEGER", [1, 2], [2, 1]),
    "letters that look alike": ("VARCHAR", ["a"], ["а"]),
    "false and nothing": ("BOOLEAN", [False], [None]),
    "one row and two": ("INTEGER", [0], [0, 0]),
}


@pytest.mark.parametrize(("kind", "one", "other"), TWINS.values(), ids=TWINS.keys())
def test_twins_are_told_apart(
    kind: str, one: list[Any], other: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.store.contents.schema_columns", lambda: {"twins": {"value": kind}})
    found = []
    for values in (one, other):
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE twins (value {kind})")
            connection.executemany("INSERT INTO twins VALUES (?)", [[value] for value in values])
            found.append(compute_contents(connection)["twins"])

    assert found[0].sha256 != found[1].sha256


def test_the_hash_is_what_it_is_said_to_be() -> None:
    """Of a small table, computed by hand: it is the same on every machine and by every version."""
    rows = [(0, "a"), (1, "ü\x00"), (2, "")]
    with duckdb.connect() as connection:
        connection.execute(schema())
        connection.executemany("INSERT INTO prompts VALUES (?, ?)", [list(row) for row in rows])
        found = compute_contents(connection)["prompts"]

    present, empty = sha256(bytes(len(rows))).hexdigest(), sha256().hexdigest()
    texts = [text.encode() for _, text in rows]
    numbers = [present, empty, sha256(struct.pack("<3i", 0, 1, 2)).hexdigest()]
    words = [present, sha256(struct.pack("<3I", *map(len, texts))).hexdigest(), sha256(b"".join(texts)).hexdigest()]
    said = json.dumps([["prompt", "INTEGER", numbers], ["text", "VARCHAR", words]])
    assert found == (3, sha256(said.encode()).hexdigest())
