"""What a cloud is coloured by, and its key. Flat pictures are asked for: in them a colour can be counted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from atlas.bake import bake
from atlas.store import write_atlas
from synthetic import MONTHS, Size, synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
DOTS = """paths => Object.fromEntries(paths.map((path) => [
  path.getAttribute("stroke"), path.getAttribute("d").split("h.01").length - 1,
]))"""
POINTS = "[data-panel]:first-child path[stroke-opacity]"
COLOURED = """async ({ of, way }) => {
  const manifest = atlas.columns.decoded(await atlas.payloads.load("atlas"));
  const task = manifest.tasks.find(({ name }) => name === of.task);
  const columns = ["norm", "importance", "position", "document", "template"];
  const read = Object.fromEntries(columns.map((name) => [name, (at) => of[name]?.[at] ?? NaN]));
  const points = {
    ...read, task, count: of.count, isLabelled: task.kind === "labelled",
    label: (at) => of.label[at], context: (at) => ({ firing: of.token[at] }),
  };
  const made = atlas.colouring.of(points, way, manifest);
  return { axis: made.axis, entries: made.entries, colours: made.colours("light"), palette: manifest.colours.light };
}"""
"""What a way makes of points that are given column by column."""


@pytest.fixture(scope="module")
def many_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked atlas of all kinds of tasks, one of which has a name that ends like a way to colour."""
    root = tmp_path_factory.mktemp("coloured")
    tables = synthetic_tables(size=Size(experts=8, points=60, more_tasks=True))
    tables["tasks"]["name"][3] = "parts:norm"
    write_atlas(root / "atlas.duckdb", tables)
    return bake(root / "atlas.duckdb", root / "site").folder


@pytest.fixture
def open_many(quiet_page: Page, many_tasks: Path) -> Open:
    """Opens that atlas at an address after the #."""

    def at(route: str = "") -> Page:
        quiet_page.goto((many_tasks / "index.html").as_uri() + route)
        return quiet_page

    return at


def picture(page: Page) -> Locator:
    place = page.locator("[data-projections]")
    expect(place).to_have_attribute("data-ready", "", timeout=20_000)
    return place


def dots(page: Page) -> dict[str, int]:
    """Return how many points of the first panel have each colour."""
    return dict(picture(page).locator(POINTS).evaluate_all(DOTS))


def told(page: Page, way: str, **of: Any) -> dict[str, Any]:
    count = len(next(column for name, column in of.items() if name != "task"))
    return dict(page.evaluate(COLOURED, {"of": {"count": count, **of}, "way": way}))


def test_the_key_counts_what_is_drawn_and_isolates_and_hides_it(open_many: Open) -> None:
    page = open_many("#/expert/0?colour=months&flat=1")
    first = dots(page)
    key = page.get_by_role("list", name="Key: Months")
    named = key.locator("[data-only]")
    assert [re.sub(r"\d+$", "", text) for text in named.all_text_contents()] == [month for month in MONTHS]
    counted = [int(text) for text in key.locator("[data-only] .amount").all_text_contents()]
    assert sorted(first.values()) == sorted(counted) and sum(counted) > 12

    january = named.filter(has_text="January")
    january.click()
    expect(page).to_have_url(re.compile("only=January"))
    expect(january).to_have_attribute("aria-pressed", "true")
    isolated = dots(page)
    # What is filtered out stays, in the colour of lines.
    assert sorted(isolated.values()) == sorted([counted[0], sum(counted) - counted[0]])
    kept = next(colour for colour, count in isolated.items() if colour in first)
    assert isolated[kept] == first[kept] == counted[0]
    page.reload()
    assert dots(page) == isolated
    key.get_by_role("button", name="Show all").click()
    expect(page).not_to_have_url(re.compile("only="))

    # The same by keyboard: down to May, across to what hides it.
    january.focus()
    for key_pressed in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key_pressed)
    expect(page.get_by_role("button", name="Hide May")).to_be_focused()
    expect(page).to_have_url(re.compile("without=May"))
    hidden = dots(page)
    assert sum(hidden.values()) == sum(counted) and len(hidden) == 12
    assert hidden[next(colour for colour in hidden if colour not in first)] == counted[4]
    # Another colouring has another key.
    page.get_by_label("Colour by").select_option("norm, on Months")
    expect(page).to_have_url(re.compile("colour=months:norm"))
    expect(page).not_to_have_url(re.compile("without="))
    expect(page.locator("[data-key]")).to_contain_text("norm (of the code)")


def test_a_label_has_one_colour_everywhere_and_an_address_says_which_way(open_many: Open) -> None:
    page = open_many("#/expert/0?colour=months&flat=1")
    of_one = set(dots(page))
    page = open_many("#/expert/2?colour=months&flat=1")
    assert set(dots(page)) == of_one
    # Of a name with a colon all is the name, unless a way follows the last one.
    page = open_many("#/expert/2?colour=parts:norm&flat=1")
    picture(page)
    expect(page.get_by_label("Colour by")).to_have_value("parts:norm")
    expect(page.locator("[data-drawn]")).to_contain_text("at the labels of Body parts.")
    page = open_many("#/expert/2?colour=parts:norm:norm&flat=1")
    picture(page)
    expect(page.locator("[data-drawn]")).to_contain_text("at the labels of Body parts, coloured by norm.")
    # A way that the task has not is the task's own.
    page = open_many("#/expert/2?colour=months:token&flat=1")
    picture(page)
    expect(page.get_by_label("Colour by")).to_have_value("months")


def test_every_way_draws_all_points(open_many: Open) -> None:
    page = open_many("#/expert/0?flat=1")
    picture(page)
    ways = page.locator("[data-colour] option")
    values = [
        option.get_attribute("value") for option in ways.all() if not (option.get_attribute("value") or "").startswith("newline")
    ]
    assert {
        "synthetic:document",
        "months:season",
        "months:cyc_12m",
        "numbers:linear",
        "cells:lineage.2",
        "cells:template",
    } <= set(values)
    assert "cells:position" not in values  # its rows are no text
    for value in values:
        page.locator("[data-projections]").evaluate("picture => picture.removeAttribute('data-ready')")
        page.get_by_label("Colour by").select_option(value=value)
        drawn = sum(dots(page).values())
        firings = page.locator("[data-drawn]").inner_text().split()[0]
        assert drawn == int(firings), value


def test_numbers_have_an_axis_and_what_is_not_measured_is_counted(open_many: Open) -> None:
    page = open_many()
    numbers = told(page, "linear", task="numbers", label=[0, 50, 99], norm=[1, 2, 3])
    ramp = numbers["palette"]["ramp"]
    assert numbers["colours"] == [ramp[0], ramp[16], ramp[-1]]
    assert [tick["text"] for tick in numbers["axis"]["ticks"]] == ["0", "20", "40", "60", "80"]
    assert numbers["axis"]["ticks"][1]["at"] == pytest.approx(20 / 99)
    assert numbers["axis"]["title"] == "linear (the number itself)"

    # December is beside January on the ring, June opposite of it.
    ring = told(page, "cyc_12m", task="months", label=[0, 11, 6], norm=[1, 2, 3])
    at = [ring["palette"]["cycle"].index(colour) for colour in ring["colours"]]
    assert min((at[0] - at[1]) % 32, (at[1] - at[0]) % 32) in (2, 3) and (at[2] - at[0]) % 32 == 16
    assert 3 <= len(ring["axis"]["ticks"]) <= 5 and {tick["text"] for tick in ring["axis"]["ticks"]} < set(MONTHS)

    signed = told(page, "importance", task="synthetic", importance=[-0.2, 0.2, 0.1, None, -1e-9])
    assert signed["axis"]["low"] == -signed["axis"]["high"]
    low, high, middle, unknown, zero = signed["colours"]
    assert len({low, high, middle, unknown, zero}) == 5 and unknown == signed["palette"]["none"]
    assert [(one["text"], one["count"]) for one in signed["entries"]] == [("not measured", 1)]
    assert 0.5 in [tick["at"] for tick in signed["axis"]["ticks"]]

    position = told(page, "position", task="synthetic", position=[3, 5, 7])
    assert all("." not in tick["text"] for tick in position["axis"]["ticks"])


def test_tokens_documents_and_quarters_are_told_apart(open_many: Open) -> None:
    page = open_many()
    tokens = [f"t{at}" for at in range(12) for _ in range(20 - at)]
    made = told(page, "token", task="synthetic", token=tokens)
    shown = {entry["text"]: entry["count"] for entry in made["entries"]}
    assert list(shown)[:2] == ["t0", "t1"] and shown["t9"] == 11
    assert shown["2 other tokens"] == 10 + 9
    assert made["colours"][-1] == made["palette"]["none"] and made["colours"][0] == made["palette"]["categories"][0]

    alone = told(page, "token", task="synthetic", token=tokens[: -(9 + 1)])
    assert [entry["count"] for entry in alone["entries"] if entry["text"] == "1 other token"] == [9]

    documents = told(page, "document", task="synthetic", document=[7, 7, 8])
    assert [(entry["text"], entry["count"]) for entry in documents["entries"] if entry["count"]] == [
        ("document 7", 2),
        ("document 8", 1),
    ]

    quarters = told(page, "band", task="synthetic", norm=[4, 1, 3, 2, 8, 5, 7, 6])
    assert [entry["count"] for entry in quarters["entries"]] == [2, 2, 2, 2]
    assert quarters["entries"][0]["text"] == "Highest quarter by norm" and quarters["colours"][4] == quarters["colours"][6]
