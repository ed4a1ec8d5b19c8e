"""What geometry brings to an expert's page: its shape, its neighbours, and clouds of other dimensions than three."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from atlas.bake import bake
from synthetic import Size, write_synthetic

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]

PAINTED = """wanted => wanted === [...document.querySelector("ul.near").querySelectorAll("canvas")].filter(canvas =>
  canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)).length"""
SCENE = "document.querySelector('[data-page=expert] [data-scene] .space')"


def drawn(page: Page) -> None:
    expect(page.locator("[data-page=expert] [data-scene]")).to_have_attribute("data-ready", "", timeout=20_000)


def test_the_shape_follows_what_the_scene_shows(open_at: Open) -> None:
    page = open_at("#/expert/0")
    shape = page.locator("[data-shape]")
    expect(shape).to_contain_text("On Months its contributions form a ring")
    expect(shape).to_contain_text("8 of 17 experts are called ring here; if all of them were structureless, 0.4 would be.")
    expect(shape.get_by_role("table", name="Share of variance").get_by_role("row")).to_have_count(3)
    expect(shape).to_contain_text(re.compile(r"local dimension 1 at ¼ rms · 1 loop · no separate clusters · n\s114"))
    expect(shape).to_contain_text("Elsewhere: ring on the corpus.")
    expect(shape).to_contain_text("Measured on 114 firings. Their variance along their own axes")
    expect(shape.get_by_role("row", name="own axis 1")).to_be_visible()
    tests = shape.get_by_role("table").filter(has=page.get_by_role("columnheader", name="Adjusted p"))
    expect(tests).to_be_hidden()
    shape.get_by_text("6 tests against clouds without structure").click()
    expect(tests.get_by_role("row").nth(1)).to_have_text("Hole: closes at ÷ opens at6.31.62.40.001")
    page.get_by_label("Colour by").select_option("norm, on the corpus")
    expect(shape).to_contain_text("On the corpus its contributions form a ring")
    expect(shape).to_contain_text(re.compile(r"Measured on \d+ of these firings, one on each token\."))
    page.get_by_label("Colour by").select_option("Numbers 0–99")
    expect(shape).to_contain_text("No shape on Numbers 0–99: it fires on fewer than half of its labels.")


def test_a_shape_that_cannot_be_told_and_what_importance_needs_are_said(open_at: Open) -> None:
    page = open_at("#/expert/13")
    expect(page.locator("[data-shape]")).to_contain_text("No shape on the corpus. All of its contributions are the same.")
    needed = page.locator("[data-needed]")
    expect(needed).to_contain_text(re.compile(r"The mean contribution alone keeps 90\s% of its importance\."))
    expect(needed.get_by_role("row")).to_have_count(4)


def test_neighbours_lead_on_by_keyboard(open_at: Open) -> None:
    page = open_at("#/expert/0?sort=number")
    near = page.get_by_role("list", name="Output space")
    expect(near.get_by_role("listitem")).to_have_count(8)
    page.locator(".kind").first.get_by_role("button", name="12 more").press("Enter")
    expect(near.get_by_role("listitem")).to_have_count(20)
    expect(near.get_by_role("link", name=re.compile("^Expert ")).nth(8)).to_be_focused()
    page.wait_for_function(PAINTED, arg=20)
    name = near.get_by_role("link").first.get_attribute("aria-label") or ""
    near.get_by_role("link").first.press("Enter")
    number = re.match(r"Expert (\d+)", name)
    assert number
    expect(page.get_by_role("heading", name=f"Expert {number[1]} ")).to_be_focused()
    expect(page).to_have_url(re.compile(rf"#/expert/{number[1]}\?sort=number$"))


def test_on_a_phone_neighbours_scroll_by_themselves_and_an_empty_kind_says_why(open_at: Open) -> None:
    page = open_at("")
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(page.url + "#/expert/11")
    expect(page.get_by_text("It is dense: experts that fire on more than a tenth").first).to_be_visible()
    near = page.get_by_role("list", name="Read alike")
    assert near.evaluate("list => list.scrollWidth > list.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize(
    ("d_code", "axes", "said"),
    [
        (1, 1, "Its contribution is one number: height only spreads the points."),
        (2, 2, "each with its share of the variance on the corpus."),
        (5, 3, "The first three hold 97\u202f% of it, axes 4 and 5 the rest."),
    ],
)
def test_other_dimensions_have_a_scene(d_code: int, axes: int, said: str, quiet_page: Page, tmp_path: Path) -> None:
    made = bake(write_synthetic(tmp_path / "a.duckdb", size=Size(experts=2, points=40, d_code=d_code)), tmp_path / "site")
    page = quiet_page
    page.goto((made.folder / "index.html").as_uri() + "#/expert/0")
    drawn(page)
    expect(page.locator("[data-drawn]")).to_contain_text(said)
    names = page.locator("[data-page=expert] [data-scene] .name.axis").all_text_contents()
    assert [name.split(" · ")[0] for name in names] == [f"axis {axis}" for axis in range(1, axes + 1)]
    assert all(name.endswith("%") for name in names)
    eye = page.evaluate(f"{SCENE}.layout.scene.camera.eye")
    assert ((eye["x"], eye["y"]) == (0, 0)) is (d_code < 3)
    high = page.evaluate(f"Array.from({SCENE}._fullData[0].y).reduce((most, y) => Math.max(most, y)) - {SCENE}._fullData[1].y[0]")
    assert high > 0
    page.get_by_role("group", name=re.compile(f"Arrow keys {'turn' if d_code > 2 else 'move'} it")).press("ArrowRight")
    expect(page).to_have_url(re.compile("camera="))


def test_piles_keep_to_their_columns(open_at: Open) -> None:
    page = open_at("")
    piles = "([numbers, columns]) => atlas.cloud.piles(numbers, columns)"
    # Three in the first of four columns: a pile is as wide as it is high, but no more than a third of the axis.
    assert page.evaluate(piles, [[0, 0.1, 10, 0.2], 4]) == pytest.approx([0, 10 / 9, 0, 20 / 9])
    assert page.evaluate(piles, [[5, 5], 4]) == pytest.approx([0, 1 / 6])
    assert page.evaluate(piles, [[0, 8, 1], 16]) == [0, 0, 0]
