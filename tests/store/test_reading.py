from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from atlas.bake import bake
from atlas.errors import AtlasBusy, AtlasDamaged, AtlasMissing, QueryError, SchemaMismatch
from atlas.inspection import inspect
from atlas.store import SCHEMA_VERSION, Store, write_atlas
from atlas.store.schema import VIEWS
from synthetic import CELLS, MONTHS, SEASONS, Size, kind, synthetic_tables, write_synthetic


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


@pytest.mark.parametrize(
    "content",
    [b"not a database, and long enough to be read as one" * 100, b"", b"SQLite format 3\0" * 300],
    ids=["text", "empty", "another database"],
)
def test_something_else_is_no_atlas(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.txt").write_bytes(content)
    with pytest.raises(SchemaMismatch, match="is no atlas: it is no DuckDB file. Give the one that `atlas build` wrote"):
        Store(tmp_path / "notes.txt")


@pytest.mark.parametrize("statement", ["SELECT 1", "CREATE TABLE provenance (a INTEGER)"])
def test_a_database_of_another_program_is_no_atlas(tmp_path: Path, statement: str) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute(statement)
    with pytest.raises(SchemaMismatch, match="is a DuckDB file but no atlas"):
        Store(tmp_path / "other.duckdb")


def test_a_folder_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(AtlasMissing, match="is a folder. Give the file atlas.duckdb"):
        Store(tmp_path)
    write_atlas(tmp_path / "work" / "atlas.duckdb", {})
    for folder in (tmp_path, tmp_path / "work"):
        with pytest.raises(AtlasMissing, match=r"is a folder\. Give '[^\n]*work/atlas\.duckdb'\."):
            Store(folder)


WRITER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
"""


def test_a_file_that_is_being_written_is_not_called_damaged(tmp_path: Path) -> None:
    write_atlas(tmp_path / "a.duckdb", {})
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(AtlasBusy, match="is open for writing elsewhere. Close it there"):
            Store(tmp_path / "a.duckdb")
        writer.communicate("\n", timeout=20)
    Store(tmp_path / "a.duckdb").close()
    with duckdb.connect(str(tmp_path / "a.duckdb")), pytest.raises(AtlasBusy):
        Store(tmp_path / "a.duckdb")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE baselines", "the table baselines is missing"),
        ("ALTER TABLE scores DROP COLUMN all_rows", "the column scores.all_rows is missing"),
        ("ALTER TABLE labels ALTER rows TYPE VARCHAR", "the column labels.rows has the type VARCHAR, not BIGINT"),
        ("DROP VIEW expert_overview", "the table expert_overview is missing"),
    ],
)
def test_an_atlas_that_lacks_a_part_is_damaged(tmp_path: Path, statement: str, message: str) -> None:
    write_atlas(tmp_path / "a.duckdb", {})
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute(statement)
    with pytest.raises(AtlasDamaged, match=f"{message}. Run `atlas build` to build it again."):
        Store(tmp_path / "a.duckdb")


def read_all(path: Path) -> None:
    with Store(path) as store:
        for name in store.tables:
            store.table(name)
        store.tasks(), store.experts(), store.points([0, 1])
        store.sql("SELECT * FROM points")


@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_byte_is_either_of_no_matter_or_said_in_one_line(path: Path, tmp_path: Path, place: float) -> None:
    """Every block of which a byte is flipped in turn; blocks that hold no rows are of no matter."""
    content = path.read_bytes()
    block = 262_144
    damaged = 0
    first = 4096 * 3
    for start in [4096, *range(first, len(content) - 100, block)]:
        changed = bytearray(content)
        changed[start + int(place * (4000 if start == 4096 else 100_000)) + 16] ^= 0x5A
        (tmp_path / "a.duckdb").write_bytes(changed)
        try:
            read_all(tmp_path / "a.duckdb")
        except AtlasDamaged as error:
            assert "\n" not in str(error) and "build it again" in str(error)
            damaged += 1
    assert damaged >= 3


def test_a_file_that_ends_too_early_is_damaged(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    for size in (100, 5_000, len(content) // 2):
        (tmp_path / "a.duckdb").write_bytes(content[:size])
        with pytest.raises(AtlasDamaged, match="build it again"):
            read_all(tmp_path / "a.duckdb")


def test_a_value_that_is_no_json_is_damage(tmp_path: Path) -> None:
    write_atlas(tmp_path / "a.duckdb", {"provenance": {"key": ["model"], "value": ["{half"]}})
    with Store(tmp_path / "a.duckdb") as store, pytest.raises(AtlasDamaged, match="'{half' is not JSON"):
        store.provenance()


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
    ring, season = months.hypotheses
    assert ring.references["random_projection"] == 0.58
    assert (ring.shape, ring.measure, ring.classes, ring.class_of_label) == ("ring", "R²", (), ())
    assert (season.shape, season.measure, season.classes) == ("classes", "balanced accuracy", SEASONS)
    assert [season.classes[one] for one in season.class_of_label[:4]] == ["winter", "winter", "spring", "spring"]
    assert months.labels[4].colour is None
    assert [hypothesis.name for hypothesis in numbers.hypotheses] == ["linear", "mod_10"]
    assert numbers.labels[7].training_occurrences is None


def test_labelled_tasks_follow_all_corpora(tmp_path: Path) -> None:
    with Store(write_synthetic(tmp_path / "a.duckdb", size=Size(corpora=2))) as store:
        tasks = store.tasks()
    assert [task.kind for task in tasks] == ["corpus", "corpus", "labelled", "labelled"]
    assert [len(task.labels) for task in tasks] == [0, 0, 12, 100]
    assert (tasks[1].documents, tasks[1].importance_tokens) == (30, 16_000)
    assert tasks[2].hypotheses[0].references["random_projection"] == 0.58


def test_a_task_without_text_and_without_hypotheses_is_one_too(tmp_path: Path) -> None:
    with Store(write_synthetic(tmp_path / "a.duckdb", size=Size(more_tasks=True))) as store:
        tasks = {task.name: task for task in store.tasks()}
    assert [name for name, task in tasks.items() if not task.has_text] == ["cells"]
    assert tasks["body_parts"].hypotheses == ()
    assert {label.name: label.colour for label in tasks["cells"].labels} == CELLS
    lineage, age = tasks["cells"].hypotheses
    assert (lineage.of_label, age.of_label) == (True, False)
    # A reference that could not be had is none at all.
    assert set(lineage.references) == {"chance", "random_projection", "top_components"} and "chance" not in age.references


def test_contexts_are_the_first_of_each_stratum(store: Store) -> None:
    found = store.contexts(strongest=3, per_band=2).filter(pl.col("expert") == 0)
    assert found["stratum"].value_counts().sort("stratum").rows() == [("q0", 2), ("q25", 2), ("q50", 2), ("q75", 2), ("top", 3)]
    kept = store.table("top_firings").filter((pl.col("expert") == 0) & (pl.col("stratum") == "q25"))
    assert found.filter(pl.col("stratum") == "q25")["window"].to_list() == kept.sort("rank")["window"].head(2).to_list()


def test_norms_are_of_experts_that_fire(store: Store) -> None:
    norms = store.norms()
    assert norms["expert"].to_list() == [expert for expert in range(40) if kind(expert) != "silent"]
    assert (norms["norm_q10"] < norms["norm_q50"]).all() and (norms["norm_q90"] < norms["norm_q99"]).all()


def test_experts_come_most_important_first(store: Store) -> None:
    importance = store.experts()["importance"].to_list()
    assert importance == sorted(importance, reverse=True)


def test_an_expert_without_a_title_is_not_left_out_in_silence(tmp_path: Path) -> None:
    tables = synthetic_tables()
    tables["titles"] = {name: column[1:] for name, column in tables["titles"].items()}
    write_atlas(tmp_path / "a.duckdb", tables)
    with Store(tmp_path / "a.duckdb") as store, pytest.raises(AtlasDamaged, match="only 39 of 40 experts"):
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


def test_every_table_is_there_by_name(store: Store) -> None:
    assert {"scores", "points", "provenance", "expert_overview"} <= set(store.tables)
    assert store["labels"].equals(store.table("labels"))
    assert store._ipython_key_completions_() == list(store.tables)
    with pytest.raises(QueryError, match=r"has no table 'score'\. It has provenance, .*scores"):
        store.table("score")


def test_rows_are_counted(store: Store) -> None:
    counts = store.row_counts()
    assert counts == {name: store.table(name).height for name in store.tables if name not in VIEWS}


def test_the_run_log_is_decoded(tmp_path: Path) -> None:
    log = {"stage": ["probe", "harvest", "probe"], "key": ["seconds", "seconds", "host"], "value": ["1.5", "2", '"here"']}
    write_atlas(tmp_path / "a.duckdb", {"run_log": log})
    with Store(tmp_path / "a.duckdb") as store:
        assert store.run_log() == {"probe": {"seconds": 1.5, "host": "here"}, "harvest": {"seconds": 2}}


def test_sql_takes_parameters_by_name(store: Store) -> None:
    found = store.sql("SELECT label FROM labels WHERE name = $query ORDER BY label", query="September")
    assert found.to_dict(as_series=False) == {"label": [8]}
    assert store.sql("SELECT $names AS n", names=["a", "b"])["n"].to_list() == [["a", "b"]]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT nope FROM scores", 'Referenced column "nope" not found'),
        ("SELECT * FROM score", 'Did you mean "scores"'),
        ("SELECT $label", "Values were not provided for the following parameters: label"),
        ("SELECT CAST(name AS INTEGER) FROM labels", "Could not convert string 'January'"),
        ("SELECT error(name) FROM labels", "January"),
        ("SELECT 1 AS a, 2 AS a", "Give each column a name of its own with AS"),
        ("SELECT * FROM read_csv('nowhere.csv')", "nowhere.csv"),
        ("SELECT * FROM query", "Table with name query does not exist"),
        ("DROP TABLE scores", "give one SELECT"),
        ("SELECT 1; SELECT 2", "give one SELECT"),
        ("COPY scores TO 'out.csv'", "give one SELECT"),
        ("CREATE TEMP TABLE t AS SELECT 1", "give one SELECT"),
        ("", "give one SELECT"),
    ],
)
def test_sql_that_cannot_be_answered_is_said_in_one_line(
    store: Store, query: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QueryError, match=message) as caught:
        store.sql(query)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_whoever_stumbles_over_rows_that_nobody_wrote_is_told_so(tmp_path: Path) -> None:
    path = write_synthetic(tmp_path / "atlas.duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute("ALTER TABLE titles ALTER COLUMN title DROP NOT NULL")
        connection.execute("UPDATE titles SET title = NULL WHERE expert = 3")

    with pytest.raises(AtlasDamaged, match="the table titles does not hold the rows"), Store(path) as store:
        sorted(store["titles"]["title"].to_list())
    with pytest.raises(AtlasDamaged, match="the table titles does not hold the rows"):
        bake(path, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_an_inspection_that_stumbles_over_other_provenance_says_so(tmp_path: Path) -> None:
    path = write_synthetic(tmp_path / "atlas.duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE provenance SET value = '3' WHERE key = 'devices'")

    with pytest.raises(AtlasDamaged, match="the table provenance does not hold the rows"):
        inspect(str(path))


def test_a_readers_own_mistake_stays_one(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Store(write_synthetic(tmp_path / "atlas.duckdb")):
        raise KeyError("expert")
