"""A reader's way through the atlas, from a word to a link that a colleague opens."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from frames import painted
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]

# What is drawn, which is not what Plotly was last asked for.
DRAWN = "document.querySelector('[data-page=\"expert\"] .js-plotly-plot')._fullLayout.scene._scene.glplot.camera.eye"
CAMERA = "document.querySelector('[data-page=\"expert\"] .js-plotly-plot')._fullLayout.scene.camera.eye"


def test_from_a_word_to_a_link_that_shows_the_same(open_at: Open, browser: Browser) -> None:
    page = open_at("")
    # From "months" to the experts of which an order is supported …
    page.get_by_role("searchbox", name="Search experts").fill("months")
    page.get_by_role("checkbox", name=re.compile("Supported order|Order supported", re.I)).check()
    experts = page.get_by_role("list", name="Experts")
    expect(page.locator("[data-count]")).to_have_text(re.compile(r"^8 of 40"))
    experts.get_by_role("link", name=re.compile(r"^Expert \d+: Months, in order")).first.click()
    expert = page.locator('[data-page="expert"]')
    expect(expert.get_by_role("heading", level=2)).to_contain_text("Months, in order")
    expect(expert.locator("[data-scores]")).to_contain_text("order supported")
    expect(expert.locator("[data-drawn]")).to_contain_text("joined in label order")
    # … to its labels, and what a number there means …
    labels = expert.locator("[data-labels]")
    expect(labels.get_by_role("row", name=re.compile("^September"))).to_be_visible()
    labels.get_by_role("button", name="Lift").first.press("d")
    definition = page.get_by_role("dialog", name="Lift")
    expect(definition).to_contain_text("corpus rate")
    page.keyboard.press("Escape")
    expect(definition).to_be_hidden()
    # … to a neighbour …
    near = expert.get_by_role("list", name="Output space").get_by_role("listitem").first.get_by_role("link").first
    number = re.search(r"\d+", near.get_attribute("aria-label") or "")
    assert number
    near.click()
    expect(expert.get_by_role("heading", level=2)).to_contain_text(f"Expert {number[0]}")
    # … seen along an axis, by norm, with one firing pinned …
    expect(expert.locator("[data-scene]")).to_have_attribute("data-ready", "", timeout=20_000)
    expert.get_by_role("button", name="Look along axis 2").click()
    expect(page).to_have_url(re.compile("camera=2"))
    by_position = expert.locator("[data-colour] option", has_text="position").first.get_attribute("value")
    expert.get_by_label("Colour by").select_option(by_position)
    expect(expert.locator("[data-drawn]")).to_contain_text("coloured by position")
    painted(page)
    assert page.evaluate(DRAWN)[1] > 1.5
    expert.locator("[data-scene]").press(".")
    expert.locator("[data-scene]").press("Enter")
    pinned = expert.locator("[data-pinned]")
    expect(pinned).to_contain_text("norm")
    expect(page).to_have_url(re.compile("pin="))
    painted(page)
    here = page.url
    said, drawn = pinned.inner_text(), expert.locator("[data-drawn]").inner_text()
    # … to a link, opened by somebody else.
    context = browser.new_context(offline=True)
    try:
        theirs = context.new_page()
        theirs.goto(here)
        opened = theirs.locator('[data-page="expert"]')
        expect(opened.locator("[data-scene]")).to_have_attribute("data-ready", "", timeout=20_000)
        expect(opened.locator("[data-pinned]")).to_have_text(said, use_inner_text=True)
        expect(opened.locator("[data-drawn]")).to_have_text(drawn, use_inner_text=True)
        eye = theirs.evaluate(CAMERA)
        assert eye["y"] > 1.5 and abs(eye["x"]) < 0.01 and abs(eye["z"]) < 0.01
        assert theirs.get_by_label("Colour by").input_value() == page.get_by_label("Colour by").input_value()
    finally:
        context.close()
