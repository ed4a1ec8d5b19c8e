from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from atlas.bake.folder import GENERATOR, RECORD, WORKING, Record, replacing, require_beside, require_usable
from atlas.errors import OutputOccupied

OLD = {"index.html": "old", "data/atlas.1.js": "old manifest", "data/experts/0.1.js": "old experts", "assets/1/js/a.js": "same"}
NEW = {"index.html": "new", "data/atlas.2.js": "new manifest", "data/clouds/0.2.js": "new clouds", "assets/1/js/a.js": "same"}
NEEDS = {"old": {"data/atlas.1.js", "data/experts/0.1.js"}, "new": {"data/atlas.2.js", "data/clouds/0.2.js"}}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def baked(folder: Path, files: dict[str, str], *, overwrite: bool = False) -> Path:
    with replacing(folder, overwrite) as site:
        write(site, files)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def site_of(folder: Path) -> dict[str, str]:
    """Everything but the record."""
    return {name: text for name, text in contents(folder).items() if name != RECORD}


def assert_one_whole_site(folder: Path) -> None:
    """The page that is there finds everything that it needs."""
    found = site_of(folder)
    assert set(found) >= NEEDS[found["index.html"]]
    assert all(text == (OLD | NEW)[name] for name, text in found.items() if name != "index.html")


class Stopped(BaseException):
    """What a kill would be, if it could be caught: no handler of errors sees it."""


def at_call(n: int, error: BaseException) -> Callable[..., None]:
    """An os.replace that raises at its n-th call."""
    calls = 0
    replace = os.replace

    def replacement(source: object, target: object) -> None:
        nonlocal calls
        calls += 1
        if calls == n:
            raise error
        replace(source, target)  # type: ignore[call-overload]

    return replacement


# What a bake leaves


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    baked(tmp_path / "deep" / "site", OLD)
    assert site_of(tmp_path / "deep" / "site") == OLD
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["site"]


def test_the_record_names_every_file_with_its_hash(tmp_path: Path) -> None:
    stored = json.loads((baked(tmp_path / "site", OLD) / RECORD).read_text())
    assert stored == {
        "generator": GENERATOR,
        "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in OLD.items()},
    }
    assert list(stored["files"]) == sorted(OLD)


def test_the_record_knows_what_was_changed(tmp_path: Path) -> None:
    folder = baked(tmp_path / "site", OLD)
    record = Record.read(folder)
    assert record is not None and record.changed(folder) == []
    (folder / "index.html").write_text("touched")
    (folder / "data" / "atlas.1.js").unlink()
    assert record.changed(folder) == ["data/atlas.1.js", "index.html"]


def test_an_earlier_bake_is_replaced_whole(tmp_path: Path) -> None:
    folder = baked(baked(tmp_path / "site", OLD), NEW)
    assert site_of(folder) == NEW
    assert not (folder / "data" / "experts").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_baking_again_writes_the_same(tmp_path: Path) -> None:
    folder = baked(tmp_path / "site", OLD)
    before = contents(folder)
    assert contents(baked(folder, OLD)) == before


def test_files_that_no_bake_wrote_outlive_every_bake(tmp_path: Path) -> None:
    folder = baked(tmp_path / "site", OLD)
    own = {"CNAME": "atlas.example.org", ".git/config": "[core]", "data/experts/mine.csv": "1,2", "README.md": "mine"}
    write(folder, own)
    (folder / "empty").mkdir()
    baked(folder, NEW)
    assert site_of(folder) == NEW | own
    assert (folder / "empty").is_dir()


def test_a_link_to_the_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "site").symlink_to(tmp_path / "real")
    baked(baked(tmp_path / "site", OLD), NEW)
    assert (tmp_path / "site").is_symlink()
    assert site_of(tmp_path / "real") == NEW
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real", "site"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    assert site_of(baked(tmp_path / "site", NEW)) == NEW


# What it refuses


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    folder = baked(tmp_path / "site", OLD)
    (folder / RECORD).write_bytes((folder / RECORD).read_bytes()[:-9])
    before = contents(folder)

    with pytest.raises(
        OutputOccupied, match=r"baked\.json', which says what a bake wrote there, is damaged\. Delete '.*site', or"
    ):
        require_usable(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["index.html", "thesis.tex", "data/atlas.js", RECORD, ".git/config"])
def test_other_peoples_files_are_left_alone(tmp_path: Path, name: str) -> None:
    write(tmp_path / "site", {name: "precious"})
    with pytest.raises(OutputOccupied, match="site' holds files that no bake wrote.*--overwrite"):
        baked(tmp_path / "site", NEW)
    assert contents(tmp_path / "site") == {name: "precious"}
    assert [path.name for path in (tmp_path / "site").iterdir()] == [name.partition("/")[0]]


@pytest.mark.parametrize(
    ("out", "work"), [("x", "x"), ("x", "x/work"), ("x/.", "y/../x/work"), ("x/harvest", "x"), ("x/probe/site", "x")]
)
def test_folder_that_stages_would_fill_is_refused_before_they_do(out: str, work: str, tmp_path: Path) -> None:
    with pytest.raises(
        OutputOccupied, match=f"^'{tmp_path / out}' .*'{tmp_path / work}'.*Name another folder with --out or --work"
    ):
        require_beside(tmp_path / out, tmp_path / work)


def test_site_and_work_folder_that_leave_each_other_alone_are_taken(tmp_path: Path) -> None:
    for out, work in (("site", "work"), ("work/site", "work"), ("work-site", "work")):
        require_beside(tmp_path / out, tmp_path / work)
    require_beside(tmp_path, tmp_path / "work", overwrite=True)
    baked(tmp_path / "x", OLD)
    require_beside(tmp_path / "x", tmp_path / "x" / "work")


def test_overwrite_joins_the_files_that_are_there(tmp_path: Path) -> None:
    own = {"CNAME": "atlas.example.org", "thesis.tex": "precious"}
    write(tmp_path / "site", own)
    baked(tmp_path / "site", OLD, overwrite=True)
    assert site_of(tmp_path / "site") == OLD | own
    assert site_of(baked(tmp_path / "site", NEW)) == NEW | own


@pytest.mark.parametrize("name", ["index.html", RECORD, "data/atlas.2.js", "assets", "data/clouds"])
def test_overwrite_replaces_no_file_that_no_bake_wrote(tmp_path: Path, name: str) -> None:
    write(tmp_path / "site", {name: "precious"})
    with pytest.raises(OutputOccupied, match=rf"site/{name}'.* is in the way\. Move it"):
        baked(tmp_path / "site", NEW, overwrite=True)
    assert contents(tmp_path / "site") == {name: "precious"}
    assert not (tmp_path / "site" / WORKING).exists()


@pytest.mark.parametrize("name", ["index.html", "data/atlas.2.js"])
def test_a_folder_where_a_file_must_go_is_in_the_way(tmp_path: Path, name: str) -> None:
    folder = baked(tmp_path / "site", OLD)
    (folder / name).unlink(missing_ok=True)
    write(folder, {f"{name}/thesis.tex": "precious"})
    with pytest.raises(OutputOccupied, match=f"site/{name}' was not written by a bake"):
        baked(folder, NEW)
    assert (folder / name / "thesis.tex").read_text() == "precious"


def test_a_link_in_place_of_a_folder_of_the_site_is_not_followed(tmp_path: Path) -> None:
    folder = baked(tmp_path / "site", OLD)
    (folder / "data").rename(tmp_path / "elsewhere")
    (folder / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputOccupied, match="site/data' is no folder of a bake"):
        baked(folder, NEW)
    assert contents(tmp_path / "elsewhere") == {"atlas.1.js": "old manifest", "experts/0.1.js": "old experts"}


def test_a_link_in_place_of_the_hidden_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", {"thesis.tex": "precious"})
    folder = baked(tmp_path / "site", OLD)
    (folder / WORKING).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputOccupied, match="is a link and is in the way"):
        baked(folder, NEW)
    assert contents(tmp_path / "elsewhere") == {"thesis.tex": "precious"}


def test_a_file_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site").write_text("precious")
    for folder in ("site", "site/deeper"):
        with pytest.raises(OutputOccupied, match=f"^The site cannot be written to '{folder}': Not a directory. Name another"):
            baked(Path(folder), NEW)
    assert Path("site").read_text() == "precious"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no /proc here")
def test_a_folder_that_cannot_be_made_is_said_in_one_line() -> None:
    with pytest.raises(OutputOccupied, match="^The site cannot be written to '/proc/x': [^\n]+$"):
        baked(Path("/proc/x"), NEW)


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir(mode=0o500)
    with pytest.raises(OutputOccupied, match="site': Permission denied"):
        baked(tmp_path / "site", NEW)


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputOccupied, match="No space left on device"), replacing(tmp_path / "deep" / "site"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_looking_ahead_writes_nothing(tmp_path: Path) -> None:
    require_usable(tmp_path / "site")
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "site", {"thesis.tex": "precious"})
    require_usable(tmp_path / "site", overwrite=True)
    with pytest.raises(OutputOccupied):
        require_usable(tmp_path / "site")
    assert contents(tmp_path) == {"site/thesis.tex": "precious"}


# Records that someone edited


@pytest.mark.parametrize(
    "name", ["../precious", "data/../../precious", "/precious", "data/link/precious", "CNAME", ".", "", "data/\0"]
)
def test_an_edited_record_removes_nothing_of_others(tmp_path: Path, name: str) -> None:
    folder = baked(tmp_path / "site", OLD)
    write(tmp_path, {"precious": "mine", "elsewhere/precious": "mine", "site/CNAME": "mine"})
    (folder / "data" / "link").symlink_to(tmp_path / "elsewhere")
    stored = json.loads((folder / RECORD).read_text())
    named = name.replace("/precious", str(tmp_path / "precious")) if name == "/precious" else name
    (folder / RECORD).write_text(json.dumps(stored | {"files": {**stored["files"], named: "0" * 64}}))
    baked(folder, NEW)
    found = site_of(folder)
    assert {name: text for name, text in found.items() if not name.startswith("data/link")} == NEW | {"CNAME": "mine"}
    assert (tmp_path / "precious").read_text() == (tmp_path / "elsewhere" / "precious").read_text() == "mine"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"generator": "pelican", "files": {}}', '{"generator": "expert-atlas"}', "\xff"]
)
def test_a_record_of_another_program_is_none(tmp_path: Path, text: str) -> None:
    write(tmp_path / "site", {RECORD: text})
    assert Record.read(tmp_path / "site") is None
    with pytest.raises(OutputOccupied):
        baked(tmp_path / "site", NEW)


# Failing and being stopped


def test_a_failed_bake_leaves_the_earlier_one(tmp_path: Path) -> None:
    folder = baked(tmp_path / "site", OLD)
    with pytest.raises(RuntimeError), replacing(folder) as site:
        write(site, NEW)
        raise RuntimeError("in the middle")
    assert site_of(folder) == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.parametrize("step", range(1, len(NEW) + 3))
@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), Stopped()], ids=["failed", "stopped"])
def test_stopped_at_any_step_the_folder_shows_one_whole_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException
) -> None:
    folder = baked(tmp_path / "site", OLD)
    write(folder, {"CNAME": "mine"})
    with monkeypatch.context() as patch:
        patch.setattr("atlas.bake.folder.os.replace", at_call(step, error))
        with pytest.raises(OutputOccupied if isinstance(error, OSError) else Stopped):
            baked(folder, NEW)
    (folder / "CNAME").unlink()
    assert_one_whole_site(folder)
    assert site_of(folder)["index.html"] == ("new" if step == len(NEW) + 2 else "old")
    assert not (folder / WORKING).exists()
    baked(folder, NEW)
    assert site_of(folder) == NEW


@pytest.mark.parametrize("step", range(1, len(NEW) + 3))
def test_a_first_bake_that_was_stopped_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("atlas.bake.folder.os.replace", at_call(step, Stopped()))
        with pytest.raises(Stopped):
            baked(tmp_path / "site", NEW)
    if (tmp_path / "site" / "index.html").exists():
        assert_one_whole_site(tmp_path / "site")
    assert site_of(baked(tmp_path / "site", OLD)) == OLD


def test_removing_what_is_old_can_be_stopped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = baked(tmp_path / "site", OLD)

    def stop(path: Path, missing_ok: bool = False) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stop)
        with pytest.raises(Stopped):
            baked(folder, NEW)
    assert_one_whole_site(folder)
    assert site_of(folder)["index.html"] == "new"
    assert site_of(baked(folder, NEW)) == NEW


KILLED = """
import os, sys
from pathlib import Path
from atlas.bake.folder import replacing
with replacing(Path(sys.argv[1])) as site:
    (site / "index.html").write_text("half")
    if sys.argv[2] == "wait":
        print("inside", flush=True)
        sys.stdin.readline()
    os._exit(9)
"""


def test_what_a_killed_bake_left_is_swept_by_the_next(tmp_path: Path) -> None:
    folder = baked(tmp_path / "site", OLD)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), "now"], check=False)
    assert killed.returncode == 9
    assert {name for name in site_of(folder) if not name.startswith(WORKING)} == set(OLD)
    assert (folder / WORKING / "site" / "index.html").exists()
    baked(folder, NEW)
    assert site_of(folder) == NEW
    assert not (folder / WORKING).exists()


def test_a_second_bake_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "site")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "site"), "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None and first.stdin is not None
        assert first.stdout.readline() == "inside\n"
        began = time.monotonic()
        with pytest.raises(OutputOccupied, match="^Another bake is writing into '[^\n]*link'. Wait for it"):
            baked(tmp_path / "link", NEW)
        assert time.monotonic() - began < 5
        assert (tmp_path / "site" / WORKING / "site" / "index.html").read_text() == "half"
        first.stdin.write("\n")
        first.stdin.flush()
        first.wait(timeout=20)
    assert site_of(baked(tmp_path / "site", NEW)) == NEW
