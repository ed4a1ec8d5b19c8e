from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atlas.bake.arrays import packed
from atlas.bake.embed import SCRIPTS, STYLES, EmbedConfig, embed, needed_texts
from atlas.bake.link import Link
from atlas.bake.templates import templates_root
from atlas.errors import ConfigError, NotInAtlas, StorageError
from atlas.files import replacing, sweep_beside
from synthetic import write_synthetic

MONTHS = EmbedConfig(Link(0, "months"))


@pytest.fixture(scope="module")
def atlas_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("embedded") / "atlas.duckdb")


class Parsed(HTMLParser):
    """The scripts of a page as a browser parts them, and its policy."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.policy = ""
        self.loads: list[str] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [value for name in ("src", "href") if (value := given.get(name))]
        self.policy = given["content"] or "" if given.get("http-equiv") == "Content-Security-Policy" else self.policy
        self._inside = tag == "script"
        self.scripts += [""] * self._inside

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data


def test_the_policy_knows_every_script_and_nothing_is_loaded(atlas_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert embed(atlas_path, 0, out, MONTHS) == len(out.read_bytes()) < 2_500_000
    page = Parsed(out.read_text(encoding="utf-8"))
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts]
    assert "default-src 'none'; script-src " + " ".join(f"'sha256-{digest}'" for digest in digests) + ";" in page.policy
    assert "unsafe-eval" not in page.policy and page.loads == ["data:,"]
    embed(atlas_path, 0, tmp_path / "again.html", MONTHS)
    assert (tmp_path / "again.html").read_bytes() == out.read_bytes()


def test_only_what_the_expert_needs_is_there(atlas_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    embed(atlas_path, 0, out, MONTHS)
    found = dict(re.findall(r"atlas\.receive\(\"([^\"]+)\",(.*)\);\n", out.read_text(encoding="utf-8")))
    assert list(found) == ["atlas", "figure", "texts", "tasks/1", "tasks/2", "experts/0", "embed"]


def test_texts_that_the_expert_does_not_need_are_empty() -> None:
    told = {
        "tasks": [{"hover": packed(np.array([0, 3], np.uint8))}, {"task": 1}],
        "corpora": [{"contexts": [{"tokens": packed(np.array([1], np.uint16))}]}],
    }
    assert needed_texts(["", "a", "b", "c", "d"], told) == ["", "a", "", "c"]
    assert needed_texts(["", "a"], {"tasks": [], "corpora": []}) == [""]


def test_scripts_and_styles_stand_in_the_order_of_the_site() -> None:
    index = (templates_root() / "index.html.jinja").read_text(encoding="utf-8")
    folders = re.findall(r'\("(\w+)", \[(.*?)\]\)', index)
    of_site = ["base/scheme", *(f"{folder}/{name}" for folder, names in folders for name in re.findall(r"\w+", names))]
    assert [name for name in of_site if name in SCRIPTS] == list(SCRIPTS)
    (styles,) = re.findall(r'for name in \[("theme".*?)\]', index)
    assert [name for name in re.findall(r"\w+", styles) if name in STYLES] == list(STYLES)


@pytest.mark.parametrize(
    ("expert", "name", "given", "error", "said"),
    [
        (99, "p.html", {}, NotInAtlas, "There is no expert 99. This atlas has experts 0 to 39."),
        (3, "p.html", {}, NotInAtlas, "Expert 3 has no points"),
        (0, "p.html", {"link": Link(0, "planets")}, NotInAtlas, "no points on 'planets'. It has some on synthetic, months"),
        (0, "p.txt", {}, ConfigError, "is a file with the suffix .html"),
        (0, "nowhere/p.html", {}, StorageError, "cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_embedded_is_said_in_a_line(
    atlas_path: Path, tmp_path: Path, expert: int, name: str, given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as refused:
        embed(atlas_path, expert, tmp_path / name, EmbedConfig(**given))
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "site",
    ["javascript:alert(1)", "https://[", "https://", "https://a.example/ b", "https://a.example/#x", "https://a.example:no/"],
)
def test_a_site_has_an_address(site: str) -> None:
    with pytest.raises(ConfigError, match="--site is '") as refused:
        EmbedConfig(site=site)
    assert "\n" not in str(refused.value)


def test_a_file_is_written_through_a_link_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "linked.html").symlink_to("kept/page.html")
    (tmp_path / "kept" / ".page.html.999999999.part").write_bytes(b"of a run that was killed")
    sweep_beside(tmp_path / "linked.html")
    with replacing(tmp_path / "linked.html") as part:
        part.write_text("whole")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["page.html"]
    assert (tmp_path / "linked.html").is_symlink() and (tmp_path / "linked.html").read_text() == "whole"
    for impossible in (tmp_path / "kept" / "page.html" / "x.html", tmp_path / f"{'n' * 300}.html"):
        with pytest.raises(StorageError, match="cannot be written: ") as refused, replacing(impossible) as part:
            part.write_text("half")
        assert "\n" not in str(refused.value)
