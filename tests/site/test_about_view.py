from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]


def test_about_says_what_the_atlas_was_made_of_and_leads_back(open_at: Open) -> None:
    page = open_at("#/?order=1&sort=number")
    expect(page.get_by_role("heading", name="About this atlas")).to_be_hidden()
    page.get_by_role("link", name="About", exact=True).click()
    expect(page).to_have_url(re.compile(r"#/about\?order=1&sort=number$"))
    heading = page.get_by_role("heading", level=2, name="About this atlas")
    expect(heading).to_be_visible()
    expect(page.get_by_role("list", name="Experts")).to_be_hidden()
    for title in ("Model", "Dictionary", "Corpus", "Labelled tasks"):
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    expect(page.get_by_role("term").filter(has_text="Experts")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"Months \(12\)"))).to_be_visible()
    expect(page).to_have_title(re.compile("^About · "))
    page.get_by_role("link", name=re.compile("of 40 experts$")).click()
    expect(page.get_by_role("list", name="Experts")).to_be_visible()
    expect(page).to_have_url(re.compile(r"#/\?order=1&sort=number$"))
    expect(page.get_by_role("link", name="About", exact=True)).to_be_focused()


def test_about_is_a_column_of_text_at_every_width(open_at: Open) -> None:
    page = open_at("#/about")
    expect(page.get_by_role("heading", name="About this atlas")).to_be_visible()
    for width in (390, 720, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        widths = page.locator(".facts > *").evaluate_all("elements => elements.map(one => one.getBoundingClientRect().width)")
        assert max(widths) <= 720
