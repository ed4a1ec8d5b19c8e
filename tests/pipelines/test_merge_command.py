"""`atlas merge` puts shards together where there is nothing else, and what it cannot put together it leaves alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import atlas
import tiny
from atlas.stages import finished, locked
from harvests import assert_same
from pipelines.cli import main

HARVEST = ("harvest", "--checkpoint", "checkpoint", "--corpus", "text.jsonl")


def run(*arguments: str) -> Result:
    """Run a command and return what came of it; only errors that are bugs are raised."""
    result = CliRunner().invoke(main, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the bytes of files."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def prepared(models: dict[str, Path], corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with one run, in `one`, two of three shards in `a` and the third in `b`, and no model, dictionary or text."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 700)
        shutil.copytree(models["bert"], "bert")
        shutil.copy(corpus_file, "text.jsonl")
        tiny.checkpoint(folder / "checkpoint", {"model_name": "bert", "hook_name": tiny.HOOKS["bert"]})
        for work, shard in (("one", ()), ("a", ("--shard", "0/3")), ("a", ("--shard", "2/3")), ("b", ("--shard", "1/3"))):
            assert run(*HARVEST, "--work", work, *shard).exit_code == 0
    for name in ("bert", "checkpoint"):
        shutil.rmtree(folder / name)
    (folder / "text.jsonl").unlink()
    yield folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which commands are run in."""
    shutil.copytree(prepared, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def test_shards_of_two_machines_are_what_one_run_finds(folder: Path) -> None:
    result = run("merge", "b", "a", "--work", "work")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "work/harvest\n", "Merging 3 parts\n")
    one, merged = (finished(folder / name, "harvest") for name in ("one", "work"))
    assert_same(merged.tables, one.tables)
    assert (merged.inputs, merged.provenance) == (one.inputs, one.provenance)
    assert sorted(path.name for path in (folder / "work" / "harvest").iterdir()) == [
        "done.json",
        "tables.json",
        "tables.safetensors",
    ]


def test_merge_loads_neither_a_model_nor_its_libraries(folder: Path) -> None:
    """In a process of its own, which would say what it loads."""
    code = """
import sys
from pipelines.cli import main

main(standalone_mode=False)
assert "transformers.modeling_utils" not in sys.modules
"""

    done = subprocess.run(
        [sys.executable, "-c", code, "merge", "a", "b"],
        env={**os.environ, "PYTHONPATH": str(Path(atlas.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "work/harvest\n", "Merging 3 parts\n")
    assert_same(finished(folder / "work", "harvest").tables, finished(folder / "one", "harvest").tables)


def test_without_folders_it_merges_the_work_folder(folder: Path) -> None:
    for path in ("corpus-0/part-1-of-3.safetensors", *(f"corpus-0/{p.name}" for p in Path("b/harvest/corpus-0").glob("win*"))):
        shutil.copy(Path("b/harvest") / path, Path("a/harvest") / path)

    first = run("merge", "--work", "a")
    before = contents(folder)
    again = run("merge", "--work", "a")

    assert (first.stdout, first.stderr) == ("a/harvest\n", "Merging 3 parts\n")
    assert (again.exit_code, again.stdout, again.stderr) == (0, "a/harvest\n", "")
    assert contents(folder) == before
    assert_same(finished(folder / "a", "harvest").tables, finished(folder / "one", "harvest").tables)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a",), r"1 of 3 shards are missing: 1/3\. Run them, or name the work folders they are in\."),
        (("a", "b", "b"), r"Shard 1/3 is there twice, in 'b/harvest/.*' and 'b/harvest/.*'\. Give each shard once\."),
        (("a", "nowhere"), r"'nowhere' holds no part of a harvest\. Name the work folders of `atlas harvest --shard`\."),
        ((), r"'work' holds no part of a harvest\. Name the work folders of `atlas harvest --shard`\."),
        (("one", "--work", "new"), r"'one' holds no part of a harvest\. Name the work folders of `atlas harvest --shard`\."),
    ],
    ids=["one missing", "one twice", "no folder", "no work folder", "a finished one"],
)
def test_refusal_is_one_line_and_changes_nothing(arguments: tuple[str, ...], message: str, folder: Path) -> None:
    before = contents(folder)

    result = run("merge", *arguments)

    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(rf"Error: {message}\n", result.stderr)
    assert contents(folder) == before


def test_damaged_part_is_one_line_and_changes_nothing(folder: Path) -> None:
    part = Path("b/harvest/corpus-0/part-1-of-3.safetensors")
    part.write_bytes(part.read_bytes()[:-1])
    before = contents(folder)

    result = run("merge", "a", "b")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: '{part}' is damaged (") and result.stderr.count("\n") == 1
    assert contents(folder) == before


def test_nothing_is_merged_into_a_folder_where_a_shard_runs(folder: Path) -> None:
    with locked(Path("a"), "harvest-0-of-3"):
        before = contents(folder)

        result = run("merge", "a", "b", "--work", "a")

        assert contents(folder) == before
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: Another run is using 'a'. Wait for it, or name another work folder with --work.\n"
