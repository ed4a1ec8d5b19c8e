"""A page of one expert, alone in an empty folder with the network cut; and the figure of what a page shows."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from frames import point_out
from playwright.sync_api import FrameLocator, Page, expect

from atlas.bake.embed import EmbedConfig, embed
from atlas.bake.link import Link
from atlas.figure import FigureConfig, figure
from synthetic import MONTHS

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
CAMERA = "1.2_0.4_0.9_0_0_0_0_1_0_1.6"


@pytest.fixture(scope="module")
def embedded(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, in a folder of its own."""
    out = tmp_path_factory.mktemp("alone") / "months.html"
    link = Link.read(f"#/expert/0?colour=months&camera={CAMERA}&pin=3")
    embed(site.parent / "atlas.duckdb", 0, out, EmbedConfig(link, "https://example.org/atlas/"))
    return out


def expect_drawn(page: Page | FrameLocator) -> None:
    expect(page.locator("[data-scene]:visible")).to_have_attribute("data-ready", "", timeout=20_000)


def test_a_page_of_one_expert_opens_alone(quiet_page: Page, embedded: Path) -> None:
    page = quiet_page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(embedded.as_uri())
    expect_drawn(page)
    assert asked == [embedded.as_uri()]
    expect(page.get_by_role("heading", name="Expert 0")).to_be_visible()
    expect(page.locator("[data-sayings] p").first).to_contain_text("can be read from its code")
    expect(page.locator("[data-pinned]")).to_contain_text("January")
    expect(page.get_by_role("button", name="September", exact=False).first).to_be_visible()
    back = page.get_by_role("link", name="Open in the atlas")
    expect(back).to_have_attribute("href", f"https://example.org/atlas/#/expert/0?colour=months&camera={CAMERA}&pin=3")
    near = page.locator("[data-scene]").get_by_text("May", exact=True).bounding_box()
    assert near
    steps = range(-24, 25, 6)
    point_out(page, [(near["x"] + near["width"] / 2 + x, near["y"] + near["height"] / 2 + y) for y in steps for x in steps])
    expect(page.locator("[data-tip]")).to_contain_text("norm")
    # What is chosen stands in the address of the file, and comes back.
    page.get_by_role("combobox", name="Colour by").select_option("synthetic")
    expect(page.locator("[data-drawn]")).to_contain_text("on the corpus")
    expect(page).to_have_url(re.compile("colour=synthetic"))
    page.reload()
    expect_drawn(page)
    expect(page.locator("[data-drawn]")).to_contain_text("on the corpus")


def test_it_fits_a_narrow_frame_that_was_written_into_a_page(quiet_page: Page, embedded: Path, tmp_path: Path) -> None:
    source = html.escape(embedded.read_text(encoding="utf-8"))
    around = tmp_path / "notebook.html"
    around.write_text(f'<meta charset="utf-8"><iframe width="400" height="700" srcdoc="{source}"></iframe>', encoding="utf-8")
    quiet_page.goto(around.as_uri())
    frame = quiet_page.frame_locator("iframe")
    expect_drawn(frame)
    expect(frame.locator("[data-pinned]")).to_contain_text("January")
    frame.get_by_role("combobox", name="Colour by").select_option("months:norm")
    expect(frame.get_by_role("link", name="Open in the atlas")).to_have_attribute("href", re.compile("colour=months:norm"))
    assert frame.locator("html").evaluate("root => root.scrollWidth") <= 400


def test_a_figure_shows_what_the_page_shows(open_at: Open, site: Path, tmp_path: Path) -> None:
    page = open_at(f"#/expert/0?colour=months&camera={CAMERA}")
    expect_drawn(page)
    names = page.locator("[data-scene]:visible text")
    seen = {}
    for month in MONTHS:
        box = names.get_by_text(month, exact=True).bounding_box()
        assert box, month
        seen[month] = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    out = tmp_path / "months.svg"
    figure(site.parent / "atlas.duckdb", 0, out, FigureConfig(colour="months", camera=CAMERA))
    texts = [text for text in ElementTree.parse(out).iter("{http://www.w3.org/2000/svg}text") if text.text in MONTHS]
    drawn = {text.text or "": (float(text.get("x", 0)), float(text.get("y", 0))) for text in texts}
    assert set(drawn) == set(MONTHS)
    compared = 0
    for one, other in combinations(MONTHS, 2):
        for axis in (0, 1):
            # A name may stand on any side of its mark: what lies far apart on paper lies so on the screen.
            if abs(drawn[one][axis] - drawn[other][axis]) > 60:
                compared += 1
                assert (drawn[one][axis] < drawn[other][axis]) == (seen[one][axis] < seen[other][axis])
    assert compared > 20
