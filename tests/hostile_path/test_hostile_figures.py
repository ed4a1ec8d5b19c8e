"""Figures and embedded pages of an atlas whose labels and titles are hostile: text stays text, or is refused by name."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import cycle, islice
from pathlib import Path

import pytest
from printed import run

from atlas.store import write_atlas
from hostile import encodable
from synthetic import MONTHS, synthetic_tables

FIGURES = 3
"""Atlases, each with another dozen of labels."""


@pytest.fixture(scope="module", params=range(FIGURES))
def atlas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas whose months are called otherwise."""
    tables = synthetic_tables()
    is_drawn = [text for text in encodable(60) if text.strip() and all(letter < "\u0250" for letter in text)]
    chosen = iter(islice(cycle(is_drawn[request.param :: FIGURES]), 10_000))
    names = [next(chosen) if name in MONTHS else name for name in tables["labels"]["name"]]
    tables["labels"]["name"] = names
    tables["tasks"]["title"] = ["\x00\x1b[2J</desc><script>alert(1)</script>\u202e&" for _ in tables["tasks"]["title"]]
    path = tmp_path_factory.mktemp("figures") / "atlas.duckdb"
    write_atlas(path, tables)
    return path


def test_a_figure_holds_texts_and_nothing_that_runs(atlas: Path, tmp_path: Path) -> None:
    for suffix in ("svg", "pdf", "png"):
        out = tmp_path / f"-\u202e' <b>.{suffix}"
        done = run("figure", 0, "--atlas", atlas, "--task", "months", "--out", out)
        assert done.exit_code == 0, done.stderr
        content = out.read_bytes()
        assert b"/JavaScript" not in content and b"/Launch" not in content and b"/URI" not in content
    root = ElementTree.parse(out.with_suffix(".svg")).getroot()
    for part in root.iter():
        assert part.tag.rpartition("}")[2] not in ("script", "foreignObject", "a", "image", "iframe")
        for name, value in part.attrib.items():
            assert not name.rpartition("}")[2].lower().startswith("on")
            if name.endswith("href"):
                assert value.startswith("#")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", out.with_suffix(".svg").read_text(encoding="utf-8"))


def test_a_sign_that_the_font_lacks_is_refused_in_a_line(tmp_path: Path) -> None:
    tables = synthetic_tables()
    tables["labels"]["name"] = ["\U00020000" if name == "May" else name for name in tables["labels"]["name"]]
    write_atlas(tmp_path / "atlas.duckdb", tables)

    done = run("figure", 0, "--atlas", tmp_path / "atlas.duckdb", "--task", "months", "--out", tmp_path / "f.svg")

    assert done.exit_code == 1 and not (tmp_path / "f.svg").exists()


def test_an_embedded_page_has_no_script_but_its_own(atlas: Path, tmp_path: Path) -> None:
    done = run("embed", 0, "--atlas", atlas, "--task", "months", "--out", tmp_path / "f.html")

    assert done.exit_code == 0, done.stderr
    assert "<script>alert" not in (tmp_path / "f.html").read_text(encoding="utf-8")
