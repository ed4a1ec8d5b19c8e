from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]


def test_about_leads_to_the_line_that_builds_it_again_and_back(open_at: Open) -> None:
    page = open_at("#/about?sort=number")
    page.get_by_role("link", name="how to build it again").click()
    expect(page.get_by_role("heading", name="Provenance", exact=True)).to_be_focused()
    expect(page).to_have_title(re.compile("^Provenance · "))
    expect(page.get_by_text("OMP_NUM_THREADS=2 atlas build --checkpoint checkpoint --model tiny-synthetic")).to_be_visible()
    expect(page.get_by_text("atlas verify site --db work/atlas.duckdb")).to_be_visible()
    page.get_by_role("link", name=re.compile("of 40 experts$|^All experts$")).click()
    expect(page.get_by_role("list", name="Experts")).to_be_visible()
    expect(page).to_have_url(re.compile(r"#/\?sort=number$"))


def test_a_hash_is_shown_short_and_copied_whole_by_the_keyboard(open_at: Open) -> None:
    page = open_at("#/provenance")
    hash = page.get_by_role("button", name="Copy the hash of checkpoint/sae_weights.safetensors")
    expect(hash).to_have_text("444444444444…")
    hash.focus()
    page.keyboard.press("Enter")
    # Where the clipboard is refused the whole of it stands there to be copied.
    expect(page.get_by_role("status").filter(has_text="4" * 64)).to_be_visible()


def test_lines_are_copied_as_they_are_typed(open_at: Open) -> None:
    page = open_at("#/provenance")
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.written = text; }")
    page.get_by_role("button", name="Copy the line").click()
    line = page.evaluate("window.written")
    assert line == page.locator("[data-line]").inner_text()
    assert line.startswith("OMP_NUM_THREADS=2 atlas build ") and "\n" not in line


def test_it_is_a_column_at_every_width(open_at: Open) -> None:
    page = open_at("#/provenance")
    expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_visible()
    for width in (390, 720, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
