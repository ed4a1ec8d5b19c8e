"""The list as a table, compared with the tables of the atlas."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from frames import painted
from playwright.sync_api import Locator, Page, expect

from synthetic import synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]


@pytest.fixture(scope="module")
def tables() -> dict[str, dict[str, Any]]:
    """The tables of the atlas that `open_at` opens."""
    return synthetic_tables()


def table(page: Page) -> Locator:
    found = page.get_by_role("table", name="Experts")
    expect(found).to_be_visible()
    return found


def experts(page: Page) -> list[int]:
    links = table(page).get_by_role("link").all_text_contents()
    return [int(text) for text in links]


def heads(page: Page) -> list[str]:
    return [re.sub(r"[↑↓]$", "", text) for text in table(page).get_by_role("columnheader").all_text_contents()]


def column(page: Page, head: str) -> list[str]:
    at = heads(page).index(head)
    return (
        table(page)
        .locator("tbody tr[data-row]")
        .evaluate_all("(lines, at) => lines.map((line) => line.children[at].textContent)", at)
    )


def by_expert(tables: dict[str, dict[str, Any]], name: str, value: str) -> dict[int, Any]:
    of = tables[name]
    return {int(expert): one for expert, one, task in zip(of["expert"], of[value], of["task"], strict=True) if task == 0}


def falling(values: dict[int, Any], order: Sequence[int]) -> list[int]:
    """Experts with the largest value first, then those without one; equal ones as `order` has them."""
    known = [expert for expert in order if values.get(expert) is not None]
    return sorted(known, key=lambda expert: -values[expert]) + [expert for expert in order if values.get(expert) is None]


def test_the_table_holds_the_list_in_its_order(open_at: Open, tables: dict[str, dict[str, Any]]) -> None:
    page = open_at("#/?sort=number")
    page.get_by_role("button", name="Table").click()
    expect(page.get_by_role("button", name="Table")).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile("view=table"))
    assert experts(page) == list(range(40))
    assert table(page).get_attribute("aria-rowcount") == "41"
    places = (
        table(page).locator("tbody tr[data-row]").evaluate_all("lines => lines.map((line) => line.getAttribute('aria-rowindex'))")
    )
    assert places == [str(place) for place in range(2, 42)]
    titles = column(page, "Title")
    assert titles[0] == "Months, in order (R² all rows 0.55)"
    firings = by_expert(tables, "expert_stats", "rate")
    said = column(page, "Firing rate (%)")
    for expert, text in enumerate(said):
        assert float(text) == pytest.approx(100 * firings[expert], rel=0.06)
    page.reload()
    assert experts(page) == list(range(40))
    page.get_by_role("button", name="Gallery").click()
    expect(page.get_by_role("list", name="Experts").get_by_role("listitem")).to_have_count(40)
    expect(page.get_by_role("table", name="Experts")).to_be_hidden()


def test_a_head_sorts_and_a_second_press_turns_it_round(open_at: Open, tables: dict[str, dict[str, Any]]) -> None:
    page = open_at("#/?view=table&columns=rate,effective_dimension")
    first = experts(page)
    head = table(page).get_by_role("columnheader", name="Firing rate")
    expect(head).not_to_have_attribute("aria-sort", re.compile("."))
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(head.get_by_role("button")).to_be_focused()
    expect(page).to_have_url(re.compile("sort=rate"))
    rates = by_expert(tables, "expert_stats", "rate")
    assert experts(page) == falling(rates, first)
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("rate")
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(page).to_have_url(re.compile("sort=-rate"))
    assert [rates[expert] for expert in experts(page)] == sorted(rates.values())
    page.get_by_role("button", name="Order: smallest first").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    page.get_by_role("button", name="Expert", exact=True).click()
    expect(table(page).get_by_role("columnheader", name="Expert")).to_have_attribute("aria-sort", "ascending")
    assert experts(page) == list(range(40))
    page.get_by_role("button", name="Effective dimension").click()
    wide = by_expert(tables, "shapes", "effective_dimension")
    expect(table(page).get_by_role("columnheader", name="Effective dimension")).to_have_attribute("aria-sort", "descending")
    assert experts(page) == falling(wide, first)
    page.go_back()
    expect(table(page).get_by_role("columnheader", name="Expert")).to_have_attribute("aria-sort", "ascending")
    assert experts(page) == list(range(40))


def test_columns_are_chosen_and_ride_in_the_address(open_at: Open, tables: dict[str, dict[str, Any]]) -> None:
    page = open_at("#/?view=table&sort=number")
    expect(table(page)).to_be_visible()
    usual = heads(page)
    assert usual[:3] == ["Expert", "Title", "Score"]
    opener = page.get_by_role("button", name="Columns")
    opener.press("Enter")
    choice = page.get_by_role("dialog", name="Columns of the table")
    choice.get_by_role("checkbox", name="Firings").check()
    choice.get_by_role("checkbox", name="Score", exact=True).uncheck()
    choice.get_by_role("checkbox", name="Mean norm").check()
    page.keyboard.press("Escape")
    expect(choice).to_be_hidden()
    expect(opener).to_be_focused()
    chosen = heads(page)
    assert "Score" not in chosen and {"Firings", "Mean norm"} <= set(chosen)
    firings = by_expert(tables, "expert_stats", "firings")
    assert column(page, "Firings") == [f"{firings[expert]:,}" for expert in range(40)]
    norms = by_expert(tables, "expert_stats", "mean_norm")
    for expert, text in enumerate(column(page, "Mean norm")):
        assert text == "–" if norms[expert] is None else float(text) == pytest.approx(norms[expert], rel=0.005)
    expect(page).to_have_url(re.compile("columns=.*mean_norm,firings"))
    page.reload()
    expect(table(page)).to_be_visible()
    assert heads(page) == chosen
    opener.click()
    choice.get_by_role("button", name="The usual columns").click()
    expect(choice.get_by_role("checkbox", name="Score", exact=True)).to_be_checked()
    assert heads(page) == usual


def test_a_score_stands_with_its_strip_and_its_interval(open_at: Open) -> None:
    page = open_at("#/?view=table&sort=number")
    row = table(page).get_by_role("row").filter(has=page.get_by_role("link", name="Expert 0:"))
    expect(row.get_by_role("img")).to_have_accessible_name(re.compile(r"^Months, 12-month ring: R² 0\.55"))
    expect(row).to_contain_text("0.55 (0.48–0.61)")
    expect(row).to_contain_text("12 of 12")


def test_a_row_is_chosen_by_a_click_and_moved_by_keys(open_at: Open) -> None:
    page = open_at("#/?view=table&sort=number")
    row = table(page).get_by_role("row").filter(has=page.get_by_role("link", name="Expert 4:"))
    row.get_by_role("cell").first.click()
    expect(page).to_have_url(re.compile("at=4"))
    expect(page.get_by_role("link", name="Expert 4:")).to_have_attribute("aria-current", "true")
    page.keyboard.press("j")
    expect(table(page).get_by_role("link", name="Expert 5:")).to_be_focused()
    for _ in range(25):
        page.keyboard.press("ArrowDown")
    last = table(page).get_by_role("link", name="Expert 30:")
    expect(last).to_be_focused()
    expect(last).to_be_in_viewport()
    for _ in range(26):
        page.keyboard.press("k")
    # Not under the head, which stays where it is.
    head = table(page).get_by_role("columnheader", name="Title").bounding_box()
    line = table(page).get_by_role("link", name="Expert 4:").bounding_box()
    assert head and line and line["y"] >= head["y"] + head["height"] - 1
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2).filter(has_text="Expert 4")).to_be_visible()
    page.keyboard.press("u")
    expect(table(page).get_by_role("link", name="Expert 4:")).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2).filter(has_text="Expert 5")).to_be_visible()
    page.go_back()
    expect(table(page).get_by_role("link", name="Expert 5:")).to_be_focused()


def test_the_usual_columns_fit_and_what_stays_covers_what_moves(open_at: Open) -> None:
    page = open_at("#/?view=table&sort=number")
    pane = page.locator("[data-pane]")
    for width in (1440, 1280, 1080):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("width => innerWidth === width", arg=width)
        painted(page)
        assert pane.evaluate("pane => pane.scrollWidth - pane.clientWidth") == 0, width
        assert heads(page)[:3] == ["Expert", "Title", "Score"]
        # A long title is cut before the number that it rests on.
        cut = table(page).evaluate(
            """table => [...table.querySelectorAll("tbody td.of-title")].filter((cell) => {
              cell.querySelector(".titled > :first-child").textContent = "a title without an end ".repeat(9);
              const rests = cell.querySelector(".rests");
              return rests && rests.getBoundingClientRect().right > cell.getBoundingClientRect().right - 8;
            }).length"""
        )
        assert cut == 0, width
    page = open_at("#/?view=table&sort=number&columns=score,coverage,firings,mean_norm,cluster,orders,activity")
    wide = table(page).locator("tbody td.of-coverage").first
    assert wide.evaluate("cell => { cell.textContent = '199 of 210'; return cell.scrollWidth - cell.clientWidth; }") == 0
    pane.evaluate("pane => pane.scrollTo(90, 300)")
    painted(page)
    room, head = pane.bounding_box(), table(page).get_by_role("columnheader", name="Expert").bounding_box()
    assert room and head and (head["x"], head["y"]) == (room["x"], room["y"])


def test_on_a_phone_the_number_and_title_stay_while_the_rest_moves(open_at: Open) -> None:
    page = open_at("")
    page.set_viewport_size({"width": 390, "height": 844})
    page = open_at("#/?view=table&sort=number&columns=score,rate,importance,shape,cluster")
    link = table(page).get_by_role("link", name="Expert 0:")
    before = link.bounding_box()
    page.locator("[data-pane]").evaluate("pane => pane.scrollTo(400, 0)")
    painted(page)
    after = link.bounding_box()
    assert before and after and before["x"] == after["x"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
