from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from atlas.bake import bake
from atlas.bake.columns import few, text
from atlas.errors import SiteMissing
from atlas.publish import visiting
from atlas.publish.checking import check
from atlas.publish.headers import Headers, config_path
from atlas.publish.manifest import column
from atlas.publish.serving import serving
from atlas.publish.site import Fault, Site
from atlas.publish.visiting import Plan, Way, visit
from atlas.store import write_atlas
from synthetic import Size, synthetic_tables

See = Callable[..., list[Fault]]
LITTLE, AMPLE = 3.0, 20.0
"""Seconds: to find what was planted, and to find that nothing is wrong, which on a busy machine takes long."""


@pytest.fixture
def copy(small_site: Path, tmp_path: Path) -> Path:
    """A copy of the site, to be damaged."""
    return shutil.copytree(small_site, tmp_path / "site")


@pytest.fixture
def see(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> See:
    """Visits the first page and as many experts as are asked for, one way; with little patience unless told."""

    def faults(
        folder: Path, *, experts: int = 0, fidelity: bool = False, http: bool = False, patience: float = LITTLE
    ) -> list[Fault]:
        monkeypatch.setattr(visiting, "PATIENCE", patience)
        site = Site.open(folder)
        assert site.faults() == []
        plan = Plan.of(site.manifest(), 12)
        drawn_first = sorted(plan.experts, key=lambda expert: expert.cloud_task is None)
        brief = replace(plan, experts=drawn_first[:experts], word=None, label=None, fidelity=fidelity)
        with serving(folder, Headers.read(config_path())) as server:
            way = Way("HTTP", server.url) if http else Way("disk", (site.folder / "index.html").as_uri())
            return visit(browser, site, way, brief, progress=lambda _: None)

    return faults


def one(folder: Path, pattern: str) -> Path:
    """The one file of a site that a pattern names."""
    (path,) = folder.glob(pattern)
    return path


def edit(folder: Path, pattern: str, old: str, new: str) -> None:
    """Change one file as its author would, and let the record of the bake agree."""
    path = one(folder, pattern)
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is no longer in {path.name}: plant the fault elsewhere"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    record = json.loads((folder / "baked.json").read_text())
    record["files"][path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "baked.json").write_text(json.dumps(record))


def kinds(faults: Sequence[Fault]) -> set[str]:
    return {fault.kind for fault in faults}


# Files, which no browser is needed for.


def test_a_site_as_baked_has_no_fault_in_its_files(small_site: Path) -> None:
    site = Site.open(small_site)

    assert site.faults() == []
    assert sorted(column(site.manifest()["experts"]["expert"])) == list(range(12))
    assert set(site.files) == {
        path.relative_to(small_site).as_posix() for path in small_site.rglob("*") if path.is_file() and path.name != "baked.json"
    }


def test_a_missing_payload_is_named(copy: Path) -> None:
    gone = one(copy, "data/experts/1.*.js")
    gone.unlink()

    assert Site.open(copy).faults() == [Fault("missing", f"data/experts/{gone.name}", "is not there; the bake wrote it")]


def test_a_truncated_payload_is_named(copy: Path) -> None:
    cut = one(copy, "data/clouds/0.*.js")
    cut.write_bytes(cut.read_bytes()[:-40])

    (fault,) = Site.open(copy).faults()
    assert (fault.kind, fault.where) == ("payload", f"data/clouds/{cut.name}")
    assert "cut short" in fault.what


def test_a_payload_that_reads_well_but_has_changed_is_named(copy: Path) -> None:
    changed = one(copy, "data/experts/0.*.js")
    text = changed.read_text(encoding="utf-8")
    changed.write_text(text.replace("]", " ]", 1), encoding="utf-8")

    (fault,) = Site.open(copy).faults()
    assert (fault.kind, fault.where) == ("changed", f"data/experts/{changed.name}")
    assert hashlib.sha256(changed.read_bytes()).hexdigest()[:12] in fault.what


def test_a_payload_in_anothers_place_is_named(copy: Path) -> None:
    first, second = one(copy, "data/experts/0.*.js"), one(copy, "data/experts/1.*.js")
    shutil.copyfile(second, first)

    (fault,) = Site.open(copy).faults()
    assert (fault.kind, fault.what) == ("payload", "hands the page 'experts/1', which is not its name")


def test_a_payload_whose_record_was_changed_with_it_still_has_the_wrong_name(copy: Path) -> None:
    edit(copy, "data/experts/0.*.js", "]", " ]")

    (fault,) = Site.open(copy).faults()
    assert (fault.kind, "is not named after its content" in fault.what) == ("changed", True)


def test_a_changed_style_is_named(copy: Path) -> None:
    style = one(copy, "assets/*/css/theme.css")
    style.write_text("body { display: none }")

    assert [fault.kind for fault in Site.open(copy).faults()] == ["changed"]


def test_a_dead_link_on_the_page_is_named(copy: Path) -> None:
    edit(copy, "index.html", "<main", '<a href="paper/figures.html#two">Figures</a> <a href="https://example.org">E</a> <main')

    assert Site.open(copy).faults() == [Fault("link", "index.html", "leads to paper/figures.html#two, which is not there")]


def test_a_page_without_its_manifest_is_named(copy: Path) -> None:
    edit(copy, "index.html", "data-manifest=", "data-other=")

    assert [fault.kind for fault in Site.open(copy).faults()] == ["missing"]


def test_a_record_that_leads_out_of_the_folder_is_not_followed(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.js").write_text("secret")
    record = json.loads((copy / "baked.json").read_text())
    record["files"]["../secret.js"] = hashlib.sha256(b"secret").hexdigest()
    (copy / "baked.json").write_text(json.dumps(record))

    assert [(fault.kind, fault.where) for fault in Site.open(copy).faults()] == [("missing", "../secret.js")]


def test_files_of_the_users_own_are_no_fault(copy: Path) -> None:
    (copy / "CNAME").write_text("atlas.example.org")
    (copy / "data" / "mine.js").write_text("not a payload")

    assert Site.open(copy).faults() == []


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"a": 1}}', "{}", '{"files": {}}'])
def test_a_record_that_cannot_be_read_says_to_bake_again(text: str, copy: Path) -> None:
    (copy / "baked.json").write_text(text)

    with pytest.raises(SiteMissing, match="Bake it again"):
        Site.open(copy)


def test_the_page_as_baked_keeps_others_out(small_site: Path) -> None:
    assert Site.open(small_site).policy_faults() == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('http-equiv="Content-Security-Policy"', 'name="was-a-policy"', "has no Content-Security-Policy of its own"),
        (
            "script-src 'self'",
            "script-src 'self' 'unsafe-inline'",
            "says script-src 'self' 'unsafe-inline', not script-src 'self'",
        ),
        ("default-src 'none'; ", "", "says default-src, not default-src 'none'"),
    ],
    ids=["none", "inline scripts", "no default"],
)
def test_a_page_whose_own_policy_lets_others_in_is_named(old: str, new: str, what: str, copy: Path) -> None:
    edit(copy, "index.html", old, new)

    (fault,) = Site.open(copy).policy_faults()
    assert (fault.kind, fault.where) == ("policy", "index.html")
    assert what in fault.what


@pytest.mark.browser
def test_damaged_files_are_reported_before_the_page_is_opened(copy: Path, browser: Browser) -> None:
    one(copy, "data/experts/1.*.js").unlink()
    said: list[str] = []

    report = check(copy, browser, experts=2, progress=said.append)

    assert kinds(report.faults) == {"missing"}
    assert (report.experts, report.opened) == (0, 0)
    assert said == [f"files: {report.files}"]


# What is looked at.


def test_the_sample_holds_a_labelled_and_a_silent_expert_and_keeps_the_lists_order(small_site: Path) -> None:
    manifest = Site.open(small_site).manifest()
    order = column(manifest["experts"]["expert"])
    for most in (2, 3, 5, 12, 40):
        plan = Plan.of(manifest, most)
        chosen = [expert.number for expert in plan.experts]
        assert len(chosen) == len(set(chosen)) == min(most, 12)
        assert chosen == sorted(chosen, key=order.index)
        assert any(expert.cloud_task is None for expert in plan.experts)
        assert any(expert.cloud_task for expert in plan.experts)


def test_the_search_is_for_a_word_of_a_title(small_site: Path) -> None:
    manifest = Site.open(small_site).manifest()
    plan = Plan.of(manifest, 2)

    assert plan.word and any(title.strip().startswith(plan.word) for title in column(manifest["experts"]["title"]))
    assert plan.label == "months:January"


def test_a_site_without_labels_or_titles_has_a_plan_too() -> None:
    experts = {"expert": few([7]), "title": text([" </script>"]), "cloud_task": few([None])}

    plan = Plan.of({"experts": experts, "tasks": [{"name": "text", "labels": {"name": []}}], "files": {}}, 12)

    assert (plan.word, plan.label, plan.any_cloud, plan.fidelity) == ("7", None, False, False)
    assert [expert.number for expert in plan.experts] == [7]


# What a browser sees.


@pytest.mark.browser
def test_a_sound_site_has_no_fault(small_site: Path, browser: Browser) -> None:
    views: list[str] = []

    report = check(small_site, browser, experts=2, progress=views.append)

    assert report.faults == ()
    assert (report.experts, report.opened) == (12, 2)
    assert [view.partition(":")[0] for view in views] == ["files"] + 8 * ["disk"] + 8 * ["HTTP"] + 5 * ["phone"]


@pytest.mark.browser
def test_a_script_error_is_found(copy: Path, see: See) -> None:
    edit(copy, "assets/*/js/main.js", '"use strict";', '"use strict"; setTimeout(() => { throw new Error("planted"); });')

    faults = see(copy)
    assert kinds(faults) == {"script"}
    assert "planted" in faults[0].what
    assert faults[0].where == "disk #/"


@pytest.mark.browser
def test_an_expert_page_that_throws_is_found_on_the_experts_page(copy: Path, see: See) -> None:
    edit(copy, "assets/*/js/expert/page.js", "async show(", "async show(...given) { nowhere(); } async never(")

    faults = see(copy, experts=1)
    assert kinds(faults) == {"script"}
    assert faults[0].where.startswith("disk #/expert/")


@pytest.mark.browser
def test_a_request_that_leaves_is_found_although_the_policy_stops_it(copy: Path, see: See) -> None:
    edit(copy, "index.html", "<main", '<img src="http://127.0.0.2/pixel.png" alt=""><main')

    faults = see(copy)
    assert kinds(faults) == {"request"}
    assert "http://127.0.0.2/pixel.png" in faults[0].what


@pytest.mark.browser
def test_a_request_that_leaves_is_found_and_stopped_without_a_policy_in_the_page(copy: Path, see: See) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/pixel.png"
        page = (copy / "index.html").read_text(encoding="utf-8")
        meta = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', page)
        assert meta
        edit(copy, "index.html", meta[0], "")
        edit(copy, "index.html", "<main", f'<img src="{address}" alt=""><main')

        faults = see(copy)
        with pytest.raises(TimeoutError):
            listener.accept()

    assert kinds(faults) == {"request"}
    assert address in faults[0].what


@pytest.mark.browser
def test_an_inline_script_is_found(copy: Path, see: See) -> None:
    edit(copy, "index.html", "</body>", "<script>void 0;</script></body>")

    faults = see(copy)
    assert kinds(faults) == {"policy"}
    assert "script-src" in faults[0].what


@pytest.mark.browser
def test_a_breach_of_the_hosts_policy_alone_is_found_over_http(copy: Path, see: See) -> None:
    edit(copy, "index.html", "script-src 'self'", "script-src 'self' 'unsafe-inline'")
    edit(copy, "index.html", "</body>", "<script>void 0;</script></body>")

    assert see(copy, patience=AMPLE) == []
    faults = see(copy, http=True)
    assert kinds(faults) == {"policy"}
    assert faults[0].where == "HTTP #/"


@pytest.mark.browser
def test_a_view_of_fidelity_that_stays_empty_is_found(copy: Path, see: See) -> None:
    edit(copy, "assets/*/js/pages/fidelity.js", "place.replaceChildren(...nodes);", "nodes.length;")

    assert see(copy, patience=AMPLE) == []
    assert [(fault.kind, fault.what) for fault in see(copy, fidelity=True)] == [
        ("view", "the view of fidelity and training stays empty")
    ]


@pytest.mark.browser
def test_a_table_without_rows_is_found(copy: Path, see: See) -> None:
    edit(copy, "assets/*/js/list/table.js", "this.#rows.show(found.rows);", "this.#rows.show(found.rows.subarray(0, 0));")

    assert [(fault.where, fault.what) for fault in see(copy)] == [("disk #/?view=table", "the table of experts stays empty")]


@pytest.mark.browser
def test_a_page_about_the_atlas_that_does_not_come_is_found(copy: Path, see: See) -> None:
    edit(copy, "assets/*/css/about.css", ".facts {", ".about-page { display: none; } .facts {")

    assert [(fault.where, fault.what) for fault in see(copy)] == [("disk #/about", "the page about the atlas is not shown")]


@pytest.mark.browser
@pytest.mark.parametrize("name", ["50%20off", "50% off #1?"])
def test_a_folder_may_have_any_name(name: str, small_site: Path, tmp_path: Path, see: See) -> None:
    assert see(shutil.copytree(small_site, tmp_path / name), patience=AMPLE) == []


@pytest.mark.browser
def test_a_scene_that_draws_nothing_is_found(copy: Path, see: See) -> None:
    edit(copy, "assets/*/js/expert/scene.js", "traces(this.#figure, this.cloud),", "traces(this.#figure, this.cloud).slice(3),")

    faults = see(copy, experts=1, patience=AMPLE)  # the library has to load before nothing can be drawn
    assert kinds(faults) == {"scene"}
    assert "drew no pixel" in faults[0].what


@pytest.mark.browser
def test_a_scene_that_never_finishes_is_found(copy: Path, see: See) -> None:
    edit(copy, "assets/*/js/expert/scene.js", 'this.#box.dataset.ready = "";', "")

    faults = see(copy, experts=1)
    assert kinds(faults) == {"scene"}
    assert "never drawn" in faults[0].what


@pytest.mark.browser
def test_a_page_that_hangs_is_given_up(copy: Path, see: See, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visiting, "PATIENCE", 4.0)
    monkeypatch.setattr(visiting, "MOST_FAULTY_VIEWS", 1)
    edit(copy, "assets/*/js/main.js", '"use strict";', '"use strict"; for (;;);')

    assert kinds(see(copy)) == {"view"}


@pytest.mark.browser
def test_a_link_to_an_expert_that_does_not_exist_is_found(copy: Path, see: See) -> None:
    edit(copy, "index.html", "<main", '<a href="#/expert/4711">Our favourite</a><main')

    faults = see(copy)
    assert kinds(faults) == {"link"}
    assert "#/expert/4711" in faults[0].what


@pytest.mark.browser
def test_a_page_that_says_it_is_in_trouble_is_found(copy: Path, see: See) -> None:
    edit(copy, "index.html", "<main", '<p role="alert">This atlas is\n out of date.</p><main')

    (fault,) = see(copy)
    assert (fault.kind, fault.what) == ("view", "the page says: This atlas is out of date.")


@pytest.mark.browser
def test_a_page_wider_than_its_window_is_found(copy: Path, see: See) -> None:
    edit(copy, "index.html", "<main", '<canvas width="3000" height="1"></canvas><main')

    assert [fault.what for fault in see(copy)] == ["the page is wider than its window"]


@pytest.mark.browser
def test_a_search_without_a_box_is_found(copy: Path, browser: Browser) -> None:
    edit(copy, "index.html", 'type="search"', 'type="text"')

    assert searched(copy, browser, "Months") == ["there is no search box to type into"]


@pytest.mark.browser
def test_a_search_that_finds_nothing_is_found(small_site: Path, browser: Browser) -> None:
    assert searched(small_site, browser, "Months", patience=AMPLE) == []
    assert searched(small_site, browser, "zzqqxx") == ["a search for 'zzqqxx', from an expert's title, finds nothing"]


@pytest.mark.browser
def test_a_filter_that_does_not_take_is_found(small_site: Path, browser: Browser) -> None:
    assert searched(small_site, browser, None, "months:May", patience=AMPLE) == []
    assert searched(small_site, browser, None, "months:Foo") == ["the filter 'months:Foo' is not ticked on the page"]


def searched(
    folder: Path, browser: Browser, word: str | None, label: str | None = None, *, patience: float = LITTLE
) -> list[str]:
    """What is wrong with the first page, a search and a filter."""
    site = Site.open(folder)
    plan = replace(Plan.of(site.manifest(), 1), experts=[], word=word, label=label)
    way = Way("disk", (folder / "index.html").as_uri())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visiting, "PATIENCE", patience)
        return [fault.what for fault in visit(browser, site, way, plan, progress=lambda _: None)]


def without_labels(keep: set[int]) -> dict[str, dict[str, list[Any]]]:
    """The tables of an atlas of a corpus alone, with these experts."""
    tables = {}
    for name, columns in synthetic_tables(size=Size(experts=12)).items():
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        kept = [row for row in rows if row.get("expert", min(keep)) in keep and not row.get("task")]
        tables[name] = {column: [row[column] for row in kept] for column in columns}
    return tables


@pytest.mark.browser
@pytest.mark.parametrize(("keep", "silent"), [({3}, True), ({5}, False)], ids=["one silent expert", "one that fires"])
def test_a_site_without_labels_is_checked_as_far_as_it_goes(keep: set[int], silent: bool, tmp_path: Path, see: See) -> None:
    write_atlas(tmp_path / "atlas.duckdb", without_labels(keep))
    folder = bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder

    plan = Plan.of(Site.open(folder).manifest(), 12)
    assert plan.label is None
    assert [(expert.number, expert.cloud_task is None) for expert in plan.experts] == [(min(keep), silent)]
    assert see(folder, experts=1, fidelity=True, patience=AMPLE) == []
