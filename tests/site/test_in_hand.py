"""What a reader has in hand is kept: the keyboard's place, what is pointed at, how the page is looked at, and what was typed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from frames import painted
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
PHONE = {"width": 390, "height": 844}


def cards(page: Page) -> Locator:
    return page.get_by_role("list", name="Experts").get_by_role("listitem")


def opened(page: Page) -> Page:
    expect(cards(page).first).to_be_visible()
    return page


# --- the keyboard ---


def test_a_star_given_on_the_map_leaves_the_map_at_its_dot(open_at: Open) -> None:
    page = opened(open_at(""))
    page.keyboard.press("j")
    page.keyboard.press("m")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => atlas.pointed.row !== null && atlas.pointed.row !== 0")
    at = page.evaluate("() => atlas.pointed.row")
    page.keyboard.press("b")
    page.wait_for_function("() => atlas.marks.starred.size === 1")
    assert page.evaluate("() => atlas.pointed.row") == at
    expect(page.locator("[data-map-part=tip]")).to_be_visible()
    page.keyboard.press("b")
    page.wait_for_function("() => atlas.marks.starred.size === 0")


def test_a_filter_that_leaves_out_a_dot_lets_go_of_it(open_at: Open) -> None:
    page = opened(open_at(""))
    page.keyboard.press("m")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => atlas.pointed.row !== null")
    page.evaluate("() => { location.hash = '#/?q=zzqqxx'; }")
    expect(page.locator("[data-empty]")).to_be_visible()
    expect(page.locator("[data-map-part=tip]")).to_be_hidden()


def test_the_previews_star_keeps_the_keyboard(open_at: Open) -> None:
    page = opened(open_at(""))
    star = page.locator("[data-preview] [data-star]")
    star.focus()
    page.keyboard.press("Enter")
    expect(star).to_have_attribute("aria-pressed", "true")
    expect(star).to_be_focused()


def test_a_press_on_enter_is_forgotten_with_its_search(open_at: Open, quiet_page: Page) -> None:
    quiet_page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page = open_at("#/?tab=map")
    field = page.get_by_role("searchbox", name="Search experts")
    field.fill("may")
    field.press("Enter")
    expect(page.get_by_role("status")).to_have_text(re.compile("of 40 experts"))
    page.locator("[data-tab=list]").click()
    star = cards(page).nth(4).get_by_role("button")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("() => atlas.route.state.at") is None


def test_an_expert_opened_from_its_card_is_returned_to_there_though_the_map_opened_it_before(open_at: Open) -> None:
    page = opened(open_at("#/?sort=number"))
    page.keyboard.press("m")
    page.wait_for_function("() => atlas.pointed.row !== null")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile("^Expert"), level=2)).to_be_focused()
    expert = page.evaluate("() => atlas.route.state.expert")
    page.go_back()
    expect(page.locator("[data-map-part=canvas]")).to_be_focused()
    card = page.get_by_role("list", name="Experts").get_by_role("link", name=re.compile(f"^Expert {expert}:"))
    card.click()
    expect(page.get_by_role("heading", name=re.compile(f"^Expert {expert} "), level=2)).to_be_focused()
    page.go_back()
    expect(card).to_be_focused()


def test_a_list_out_of_sight_is_not_walked_through(open_at: Open, quiet_page: Page) -> None:
    quiet_page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page = open_at("#/?tab=map")
    expect(page.get_by_role("application")).to_be_visible()
    before = page.evaluate("() => scrollY")
    for key in ("j", "j", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate("() => [scrollY, atlas.route.state.at]") == [before, None]


def test_gallery_and_table_hand_the_keyboard_on(open_at: Open) -> None:
    page = opened(open_at("#/?sort=number"))
    page.get_by_role("list", name="Experts").get_by_role("link", name="Expert 3:").focus()
    page.keyboard.press("g")
    expect(page.get_by_role("table", name="Experts").get_by_role("link", name="Expert 3:")).to_be_focused()
    page.keyboard.press("g")
    expect(page.get_by_role("list", name="Experts").get_by_role("link", name="Expert 3:")).to_be_focused()


def test_back_from_a_token_the_list_has_the_keyboard(open_at: Open) -> None:
    page = opened(open_at(""))
    page.evaluate("() => { location.hash = '#/token/the'; }")
    expect(page.get_by_role("heading", name=re.compile("the"), level=2)).to_be_visible()
    page.go_back()
    expect(page.locator("[data-gallery]")).to_be_focused()


def test_enter_opens_the_chosen_expert_once_its_card_has_scrolled_away(open_at: Open) -> None:
    page = opened(open_at("#/?sort=number"))
    page.keyboard.press("j")
    page.wait_for_function("() => atlas.route.state.at === 0")
    page.locator("[data-pane]").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile("^Expert 0 "), level=2)).to_be_visible()


def test_an_expert_that_is_opened_again_begins_at_its_top(open_at: Open) -> None:
    page = opened(open_at("#/?sort=number"))
    card = page.get_by_role("list", name="Experts").get_by_role("link", name="Expert 0:")
    for _ in range(2):
        card.click()
        heading = page.get_by_role("heading", name=re.compile("^Expert 0 "), level=2)
        expect(heading).to_be_focused()
        page.evaluate("() => scrollTo(0, 300)")
        page.get_by_role("link", name="All experts").click()
        expect(card).to_be_visible()


# --- how it is looked at ---


def test_links_of_the_page_lead_on_with_what_is_looked_at(open_at: Open) -> None:
    page = opened(open_at("#/?q=may"))
    token = page.locator("[data-suggestions] a").first
    expect(token).to_be_visible()
    links = [page.locator("[data-shows]").first, token, page.locator("[data-preview] a").first]
    page.get_by_role("button", name="Table").click()
    for link in links:
        expect(link).to_have_attribute("href", re.compile("view=table"))
    page.get_by_role("button", name="Gallery").click()
    for link in links:
        expect(link).not_to_have_attribute("href", re.compile("view=table"))


# --- what was typed ---


def test_a_note_that_cannot_be_saved_stays_as_it_was_typed(open_at: Open) -> None:
    page = open_at("#/expert/0")
    page.get_by_role("button", name="Write a note").click()
    page.evaluate("() => { atlas.marks.write = () => { throw new Error('no room is left'); }; }")
    field = page.get_by_role("textbox", name="Note on expert 0")
    field.fill("rings of months")
    field.blur()
    expect(page.get_by_role("alert").filter(has_text="no room is left")).to_be_visible()
    expect(field).to_have_value("rings of months")


def test_what_is_being_composed_is_left_alone(open_at: Open) -> None:
    page = opened(open_at(""))
    field = page.get_by_role("searchbox", name="Search experts")
    field.focus()
    field.evaluate(
        """field => {
          field.dispatchEvent(new CompositionEvent("compositionstart"));
          field.value = "に";
          field.dispatchEvent(new InputEvent("input", { isComposing: true, bubbles: true }));
        }"""
    )
    page.evaluate("() => atlas.marks.toggle(7)")
    page.wait_for_function("() => atlas.marks.starred.has(7)")
    painted(page)
    expect(field).to_have_value("に")
    field.evaluate("field => field.dispatchEvent(new CompositionEvent('compositionend'))")
    page.wait_for_function("() => atlas.route.state.q === 'に'")


# --- what comes by other ways ---


def test_a_cloud_that_another_part_asked_for_is_drawn(quiet_page: Page, site: Path) -> None:
    # All timers but the preview's come so late that the first frames are over and it has brought the clouds.
    quiet_page.add_init_script(
        """const later = setTimeout;
        globalThis.setTimeout = (act, after = 0, ...given) => later(act, after === 60 ? after : after + 600, ...given);"""
    )
    quiet_page.goto((site / "index.html").as_uri())
    quiet_page.wait_for_function(
        """() => [...document.querySelectorAll("[data-experts] canvas")].filter((canvas) => {
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return pixels.some((value) => value > 0);
        }).length > 30"""
    )


def test_a_link_that_was_dismissed_asks_again_when_it_is_opened_again(open_at: Open) -> None:
    page = opened(open_at(""))
    page.evaluate("() => { atlas.marks.toggle(3); globalThis.link = atlas.route.link({ marks: atlas.marks.link() }); }")
    page.evaluate("() => atlas.marks.toggle(3)")
    bar = page.locator("[data-brought]")
    for _ in range(2):
        page.evaluate("() => { location.hash = globalThis.link; }")
        expect(bar).to_be_visible()
        bar.get_by_role("button", name="Dismiss").click()
        expect(bar).to_be_hidden()
        expect(page).not_to_have_url(re.compile("marks="))
