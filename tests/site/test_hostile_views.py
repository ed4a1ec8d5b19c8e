"""Every view of an atlas whose every text is hostile: nothing runs, nothing breaks the layout, everything is shown or named."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hostile_tables import hostile_tables
from playwright.sync_api import Page, ViewportSize, expect

from atlas.bake import bake
from atlas.bake.embed import EmbedConfig, embed
from atlas.bake.spelled import spelled
from atlas.store import write_atlas
from hostile import encodable, everything
from synthetic import Size

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
SCREENS = {
    "a light desktop": (ViewportSize(width=1440, height=900), "light"),
    "a dark phone": (ViewportSize(width=390, height=844), "dark"),
}
FOUND = r"""() => {
  const unseen = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|\p{M}{5}/u;
  const shaping = /(?<=[#*0-9©®\u0531-\u{10ffff}])[\u200c\u200d\ufe00-\ufe0f]+/gu;
  const isOdd = (text) => unseen.test(text.replace(/\n\s*/g, " ").replace(shaping, "")) || text.length > 20_050;
  const spoken = ["title", "aria-label", "aria-valuetext", "placeholder", "label", "alt"];
  const found = [];
  const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  for (let node = walk.currentNode; node; node = walk.nextNode()) {
    const [place, texts] = node instanceof Text
      ? [node.parentElement, [node.data]]
      : [node, spoken.map((name) => node.getAttribute(name) ?? "")];
    if (!place.closest("script, style, noscript")) {
      found.push(...texts.filter(isOdd).map((text) => [text.slice(0, 80), place.outerHTML.slice(0, 200)]));
    }
  }
  return found;
}"""
"""What a reader would meet as it is: characters that cannot be seen, too many marks, or a text of no end."""


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the baked atlas."""
    root = tmp_path_factory.mktemp("hostile")
    size = Size(experts=24, points=60, corpora=2, more_tasks=True)
    write_atlas(root / "atlas.duckdb", hostile_tables(encodable(), size))
    return bake(root / "atlas.duckdb", root / "site").folder


@pytest.fixture
def open_hostile(quiet_page: Page, hostile_site: Path) -> Open:
    """Opens that atlas at an address after the #."""

    def at(route: str = "") -> Page:
        quiet_page.goto((hostile_site / "index.html").as_uri() + route)
        expect(quiet_page.locator("[data-count]").first).to_have_text(re.compile("experts"), timeout=60_000)
        return quiet_page

    return at


def facts(page: Page) -> dict[str, Any]:
    return dict(
        page.evaluate(
            """async () => {
              const { tasks, experts } = atlas.columns.decoded(await atlas.payloads.load("atlas"));
              return { tasks: tasks.map(({ name, labels }) => [name, labels.name]), titles: experts.title };
            }"""
        )
    )


def views(page: Page) -> list[tuple[str, str]]:
    """Return the page of each view and its address."""
    tasks = [(quote(name, safe=""), labels) for name, labels in facts(page)["tasks"]]
    labelled = [(name, labels) for name, labels in tasks if labels]
    label = quote(labelled[0][1][0], safe="")
    return [
        *(("list", f"#/{way}") for way in ("", "?view=table", "?map=cluster", "?q=a", f"?label={labelled[0][0]}%3A{label}")),
        *(("expert", f"#/expert/{way}") for way in ("0", "3", "4", f"0?reach=window&corpus={tasks[1][0]}")),
        ("expert", f"#/expert/0?flat=1&colour={labelled[1][0]}"),
        ("beside", "#/beside/0/1"),
        ("token", "#/token/" + quote("<img src=x onerror=alert(1)>\u202e\u0301\u0301\u0301\u0301\u0301\u0301")),
        ("token", "#/token/" + quote("=1+1")),
        *(("task", f"#/task/{name}") for name, _ in labelled),
        ("cluster", "#/cluster/0"),
        ("prompt", "#/prompt/1?pin=4"),
        ("fidelity", "#/fidelity"),
        ("about", "#/about"),
    ]


@pytest.mark.parametrize("screen", SCREENS.values(), ids=SCREENS)
def test_every_view_shows_hostile_texts_and_keeps_its_shape(screen: tuple[ViewportSize, str], open_hostile: Open) -> None:
    size, scheme = screen
    page = open_hostile("")
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for name, address in views(page):
        page.evaluate("address => { location.hash = address; }", address)
        place = page.locator(f"[data-page={name}]:not(body)")
        expect(place).to_be_visible()
        for wanted in place.locator("[data-body]").all():
            expect(wanted.or_(place.locator("[data-trouble]")).locator("visible=true").first).to_be_visible(timeout=60_000)
        page.evaluate(
            "() => { for (const one of document.querySelectorAll('details')) if (one.checkVisibility()) one.open = true; }"
        )
        page.wait_for_function("() => !document.querySelector('[aria-busy=true], .waiting')")
        assert page.evaluate(FOUND) == [], address
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    page.get_by_role("button", name="Bookmarks").click()
    assert page.evaluate(FOUND) == []


def test_the_page_names_the_same_characters_as_the_bake(open_hostile: Open) -> None:
    page = open_hostile("")
    texts = [text for text in everything() if text]
    made = page.evaluate("texts => JSON.parse(texts).map((text) => atlas.words.spelled(text))", json.dumps(texts))
    assert made == [spelled(text) for text in texts]


def test_a_long_token_is_cut_and_says_by_how_much(open_hostile: Open) -> None:
    page = open_hostile("")
    told = page.evaluate("""() => {
      const p = document.createElement("p");
      p.append(...atlas.words.token("😀".repeat(60_000)));
      return p.textContent;
    }""")
    assert told == "😀" * 100 + "… +59,900 characters"


def test_a_title_with_a_token_that_is_read_from_the_right_keeps_its_order(open_hostile: Open) -> None:
    page = open_hostile("")
    lefts = page.evaluate("""() => {
      const { make, quoting } = atlas.words;
      const title = "“שלום” “سلام” “12”";
      const line = make("p", {}, make("b", {}, "7"), " ", make("span", {}, ...quoting(title)), make("i", {}, " (34)"));
      document.body.prepend(line);
      return Array.from(line.querySelectorAll("b, bdi, i"), (part) => part.getBoundingClientRect().left);
    }""")
    assert len(lefts) == 5
    assert lefts == sorted(lefts)


def test_a_tokens_page_tells_letters_that_look_alike_apart(open_hostile: Open) -> None:
    page = open_hostile("#/token/" + quote("p\u0430y"))
    expect(page.locator("[data-token-points]")).to_have_text("Code points: U+0070 U+0430 U+0079")
    page.evaluate("() => { location.hash = '#/token/pay'; }")
    expect(page.get_by_role("heading", name="pay")).to_be_visible()
    expect(page.locator("[data-token-points]")).to_be_hidden()


def test_hostile_lists_come_out_as_tables_without_formulas(open_hostile: Open) -> None:
    page = open_hostile("")
    titles = facts(page)["titles"]
    with page.expect_download() as given:
        page.locator("[data-download=csv]").click()
    assert re.fullmatch(r"[\w-]+\.csv", given.value.suggested_filename)
    rows = list(csv.DictReader(io.StringIO(given.value.path().read_bytes().decode("utf-8"), newline="")))
    assert {row["title"].removeprefix("'") for row in rows} == {title.removeprefix("'") for title in titles}
    numbers = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
    assert not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+-@\t\r") and not numbers.fullmatch(cell)]


def test_what_an_expert_gives_away_holds_no_markup_of_strangers(open_hostile: Open) -> None:
    page = open_hostile("#/expert/0")
    place = page.locator("[data-page=expert]:not(body)")
    expect(place.locator("[data-scene]")).to_have_attribute("data-ready", "", timeout=60_000)
    for kind in ("svg", "csv", "json"):
        with page.expect_download() as given:
            place.locator(f"[data-save={kind}]").click()
        assert re.fullmatch(rf"[\w-]{{1,120}}\.{kind}", given.value.suggested_filename)
        text = given.value.path().read_bytes().decode("utf-8")
        if kind == "svg":
            kinds = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}
            assert kinds <= {"svg", "g", "path", "circle", "rect", "text", "tspan", "title", "desc", "clipPath", "defs", "line"}
            assert not [
                name for element in ElementTree.fromstring(text).iter() for name in element.attrib if re.match("on|.*href", name)
            ]
        if kind == "csv":
            for row in csv.reader(io.StringIO(text, newline="")):
                assert not [cell for cell in row if cell[:1] in tuple("=+@\t\r") or re.match(r"-(?![\d.])", cell)]
        if kind == "json":
            json.loads(text)


def test_an_embedded_page_shows_hostile_texts(quiet_page: Page, hostile_site: Path, tmp_path: Path) -> None:
    out = tmp_path / "embedded.html"
    embed(hostile_site.parent / "atlas.duckdb", 0, out, EmbedConfig(None, "https://example.org/"))
    quiet_page.goto(out.as_uri())
    expect(quiet_page.locator("[data-scene]:visible")).to_have_attribute("data-ready", "", timeout=60_000)
    assert quiet_page.evaluate(FOUND) == []
    for width in (390, 1440):
        quiet_page.set_viewport_size({"width": width, "height": 800})
        quiet_page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")  # the scene is fitted in a frame
