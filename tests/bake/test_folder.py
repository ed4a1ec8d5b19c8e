from __future__ import annotations

from pathlib import Path

import pytest

from atlas.bake.folder import GENERATOR, replacing
from atlas.errors import OutputOccupied


def fill(folder: Path, content: str) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "atlas.js").write_text(content)
    (folder / "index.html").write_text(f'<meta name="generator" content="{GENERATOR}">')


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    with replacing(tmp_path / "deep" / "site") as site:
        fill(site, "new")
    assert (tmp_path / "deep" / "site" / "data" / "atlas.js").read_text() == "new"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["site"]


def test_an_earlier_bake_is_replaced_whole(tmp_path: Path) -> None:
    with replacing(tmp_path / "site") as site:
        fill(site, "old")
        (site / "stray.js").write_text("of the old bake")
    with replacing(tmp_path / "site") as site:
        fill(site, "new")
    assert (tmp_path / "site" / "data" / "atlas.js").read_text() == "new"
    assert not (tmp_path / "site" / "stray.js").exists()


def test_a_failed_bake_leaves_the_earlier_one(tmp_path: Path) -> None:
    with replacing(tmp_path / "site") as site:
        fill(site, "old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "site"):
        raise RuntimeError("in the middle")
    assert (tmp_path / "site" / "data" / "atlas.js").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.parametrize("name", ["index.html", "thesis.tex"])
def test_other_peoples_files_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / name).write_text("precious")
    with pytest.raises(OutputOccupied, match="'site' holds files that no bake wrote"), replacing(tmp_path / "site"):
        pass
    assert (tmp_path / "site" / name).read_text() == "precious"


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("precious")
    with pytest.raises(OutputOccupied), replacing(tmp_path / "site"):
        pass


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    with replacing(tmp_path / "site") as site:
        fill(site, "new")
    assert (tmp_path / "site" / "index.html").exists()
