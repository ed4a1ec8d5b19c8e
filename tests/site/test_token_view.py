from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from atlas.bake import bake
from atlas.bake.search import searched
from atlas.store import write_atlas
from synthetic import SPELLINGS, VOCABULARY, Size, synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]


@dataclass
class Firing:
    """What a page says of an expert that fires on a token."""

    share: float = 0.0
    base: float = 0.0
    count: int = 0
    sampled: int = 0

    @property
    def lift(self) -> float:
        return self.share / self.base


def firings(text: str) -> dict[int, Firing]:
    """Add up the table's rows whose token is the text once folded, by expert."""
    found: dict[int, Firing] = defaultdict(Firing)
    columns = synthetic_tables()["expert_tokens"]
    names = ("expert", "token", "count", "sampled", "share", "lift")
    for expert, token, count, sampled, share, lift in zip(*(columns[name] for name in names), strict=True):
        if searched(VOCABULARY[token]) == text:
            one = found[int(expert)]
            one.share, one.base = one.share + share, one.base + share / lift
            one.count, one.sampled = one.count + int(count), int(sampled)
    return dict(found)


def percent(share: float) -> str:
    """Two significant figures, as the page prints them."""
    shown = 100 * share
    digits = max(0, 1 - next(power for power in range(2, -9, -1) if shown >= 10**power))
    return f"{shown:.{digits}f}"


def rows(page: Page) -> list[list[str]]:
    return (
        page.get_by_role("table")
        .locator("tbody tr")
        .evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.textContent))")
    )


def experts(page: Page) -> list[int]:
    return [int(row[0].split()[0]) for row in rows(page)]


def test_a_tokens_page_has_the_experts_that_fire_on_it_with_their_figures(open_at: Open) -> None:
    # Two spellings of the word and one of its inside fold to this text.
    assert {searched(text) for text in SPELLINGS.values()} >= {"the"}
    wanted = firings("the")
    page = open_at("#/token/the")
    expect(page.get_by_role("heading", level=2, name="Experts that fire on “the”")).to_be_visible()
    expect(page.get_by_text(f"{len(wanted)} of 40 experts have it among the tokens kept")).to_be_visible()
    expect(page).to_have_title(re.compile("^“the” · "))
    shown = {int(row[0].split()[0]): row for row in rows(page)}
    assert shown.keys() == wanted.keys() and len(wanted) > 1
    for expert, one in wanted.items():
        z2, n = 1.959963984540054**2, one.sampled
        middle, reach = one.share + z2 / (2 * n), (z2 * one.share * (1 - one.share) / n + z2 * z2 / (4 * n * n)) ** 0.5
        low, high = (max(0.0, middle - reach) / (1 + z2 / n), (middle + reach) / (1 + z2 / n))
        assert shown[expert][1] == f"{percent(one.share)}\u202f% ({percent(low)}–{percent(high)})"
        assert float(shown[expert][2].replace(",", "")) == pytest.approx(one.lift, rel=6e-3)
        assert int(shown[expert][3]) == one.count


def test_it_is_sorted_by_its_header_both_ways(open_at: Open) -> None:
    wanted = firings("the")
    page = open_at("#/token/the")
    share = page.get_by_role("columnheader", name="Share (95 % interval)")
    expect(share).to_have_attribute("aria-sort", "descending")
    assert [wanted[expert].share for expert in experts(page)] == sorted((one.share for one in wanted.values()), reverse=True)
    page.get_by_role("button", name="Expert", exact=True).click()
    expect(share).to_have_attribute("aria-sort", "none")
    assert experts(page) == sorted(wanted)
    page.get_by_role("button", name="Expert", exact=True).press("Enter")
    expect(page.get_by_role("columnheader", name="Expert", exact=True)).to_have_attribute("aria-sort", "descending")
    assert experts(page) == sorted(wanted, reverse=True)
    page.get_by_role("button", name="Lift").click()
    lifts = [wanted[expert].lift for expert in experts(page)]
    assert lifts == pytest.approx(sorted(lifts, reverse=True), rel=1e-6)
    rate = dict(zip(*(synthetic_tables()["expert_stats"][name] for name in ("expert", "rate")), strict=True))
    page.get_by_role("button", name="Firing rate").click()
    rates = [rate[expert] for expert in experts(page)]
    assert rates == sorted(rates, reverse=True)


def test_its_links_keep_the_lists_filters(open_at: Open) -> None:
    page = open_at("#/token/the?order=1&sort=number")
    expert = experts_after_load(page)[0]
    page.get_by_role("link", name=re.compile(rf"^{expert}\b")).click()
    expect(page).to_have_url(re.compile(rf"#/expert/{expert}\?order=1&sort=number$"))
    page.go_back()
    expect(page.get_by_role("heading", level=2, name="Experts that fire on “the”")).to_be_visible()
    page.get_by_role("link", name="Search the list for “the”").click()
    expect(page).to_have_url(re.compile(r"#/\?q=the$"))
    expect(page.get_by_role("searchbox", name="Search experts")).to_have_value("the")
    # From that list the way back leads to just the same.
    page.get_by_role("link", name=re.compile("^“the” is a token")).click()
    assert experts_after_load(page)
    expect(page.get_by_role("navigation", name="Back to the list").get_by_role("link")).to_have_text(
        [re.compile("of 40 experts$")]
    )
    page.go_back()
    page.go_back()
    page.get_by_role("link", name=re.compile(r"of 40 experts$")).click()
    expect(page).to_have_url(re.compile(r"#/\?order=1&sort=number"))


def experts_after_load(page: Page) -> list[int]:
    expect(page.get_by_role("table").locator("tbody tr").first).to_be_visible()
    return experts(page)


def test_a_token_that_no_expert_has_is_said_to_be_none(open_at: Open) -> None:
    page = open_at("#/token/qwertz")
    expect(page.get_by_role("alert")).to_contain_text("No expert's listed tokens have this one")
    expect(page.get_by_role("table")).to_be_hidden()
    expect(page.get_by_role("link", name=re.compile("^Search the list"))).to_be_hidden()
    page.get_by_role("link", name="All experts").click()
    expect(page.get_by_role("list", name="Experts")).to_be_visible()


HOSTILE = {
    "\u200b": "U+200B",
    "\u202e": "U+202E",
    "<img src=x onerror=alert(1)>": "<img src=x onerror=alert(1)>",
    " 👩\u200d🔬": "👩\u200d🔬",
    "__proto__": "__proto__",
    "&amp;": "&amp;",
    "\\": "\\",
}
"""Tokens, and how the heading shows them."""


def test_a_hostile_token_is_shown_by_name_and_as_text(open_at: Open) -> None:
    page = open_at("#/")
    heading = page.get_by_role("heading", level=2)
    for token, shown in HOSTILE.items():
        wanted = firings(searched(token))
        assert wanted, token
        page.evaluate("token => atlas.route.set({ token })", searched(token))
        expect(heading).to_have_text(f"Experts that fire on “{shown}”")
        expect(page.get_by_role("table").locator("tbody tr")).to_have_count(len(wanted))
    page.reload()  # the address names it too
    expect(heading).to_have_text("Experts that fire on “\\”")
    assert sorted(experts_after_load(page)) == sorted(wanted)


def test_many_experts_stand_in_the_page_when_they_are_asked_for(quiet_page: Page, tmp_path: Path) -> None:
    size = Size(experts=240, points=2, windows=1, month_templates=5, number_templates=1)
    tables: dict[str, dict[str, Any]] = synthetic_tables(size=size)
    # Every expert that fires at all has one token in common.
    tokens = tables["expert_tokens"]
    tokens["token"] = [1 if rank == 0 else token for rank, token in zip(tokens["rank"], tokens["token"], strict=True)]
    write_atlas(tmp_path / "atlas.duckdb", tables)
    site = bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder
    quiet_page.goto((site / "index.html").as_uri() + f"#/token/{searched(VOCABULARY[1])}")
    firing = len({int(expert) for expert in tokens["expert"]})
    body = quiet_page.get_by_role("table").locator("tbody tr")
    assert firing > 200
    expect(body).to_have_count(200)
    quiet_page.get_by_role("button", name=f"Show all {firing}").click()
    expect(body).to_have_count(firing)
    expect(body.nth(200).get_by_role("link")).to_be_focused()
    expect(quiet_page.get_by_role("button", name="Show all")).to_be_hidden()


def test_on_a_phone_nothing_but_the_table_runs_off_the_side(open_at: Open) -> None:
    page = open_at("#/token/the")
    page.set_viewport_size({"width": 390, "height": 800})
    assert experts_after_load(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
