from __future__ import annotations

import json
from pathlib import Path

import duckdb
import polars as pl
import pytest

from atlas.bake import BakeConfig, bake
from atlas.bake.folder import Record
from atlas.bake.licences import licences
from atlas.errors import OutputOccupied
from atlas.publish.site import Site
from atlas.store import Store
from atlas.store.copying import copy_tables
from atlas.store.schema import VIEWS, schema_columns
from synthetic import Size, write_synthetic

HOST = "a-machine-of-nobody-else"
WITH = BakeConfig(with_data=True)


@pytest.fixture(scope="module")
def atlas_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic atlas with a log of its run."""
    path = write_synthetic(tmp_path_factory.mktemp("atlas") / "atlas.duckdb", size=Size(experts=8, more_tasks=True))
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO run_log VALUES ('harvest', 'host', ?)", [json.dumps(HOST)])
    return path


@pytest.fixture(scope="module")
def folder(atlas_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its site with the data."""
    return bake(atlas_path, tmp_path_factory.mktemp("with") / "site", WITH).folder


def test_every_row_is_there_but_those_that_tell_of_the_machine(atlas_path: Path, folder: Path) -> None:
    tables = [name for name in schema_columns() if name not in VIEWS]
    with Store(atlas_path) as before, Store(folder / "download" / "atlas.duckdb") as after:
        assert before.row_counts() == {**after.row_counts(), "run_log": 1} and after.row_counts()["run_log"] == 0
        for name in tables:
            if name == "run_log":
                continue
            rows = before.table(name)
            assert after.table(name).equals(rows), name
            assert pl.read_parquet(folder / "download" / f"{name}.parquet").equals(rows), name
        assert after.experts().equals(before.experts())
    assert HOST.encode() in atlas_path.read_bytes()
    assert not [path for path in folder.rglob("*") if path.is_file() and HOST.encode() in path.read_bytes()]
    assert {path.stem for path in (folder / "download").glob("*.parquet")} == {*tables} - {"run_log"}


def test_the_page_links_the_data_and_the_record_knows_them(folder: Path) -> None:
    record = Record.read(folder)
    assert record and "download/atlas.duckdb" in record.files and "download/scores.parquet" in record.files
    assert Site.open(folder).faults() == []
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert 'href="download/atlas.duckdb" download' in page and 'href="download/scores.parquet"' in page


def test_a_bake_without_the_data_takes_them_away_and_parquet_is_the_same_each_time(
    atlas_path: Path, folder: Path, tmp_path: Path
) -> None:
    again = bake(atlas_path, tmp_path / "site", WITH).folder
    names = sorted(path.name for path in (folder / "download").iterdir())
    assert names == sorted(path.name for path in (again / "download").iterdir())
    for name in names:
        if name != "atlas.duckdb":
            assert (folder / "download" / name).read_bytes() == (again / "download" / name).read_bytes(), name
    report = bake(atlas_path, again)
    assert report.data_bytes == 0 and not (again / "download").exists()
    assert "download/" not in (again / "index.html").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_is_said_in_one_line(atlas_path: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputOccupied, match=r"The data cannot be written: No such file or directory. Free") as raised:
        copy_tables(atlas_path, tmp_path / "none")
    assert "\n" not in str(raised.value)


def test_licences_name_what_the_page_runs_and_the_packaged_model_and_text(folder: Path) -> None:
    page = (folder / "index.html").read_text(encoding="utf-8")
    [vendored] = licences({"model": {"id": "gpt2"}})
    assert vendored.part.startswith("plotly.js-gl3d-dist-min ") and vendored.licence == "MIT"
    assert vendored.address and vendored.address in page and list(folder.glob(f"assets/*/{vendored.address}"))
    corpora = [{"name": "python-docs", "title": "Python 3.11 documentation"}, {"name": "mine", "title": "Mine"}]
    found = licences({"model": {"id": "sentence-transformers/all-MiniLM-L6-v2"}, "corpora": corpora})
    assert [one.licence for one in found] == ["MIT", "Apache-2.0", "PSF-2.0"]
    assert found[2].part == "Text: Python 3.11 documentation"
