"""The cloud of an expert with its controls: what is kept in the address, what is joined, and what is passed on."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from frames import painted
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
READY = "[data-scene][data-ready], [data-projections][data-ready]"
SVG = "{http://www.w3.org/2000/svg}"
POINTS = """async ({ expert, task }) => {
  const manifest = atlas.columns.decoded(await atlas.payloads.load("atlas"));
  const record = await atlas.records.open(manifest, manifest.experts.expert.indexOf(expert));
  const points = await record.points(task);
  const away = (axis, at, place) => (points[axis][at] - points.origin[place]) * points.unit;
  return Array.from({ length: points.count }, (_, at) => [away("x", at, 0), away("y", at, 1), away("z", at, 2), points.norm(at)]);
}"""
COPIED = "Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (text) => { window.copied = text; } } })"
REFUSED = "Object.defineProperty(navigator, 'clipboard', { value: { writeText: () => Promise.reject(new Error('no')) } })"


def ready(page: Page) -> Page:
    page.locator(READY).first.wait_for(timeout=20_000)
    return page


def saved(page: Page, kind: str) -> tuple[str, bytes]:
    """Return the name and the bytes of what a button saves."""
    with page.expect_download() as download:
        page.get_by_role("group", name="Pass it on").get_by_role("button", name=kind).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_link_opens_the_same_view_elsewhere(open_at: Open, browser: Browser, site: Path) -> None:
    page = ready(open_at("#/expert/0"))
    page.get_by_label("Colour by").select_option("season, on Months")
    page.get_by_role("list", name="Key: season").get_by_role("button", name=re.compile("^winter")).click()
    page.get_by_role("button", name="Look along axis 3").click()
    expect(page).to_have_url(re.compile("camera=3"))
    page.locator("[data-scene]").focus()
    page.keyboard.press(".")
    page.keyboard.press("Enter")
    pinned = page.locator("[data-pinned]")
    expect(pinned).to_contain_text("norm")
    expect(page).to_have_url(re.compile("pin="))
    told = pinned.inner_text()
    # Where the clipboard is forbidden the link stands there to be copied.
    page.evaluate(REFUSED)
    page.get_by_role("button", name="Copy link").click()
    field = page.get_by_label("The address of this view")
    expect(field).to_be_focused()
    link = field.input_value()
    assert link == page.url

    context = browser.new_context()
    other = context.new_page()
    other.goto(link)
    ready(other)
    expect(other.get_by_label("Colour by")).to_have_value("months:season")
    expect(other.get_by_role("button", name=re.compile("^winter"))).to_have_attribute("aria-pressed", "true")
    expect(other.locator("[data-pinned]")).to_have_text(told, use_inner_text=True)
    assert other.url == link
    context.close()


def test_labels_are_joined_where_order_is_supported_and_elsewhere_on_request(open_at: Open) -> None:
    page = ready(open_at("#/expert/0?flat=1"))
    expect(page.locator("[data-drawn]")).to_contain_text("large marks are class means, joined in label order.")
    expect(page.get_by_label("Join in label order")).to_be_hidden()
    page = ready(open_at("#/expert/2?flat=1"))
    caption = page.locator("[data-drawn]")
    expect(caption).to_contain_text("Order not supported, so they are not joined.")
    line = page.locator("[data-panel]:first-child path[stroke-width='1.5']")
    expect(line).to_have_count(0)
    page.get_by_label("Join in label order").check()
    expect(line).to_have_count(1)
    expect(caption).to_contain_text("joined in label order: order not supported.")
    # Of a cycle the line comes round.
    assert (line.get_attribute("d") or "").endswith("Z")
    expect(page).to_have_url(re.compile("join=1"))
    page.reload()
    expect(line).to_have_count(1)


def test_an_expert_is_taken_away_as_data(open_at: Open) -> None:
    page = ready(open_at("#/expert/0?colour=months&flat=1"))
    name, table = saved(page, "CSV")
    assert name == "expert-0-months.csv"
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    assert list(rows[0]) == "task label x y z norm position document template importance context".split()
    months = [row for row in rows if row["task"] == "months"]
    points = np.array(page.evaluate(POINTS, {"expert": 0, "task": 1}))
    read = np.array([[float(row[column]) for column in ("x", "y", "z", "norm")] for row in months])
    np.testing.assert_allclose(read, points, rtol=1e-5, atol=1e-6)
    assert all(row["label"] in row["context"] and row["template"] != "" and row["document"] == "" for row in months)
    corpus = [row for row in rows if row["task"] == "synthetic"]
    assert len(corpus) == 120 and all(row["document"] != "" and row["label"] == "" for row in corpus)

    name, text = saved(page, "JSON")
    told = json.loads(text)
    assert name == "expert-0-months.json" and told["expert"] == 0 and told["title_task"] == "months"
    assert told["address"] == page.url and told["sayings"]
    ring = next(row for row in told["scores"] if row["task"] == "months" and row["order_supported"])
    assert ring["hypothesis"] == "12-month ring" and ring["all_rows"] == pytest.approx(0.55, abs=0.01)
    assert {"task": "months", "label": "September"}.items() <= next(
        r for r in told["labels"] if r["label"] == "September"
    ).items()
    contexts = told["corpora"][0]["contexts"]
    assert contexts[0]["stratum"] == "top" and len(contexts[0]["text"]) > 20
    assert re.fullmatch("[0-3]{24}", contexts[0]["around"])
    assert set(told["corpora"][0]["positions"][0]) == {"lower", "upper", "firings", "rate"}
    assert len(told["gate"]["matrix"]) == 6 and told["gate"]["threshold"] > 0
    assert all(set(row) >= {"expert", "value"} for row in told["neighbours"]["output"])


def test_an_expert_is_taken_away_as_pictures(open_at: Open) -> None:
    page = ready(open_at("#/expert/0?colour=months"))
    name, png = saved(page, "PNG")
    assert name == "expert-0-months.png" and png.startswith(b"\x89PNG") and len(png) > 10_000
    name, text = saved(page, "SVG")
    assert name == "expert-0-months.svg"
    root = ElementTree.fromstring(text)
    words = ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]
    assert root.findtext(f"{SVG}title") == "Cloud of expert 0, coloured by Months"
    assert page.url in words and any(word.startswith("January · ") for word in words) and "March" in words
    # Nothing in it is looked up elsewhere.
    assert b"var(" not in text and b"class=" not in text and b"href" not in text
    page.get_by_role("button", name="Flat").click()
    expect(page.locator("[data-projections]")).to_be_visible()
    name, png = saved(page, "PNG")
    assert png.startswith(b"\x89PNG") and len(png) > 10_000


def test_the_scene_is_recoloured_where_it_stands(open_at: Open) -> None:
    page = ready(open_at("#/expert/0?colour=months"))
    page.get_by_role("button", name="Look along axis 1").click()
    expect(page).to_have_url(re.compile("camera=1"))
    page.get_by_label("Colour by").select_option("norm, on Months")
    expect(page.locator("[data-drawn]")).to_contain_text("coloured by norm")
    expect(page).to_have_url(re.compile("camera=1"))
    page.get_by_role("button", name="Reset view").click()
    expect(page).not_to_have_url(re.compile("camera="))
    spin = page.get_by_role("button", name="Spin")
    spin.click()
    expect(spin).to_have_attribute("aria-pressed", "true")
    # A link says how it is seen now, though it is turning.
    page.evaluate(COPIED)
    painted(page, 5)
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("[data-passed]")).to_have_text("Copied.")
    assert re.search(r"camera=-?\d", page.evaluate("copied"))
    page.locator("[data-scene]").focus()
    page.keyboard.press("Escape")
    expect(spin).to_have_attribute("aria-pressed", "false")
    # The view that it began to spin from is asked for again.
    page.keyboard.press("1")
    expect(page).to_have_url(re.compile("camera=1"))
    spin.click()
    page.get_by_role("button", name="Look along axis 1").click()
    expect(spin).to_have_attribute("aria-pressed", "false")


def test_what_is_open_stays_and_the_keyboard_goes_on(open_at: Open) -> None:
    page = ready(open_at("#/expert/0?colour=months:nope&task=months"))
    expect(page.get_by_label("Colour by")).to_have_value("months")
    scene = page.locator("[data-scene]")
    # A turn of the cloud leaves what is open below it.
    shape = page.locator("[data-shape] details").first
    shape.locator("summary").click()
    page.get_by_role("button", name="Look along axis 1").click()
    expect(page).to_have_url(re.compile("camera=1"))
    expect(shape).to_have_attribute("open", "")
    # So does a pin with the list of selected points …
    page.get_by_role("button", name="Select all in sight").click()
    chosen = page.locator("[data-chosen]")
    expect(chosen).to_contain_text(re.compile(r"\d+ of \d+ points selected"))
    chosen.get_by_role("button", name=re.compile("^50 more")).click()
    last = chosen.get_by_role("button", name=re.compile("^Pin the point")).nth(40)
    last.press("Enter")
    expect(page.locator("[data-pinned]")).to_contain_text("norm")
    expect(last).to_be_focused()
    page.get_by_role("button", name="Unpin").press("Enter")
    expect(page.locator("[data-pinned]")).to_be_hidden()
    expect(scene).to_be_focused()
    # … and another scheme, which reaches a scene that is out of sight.
    page.evaluate("location.hash = '#/about'")
    expect(scene).to_be_hidden()
    page.get_by_role("button", name="Switch between light and dark").click()
    page.go_back()
    page.wait_for_function("document.querySelector('[data-page=expert] .space')._fullLayout.font.color === '#e6e8ea'")
    expect(last).to_be_visible()
    chosen.get_by_role("button", name="Clear").press("Enter")
    expect(chosen).to_be_hidden()
    expect(scene).to_be_focused()
    key = page.get_by_role("list", name="Key: Months")
    key.get_by_role("button", name=re.compile("^March")).click()
    key.get_by_role("button", name="Show all").press("Enter")
    expect(page).not_to_have_url(re.compile("only="))
    expect(key.get_by_role("button", name=re.compile("^January"))).to_be_focused()
    # The tool is the same in the flat view.
    select = page.get_by_role("button", name="Select", exact=True)
    select.click()
    page.get_by_role("button", name="Flat").click()
    expect(page.locator("[data-projections]")).to_have_attribute("data-tool", "select")
    select.click()
    page.get_by_role("button", name="Flat").click()
    expect(scene).to_be_visible()
    expect(scene.locator(".selects")).to_have_count(0)
    expect(select).to_have_attribute("aria-pressed", "false")
