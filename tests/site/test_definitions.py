"""Every number's definition, one key away: from docs/measures.md to where the number stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from atlas.bake import bake
from synthetic import Size, write_synthetic

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]

TERMS = "[...document.querySelectorAll('[data-term]')].map((one) => one.dataset.term)"
UNNAMED = """() => [...document.querySelectorAll('[data-page="expert"] .findings thead th')]
  .map((head) => [head.textContent, head.querySelector("[data-term]") !== null])
  .filter(([text, has]) => !has).map(([text]) => text)"""
WORDS = ["Token", "Label", "Statistic", "Measured on", "Tokens into the window"]
"""Heads of columns that hold names, not numbers."""


@pytest.fixture(scope="module")
def every_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked synthetic atlas with tasks of every kind."""
    root = tmp_path_factory.mktemp("defined")
    return bake(write_synthetic(root / "atlas.duckdb", size=Size(more_tasks=True)), root / "site").folder


def defined(site: Path) -> set[str]:
    (path,) = (site / "data").glob("definitions.*.js")
    text = path.read_text(encoding="utf-8")
    return set(json.loads(text[text.index(",") + 1 : text.rindex(")")]))


def test_every_number_has_a_term_and_every_term_a_definition(quiet_page: Page, every_task: Path) -> None:
    terms = defined(every_task)
    seen: set[str] = set()
    for expert in (0, 1, 5, 9):
        quiet_page.goto((every_task / "index.html").as_uri() + f"#/expert/{expert}")
        expect(quiet_page.locator("[data-neighbours] ul").first).to_be_visible(timeout=20_000)
        seen |= set(quiet_page.evaluate(TERMS))
        assert set(quiet_page.evaluate(UNNAMED)) <= set(WORDS)
        if expert == 5:
            # Its title names tokens.
            said = quiet_page.locator("[data-sayings]").get_by_role("button", name="lift")
            expect(said).to_have_attribute("data-term", "lift of a token")
    quiet_page.goto((every_task / "index.html").as_uri() + "#/task/months")
    head = quiet_page.locator('[data-page="task"]').get_by_role("button", name="Importance on it").first
    expect(head).to_have_attribute("data-term", "importance on a task")
    quiet_page.goto((every_task / "index.html").as_uri() + "#/fidelity")
    expect(quiet_page.locator('section[data-page="fidelity"] .term').first).to_be_visible()
    quiet_page.goto((every_task / "index.html").as_uri() + "#/?view=table")
    expect(quiet_page.get_by_role("table", name="Experts").get_by_role("row").nth(1)).to_be_visible()
    seen |= set(quiet_page.evaluate(TERMS))
    assert seen - terms == set()
    assert "left-out-label balanced accuracy" in seen
    assert {"all-row r²", "lift", "lift of a token", "fvu", "loop", "importance", "chance", "group", "periodic gain"} <= seen


def test_a_definition_opens_by_a_press_or_a_key_and_gives_the_focus_back(open_at: Open) -> None:
    page = open_at("#/expert/0")
    lift = page.locator("[data-labels] details[open]").get_by_role("button", name="Lift")
    box = page.get_by_role("dialog", name="Lift", exact=True)
    for key in ("Enter", "d"):
        lift.press(key)
        expect(box).to_be_visible()
        expect(box).to_be_focused()
        expect(box).to_contain_text("over the corpus rate")
        assert box.locator("a").count() == 0
        page.keyboard.press("Escape")
        expect(box).to_be_hidden()
        expect(lift).to_be_focused()
    # Under the pointer, a number is that of its column.
    page.locator("[data-tokens] tbody tr").first.locator("td").last.hover()
    lift.evaluate("one => one.blur()")
    page.keyboard.press("d")
    expect(page.get_by_role("dialog", name="Lift of a token")).to_contain_text("held back by 20 firings")
    page.keyboard.press("Escape")
    # It stays in the window of a phone.
    page.set_viewport_size({"width": 320, "height": 640})
    page.get_by_role("button", name="R²").first.click()
    shown = page.get_by_role("dialog", name="All-row R²")
    expect(shown).to_be_visible()
    place = shown.bounding_box()
    assert (
        place
        and place["x"] >= 0
        and place["x"] + place["width"] <= 320
        and place["y"] >= 0
        and place["y"] + place["height"] <= 640
    )
    page.mouse.click(160, 635 if place["y"] + place["height"] < 620 else 2)
    expect(shown).to_be_hidden()


def test_the_lists_filters_are_defined_too(open_at: Open) -> None:
    page = open_at("")
    page.get_by_role("group", name="Importance").get_by_text("Importance").hover()
    page.keyboard.press("d")
    expect(page.get_by_role("dialog", name="Importance")).to_contain_text("ΔFVU")
