from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
NAMES = """(side) => {
  const names = document.querySelectorAll(`[data-beside="${side}"] [data-scene] .name`);
  return [...names].map((name) => name.getAttribute("transform")).join();
}"""
SWATCHES = """keys => keys.map((key) => Object.fromEntries([...key.querySelectorAll("li[data-at]")].map((entry) => [
  entry.querySelector(".text").textContent, entry.querySelector(".swatch").style.getPropertyValue("--light"),
])))"""
MOVED = f"([side, before]) => ({NAMES})(side) !== before"


def shown(page: Page) -> None:
    """Wait until both clouds are drawn."""
    for side in ("left", "right"):
        expect(page.locator(f'[data-beside="{side}"] [data-scene]')).to_have_attribute("data-ready", "", timeout=60_000)


def names(page: Page, side: str) -> str:
    """Return where the names in a scene stand."""
    found: str = page.evaluate(NAMES, side)
    return found


def test_two_experts_share_colours_and_camera_and_are_told_apart_in_words(open_at: Open) -> None:
    page = open_at("#/expert/0")
    expect(page.locator("section[data-page=expert] [data-scene]")).to_have_attribute("data-ready", "", timeout=60_000)
    page.evaluate("location.hash = '#/beside/0/8'")
    shown(page)
    expect(page.get_by_role("heading", name="Experts 0 and 8")).to_be_focused()
    # The expert's own scene stands on the left: with the one on the right there are two.
    assert page.evaluate("document.querySelectorAll('[data-stage]').length") == 2
    expect(page.locator("[data-beside-alike]")).to_contain_text("Both are coloured alike.")
    right = page.locator('[data-beside="right"]')
    expect(right.get_by_role("link", name="8 Months, in order")).to_have_attribute("href", "#/expert/8")
    expect(right.get_by_label("Colour by")).to_be_hidden()

    before = names(page, "right")
    assert before
    page.locator('[data-beside="left"] [data-scene]').focus()
    page.keyboard.press("2")
    page.wait_for_function(MOVED, arg=["right", before])
    page.wait_for_url("**/*camera=2*")
    # Both are as far away as shows the whole of both.
    zooms = page.locator("[data-beside] .space").evaluate_all("both => both.map((one) => one._fullLayout.scene.aspectratio.x)")
    assert len(zooms) == 2 and zooms[0] == pytest.approx(zooms[1], abs=1e-6)
    page.get_by_label("Colour by").first.select_option("months:norm")
    expect(right.locator("[data-drawn]")).to_contain_text("coloured by norm")
    # A colour means the same on both sides: of a number the axis is one, of tokens the entries.
    keys = page.locator("[data-beside] [data-key]")
    assert len(set(keys.locator(".ticks").all_inner_texts())) == 1
    page.get_by_label("Colour by").first.select_option("synthetic:token")
    expect(keys.locator("li", has_text=re.compile(r"^\s*\d+ other tokens of both"))).to_have_count(2)
    swatches: list[dict[str, str]] = keys.evaluate_all(SWATCHES)
    both = swatches[0].keys() & swatches[1].keys()
    assert len(both) > 3 and all(swatches[0][text] == swatches[1][text] for text in both)
    page.get_by_label("Colour by").first.select_option("synthetic:band")
    expect(page.locator("[data-beside-alike]")).to_contain_text("quarters are of each one’s own norms")
    # What is no way to colour asks for nothing.
    page.evaluate("location.hash = '#/beside/0/8?colour=nonsense'")
    expect(page.locator("[data-beside-alike]")).to_contain_text("Both are coloured alike. They")
    for caption in page.locator("[data-beside] [data-drawn]").all():
        expect(caption).to_contain_text("at the labels of Months")

    facts = page.locator("[data-beside-facts]")
    expect(facts.get_by_role("row").filter(has_text="Orders supported")).to_contain_text("MonthsMonths")
    near = page.locator("[data-beside-near]").get_by_role("row")
    expect(near).to_have_count(5)
    expect(page.get_by_role("list", name="Strongest contexts of expert 8").get_by_role("listitem")).to_have_count(8)
    page.evaluate("location.hash = '#/beside/0/3'")
    expect(page.locator("[data-beside-alike]")).to_have_text("Expert 3 has no points to draw.")


def test_a_pin_is_of_one_side_and_pairs_can_be_swapped_and_changed(open_at: Open) -> None:
    page = open_at("#/beside/0/8?colour=months&pin=right3")
    shown(page)
    expect(page.locator('[data-beside="right"] [data-pinned]')).to_be_visible()
    expect(page.locator('[data-beside="left"] [data-pinned]')).to_be_hidden()

    page.get_by_role("button", name="Swap").click()
    expect(page.get_by_role("heading", name="Experts 8 and 0")).to_be_visible()
    expect(page.locator('[data-beside="left"]').get_by_role("link", name="8 Months, in order")).to_be_visible()
    assert "colour=months" in page.url
    page.get_by_label("Right").fill("1")
    page.get_by_label("Right").press("Enter")
    expect(page.get_by_role("heading", name="Experts 8 and 1")).to_be_visible()
    shown(page)
    page.get_by_label("Right").fill("999")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert")).to_have_text("This atlas has no expert 999. Give the numbers of two that it has.")
    page.go_back()
    shown(page)
    page.evaluate("location.hash = '#/expert/8'")  # which has its stage back
    expect(page.locator("section[data-page=expert] [data-scene]")).to_have_attribute("data-ready", "", timeout=60_000)
    expect(page.locator("section[data-page=expert] [data-drawn]")).to_contain_text("Months")


def test_without_webgl_there_are_projections_and_a_narrow_page_has_one_above_the_other(without_webgl: Page, site: Path) -> None:
    page = without_webgl
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto((site / "index.html").as_uri() + "#/beside/0/8")
    for side in ("left", "right"):
        expect(page.locator(f'[data-beside="{side}"] [data-projections] svg').first).to_be_visible()
    left, right = (page.locator(f'[data-beside="{side}"]').bounding_box() for side in ("left", "right"))
    assert left and right and left["y"] + left["height"] <= right["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
