from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from atlas.bake import bake
from atlas.store import write_atlas
from synthetic import Size, kind, synthetic_tables, write_synthetic

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
    # Rows out of view are not laid out, and only what is laid out has an inner text.
    names = page.get_by_role("list", name="Experts").get_by_role("link").all_text_contents()
    return [int(re.search(r"\d+", name).group()) for name in names]  # type: ignore[union-attr]


def painted(page: Page, expert: int) -> list[int]:
    return page.get_by_role("link", name=f"Expert {expert}:").locator("canvas").evaluate(DRAWN)


def test_the_list_holds_every_expert_and_says_how_many(open_at: Open) -> None:
    page = open_at("")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    expect(page.get_by_role("list", name="Experts").get_by_role("listitem")).to_have_count(40)
    expect(page.get_by_role("heading", level=1)).to_contain_text("tiny-synthetic")


def test_a_long_list_comes_to_hold_every_expert_in_order(quiet_page: Page, tmp_path: Path) -> None:
    size = Size(experts=420, points=2, windows=1, month_templates=5, number_templates=1)
    site = bake(write_synthetic(tmp_path / "atlas.duckdb", size=size), tmp_path / "site").folder
    quiet_page.goto((site / "index.html").as_uri() + "#/?sort=number")
    links = quiet_page.get_by_role("list", name="Experts").get_by_role("link")
    hrefs = "links => links.map(link => link.getAttribute('href'))"
    expect(links).to_have_count(420)
    assert links.evaluate_all(hrefs) == [f"#/expert/{expert}?sort=number" for expert in range(420)]
    # The second view comes before the first has put its last rows into the page.
    quiet_page.evaluate(
        """async () => {
          atlas.route.set({ sort: null });
          await new Promise((done) => setTimeout(done, 0));
          atlas.route.set({ sort: "number", order: true });
        }"""
    )
    supported = [expert for expert in range(420) if kind(expert) in ("ring", "line")]
    expect(quiet_page.get_by_role("status")).to_have_text(f"{len(supported)} of 420 experts")
    quiet_page.wait_for_timeout(300)
    assert links.evaluate_all(hrefs) == [f"#/expert/{expert}?order=1&sort=number" for expert in supported]


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


def test_a_claimed_tasks_scores_take_the_place_of_the_best_ones(quiet_page: Page, tmp_path: Path) -> None:
    tables = synthetic_tables()
    scores = tables["scores"]
    of = {row: at for at, row in enumerate(zip(scores["task"], scores["hypothesis"], scores["expert"], strict=True))}
    # Two experts of months, in whose codes numbers can be read too: 7 better than 0.
    for expert, value in ((0, 0.15), (7, 0.21)):
        changed = {"ranking": value, "all_rows": value, "all_rows_low": value - 0.1, "all_rows_high": value + 0.1}
        for column, put in (changed | {"testable": True, "order_supported": True}).items():
            scores[column][of[2, 0, expert]] = put
    write_atlas(tmp_path / "atlas.duckdb", tables)
    site = bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder
    quiet_page.goto((site / "index.html").as_uri() + "#/?task=months&sort=score")
    strip = quiet_page.get_by_role("listitem").filter(has=quiet_page.get_by_role("link", name="Expert 7:")).get_by_role("img")
    expect(strip).to_have_accessible_name(re.compile(r"^Months, 12-month ring: R² 0\.\d+"))
    quiet_page.get_by_role("radio", name="Numbers 0–99").check()
    expect(strip).to_have_accessible_name(re.compile(r"^Numbers 0–99, linear: R² 0\.21, 95 % interval 0\.11 to 0\.31"))
    lines = [expert for expert in range(40) if kind(expert) == "line"]
    value = {
        scores["expert"][at]: scores["all_rows"][at] for (task, hypothesis, _), at in of.items() if (task, hypothesis) == (2, 0)
    }
    wanted = sorted([*lines, 0, 7], key=lambda expert: -value[expert])
    assert wanted[-2:] == [7, 0] and len(set(value[expert] for expert in wanted)) == len(wanted)
    expect(quiet_page.get_by_role("status")).to_have_text(f"{len(wanted)} of 40 experts")
    assert numbers(quiet_page) == wanted
    quiet_page.get_by_role("slider", name="Best score").fill("4")
    expect(quiet_page).to_have_url(re.compile("score=0.2"))
    expect(quiet_page.get_by_role("status")).to_have_text(f"{len(wanted) - 1} of 40 experts")
    quiet_page.get_by_role("radio", name="all experts").check()
    expect(strip).to_have_accessible_name(re.compile("^Months, 12-month ring"))


def test_the_whole_list_can_be_walked_by_keyboard(open_at: Open) -> None:
    page = open_at("")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the experts")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Sort by")).to_be_focused()
    for link in page.get_by_role("list", name="Experts").get_by_role("link").all()[:3]:
        page.keyboard.press("Tab")
        expect(link).to_be_focused()


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
    page.keyboard.press("Tab")
    expect(page.get_by_label("Sort by")).to_be_focused()
    expect(page).to_have_url(re.compile(r"#/\?sort=number$"))
    page = open_at("#/expert/0")
    page.get_by_role("link", name="Skip to the experts").press("Enter")
    expect(page.get_by_role("heading", name="Expert 0")).to_be_focused()
    expect(page).to_have_url(re.compile(r"#/expert/0$"))


def test_a_button_that_goes_leaves_the_keyboard_where_it_was(open_at: Open) -> None:
    page = open_at("#/?label=months:May&order=1")
    page.get_by_role("button", name="Remove filter: fires on May").press("Enter")
    expect(page.get_by_role("button", name="Remove filter: order supported")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    expect(page.get_by_role("status")).to_be_focused()


def test_to_fire_on_no_row_is_no_bound(open_at: Open) -> None:
    page = open_at("#/?label=months:May")
    expect(page.get_by_role("status")).to_have_text(re.compile("of 40 experts"))
    usual = numbers(page)
    page = open_at("#/?label=months:May&fires=0.05")
    expect(page.get_by_role("button", name="Remove filter: fires on May ≥ 5")).to_be_visible()
    assert len(numbers(page)) > len(usual) > 0
    page = open_at("#/?label=months:May&fires=0")
    expect(page.get_by_role("button", name="Remove filter: fires on May", exact=True)).to_be_visible()
    assert numbers(page) == usual


def test_the_title_leads_to_the_whole_list(open_at: Open) -> None:
    page = open_at("#/expert/0?label=months:May&sort=number")
    expect(page.get_by_role("heading", name="Expert 0")).to_be_visible()
    page.get_by_role("heading", level=1).get_by_role("link").click()
    expect(page.get_by_role("status")).to_have_text("40 experts")
    expect(page.get_by_label("Sort by")).to_have_value("importance")
