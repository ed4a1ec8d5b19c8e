from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forging import forge, record, with_rows_changed

from atlas.bake import BakeConfig, bake
from atlas.bake.arrays import packed, typed
from atlas.errors import SiteFaulty, SiteMissing, StorageError
from atlas.inspection import inspect
from atlas.publish.manifest import array
from atlas.publish.site import Page, Site
from atlas.verify.beside import verify_beside
from atlas.verify.links import verify_links
from atlas.verify.report import Fault
from atlas.verify.site import Baked, verify_files
from atlas.verify.verifying import Holding, Sampled, verify
from synthetic import Size, write_synthetic


def quiet(_: str) -> None:
    """Say nothing."""


def own_faults(folder: Path) -> list[Fault]:
    site = Baked.of(folder)
    return [fault for check in (*verify_files(site, quiet), *verify_links(site, quiet)) for fault in check.faults]


def faults_beside(folder: Path, database: Path) -> list[Fault]:
    found = verify_beside(Baked.of(folder), database, experts=24, seed=0, progress=quiet)
    return [fault for check in found for fault in check.faults]


def data(site: Path, name: str) -> Path:
    """The file of a payload."""
    (found,) = site.glob(f"data/{name}.*.js")
    return found


def vendored(site: Path) -> Path:
    return next(path for path in sorted(site.glob("assets/*/vendor/*/*")) if path.suffix == ".js")


def without(site: Path) -> None:
    data(site, "experts/1").unlink()


def torn(site: Path) -> None:
    path = data(site, "texts")
    path.write_bytes(path.read_bytes()[:-40])


def one_byte(site: Path) -> None:
    path = data(site, "labels/2")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swapped(site: Path) -> None:
    one, other = data(site, "tasks/2"), data(site, "tasks/3")
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def renamed(site: Path) -> None:
    path = data(site, "clouds/0")
    path.rename(path.with_name("0.000000000000.js"))


def added(site: Path) -> None:
    (site / "data" / "more.0123456789ab.js").write_text('atlas.receive("more",1);\n', encoding="utf-8")


def added_script(site: Path) -> None:
    (next((site / "assets").iterdir()) / "js" / "more.js").write_text("1;", encoding="utf-8")


def other_script(site: Path) -> None:
    path = vendored(site)
    path.write_bytes(path.read_bytes() + b";")


def recorded_anew(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    def both(site: Path) -> None:
        damage(site)
        record(site)

    both.__name__ = f"{damage.__name__}_and_recorded_anew"
    return both


def without_record(site: Path) -> None:
    (site / "baked.json").unlink()


def without_page(site: Path) -> None:
    (site / "index.html").unlink()


def manifest_of_another(site: Path) -> None:
    other = write_synthetic(site.parent / "other.duckdb", size=Size(experts=12), seed=3)
    strange = bake(other, site.parent / "other").folder
    theirs, ours = Page.of(strange).manifest, Page.of(site).manifest
    shutil.copyfile(strange / theirs, site / theirs)
    page = site / "index.html"
    page.write_text(page.read_text(encoding="utf-8").replace(ours, theirs), encoding="utf-8")
    record(site)


def linked_to(address: str) -> Callable[[Path], None]:
    def link(site: Path) -> None:
        page = site / "index.html"
        page.write_text(page.read_text(encoding="utf-8").replace('href="#/about"', f'href="{address}"', 1), encoding="utf-8")
        record(site)

    link.__name__ = f"link_to_{address}"
    return link


def naming(manifest: str) -> Callable[[Path], None]:
    def name(site: Path) -> None:
        page = site / "index.html"
        page.write_text(page.read_text(encoding="utf-8").replace(Page.of(site).manifest, manifest), encoding="utf-8")
        record(site)

    name.__name__ = f"manifest_at_{manifest}"
    return name


def linked_out(name: str) -> Callable[[Path], None]:
    """Have a file or folder of the site be a link to where it lies now, outside."""

    def link(site: Path) -> None:
        path = site / name if (site / name).exists() else data(site, name)
        outside = path.rename(site.parent / path.name)
        path.symlink_to(outside)

    link.__name__ = f"{name}_is_a_link"
    return link


def record_is_a_pipe(site: Path) -> None:
    (site / "baked.json").unlink()
    os.mkfifo(site / "baked.json")


def page_is_without_end(site: Path) -> None:
    (site / "index.html").unlink()
    (site / "index.html").symlink_to("/dev/zero")


def record_leads_out(site: Path) -> None:
    told = json.loads((site / "baked.json").read_text(encoding="utf-8"))
    told["files"]["../../etc/passwd"] = "0" * 64
    (site / "baked.json").write_text(json.dumps(told), encoding="utf-8")


def bake_is_left_over(site: Path) -> None:
    (site / ".atlas-bake").mkdir()


def unfolds_without_end(site: Path) -> None:
    def swell(order: dict[str, Any]) -> None:
        order["rows"] = {"dtype": "u1", "gzip": base64.b64encode(gzip.compress(bytes(1 << 27))).decode("ascii")}

    forge(site, "orders/rate", swell)


DAMAGED: list[tuple[Callable[[Path], None], str, str]] = [
    (without, "missing", "data/experts/1"),
    (recorded_anew(without), "missing", "data/experts/1"),
    (torn, "payload", "data/texts"),
    (recorded_anew(torn), "payload", "data/texts"),
    (one_byte, "changed", "data/labels/2"),
    (recorded_anew(one_byte), "payload", "data/labels/2"),
    (recorded_anew(swapped), "payload", "data/tasks/2"),
    (renamed, "extra", "data/clouds/0.000000000000"),
    (recorded_anew(renamed), "payload", "data/clouds/0.000000000000"),
    (added, "extra", "data/more"),
    (recorded_anew(added), "extra", "data/more"),
    (added_script, "extra", "assets/"),
    (recorded_anew(added_script), "assets", "assets/"),
    (other_script, "changed", "assets/"),
    (recorded_anew(other_script), "vendored", "assets/"),
    (without_record, "record", "baked.json"),
    (without_page, "missing", "index.html"),
    (manifest_of_another, "missing", "data/"),
    (linked_to("#/expert/24"), "link", "index.html"),
    (linked_to("#/beside/3/99"), "link", "index.html"),
    (linked_to("#/task/mayors"), "link", "index.html"),
    (linked_to("#/cluster/2"), "link", "index.html"),
    (linked_to("#/nowhere"), "link", "index.html"),
    (linked_to("more.html"), "link", "index.html"),
    (linked_to("#/expert/²"), "link", "index.html"),
    (linked_to("#/about?at=" + "9" * 5_000), "link", "index.html"),
    (linked_to("%00"), "link", "index.html"),
    (linked_to("http://["), "manifest", "index.html"),
    (naming("/dev/zero"), "manifest", "/dev/zero"),
    (naming("../site/data"), "manifest", "../site/data"),
    (linked_out("texts"), "strange", "data/texts"),
    (linked_out("data"), "strange", "data"),
    (record_is_a_pipe, "strange", "baked.json"),
    (page_is_without_end, "strange", "index.html"),
    (record_leads_out, "record", "baked.json"),
    (bake_is_left_over, "strange", ".atlas-bake"),
    (unfolds_without_end, "payload", "orders/rate"),
]
"""What is done to a site's files, and the fault that tells of it: its kind and where."""


def test_a_sound_site_has_no_fault(sound: Path, sound_site: Path) -> None:
    assert own_faults(sound_site) == []
    assert faults_beside(sound_site, sound) == []


@pytest.mark.parametrize("size", [Size(experts=12, d_code=1), Size(experts=5, d_code=5, points=1_050)], ids=str)
def test_sites_of_narrow_codes_and_of_more_points_than_are_drawn_have_none(size: Size, tmp_path: Path) -> None:
    database = write_synthetic(tmp_path / "atlas.duckdb", size=size)
    site = bake(database, tmp_path / "site").folder

    assert own_faults(site) == []
    assert faults_beside(site, database) == []


@pytest.mark.parametrize(("damage", "kind", "where"), DAMAGED, ids=[damage.__name__[:40] for damage, *_ in DAMAGED])
def test_a_damaged_site_is_told_of(
    damage: Callable[[Path], None], kind: str, where: str, sound_site: Path, tmp_path: Path
) -> None:
    site = shutil.copytree(sound_site, tmp_path / "site")
    damage(site)

    assert [fault for fault in own_faults(site) if fault.kind == kind and fault.where.startswith(where)]


def first(payload: dict[str, Any]) -> Any:
    """The first expert's page."""
    return next(iter(payload.values()))


def stray_neighbour(page: dict[str, Any]) -> None:
    first(page)["neighbours"]["output"]["row"][0] = 700


def stray_token(page: dict[str, Any]) -> None:
    context = first(page)["corpora"][0]["contexts"][0]
    context["tokens"] = packed(np.full_like(array(context["tokens"]), 60_000, dtype=np.uint16))


def stray_label(page: dict[str, Any]) -> None:
    first(page)["labels"]["label"][0] = 300


def fewer_points(page: dict[str, Any]) -> None:
    cloud = first(page)["tasks"][0]
    cloud["x"] = packed(array(cloud["x"])[:-1])


def stray_hypothesis(scores: dict[str, Any]) -> None:
    scores["best"]["hypothesis"] = typed(np.full_like(array(scores["best"]["hypothesis"]), 40))


def twice_the_same(order: dict[str, Any]) -> None:
    rows = array(order["rows"]).copy()
    rows[0] = rows[1]
    order["rows"] = typed(rows)


def stray_cluster(manifest: dict[str, Any]) -> None:
    manifest["map"]["cluster"] = typed(np.full_like(array(manifest["map"]["cluster"]), 9))


def no_expert_columns(manifest: dict[str, Any]) -> None:
    del manifest["experts"]["title"]


def test_a_manifest_that_cannot_be_read_is_refused_by_an_inspection(sound_site: Path, tmp_path: Path) -> None:
    site = shutil.copytree(sound_site, tmp_path / "site")
    forge(site, "atlas", lambda manifest: manifest["experts"].update(expert={"dtype": "u1", "gzip": "AAAA"}))

    with pytest.raises(SiteFaulty, match="an array that cannot be unfolded"):
        inspect(site)


def stray_link(definitions: dict[str, Any]) -> None:
    first(definitions)["html"] += '<a href="#/expert/999">that one</a>'


LEADING_ASTRAY: list[tuple[str, Callable[[Any], None], str]] = [
    ("experts/0", stray_neighbour, "neighbours name row 700"),
    ("experts/0", stray_token, "names the token 60,000"),
    ("experts/1", stray_label, "names the label 300"),
    ("experts/2", fewer_points, "y has"),
    ("scores/2", stray_hypothesis, "hypothesis names 40"),
    ("orders/rate", twice_the_same, "every expert once"),
    ("atlas", stray_cluster, "map.cluster names 9"),
    ("definitions", stray_link, "no such expert"),
]


def test_payloads_that_lead_nowhere_are_told_of_though_everything_is_named_anew(sound_site: Path, tmp_path: Path) -> None:
    site = shutil.copytree(sound_site, tmp_path / "site")
    for name, change, _ in LEADING_ASTRAY:
        forge(site, name, change)

    found = own_faults(site)

    assert {fault.kind for fault in found} == {"link"}
    for name, _, what in LEADING_ASTRAY:
        assert [fault for fault in found if fault.where == name and what in fault.what], what


def test_a_manifest_without_its_columns_is_a_fault(sound_site: Path, tmp_path: Path) -> None:
    site = shutil.copytree(sound_site, tmp_path / "site")
    forge(site, "atlas", no_expert_columns)

    assert "link: atlas: has no column experts.title" in map(str, own_faults(site))


def moved_points(page: dict[str, Any]) -> None:
    cloud = first(page)["tasks"][0]
    cloud["x"] = packed((-array(cloud["x"])).astype(np.int16))


def louder(page: dict[str, Any]) -> None:
    first(page)["tasks"][0]["norm"]["most"] *= 2


def better_score(page: dict[str, Any]) -> None:
    first(page)["scores"]["all_rows"][0] = 0.99


def other_words(texts: list[str]) -> None:
    texts[1] = " forged"


def better_title(manifest: dict[str, Any]) -> None:
    manifest["experts"]["value"] = typed(array(manifest["experts"]["value"]) + np.float32(0.01))


def test_payloads_that_say_something_else_than_the_database_are_told_of(sound: Path, sound_site: Path, tmp_path: Path) -> None:
    site = shutil.copytree(sound_site, tmp_path / "site")
    for name, change in (("experts/0", moved_points), ("experts/1", louder), ("experts/2", better_score)):
        forge(site, name, change)
    forge(site, "texts", other_words)
    forge(site, "atlas", better_title)
    assert own_faults(site) == []

    found = list(map(str, faults_beside(site, sound)))

    for name in ("experts/0", "experts/1", "experts/2", "texts", "atlas"):
        assert [fault for fault in found if fault.startswith(f"payload: {name}: is not what the database gives")], name
    for where, what in (
        *(("experts/0", "no firing of the database"), ("experts/1", "no firing of the database")),
        *(("experts/2", "another all_rows"), ("experts/0", "other tokens"), ("atlas", "another value")),
    ):
        assert [fault for fault in found if fault.startswith(f"shown: {where}") and what in fault], what


def test_a_database_of_other_rows_is_told_of(sound: Path, sound_site: Path, tmp_path: Path) -> None:
    other = "UPDATE points SET norm = norm * 1.01 WHERE task = 0 AND expert = 2"
    database = with_rows_changed(sound, tmp_path / "other.duckdb", other, recorded=True)

    found = list(map(str, faults_beside(sound_site, database)))

    assert [fault for fault in found if fault.startswith("shown: ") and "expert 2: task 0" in fault]


def reworded(site: Path, word: str, other: str) -> Path:
    page = site / "index.html"
    page.write_text(page.read_text(encoding="utf-8").replace(word, other, 1), encoding="utf-8")
    record(site)
    return site


def test_words_of_the_page_that_the_database_does_not_give_are_told_of(sound: Path, sound_site: Path, tmp_path: Path) -> None:
    site = reworded(shutil.copytree(sound_site, tmp_path / "site"), "24 experts", "42 experts")
    assert own_faults(site) == []

    assert list(map(str, faults_beside(site, sound))) == ["page: index.html: is not what the database gives"]


def test_a_page_with_the_authors_own_words_is_not_compared_and_that_is_said(sound: Path, tmp_path: Path) -> None:
    (tmp_path / "about.md").write_text("Mine.", encoding="utf-8")
    site = bake(sound, tmp_path / "site", BakeConfig(about=tmp_path / "about.md")).folder

    (page,) = [check for check in verify_beside(Baked.of(site), sound, 1, 0, quiet) if check.name == "page"]

    assert page == ("page", 0, (), "not compared: about is the author's own, and not in the database")


@pytest.mark.parametrize("damage", [naming("/dev/zero"), page_is_without_end, record_is_a_pipe, linked_out("texts")])
def test_a_check_reads_nothing_but_plain_files_of_the_site(
    damage: Callable[[Path], None], sound_site: Path, tmp_path: Path
) -> None:
    site = shutil.copytree(sound_site, tmp_path / "site")
    damage(site)

    try:
        opened = Site.open(site)
        assert opened.faults()
        if damage.__name__.startswith("manifest"):
            with pytest.raises(SiteFaulty, match="names no manifest that can be read: .*'/dev/zero'"):
                opened.manifest()
    except SiteMissing as error:
        assert "baked.json" in str(error) or "index.html" in str(error)


def test_what_keeps_the_rest_from_being_looked_at_loses_no_fault(
    sound: Path, sound_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = shutil.copytree(sound_site, tmp_path / "site")
    bake_is_left_over(site)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setattr("atlas.verify.verifying.verify_links", lambda *_: (1 // zero for zero in (0,)))

    report = verify(Holding.of(site, sound), None, None, Sampled(), quiet)

    assert [fault.kind for fault in report.faults] == ["strange", "unreadable"]
    assert "ZeroDivisionError" in str(report.faults[1])
    assert isinstance(report.stopped, StorageError)
    assert str(report.stopped).startswith(f"The temporary folder '{tmp_path / 'nowhere'}' cannot hold")
    assert "TMPDIR" in str(report.stopped)
