from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from atlas.errors import AtlasMissing, SchemaMismatch
from atlas.store import SCHEMA_VERSION, Store, write_atlas
from synthetic import MONTHS, kind, synthetic_tables, write_synthetic


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic atlas."""
    return write_synthetic(tmp_path_factory.mktemp("store") / "atlas.duckdb")


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """The same, open."""
    with Store(path) as opened:
        yield opened


def test_a_missing_atlas_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(AtlasMissing, match=r"No atlas at .*none\.duckdb.*atlas build"):
        Store(tmp_path / "none.duckdb")


def test_something_else_is_no_atlas(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, and long enough to be read as one" * 100)
    with pytest.raises(SchemaMismatch, match="is no atlas"):
        Store(tmp_path / "notes.txt")


def test_a_database_without_provenance_is_refused(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    with pytest.raises(SchemaMismatch, match="build it again"):
        Store(tmp_path / "other.duckdb")


def test_another_schema_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atlas.store.writing.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    write_atlas(tmp_path / "newer.duckdb", {})
    with pytest.raises(SchemaMismatch, match=f"has schema version {SCHEMA_VERSION + 1}.* reads {SCHEMA_VERSION}"):
        Store(tmp_path / "newer.duckdb")


def test_tasks_carry_their_labels_and_hypotheses(store: Store) -> None:
    corpus, months, numbers = store.tasks()
    assert corpus.kind == "corpus" and corpus.labels == () and corpus.report_rows == 0
    assert [label.name for label in months.labels] == list(MONTHS)
    assert months.report_rows == 48
    (ring,) = months.hypotheses
    assert ring.references["random_projection"] == 0.58
    assert [hypothesis.name for hypothesis in numbers.hypotheses] == ["linear", "mod_10"]
    assert numbers.labels[7].training_occurrences is None


def test_experts_come_most_important_first(store: Store) -> None:
    importance = store.experts()["importance"].to_list()
    assert importance == sorted(importance, reverse=True)


def test_an_expert_without_a_title_is_not_left_out_in_silence(tmp_path: Path) -> None:
    tables = synthetic_tables()
    tables["titles"] = {name: column[1:] for name, column in tables["titles"].items()}
    write_atlas(tmp_path / "a.duckdb", tables)
    with Store(tmp_path / "a.duckdb") as store, pytest.raises(ValueError, match="39 of 40 experts"):
        store.experts()


def test_points_are_those_of_the_experts_asked_for(store: Store) -> None:
    silent, loud = 3, 0
    assert kind(silent) == "silent"
    points = store.points([silent, loud])
    assert set(points["expert"]) == {loud}
    assert points.equals(store.table("points").filter(pl.col("expert") == loud))


def test_provenance_is_decoded(store: Store) -> None:
    provenance = store.provenance()
    assert provenance["schema_version"] == SCHEMA_VERSION
    assert provenance["model"]["id"] == "tiny-synthetic"


def test_reading_needs_no_pyarrow_and_leaves_no_noise(path: Path) -> None:
    program = f"""
import sys
from collections.abc import Iterator
from pathlib import Path
sys.modules["pyarrow"] = None
from atlas.store import Store
with Store(Path({str(path)!r})) as store:
    assert len(store.experts()) == 40 and len(store.table("labels")) == 112
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
