from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from atlas.store import Store, write_atlas

EXPERTS = {"expert": np.array([2, 0, 1]), "decoder_norm": np.array([1.0, 2.0, 3.0]), "encoder_norm": np.ones(3)}


def test_rows_keep_the_order_given(tmp_path: Path) -> None:
    write_atlas(tmp_path / "a.duckdb", {"experts": EXPERTS})
    with Store(tmp_path / "a.duckdb") as store:
        assert store.table("experts")["expert"].to_list() == [2, 0, 1]


def test_lists_and_their_lists_come_back(tmp_path: Path) -> None:
    hypotheses = {
        "task": [1],
        "hypothesis": [0],
        "name": ["ring"],
        "title": ["ring"],
        "shape": ["ring"],
        "probe": ["linear"],
        "measure": ["R²"],
        "classes": [["one", "other"]],
        "description": [""],
        "targets": [[[1.0, 0.0], [0.0, 1.0]]],
        "chance": [0.5],
        "p_smallest": [None],
        "q": [float("nan")],
        "testable": [3],
    }
    write_atlas(tmp_path / "a.duckdb", {"hypotheses": hypotheses})
    with Store(tmp_path / "a.duckdb") as store:
        (row,) = store.table("hypotheses").iter_rows(named=True)
    assert row["targets"] == [[1.0, 0.0], [0.0, 1.0]] and row["classes"] == ["one", "other"]
    assert row["p_smallest"] is None and row["q"] is None


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    write_atlas(tmp_path / "new" / "a.duckdb", {})
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.duckdb"]


def test_duckdb_1_can_read_it(tmp_path: Path) -> None:
    write_atlas(tmp_path / "a.duckdb", {"experts": EXPERTS})
    with duckdb.connect(str(tmp_path / "a.duckdb"), read_only=True) as connection:
        (tags,) = connection.execute("SELECT tags FROM duckdb_databases() WHERE NOT internal").fetchone() or ({},)
    assert tags["storage_version"].startswith("v1.0.0")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"expert": EXPERTS}, "no table 'expert' in the atlas"),
        ({"experts": EXPERTS | {"colour": np.ones(3)}}, "no column 'colour' in table 'experts'"),
        ({"experts": {"expert": EXPERTS["expert"]}}, "lacks the column 'decoder_norm', 'encoder_norm'"),
        ({"experts": EXPERTS | {"expert": np.arange(2)}}, "differ in length"),
    ],
    ids=["unknown table", "unknown column", "missing columns", "ragged"],
)
def test_a_misfit_is_named(tmp_path: Path, tables: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_atlas(tmp_path / "a.duckdb", tables)


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    write_atlas(tmp_path / "a.duckdb", {"experts": EXPERTS})
    with pytest.raises(duckdb.ConstraintException):
        write_atlas(tmp_path / "a.duckdb", {"experts": EXPERTS | {"decoder_norm": np.full(3, np.nan)}})
    assert [path.name for path in tmp_path.iterdir()] == ["a.duckdb"]
    with Store(tmp_path / "a.duckdb") as store:
        assert len(store.table("experts")) == 3


def test_a_quote_in_the_path_is_no_matter(tmp_path: Path) -> None:
    write_atlas(tmp_path / "it's.duckdb", {})
    assert (tmp_path / "it's.duckdb").is_file()


def test_a_view_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no table 'expert_overview'"):
        write_atlas(tmp_path / "a.duckdb", {"expert_overview": {"expert": [1]}})


def test_what_could_not_be_measured_is_null_and_a_log_holds_numbers_only(tmp_path: Path) -> None:
    evaluation = {
        "task": [0, 0],
        "subject": ["pca", "pca"],
        "metric": ["fvu", "cosine"],
        "value": [0.5, np.nan],
        "tokens": [9, 9],
    }
    write_atlas(tmp_path / "a.duckdb", {"evaluation": evaluation})
    with Store(tmp_path / "a.duckdb") as store:
        assert store.table("evaluation")["value"].to_list() == [0.5, None]
        assert store.table("training_log").is_empty()
    with pytest.raises(duckdb.ConstraintException):
        write_atlas(tmp_path / "b.duckdb", {"training_log": {"step": [1], "metric": ["loss"], "value": [np.nan]}})
