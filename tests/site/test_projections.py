"""Clouds as projections on their axes: where WebGL is missing, and where a reader wants them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frames import point_out
from playwright.sync_api import Locator, Page, expect

from atlas.bake import bake
from atlas.store import write_atlas
from synthetic import Size, synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
PANELS = """panels => panels.map((panel) => [...panel.querySelectorAll("circle:not([fill=none])")].map((mark) => [
  Number(mark.getAttribute("cx")), Number(mark.getAttribute("cy")),
]))"""
"""Where class means are drawn, by panel."""
GIVEN = """async ({ expert, task }) => {
  const manifest = atlas.columns.decoded(await atlas.payloads.load("atlas"));
  const record = await atlas.records.open(manifest, manifest.experts.expert.indexOf(expert));
  const points = await record.points(task);
  const { means, origin, unit } = points;
  const gate = record.data.gate?.matrix ? atlas.views.gate(points, record.data.gate) : null;
  const plain = ({ x, y, z }) => [x, y, z].map((axis) => Array.from(axis));
  const seen = gate && { ...gate, xyz: plain(gate), means: plain(gate.means) };
  return { means: plain(means), xyz: plain(points), origin, unit, gate: record.data.gate, seen };
}"""
BOXES = """names => names.map((name) => {
  const { left, right, top, bottom } = name.getBoundingClientRect();
  return [left, right, top, bottom];
})"""


def drawn(page: Page) -> Locator:
    place = page.locator("[data-projections]")
    expect(place).to_have_attribute("data-ready", "", timeout=20_000)
    return place


def given(page: Page, expert: int, task: int) -> dict[str, Any]:
    return dict(page.evaluate(GIVEN, {"expert": expert, "task": task}))


def scale(px: np.ndarray, steps: np.ndarray) -> float:
    """Return the px to a step of places on a line of px, which they must fit to a rounded px."""
    slope, start = np.polyfit(steps, px, 1)
    assert np.abs(slope * steps + start - px).max() < 0.1
    return float(slope)


@pytest.fixture
def without_plotly(without_webgl: Page) -> Page:
    """A page without WebGL that fails its test if Plotly is loaded."""
    asked: list[str] = []
    without_webgl.on("request", lambda request: asked.append(request.url) if "plotly" in request.url else None)
    without_webgl.asked = asked  # type: ignore[attr-defined]
    return without_webgl


def test_without_webgl_three_projections_of_one_scale_are_drawn(without_plotly: Page, open_at: Open) -> None:
    page = open_at("#/expert/0")
    expect(page.get_by_role("group", name=re.compile("Cloud of expert 0, coloured by Months"))).to_be_visible()
    panels = np.array(drawn(page).locator("[data-panel]").evaluate_all(PANELS))
    assert panels.shape == (3, 12, 2)
    x, y, z = (np.array(axis) for axis in given(page, 0, 1)["means"])
    for panel, across, up in zip(panels, (x, z, x), (y, y, z), strict=True):
        # Up is up, and a step is as long this way as that.
        assert scale(panel[:, 0], across) == pytest.approx(-scale(panel[:, 1], up), rel=0.01)
    assert scale(panels[0, :, 0], x) == pytest.approx(scale(panels[2, :, 0], x), rel=1e-3)
    expect(page.get_by_role("button", name="Flat")).to_be_hidden()
    expect(page.get_by_role("button", name="Look along axis 1")).to_be_hidden()
    # Everything else is there to be read.
    expect(page.get_by_role("group", name="Strongest")).to_be_visible()
    page.get_by_role("link", name=re.compile("Next")).click()
    drawn(page)
    assert without_plotly.asked == []  # type: ignore[attr-defined]


@pytest.mark.usefixtures("without_webgl")
def test_points_are_told_pinned_and_selected_by_pointer_and_by_keyboard(open_at: Open) -> None:
    page = open_at("#/expert/0")
    picture, tip = drawn(page), page.locator("[data-tip]")
    box = picture.bounding_box()
    assert box
    first = picture.locator("path[stroke-opacity]").first.get_attribute("d") or ""
    places = [(box["x"] + float(x), box["y"] + float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)", first)]
    point_out(page, places[:1])
    expect(tip.locator("mark")).to_have_text(re.compile("January"))
    # Ringed in every panel.
    expect(picture.locator(".ring")).to_have_count(3)
    page.mouse.click(*places[0])
    pinned = page.locator("[data-pinned]")
    expect(pinned).to_contain_text(re.compile(r"Pinned\s*January · norm"))
    expect(page).to_have_url(re.compile(r"pin=\d+"))
    page.reload()
    expect(pinned).to_contain_text("January · norm")
    pinned.get_by_role("button", name="Unpin").click()
    expect(pinned).to_be_hidden()
    expect(page).not_to_have_url(re.compile("pin="))

    # The strongest first.
    picture.focus()
    page.keyboard.press(".")
    expect(page.locator("[data-told]")).to_contain_text("norm")
    strongest = float(re.findall(r"norm ([\d.]+)", tip.inner_text())[0])
    page.keyboard.press(".")
    assert float(re.findall(r"norm ([\d.]+)", tip.inner_text())[0]) <= strongest
    page.keyboard.press("Enter")
    expect(pinned).to_be_visible()
    page.keyboard.press("Escape")
    expect(pinned).to_be_hidden()

    # A box round the first panel's upper half.
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 240, box["y"] + 150, steps=3)
    page.mouse.up()
    chosen = page.locator("[data-chosen]")
    expect(chosen).to_contain_text(re.compile(r"\d+ of \d+ points selected"))
    n = int(chosen.locator("b").first.inner_text().split()[0])
    assert 0 < n < 100
    expect(chosen.locator("li")).to_have_count(min(n, 10))
    chosen.get_by_role("button", name="Clear").click()
    expect(chosen).to_be_hidden()
    picture.focus()
    page.keyboard.press("s")
    expect(chosen.locator("li")).to_have_count(10)
    chosen.get_by_role("button", name=re.compile("more of")).click()
    expect(chosen.locator("li")).to_have_count(60)

    # A pinned point is not looked for in a cloud that has fewer.
    page.evaluate("atlas.route.adjust({ pin: '113' })")
    expect(pinned).to_be_visible()
    page.evaluate("atlas.route.adjust({ pin: null, colour: 'numbers' })")
    expect(page.locator("[data-drawn]")).to_contain_text("15")
    expect(pinned).to_be_hidden()
    expect(picture.locator(".ring")).to_have_count(0)


@pytest.mark.usefixtures("without_webgl")
def test_no_name_lies_over_another(open_at: Open, quiet_page: Page) -> None:
    quiet_page.set_viewport_size({"width": 390, "height": 844})
    page = open_at("#/expert/2")
    panels = drawn(page).locator("[data-panel]")
    for panel in panels.all():
        boxes = panel.locator("[data-name]").evaluate_all(BOXES)
        assert 1 < len(boxes) <= 12
        for at, (left, right, top, bottom) in enumerate(boxes):
            assert left >= 0 and right <= 390
            assert not any(
                left < end and start < right and top + 4 < under and over < bottom - 4
                for start, end, over, under in boxes[at + 1 :]
            )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_gate_sees_codes_and_its_threshold(open_at: Open) -> None:
    page = open_at("#/expert/0?seen=gate&flat=1")
    picture = drawn(page)
    expect(page.get_by_label("See")).to_have_value("gate")
    expect(page.locator("[data-drawn]")).to_contain_text(
        re.compile(r"Drawn are codes.*The sphere is the threshold, a norm of 1:")
    )
    of = given(page, 0, 1)
    matrix = np.zeros((3, 3))
    matrix[np.triu_indices(3)] = of["gate"]["matrix"]
    matrix = matrix + np.triu(matrix, 1).T
    contributions = (np.array(of["xyz"]).T - of["origin"]) * of["unit"]
    seen = of["seen"]
    codes = (np.array(seen["xyz"]).T - seen["origin"]) * seen["unit"]
    assert np.abs(codes - contributions @ matrix).max() < 3 * seen["unit"]
    # The circle is as wide as the threshold, on the scale of the class means.
    radius = float(picture.locator("circle[stroke-dasharray]").first.get_attribute("r") or 0)
    panel = np.array(picture.locator("[data-panel]").evaluate_all(PANELS))[0]
    per_step = scale(panel[:, 0], np.array(seen["means"][0]))
    assert radius == pytest.approx(per_step * of["gate"]["threshold"] / seen["unit"], rel=0.01)
    page.get_by_label("See").select_option("as the model sees it")
    expect(page).not_to_have_url(re.compile("seen="))
    expect(picture.locator("circle[stroke-dasharray]")).to_have_count(0)


@pytest.mark.parametrize(("d_code", "panels"), [(1, 1), (2, 1), (5, 3)])
def test_fewer_axes_have_one_panel(quiet_page: Page, tmp_path: Path, d_code: int, panels: int) -> None:
    write_atlas(tmp_path / "atlas.duckdb", synthetic_tables(size=Size(experts=2, points=60, d_code=d_code)))
    folder = bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder
    quiet_page.goto((folder / "index.html").as_uri() + "#/expert/0?flat=1&seen=gate")
    expect(drawn(quiet_page).locator("[data-panel]")).to_have_count(panels)
    ways = quiet_page.get_by_label("See")
    if d_code > 3:
        # There is no such view, and why is said.
        expect(ways).to_have_value("model")
        expect(quiet_page.locator("[data-no-gate]")).to_contain_text("5 numbers")
