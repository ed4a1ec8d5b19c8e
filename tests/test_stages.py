"""A stage is finished exactly if its done.json is there, for the inputs that it names."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import atlas
from atlas.errors import StageDamaged, StageMissing, StorageError, WorkOccupied
from atlas.sealed import read_json, write_arrays, write_json
from atlas.stages import Ragged, Stage, fingerprint, finished, locked, versions

INPUTS = {"checkpoint": "abc", "settings": {"sample": 3, "shape": (1, 2)}, "model": {"id": "tiny"}}

TABLES = {
    "windows": {
        "token_ids": Ragged(np.array([5, 6, 7, 8], dtype=np.int32), np.array([0, 2, 2, 4])),
        "document": np.array([0, 0, 1], dtype=np.int64),
        "norm": np.array([0.5, np.nan, -1.0], dtype=np.float32),
        "report": np.array([True, False, True]),
    },
    "labels": {"label": ["Montag", "Größe", "水"], "order": np.arange(3, dtype=np.int16)},
}


def test_finished_stage_is_done_and_a_new_one_is_not(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "harvest", INPUTS)

    before = stage.is_done()
    stage.finish(TABLES, {})

    assert not before
    assert stage.is_done() and Stage(tmp_path, "harvest", INPUTS).is_done()
    assert not Stage(tmp_path, "probe", INPUTS).is_done()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"checkpoint": "def"}, r"checkpoint \('abc', now 'def'\)", id="a short value"),
        pytest.param({"checkpoint": "d" * 64}, "checkpoint", id="a hash"),
        pytest.param({"checkpoint": "long " * 20}, "checkpoint", id="a long value"),
        pytest.param({"corpus": "new"}, "corpus", id="a new key"),
        pytest.param({"model": {"id": "large"}}, r"model \('tiny', now 'large'\)", id="a thing with a name"),
        pytest.param({"model": {"id": "tiny", "hook": "h.1"}}, r"model \(hook: None, now 'h.1'\)", id="the same name"),
        pytest.param(
            {"checkpoint": "def", "settings": {"sample": 4, "shape": (1, 3)}},
            r"checkpoint \('abc', now 'def'\), settings \(sample: 3, now 4; shape: \[1, 2\], now \[1, 3\]\)",
            id="two, nested",
        ),
        pytest.param(
            {"settings": {"stream": {"width": 3, "text": "a" * 64}, **dict.fromkeys("tuv", 0)}},
            r"settings \(sample: 3, now None; shape: \[1, 2\], now None; stream\.text; stream\.width: None, now 3; and more\)",
            id="many",
        ),
    ],
)
def test_other_inputs_are_refused_by_name(changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    Stage(tmp_path, "harvest", INPUTS).finish({}, {})

    with pytest.raises(
        WorkOccupied,
        match=rf"^'.*harvest' was made from another {named}\. Name another work folder with --work, or delete this one\.$",
    ):
        Stage(tmp_path, "harvest", {**INPUTS, **changes}).is_done()


def test_input_that_is_gone_is_refused_by_name(tmp_path: Path) -> None:
    Stage(tmp_path, "harvest", INPUTS).finish({}, {})

    with pytest.raises(WorkOccupied, match="another model"):
        Stage(tmp_path, "harvest", {key: INPUTS[key] for key in ("checkpoint", "settings")}).is_done()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("done.json", b'{"inputs": {}, "prov', "Unterminated string starting at: line 1 column 16 (char 15)"),
        ("done.json", b"[]", "it is not what a stage writes"),
        ("done.json", b'{"inputs": {}}', "it has no hash of its content"),
        ("done.json", b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        ("tables.safetensors", b"half", "Error while deserializing header: header too small"),
        ("tables.safetensors", None, "it is missing"),
        ("tables.json", b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
    ids=["truncated", "a list", "a part", "binary", "truncated tables", "no tables", "truncated texts"],
)
def test_damaged_stage_says_which_folder_to_delete(name: str, content: bytes | None, reason: str, tmp_path: Path) -> None:
    Stage(tmp_path, "harvest", INPUTS).finish(TABLES, {})
    path = tmp_path / "harvest" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    message = f"'{path}' is damaged ({reason}). Delete the folder '{path.parent}' to run the stage again."
    for read in (finished, fingerprint, lambda *_: Stage(tmp_path, "harvest", INPUTS).is_done()):
        if name == "done.json" or read is finished:
            with pytest.raises(StageDamaged) as refused:
                read(tmp_path, "harvest")
            assert str(refused.value) == message


@pytest.mark.parametrize("name", ["tables.safetensors", "tables.json", "done.json"])
def test_a_file_of_another_run_of_the_stage_is_refused(name: str, tmp_path: Path) -> None:
    Stage(tmp_path / "one", "harvest", INPUTS).finish(TABLES, {})
    other = {"labels": {"label": ["Dienstag"], "task": np.array([1])}}
    Stage(tmp_path / "other", "harvest", {**INPUTS, "seed": 5}).finish(other, {})
    shutil.copy(tmp_path / "other" / "harvest" / name, tmp_path / "one" / "harvest" / name)

    with pytest.raises(StageDamaged, match=r"it is not the one that the stage finished with\)\. Delete the folder"):
        finished(tmp_path / "one", "harvest")


@pytest.mark.parametrize("read", [finished, fingerprint])
@pytest.mark.parametrize("name", ["harvest", "probe"])
def test_missing_stage_names_the_command(name: str, read: Callable[[Path, str], Any], tmp_path: Path) -> None:
    with pytest.raises(StageMissing, match=rf"holds no finished {name}\. Run `atlas {name}` \(or `atlas build`\)"):
        read(tmp_path, name)


def test_every_kind_of_column_survives_the_round_trip(tmp_path: Path) -> None:
    Stage(tmp_path, "harvest", INPUTS).finish(TABLES, {"model": {"id": "tiny"}})

    found = finished(tmp_path, "harvest")

    assert {table: set(columns) for table, columns in found.tables.items()} == {
        table: set(columns) for table, columns in TABLES.items()
    }
    assert found.tables["labels"]["label"] == ["Montag", "Größe", "水"]
    assert found.tables["windows"]["token_ids"].rows() == [[5, 6], [], [7, 8]]
    assert found.tables["windows"]["token_ids"].values.dtype == np.int32
    for table, column in [("windows", "document"), ("windows", "norm"), ("windows", "report"), ("labels", "order")]:
        np.testing.assert_array_equal(found.tables[table][column], TABLES[table][column])
        assert found.tables[table][column].dtype == TABLES[table][column].dtype
    assert found.provenance == {"model": {"id": "tiny"}}


def test_empty_columns_survive_the_round_trip(tmp_path: Path) -> None:
    nothing = np.zeros(0, dtype=np.int32)
    tables = {"points": {"x": nothing, "ids": Ragged(nothing, np.zeros(1, dtype=np.int64)), "text": []}}
    Stage(tmp_path, "harvest", INPUTS).finish(tables, {})

    columns = finished(tmp_path, "harvest").tables["points"]

    assert (len(columns["x"]), columns["ids"].rows(), columns["text"]) == (0, [], [])


@pytest.mark.parametrize("tables", [{}, {"labels": {"label": ["one"]}}], ids=["no tables", "text only"])
def test_stage_without_arrays_can_be_read_back(tables: dict[str, Any], tmp_path: Path) -> None:
    Stage(tmp_path, "train", INPUTS).finish(tables, {"training": {"tokens": 3}})

    found = finished(tmp_path, "train")

    assert (found.tables, found.provenance) == (tables, {"training": {"tokens": 3}})


def test_array_that_is_a_view_survives_the_round_trip(tmp_path: Path) -> None:
    wide = np.arange(12).reshape(4, 3)
    Stage(tmp_path, "harvest", INPUTS).finish({"points": {"x": wide[:, 1], "y": wide[::-1, 2]}}, {})

    points = finished(tmp_path, "harvest").tables["points"]

    assert (points["x"].tolist(), points["y"].tolist()) == ([1, 4, 7, 10], [11, 8, 5, 2])


@pytest.mark.parametrize(
    ("values", "offsets", "rows"),
    [
        ([], [], []),
        ([], [0], []),
        ([], [0, 0, 0], [[], []]),
        ([1, 2, 3], [0, 3], [[1, 2, 3]]),
        ([1, 2], [0, 0, 1, 2], [[], [1], [2]]),
    ],
    ids=["no offsets", "no rows", "empty rows", "one row", "three rows"],
)
def test_ragged_rows_lie_between_offsets(values: list[int], offsets: list[int], rows: list[list[int]]) -> None:
    assert Ragged(np.array(values, dtype=np.int64), np.array(offsets, dtype=np.int64)).rows() == rows


def test_fingerprint_is_the_inputs_as_they_were_stored(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "harvest", INPUTS)
    stage.finish(TABLES, {})

    assert fingerprint(tmp_path, "harvest") == finished(tmp_path, "harvest").inputs == stage.inputs
    assert fingerprint(tmp_path, "harvest")["settings"] == {"sample": 3, "shape": [1, 2]}


@pytest.mark.parametrize(
    "tables",
    [
        pytest.param({"labels": {"label": [object()]}}, id="text that is no JSON"),
        pytest.param({"labels": {"label": np.array(["a", "b"])}}, id="array of text"),
    ],
)
def test_failed_stage_is_not_done_and_leaves_nothing_half_written(tables: dict[str, Any], tmp_path: Path) -> None:
    stage = Stage(tmp_path, "harvest", INPUTS)

    with pytest.raises(Exception):  # noqa: B017 - a bug's own exception, whatever it is
        stage.finish(tables, {})

    assert not stage.is_done()
    assert list(tmp_path.rglob("*.part")) == [] and list(tmp_path.rglob("done.json")) == []
    with pytest.raises(StageMissing, match="no finished harvest"):
        finished(tmp_path, "harvest")


def test_stage_that_failed_can_be_finished_later(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "harvest", INPUTS)
    with pytest.raises(TypeError):
        stage.finish({"labels": {"label": [object()]}}, {})

    stage.finish(TABLES, {})

    assert stage.is_done() and sorted(finished(tmp_path, "harvest").tables) == ["labels", "windows"]


def test_tables_without_done_json_are_not_a_finished_stage(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "harvest", INPUTS)
    stage.finish(TABLES, {})
    (tmp_path / "harvest" / "done.json").unlink()

    assert not stage.is_done()
    with pytest.raises(StageMissing, match="no finished harvest"):
        finished(tmp_path, "harvest")


def test_failed_write_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"good": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"bad": object()})

    assert read_json(tmp_path / "a.json") == {"good": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("write", [write_arrays, write_json], ids=["arrays", "json"])
def test_file_that_finds_no_room_keeps_the_one_that_was_there(write: Callable[..., None], tmp_path: Path) -> None:
    write(tmp_path / "a", {"x": np.zeros(3)} if write is write_arrays else {"x": 3})
    before = (tmp_path / "a").read_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match=r"a' cannot be written: .*File too large.*What was there is as it was"):
            write(tmp_path / "a", {"x": np.zeros(10_000)} if write is write_arrays else {"x": "x" * 10_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_bytes() == before


def test_written_arrays_can_be_written_over(tmp_path: Path) -> None:
    for value in (1, 2):
        write_arrays(tmp_path / "a.safetensors", {"x": np.full(3, value)}, {"about": "x"})

    assert load_file(tmp_path / "a.safetensors")["x"].tolist() == [2, 2, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_second_holder_of_a_work_folder_is_refused(tmp_path: Path) -> None:
    work = tmp_path / "work"

    with locked(work):
        with pytest.raises(
            WorkOccupied, match="Another run is using '.*work'. Wait for it, or name another work folder with --work"
        ):
            with locked(work):
                pass

    with locked(work):
        pass


def test_holder_in_another_process_is_refused(tmp_path: Path) -> None:
    command = f"from pathlib import Path\nfrom atlas.stages import locked\nwith locked(Path({str(tmp_path)!r})): print('held')"
    root = Path(atlas.__file__).parents[1]

    with locked(tmp_path):
        other = subprocess.run([sys.executable, "-c", command], cwd=root, capture_output=True, text=True)

    assert "WorkOccupied: Another run is using" in other.stderr and "held" not in other.stdout


def test_lock_is_let_go_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError

    with locked(tmp_path):
        pass


@pytest.mark.parametrize("part", ["all", "harvest-0-of-2"])
def test_work_that_fails_before_it_writes_leaves_no_trace(part: str, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "runs" / "work", part):
        raise ZeroDivisionError

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["all", "harvest-0-of-2"])
def test_work_that_fails_later_leaves_what_it_wrote_and_what_was_there(part: str, tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    before = sorted(tmp_path.iterdir())

    with pytest.raises(ZeroDivisionError), locked(tmp_path, part):
        (tmp_path / "harvest").mkdir()
        raise ZeroDivisionError

    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "harvest"]


def test_refused_run_takes_nothing_from_the_one_that_holds_the_folder(tmp_path: Path) -> None:
    with locked(tmp_path / "work"):
        before = list((tmp_path / "work").iterdir())
        with pytest.raises(WorkOccupied), locked(tmp_path / "work"):
            pass

        assert list((tmp_path / "work").iterdir()) == before


def test_parts_of_the_work_are_held_apart(tmp_path: Path) -> None:
    with locked(tmp_path, "harvest-0-of-2"), locked(tmp_path, "harvest-1-of-2"):
        with pytest.raises(WorkOccupied, match="Another run is using"):
            with locked(tmp_path, "harvest-1-of-2"):
                pass


@pytest.mark.parametrize(("first", "second"), [("all", "harvest-0-of-2"), ("harvest-0-of-2", "all")])
def test_no_part_is_done_beside_a_run_that_holds_everything(
    first: str, second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.stages.GATE_SECONDS", 0.1)

    with locked(tmp_path, first):
        with pytest.raises(WorkOccupied, match="Another run is using"), locked(tmp_path, second):
            pass

    with locked(tmp_path, second):
        pass


def test_leftovers_of_a_killed_run_are_swept_and_nothing_else(tmp_path: Path) -> None:
    dead, own, alive = 999_999_999, os.getpid(), os.getppid()
    leftovers = [f".a.json.{dead}.part", f"harvest/.part-0-of-1.safetensors.{own}.part", f".atlas.duckdb.{dead}.part.wal"]
    others = ["mine.part", ".hidden.part", "harvest/part-0-of-1.safetensors", "harvest/.done.json", f".a.duckdb.{alive}.part"]
    for name in leftovers + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"half")

    with locked(tmp_path, "harvest-1-of-2"):
        assert all((tmp_path / name).exists() for name in leftovers), "another part may be writing them"
    with locked(tmp_path):
        pass

    assert [name for name in leftovers + others if (tmp_path / name).exists()] == others


def test_interrupted_write_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)

    with pytest.raises(KeyboardInterrupt):
        write_arrays(tmp_path / "a.safetensors", {"x": np.zeros(3)})

    assert list(tmp_path.iterdir()) == []


def test_versions_name_atlas_python_and_what_was_asked_for() -> None:
    assert list(versions("numpy")) == ["expert-atlas", "python", "numpy"]
    assert versions("numpy")["numpy"] == np.__version__


def test_work_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(WorkOccupied, match="cannot be a work folder: .* Name another one with --work"), locked(tmp_path / "file"):
        pass

    assert (tmp_path / "file").read_text() == "mine"
