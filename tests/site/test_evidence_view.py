"""The evidence on an expert's page: contexts of any length with every firing marked, norms, places, labels, importance."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]

SHADE = "mark => Number(mark.style.getPropertyValue('--level'))"


def test_every_firing_of_a_context_is_marked_by_how_strong_it_is(open_at: Open) -> None:
    page = open_at("#/expert/9")
    first = page.get_by_role("group", name="Strongest").get_by_role("listitem").first
    expect(first.locator("mark[data-middle]")).to_have_count(1)
    assert first.locator("mark[data-middle]").evaluate(SHADE) == 1
    beside = page.locator("[data-contexts] mark[data-level]")
    expect(beside.first).to_be_attached()
    strengths = {
        mark["level"]: mark
        for mark in beside.evaluate_all(
            """marks => marks.map((mark) => ({
              level: mark.dataset.level, title: mark.title, line: getComputedStyle(mark).borderBottomStyle,
              share: Number(mark.style.getPropertyValue("--level"))
                / Number(mark.closest("li").querySelector("[data-middle]").style.getPropertyValue("--level")),
            }))"""
        )
    }
    assert {level: round(one["share"], 2) for level, one in strengths.items()} == {"1": 0.25, "2": 0.6, "3": 1.0}
    assert [strengths[level]["line"] for level in "123"] == ["dotted", "solid", "solid"]
    assert strengths["1"]["title"] == "fires here too, less than half as strongly"
    expect(page.locator("[data-contexts] > .note").last).to_contain_text("at most twelve to a side")


def test_as_much_context_is_shown_as_is_asked_for(open_at: Open) -> None:
    page = open_at("#/expert/0")
    first = page.get_by_role("group", name="Strongest").get_by_role("listitem").first
    reach = page.get_by_role("group", name="How much of each context")
    expect(reach.get_by_role("button", name="12 tokens")).to_have_attribute("aria-pressed", "true")
    marked, short = first.locator("mark").all_inner_texts(), first.locator(".context").inner_text()
    reach.get_by_role("button", name="24").press("Enter")
    passage = first.locator(".passage")
    expect(passage).to_be_visible()
    expect(reach.get_by_role("button", name="24")).to_be_focused()
    expect(page).to_have_url(re.compile("reach=24"))
    longer = passage.inner_text()
    reach.get_by_role("button", name="The whole window").click()
    expect(reach.get_by_role("button", name="The whole window")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function(
        "([element, text]) => element.textContent.length > text.length", arg=[passage.element_handle(), longer]
    )
    assert len(short) < len(longer) < len(passage.inner_text())
    # The same tokens are marked, the firing in bold, and nothing runs out of the page.
    assert first.locator("mark").all_inner_texts() == marked
    page.reload()
    expect(first.locator(".passage [data-middle]")).to_have_css("font-weight", "600")
    assert first.locator(".passage").inner_text().count("\u202e") == 0
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    reach.get_by_role("button", name="12 tokens").click()
    expect(first.locator(".passage")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("reach"))
    # A word that means something to the script, but is no reach.
    page.evaluate("location.hash = '#/expert/0?reach=constructor'")
    expect(reach.get_by_role("button", name="12 tokens")).to_have_attribute("aria-pressed", "true")
    expect(first.locator(".context")).to_have_text(short, use_inner_text=True)


def test_norms_places_labels_and_importance(open_at: Open) -> None:
    page = open_at("#/expert/0")
    norms = page.get_by_role("img", name=re.compile(r"^Norms from .* threshold 1$"))
    for name in ("threshold", "10\u202f%", "half", "90\u202f%"):
        expect(norms.get_by_text(name, exact=True)).to_be_visible()
    places = page.locator("[data-positions]").get_by_role("row")
    expect(places.nth(0)).to_have_text("Tokens into the windowRateFirings")
    expect(places.nth(1)).to_have_text(re.compile(r"^0[\d.]+\s%\d+$"))
    expect(places.nth(3)).to_have_text(re.compile(r"^2–3[\d.]+\s%\d+$"))
    expect(page.locator("[data-positions] .note")).to_contain_text("Special tokens are left out")
    importance = page.locator("[data-importance]").get_by_role("row")
    expect(importance.filter(has_text="Months")).to_have_text(re.compile(r"^Months[\d.]+\s%120$"))
    labels = page.get_by_role("region", name="Months, label by label").get_by_role("row")
    expect(labels.nth(1)).to_contain_text("January")
    # Less than nothing is a bar that is not filled.
    bars = page.evaluate(
        """async () => {
          const record = await atlas.records.open(atlas.columns.decoded(await atlas.payloads.load("atlas")), 0);
          const [table] = atlas.geometry.importance(record, { task: [0, 1], importance: [-0.02, 0.01], rows: [10, 20] });
          document.querySelector("[data-importance]").append(table);
          return [...table.querySelectorAll(".filled")].map((bar) => [bar.style.inlineSize, getComputedStyle(bar).borderTopStyle, bar.closest("tr").textContent.includes("−")]);
        }"""  # noqa: E501
    )
    assert bars == [["100%", "solid", True], ["50%", "none", False]]
    within = (
        labels.nth(1).locator(".within").evaluate("one => [one.style.insetInlineStart, one.style.inlineSize].map(parseFloat)")
    )
    assert within == pytest.approx([43, 14], abs=1)
    page.get_by_label("Order of the labels of Months").select_option("preference")
    preferences = [float(text.rstrip("↑↓")) for text in labels.locator("td:last-child").all_inner_texts()]
    assert preferences == sorted(preferences, reverse=True) and len(preferences) == 12


def test_a_score_says_what_may_be_said_and_which_condition_fails(open_at: Open) -> None:
    page = open_at("#/expert/0")
    claim = page.locator(".score .claim").first
    expect(claim).to_have_text(
        re.compile(r"^May be said: the order of the labels can be read from its code\. May not: that the model uses it\.")
    )
    expect(page.get_by_text("Ticks on the axes, from 0 to 1, are what is reached without any expert")).to_be_visible()
    page = open_at("#/expert/2")
    expect(page.locator(".score .claim").first).to_have_text(
        re.compile(r"^May not be said: that the order of the labels can be read from its code, for .*adjusted p 0\.\d+")
    )


def test_the_sections_are_a_press_away(open_at: Open) -> None:
    page = open_at("#/expert/0")
    ways = page.get_by_role("navigation", name="Findings")
    ways.get_by_role("button", name="Positions").press("Enter")
    heading = page.get_by_role("heading", name="Rate by position")
    expect(heading).to_be_focused()
    expect(heading).to_be_in_viewport()
    # The bar that stays in sight does not cover it.
    bottom = ways.bounding_box()["y"] + ways.bounding_box()["height"]  # type: ignore[index]
    assert heading.bounding_box()["y"] >= bottom  # type: ignore[index]
    expect(page).to_have_url(re.compile(r"#/expert/0$"))
    page = open_at("#/expert/3")
    expect(page.get_by_text("It fired on none")).to_be_visible()
    expect(ways.get_by_role("button")).to_have_text(["Neighbours"])


def test_neighbours_lead_to_two_experts_side_by_side(open_at: Open) -> None:
    page = open_at("#/expert/0")
    near = page.get_by_role("list", name="Output space").get_by_role("listitem").first
    link = near.get_by_role("link", name=re.compile(r"^Experts 0 and \d+ side by side$"))
    expect(link).to_have_attribute("href", re.compile(r"^#/beside/0/\d+"))
