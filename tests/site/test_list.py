from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from synthetic import kind

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
DRAWN = """canvas => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let painted = 0;
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] < 100) continue;
    painted += 1;
    colours.add([data[at] >> 5, data[at + 1] >> 5, data[at + 2] >> 5].join());
  }
  return [painted, colours.size];
}"""


def numbers(page: Page) -> list[int]:
    names = page.get_by_role("list", name="Experts").get_by_role("link").all_inner_texts()
    return [int(re.search(r"\d+", name).group()) for name in names]  # type: ignore[union-attr]


def painted(page: Page, expert: int) -> list[int]:
    return page.get_by_role("link", name=f"Expert {expert}:").locator("canvas").evaluate(DRAWN)


def test_the_list_holds_every_expert_and_says_how_many(open_at: Open) -> None:
    page = open_at("")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    expect(page.get_by_role("list", name="Experts").get_by_role("listitem")).to_have_count(40)
    expect(page.get_by_role("heading", level=1)).to_contain_text("tiny-synthetic")


def test_sorting_stands_in_the_address_and_survives_a_reload(open_at: Open) -> None:
    page = open_at("")
    page.get_by_label("Sort by").select_option("expert number")
    expect(page).to_have_url(re.compile(r"#/\?sort=number$"))
    assert numbers(page) == list(range(40))
    page.reload()
    expect(page.get_by_role("list", name="Experts").get_by_role("listitem")).to_have_count(40)
    expect(page.get_by_label("Sort by")).to_have_value("number")
    assert numbers(page) == list(range(40))


def test_an_unknown_sort_is_the_default(open_at: Open) -> None:
    page = open_at("#/?sort=constructor")
    expect(page.get_by_role("list", name="Experts").get_by_role("listitem")).to_have_count(40)


def test_clouds_are_drawn_and_coloured_by_their_titles_task(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    expect(page.get_by_role("link", name="Expert 0:")).to_be_visible()
    page.wait_for_timeout(300)
    ring, ray, silent = painted(page, 0), painted(page, 5), painted(page, 3)
    assert (kind(0), kind(5), kind(3)) == ("ring", "ray", "silent")
    assert ring[0] > 100 and ray[0] > 100 and silent[0] == 0
    assert ring[1] > 3 * ray[1]


def test_a_cloud_turns_under_the_pointer_unless_motion_is_reduced(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    canvas = page.get_by_role("link", name="Expert 0:").locator("canvas")
    page.wait_for_timeout(300)
    still = canvas.screenshot()
    canvas.hover()
    page.wait_for_timeout(400)
    assert canvas.screenshot() != still
    page.get_by_role("heading", level=1).hover()
    page.wait_for_timeout(100)
    assert canvas.screenshot() == still
    page.emulate_media(reduced_motion="reduce")
    canvas.hover()
    page.wait_for_timeout(400)
    assert canvas.screenshot() == still


def test_a_strip_says_its_score_and_references(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    item = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="Expert 0:"))
    strip = item.get_by_role("img")
    expect(strip).to_have_accessible_name(
        re.compile(r"Months, 12-month ring: R² 0\.55, 95 % interval .* best random projection 0\.58")
    )
    assert "hollow" in (strip.locator("circle").get_attribute("class") or "")


def test_the_whole_list_can_be_walked_by_keyboard(open_at: Open) -> None:
    page = open_at("")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    seen = []
    for _ in range(8):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("(document.activeElement.ariaLabel ?? document.activeElement.textContent).trim()"))
    assert seen[0] == "Skip to the experts"
    assert any(name.startswith("Expert ") for name in seen)


def test_the_scheme_toggle_lasts(open_at: Open) -> None:
    page = open_at("")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(251, 250, 247)"
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate(ground) == "rgb(20, 23, 26)"
    page.reload()
    assert page.evaluate(ground) == "rgb(20, 23, 26)"


def test_nothing_is_wider_than_a_phone(open_at: Open) -> None:
    page = open_at("")
    page.set_viewport_size({"width": 390, "height": 844})
    for route in ("#/", "#/expert/0", "#/expert/5"):
        page = open_at(route)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, route


def test_the_skip_link_leaves_the_address_alone(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page).to_have_url(re.compile(r"#/\?sort=number$"))
