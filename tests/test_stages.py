"""A stage is finished exactly if its done.json is there, for the inputs that it names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import atlas
from atlas.errors import StageMissing, WorkOccupied
from atlas.stages import Ragged, Stage, fingerprint, finished, locked, versions, write_arrays, write_json

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
        pytest.param({"checkpoint": "def"}, "another checkpoint\\.", id="a value"),
        pytest.param({"settings": {"sample": 4, "shape": (1, 2)}, "model": {}}, "another model, settings\\.", id="two, nested"),
        pytest.param({"corpus": "new"}, "another corpus\\.", id="a new key"),
    ],
)
def test_other_inputs_are_refused_by_name(changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    Stage(tmp_path, "harvest", INPUTS).finish({}, {})

    with pytest.raises(WorkOccupied, match=f"'.*harvest' was made from {named} Name another work folder with --work"):
        Stage(tmp_path, "harvest", {**INPUTS, **changes}).is_done()


def test_input_that_is_gone_is_refused_by_name(tmp_path: Path) -> None:
    Stage(tmp_path, "harvest", INPUTS).finish({}, {})

    with pytest.raises(WorkOccupied, match="another model"):
        Stage(tmp_path, "harvest", {key: INPUTS[key] for key in ("checkpoint", "settings")}).is_done()


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

    assert json.loads((tmp_path / "a.json").read_text()) == {"good": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


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


def test_parts_of_the_work_are_held_apart(tmp_path: Path) -> None:
    with locked(tmp_path, "harvest-0-of-2"), locked(tmp_path, "harvest-1-of-2"):
        with pytest.raises(WorkOccupied, match="Another run is using"):
            with locked(tmp_path, "harvest-1-of-2"):
                pass


def test_versions_name_atlas_and_what_was_asked_for() -> None:
    assert list(versions("numpy")) == ["expert-atlas", "numpy"]
    assert versions("numpy")["numpy"] == np.__version__


def test_work_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(WorkOccupied, match="cannot be a work folder: .* Name another one with --work"), locked(tmp_path / "file"):
        pass

    assert (tmp_path / "file").read_text() == "mine"
