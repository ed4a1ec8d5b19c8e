"""Names of a user's own task that are longer than the places where they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from atlas.bake import bake
from atlas.store import write_atlas
from synthetic import Size, synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
PHONE = {"width": 390, "height": 844}
TITLE = "Kinds of cells that a donor's blood was sorted into"
LABEL = "a monocyte of the classical sort that carries much CD14 and little CD16"
SPANS = """names => names.filter((name) => getComputedStyle(name).visibility === "visible").map((name) => {
  const { left, right } = name.getBoundingClientRect();
  return [name.textContent, left, right];
})"""
"""Names that can be seen, with their left and right ends."""


@pytest.fixture(scope="module")
def long_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked atlas of which one task and its labels have long names, and lie far to the left of the origin."""
    root = tmp_path_factory.mktemp("long")
    tables = synthetic_tables(size=Size(experts=8, points=60, more_tasks=True))
    cells = 4
    tables["tasks"]["title"][cells] = TITLE
    labels, stats, points, scores = (tables[name] for name in ("labels", "label_stats", "points", "scores"))
    for at, task in enumerate(labels["task"]):
        if task == cells:
            labels["name"][at] = f"{LABEL} {labels['label'][at]}"
    for rows in (stats, points):
        for axis, move in (("x", -8), ("z", 8)):
            rows[axis] = [at + move * (task == cells) for at, task in zip(rows[axis], rows["task"], strict=True)]
    # Of expert 1 nothing but the arrangement of cells is supported, so that its card is about these.
    for at, of in enumerate(zip(scores["task"], scores["expert"], strict=True)):
        if of == (2, 1):
            scores["all_rows_low"][at], scores["order_supported"][at] = -0.1, False
    titles = tables["titles"]
    titles["title"][1], titles["basis"][1], titles["task"][1] = TITLE, "task", cells
    write_atlas(root / "atlas.duckdb", tables)
    return bake(root / "atlas.duckdb", root / "site").folder


@pytest.fixture
def open_long(quiet_page: Page, long_names: Path) -> Open:
    """Opens that atlas at an address after the #."""

    def at(route: str = "") -> Page:
        quiet_page.goto((long_names / "index.html").as_uri() + route)
        return quiet_page

    return at


def box(place: Locator) -> dict[str, float]:
    found = place.bounding_box()
    assert found
    return dict(found)


def card(page: Page, expert: int) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_role("link", name=f"Expert {expert}:"))


def test_a_cards_corner_keeps_to_its_picture(open_long: Open) -> None:
    of = card(open_long(""), 1)
    corner, picture = of.locator(".by"), box(of.locator("canvas"))
    expect(corner).to_have_text(TITLE)
    expect(corner).to_have_attribute("title", f"The cloud is coloured by {TITLE}")
    assert box(corner)["x"] + box(corner)["width"] <= picture["x"] + picture["width"]
    assert box(corner)["height"] < 24


def test_a_card_says_of_which_task_its_score_is_and_all_of_what(open_long: Open) -> None:
    of = card(open_long(""), 1)
    task, hypothesis = of.locator(".whose span").all()
    expect(task).to_have_text(TITLE)
    expect(hypothesis).to_have_text(": lineage")
    expect(of.locator(".whose")).to_have_attribute("title", f"The score is of {TITLE}, lineage")
    assert task.evaluate("one => one.scrollWidth > one.clientWidth")
    assert hypothesis.evaluate("one => one.scrollWidth <= one.clientWidth")
    ends = box(hypothesis)["x"] + box(hypothesis)["width"]
    assert ends <= box(of.locator("canvas"))["x"] + 148
    expect(card(open_long(""), 0).locator(".whose")).to_have_text("Months: 12-month ring")


def test_a_labels_dot_stands_beside_its_first_line(open_long: Open) -> None:
    page = open_long("")
    page.get_by_role("group", name="Label", exact=True).locator("summary").first.click()
    page.locator("[data-labels-of] summary").filter(has_text=TITLE).click()
    choice = page.locator("[data-labels-of] .choice").filter(has_text=f"{LABEL} 0")
    dot = box(choice.locator(".swatch"))
    lines = choice.get_by_text(LABEL).last.evaluate(
        """one => { const range = document.createRange(); range.selectNodeContents(one);
        return Array.from(range.getClientRects(), ({ left, top, bottom }) => [left, top, bottom]); }"""
    )
    assert len({top for _, top, _ in lines}) > 2
    left, top, bottom = lines[0]
    assert dot["x"] + dot["width"] <= left
    assert top < dot["y"] and dot["y"] + dot["height"] < bottom
    # The lines below stand under the name, not under its dot.
    assert all(abs(start - left) < 1 for start, _, _ in lines)


def test_names_in_the_scene_stay_inside_it_and_long_ones_are_cut(open_long: Open, quiet_page: Page) -> None:
    quiet_page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page = open_long("#/expert/1?colour=cells")
    expect(page.locator("[data-page=expert] [data-scene]")).to_have_attribute("data-ready", "", timeout=20_000)
    names = page.locator("[data-page=expert] [data-scene] .name:not([visibility=hidden])").evaluate_all(SPANS)
    assert any(re.fullmatch(r"a monocyte of the classical…", text) for text, _, _ in names)
    assert all(0 <= left and right <= 390 for _, left, right in names)


def test_without_webgl_they_do_too(open_long: Open, without_webgl: Page) -> None:
    without_webgl.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page = open_long("#/expert/1?colour=cells")
    expect(page.locator("[data-projections]")).to_have_attribute("data-ready", "", timeout=20_000)
    names = page.locator("[data-projections] [data-name]").evaluate_all(SPANS)
    assert names and all(text == "a monocyte of the classical…" for text, _, _ in names)
    assert all(0 <= left and right <= 390 for _, left, right in names)
