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
    page.get_by_role("button", name="Spin").click()
    expect(page.get_by_role("button", name="Spin")).to_have_attribute("aria-pressed", "true")
    page.locator("[data-scene]").focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Spin")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Select all in sight").click()
    expect(page.locator("[data-chosen]")).to_contain_text(re.compile(r"\d+ of \d+ points selected"))
