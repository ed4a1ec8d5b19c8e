"""The map of all experts on the first page, and the shapes of their clouds as a filter."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from frames import painted
from playwright.sync_api import FloatRect, Locator, Page, Position, expect

from atlas.bake import bake
from atlas.store import write_atlas
from synthetic import Size, synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
TABLES = synthetic_tables()
ON_MAP = TABLES["overview"]["expert"]
RINGS = {expert for expert, shape in zip(TABLES["shapes"]["expert"], TABLES["shapes"]["class"], strict=True) if shape == "ring"}
"""On any source."""
PIXELS = """(canvas, colours) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const wanted = colours.map((colour) => [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)).join());
  const counts = wanted.map(() => 0);
  for (let at = 0; at < data.length; at += 4) {
    const found = wanted.indexOf([data[at], data[at + 1], data[at + 2]].join());
    if (found >= 0) counts[found] += 1;
  }
  return counts;
}"""
FILTERED, BLUE, VERMILION, GREY = "#e3e0d8", "#0072b2", "#d55e00", "#8f959b"
ACCENT, TEXT = "#0b5fa5", "#1f2328"


def rows(table: str, *columns: str) -> Iterable[tuple[Any, ...]]:
    return zip(*(TABLES[table][name] for name in columns), strict=True)


def the_map(page: Page) -> Locator:
    return page.get_by_role("application", name=re.compile("^Map of the experts"))


def said(page: Page) -> Locator:
    """What a screen reader is told of the dot that the keyboard is on."""
    return page.locator("[data-map-part=spoken]")


def facet(page: Page, name: str) -> Locator:
    """Return a group of filters, unfolded."""
    found = page.get_by_role("group", name=name, exact=True)
    if found.locator("details").first.get_attribute("open") is None:
        found.locator("summary").first.click()
    return found


def shape(page: Page, name: str) -> Locator:
    return facet(page, "Shape").get_by_role("checkbox", name=re.compile(f"^{name}"))


def legend(page: Page) -> list[str]:
    return page.locator("[data-map-part=legend] li").all_inner_texts()


def pixels(page: Page, *colours: str) -> list[int]:
    """Return how many pixels of the map have these colours, once it is drawn."""
    expect(the_map(page)).to_be_visible()
    painted(page)
    return the_map(page).evaluate(PIXELS, list(colours))


def pointed(page: Page) -> tuple[int, Position]:
    """Return the expert that is pointed at, and its dot's place on the map."""
    tip = page.locator("[data-map-part=tip]")
    expect(tip).to_be_visible()
    style = "tip => ['--x', '--y'].map((name) => Number.parseFloat(tip.style.getPropertyValue(name)))"
    page.wait_for_function("() => document.querySelector('[data-map-part=tip]').style.getPropertyValue('--x') !== ''")
    x, y = tip.evaluate(style)
    return int(tip.locator("b").inner_text()), Position(x=x, y=y)


def test_a_click_on_a_dot_chooses_its_expert_two_open_it_and_back_leads_to_the_map(open_at: Open) -> None:
    page = open_at("")
    the_map(page).focus()
    page.keyboard.press("ArrowLeft")
    expert, place = pointed(page)
    assert expert in ON_MAP
    page.keyboard.press("Escape")
    expect(page.locator("[data-map-part=tip]")).to_be_hidden()
    the_map(page).hover(position=place)
    assert pointed(page)[0] == expert
    plain = pixels(page, ACCENT)[0]
    the_map(page).click(position=place)
    expect(page).to_have_url(re.compile(rf"#/\?at={expert}$"))
    sight = page.get_by_role("complementary", name="Expert in sight")
    expect(sight.get_by_role("link").first).to_have_text(re.compile(rf"^{expert}\b"))
    page.mouse.move(0, 0)
    expect(page.locator("[data-map-part=tip]")).to_be_hidden()
    assert pixels(page, ACCENT)[0] > plain + 40  # its ring
    the_map(page).dblclick(position=place)
    expect(page.get_by_role("heading", name=f"Expert {expert}")).to_be_visible()
    page.go_back()
    expect(the_map(page)).to_be_focused()


def test_list_and_map_point_at_the_same_expert(open_at: Open) -> None:
    page = open_at("")
    entry = page.get_by_role("list", name="Experts").get_by_role("listitem").filter(has=page.get_by_role("link")).nth(1)
    row = next(expert for expert in ON_MAP if f"{expert}" == entry.locator("b").first.inner_text())
    rings = "() => atlas.pointed.row === null ? null : atlas.pointed.row"
    plain = pixels(page, TEXT)[0]
    entry.hover()
    page.wait_for_function(f"({rings})() !== null")
    assert pixels(page, TEXT)[0] > plain + 20
    expect(page.locator("[data-map-part=tip]")).to_be_hidden()
    the_map(page).focus()
    expert, place = pointed(page)
    page.keyboard.press("Escape")
    the_map(page).hover(position=place)
    expect(page.get_by_role("complementary", name="Expert in sight").get_by_role("link").first).to_have_text(
        re.compile(rf"^{expert}\b")
    )
    assert row in ON_MAP


def test_the_map_can_be_walked_and_an_expert_opened_by_keyboard(open_at: Open) -> None:
    page = open_at("#/?shape=ring")
    the_map(page).focus()
    expect(said(page)).to_have_text(re.compile(r"^Expert \d+: "))
    seen = {said(page).inner_text()}
    for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown") * 2:
        page.keyboard.press(key)
        seen.add(said(page).inner_text())
    numbers = {int(re.findall(r"\d+", text)[0]) for text in seen}
    assert len(numbers) > 2 and numbers <= RINGS & set(ON_MAP)
    expert = int(re.findall(r"\d+", said(page).inner_text())[0])
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(rf"#/expert/{expert}\?shape=ring$"))


def test_zoom_keeps_what_is_pointed_at_and_the_whole_comes_back(open_at: Open) -> None:
    page = open_at("")
    drawn = pixels(page, BLUE, VERMILION)
    the_map(page).focus()
    expert, first = pointed(page)
    for _ in range(6):
        page.keyboard.press("+")
    assert sum(pixels(page, BLUE, VERMILION)) < sum(drawn)
    now, place = pointed(page)
    assert now == expert and place == pytest.approx(first, abs=0.01)
    page.keyboard.press("0")
    page.keyboard.press("Escape")
    assert pixels(page, BLUE, VERMILION) == drawn
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Zoom in").click()
    assert sum(pixels(page, BLUE, VERMILION)) != sum(drawn)
    page.get_by_role("button", name="Whole map").click()
    assert pixels(page, BLUE, VERMILION) == drawn


def test_a_wheel_zooms_in_and_a_drag_moves_but_the_whole_map_lets_the_page_scroll(quiet_page: Page, open_at: Open) -> None:
    quiet_page.set_viewport_size({"width": 1000, "height": 600})
    page = open_at("")
    box = the_map(page).bounding_box()
    assert box is not None
    whole = pixels(page, BLUE)
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.wheel(0, -400)
    page.wait_for_function("() => atlas.route.state.place !== null")
    assert page.evaluate("scrollY") == 0 and pixels(page, BLUE) != whole
    place = page.evaluate("atlas.route.state.place")
    page.mouse.move(0, 0)
    pixels(page)
    before = the_map(page).screenshot()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 60, steps=3)
    page.mouse.up()
    page.mouse.move(0, 0)
    page.wait_for_function("place => atlas.route.state.place !== place", arg=place)
    pixels(page)
    assert the_map(page).screenshot() != before
    page.get_by_role("button", name="Whole map").click()
    expect(page).to_have_url(re.compile(r"index.html(#/)?$"))
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.wheel(0, 200)
    page.wait_for_function("() => scrollY > 0")


def test_where_the_map_is_stands_in_the_address(open_at: Open) -> None:
    page = open_at("")
    pixels(page)
    whole = the_map(page).screenshot()
    the_map(page).focus()
    expert = pointed(page)[0]
    for _ in range(3):
        page.keyboard.press("+")
    expect(page).to_have_url(re.compile(r"#/\?place=-?\d+,-?\d+,3\.38$"))
    zoomed = page.evaluate("atlas.route.state.place")
    before = pointed(page)[1]
    box = the_map(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 270, box["y"] + 130, steps=3)
    page.mouse.up()
    page.mouse.move(0, 0)
    expect(page.locator("[data-map-part=tip]")).to_be_hidden()
    page.wait_for_function(
        """zoomed => {
          const { place } = atlas.route.state;
          return place !== zoomed && location.hash.endsWith(`place=${place}`);
        }""",
        arg=zoomed,
    )
    here, moved = page.evaluate("[location.href, atlas.route.state.place]")
    page.reload()
    the_map(page).focus()
    place = pointed(page)
    page.keyboard.press("Escape")
    expect(page).to_have_url(here)
    assert place[0] == expert
    assert place[1] == pytest.approx({"x": before["x"] + 70, "y": before["y"] + 30}, abs=1.5)
    pixels(page)
    seen = the_map(page).screenshot()
    assert seen != whole
    page.get_by_role("link", name=re.compile("with a supported order")).click()
    expect(page).to_have_url(re.compile(r"order=1&place="))
    page.get_by_role("button", name="Whole map").click()
    expect(page).to_have_url(re.compile(r"#/\?order=1$"))
    page.go_back()
    expect(page).to_have_url(here)
    page.wait_for_function("place => atlas.route.state.place === place", arg=moved)
    expect(page.get_by_role("status")).to_have_text("40 experts")
    pixels(page)
    assert the_map(page).screenshot() == seen
    page = open_at("#/?place=nowhere")
    page.wait_for_function("() => atlas.route.state.place === 'nowhere'")
    pixels(page)
    assert the_map(page).screenshot() == whole


def test_what_filters_hide_is_drawn_in_the_colour_of_lines(open_at: Open) -> None:
    page = open_at("")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    assert pixels(page, FILTERED)[0] == 0
    shape(page, "ring").check()
    expect(page).to_have_url(re.compile(r"#/\?shape=ring$"))
    expect(page.get_by_role("status")).to_have_text(f"{len(RINGS)} of 40 experts")
    left = len(set(ON_MAP) - RINGS)
    assert legend(page)[-1].split("\n") == ["filtered out", str(left)]
    assert pixels(page, FILTERED)[0] > 5 * left


def test_in_forced_colours_what_filters_hide_is_quieter_than_what_they_leave(quiet_page: Page, open_at: Open) -> None:
    quiet_page.emulate_media(forced_colors="active")
    page = open_at("#/?shape=ring")
    expect(page.get_by_role("status")).to_have_text(f"{len(RINGS)} of 40 experts")
    colours = page.locator("[data-map-part=legend] .mark").evaluate_all("""(marks) => marks.map((mark) => {
      const pen = new OffscreenCanvas(1, 1).getContext("2d");
      pen.fillStyle = getComputedStyle(mark).fill;
      pen.fillRect(0, 0, 1, 1);
      return "#" + [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)].map((part) => part.toString(16).padStart(2, "0")).join("");
    })""")
    assert len(colours) > 1 and pixels(page, colours[-1])[0] > 5 * len(set(ON_MAP) - RINGS)
    weight = [sum(255 - int(colour[at : at + 2], 16) for at in (1, 3, 5)) for colour in colours]  # on white
    assert 0 < weight[-1] < min(weight[:-1])


def test_where_the_legend_goes_on_below_its_edge_is_shaded(quiet_page: Page, open_at: Open) -> None:
    quiet_page.set_viewport_size({"width": 1280, "height": 600})
    page = open_at("#/?map=cluster")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    side = page.locator("[data-map-part=side]")

    def is_shaded() -> bool:
        box = side.bounding_box()
        assert box is not None
        edge = FloatRect(x=box["x"], y=box["y"] + box["height"] - 3, width=box["width"], height=3)
        seen = page.screenshot(clip=edge)
        side.evaluate("side => { side.style.background = 'none'; }")
        plain = page.screenshot(clip=edge)
        side.evaluate("side => { side.style.background = ''; }")
        return seen != plain

    assert side.evaluate("side => side.scrollHeight > side.clientHeight + 20")
    assert is_shaded()
    side.evaluate("side => side.scrollTo(0, side.scrollHeight)")
    assert not is_shaded()


def test_colours_stand_in_the_address_and_survive_a_reload(open_at: Open) -> None:
    page = open_at("")
    expect(page.get_by_label("Colour dots by")).to_have_value("title")
    assert [line.split("\n")[0] for line in legend(page)] == ["Months", "Numbers 0–99", "names no task"]
    page.get_by_label("Colour dots by").select_option("shape")
    expect(page).to_have_url(re.compile(r"#/\?map=shape$"))
    shapes = [line.split("\n")[0] for line in legend(page)]
    assert "ring" in shapes and shapes[-1] == "unclear, or too little to tell"
    page.wait_for_load_state("networkidle")
    page.reload()
    expect(page.get_by_label("Colour dots by")).to_have_value("shape")
    assert [line.split("\n")[0] for line in legend(page)] == shapes
    page.get_by_label("Colour dots by").select_option("firing rate")
    ticks = page.locator("[data-map-part=legend] .ticks span").all_inner_texts()
    assert len(ticks) > 1 and all(re.fullmatch(r"0?\.?0*[125]0*\u202f%", tick) for tick in ticks)
    link = page.get_by_role("list", name="Experts").get_by_role("link").first
    assert (link.get_attribute("href") or "").endswith("?map=rate")
    page = open_at("#/?map=constructor")
    expect(page.get_by_label("Colour dots by")).to_have_value("title")


def test_dots_are_coloured_by_any_column(open_at: Open) -> None:
    page = open_at("#/?label=months:May&fires=0.05")
    choice = page.get_by_label("Colour dots by")
    stats = {
        expert: (dense, needed)
        for task, expert, dense, needed in rows("expert_stats", "task", "expert", "dense", "dimensions_needed")
        if task == 0
    }
    found = {line.split("\n")[0]: int(line.split("\n")[-1]) for line in legend(page)}
    assert sum(found.values()) == len(ON_MAP)
    choice.select_option("fires")
    fires = {
        expert
        for task, label, expert, fired in rows("label_stats", "task", "label", "expert", "fires")
        if (task, label) == (1, 4) and fired >= 0.05
    }
    assert legend(page) == [f"filtered out\n{len(set(ON_MAP) - fires)}"]
    expect(page.locator("[data-map-part=legend] .ticks")).to_contain_text("50\u202f%")
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(choice).to_have_value("title")
    choice.select_option("cluster")
    sizes = Counter(TABLES["overview"]["cluster"])
    names = dict(rows("overview_clusters", "cluster", "name"))
    assert legend(page)[0] == f"Months\n{sizes[next(at for at, name in names.items() if name == 'Months')]}"
    assert legend(page)[-1] == f"in no cluster\n{sizes[None]}"
    choice.select_option("activity")
    dense = sum(stats[expert][0] for expert in ON_MAP)
    assert legend(page) == [f"dense\n{dense}", f"neither silent nor dense\n{len(ON_MAP) - dense}"]
    choice.select_option("dimensions needed")
    assert page.locator("[data-map-part=legend] .ticks span").all_inner_texts() == ["0", "1", "2", "3"]
    unknown = sum(stats[expert][1] is None for expert in ON_MAP)
    assert legend(page) == ([f"not measured\n{unknown}"] if unknown else [])
    for name in ("supported order", "coverage", "importance", "mean norm", "effective dimension"):
        choice.select_option(name)
        assert legend(page) or page.locator("[data-map-part=legend] .ticks span").count() > 1


@pytest.mark.parametrize("asked", ["", "&task=months", "&hypothesis=months:0"])
def test_scores_are_those_of_the_task_or_hypothesis_that_is_asked_for(open_at: Open, asked: str) -> None:
    page = open_at(f"#/?map=score{asked}")
    expect(page.get_by_label("Colour dots by")).to_have_value("score")
    shown = sum(int(line.split("\n")[-1]) for line in legend(page) if line.startswith(("not measured", "filtered out")))
    page = open_at(f"#/?map=score&score=-9..9{asked}")
    expect(page.get_by_role("status")).to_have_text(f"{len(ON_MAP) - shown} of 40 experts")


def test_a_clusters_name_filters_by_it_and_takes_that_back(open_at: Open) -> None:
    page = open_at("#/?place=-19000,6000,2.5")
    canvas = the_map(page)
    pixels(page)
    canvas.scroll_into_view_if_needed()
    # A name shows a hand and no expert's label.
    place = canvas.evaluate("""(canvas) => {
      const tip = document.querySelector("[data-map-part=tip]");
      const { left, top } = canvas.getBoundingClientRect();
      for (let y = 4; y < canvas.clientHeight; y += 5) for (let x = 4; x < canvas.clientWidth - 130; x += 12) {
        const at = { clientX: left + 1 + x, clientY: top + 1 + y, pointerType: "mouse" };
        canvas.dispatchEvent(new PointerEvent("pointermove", at));
        if (canvas.classList.contains("over") && tip.hidden) return { x, y };
      }
      return null;
    }""")
    assert place is not None
    canvas.click(position=place)
    expect(page).to_have_url(re.compile(r"[?&]cluster=[01]&"))
    at = int(re.findall(r"cluster=(\d)", page.url)[0])
    expect(page.get_by_role("status")).to_have_text(f"{TABLES['overview']['cluster'].count(at)} of 40 experts")
    canvas.click(position=place)
    expect(page.get_by_role("status")).to_have_text("40 experts")


NAMED = """async ([[one, x1, y1], [other, x2, y2]]) => {
  const { map, experts } = atlas.columns.decoded(await atlas.payloads.load("atlas"));
  const [xs, ys] = [map.x, map.y].map(atlas.payloads.array);
  const [first, second] = [one, other].map((expert) => Array.from(experts.expert).indexOf(expert));
  const scale = (x2 - x1) / (xs[second] - xs[first]);
  const dots = Array.from(xs, (x, row) => [x1 + scale * (x - xs[first]), y1 - scale * (ys[row] - ys[first])]);
  const canvas = document.querySelector("[data-map-part=canvas]");
  const { left, top } = canvas.getBoundingClientRect();
  const near = [];
  for (let y = 2; y < canvas.clientHeight; y += 2) for (let x = 2; x < canvas.clientWidth - 130; x += 2) {
    canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: left + 1 + x, clientY: top + 1 + y, pointerType: "mouse" }));
    const isNamed = canvas.classList.contains("over") && document.querySelector("[data-map-part=tip]").hidden;
    if (isNamed) near.push(Math.min(...dots.map(([right, down]) => Math.hypot(right - x, down - y))));
  }
  return near;
}"""


def test_a_dot_below_a_name_is_meant_before_the_name(open_at: Open) -> None:
    page = open_at("#/?place=-19000,6000,2.5")
    the_map(page).focus()
    found = []
    for key in ("ArrowRight", "ArrowLeft"):
        for _ in range(3):
            page.keyboard.press(key)
        pixels(page)
        expert, place = pointed(page)
        found.append([expert, place["x"], place["y"]])
    page.keyboard.press("Escape")
    near = page.evaluate(NAMED, found)
    assert len(near) > 50 and min(near) > 5.5  # a dot's radius, and some


def test_the_line_between_map_and_list_is_moved_by_keyboard_and_mouse(open_at: Open) -> None:
    page = open_at("")
    line = page.get_by_role("separator", name="Height of the map")
    expect(line).to_have_attribute("aria-valuenow", "45")

    def height() -> float:
        box = the_map(page).bounding_box()
        assert box is not None
        return box["height"]

    own = height()
    for key, share in {"ArrowDown": 50, "Home": 30, "ArrowUp": 30, "End": 75}.items():
        line.press(key)
        expect(line).to_have_attribute("aria-valuenow", str(share))
        assert height() == pytest.approx(own * share / 45, rel=0.03)
    page.reload()
    expect(line).to_have_attribute("aria-valuenow", "75")
    line.dblclick()
    expect(line).to_have_attribute("aria-valuenow", "45")
    assert height() == own
    box = line.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 6)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] - 54, steps=4)
    page.mouse.up()
    assert height() == pytest.approx(own - 60, abs=6)
    page.get_by_role("button", name="Hide the map").click()
    expect(line).to_be_hidden()


def test_the_map_folds_away_and_that_stands_in_the_address(open_at: Open) -> None:
    page = open_at("#/?shape=ring")
    page.get_by_role("button", name="Hide the map").click()
    expect(the_map(page)).to_be_hidden()
    expect(page).to_have_url(re.compile(r"#/\?shape=ring&folded=1$"))
    page.get_by_role("button", name=re.compile("^Remove filter")).click()
    expect(page).to_have_url(re.compile(r"#/\?folded=1$"))
    page.wait_for_load_state("networkidle")
    page.reload()
    expect(page.get_by_role("button", name="Show the map")).to_have_attribute("aria-expanded", "false")
    page.get_by_role("button", name="Show the map").click()
    expect(the_map(page)).to_be_visible()
    assert sum(pixels(page, BLUE, GREY)) > 0


def test_shapes_are_a_filter_with_what_chance_gives(open_at: Open) -> None:
    page = open_at("#/?shape=ring&sort=number")
    choices = facet(page, "Shape")
    expected = sum(
        value
        for shape, value in zip(TABLES["shape_classes"]["class"], TABLES["shape_classes"]["expected"], strict=True)
        if shape == "ring"
    )
    expect(choices.locator("label", has_text="ring")).to_contain_text(f"expected by chance: {expected:.2g}")
    expect(choices.locator("label", has_text="ring").locator(".amount")).to_have_text(str(len(RINGS)))
    expect(choices.locator("label", has_text="unclear")).not_to_contain_text("chance")
    items = page.get_by_role("list", name="Experts").get_by_role("listitem")
    expect(items).to_have_count(len(RINGS))
    expect(items.first).to_contain_text("ring on ")
    shape(page, "clusters").check()
    expect(page.get_by_role("button", name=re.compile("^Remove filter"))).to_have_text(
        ["shape ring\u00a0×", "shape clusters\u00a0×"]
    )
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("40 experts")
    page = open_at("#/?shape=torus&map=constructor")
    expect(page.get_by_role("status")).to_have_text("0 of 40 experts")
    expect(page.get_by_role("button", name="Remove filter: shape “torus”, which this atlas has not")).to_be_visible()
    expect(page.get_by_label("Colour dots by")).to_have_value("title")


def test_unclear_finds_experts_with_no_other_shape_anywhere(quiet_page: Page, tmp_path: Path) -> None:
    tables = synthetic_tables()
    shapes = tables["shapes"]
    row = next(at for at, of in enumerate(zip(shapes["task"], shapes["class"], strict=True)) if of == (1, "ring"))
    shapes["class"][row] = "unclear"  # a ring on the corpus, as before
    write_atlas(tmp_path / "atlas.duckdb", tables)
    claimed = {expert for expert, name in zip(shapes["expert"], shapes["class"], strict=True) if name not in (None, "unclear")}
    unclear = {expert for expert, name in zip(shapes["expert"], shapes["class"], strict=True) if name == "unclear"}
    assert shapes["expert"][row] in unclear & claimed
    site = bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder
    quiet_page.goto((site / "index.html").as_uri() + "#/?shape=unclear&map=shape")
    expect(quiet_page.get_by_role("status")).to_have_text(f"{len(unclear - claimed)} of 40 experts")
    unclear_choice = facet(quiet_page, "Shape").locator("label", has_text="unclear")
    expect(unclear_choice.locator(".amount")).to_have_text(str(len(unclear - claimed)))
    expect(quiet_page.locator("[data-map-part=legend]")).to_contain_text("that of its small cloud in the list, or on the corpus")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_whole_map_is_clear_of_its_tools(quiet_page: Page, tmp_path: Path, width: int) -> None:
    tables = synthetic_tables(size=Size(experts=8, points=4, windows=2))
    places = tables["overview"]
    # As high as a phone's map allows, and as wide as that of a screen.
    line, other = ("y", "x") if width == 390 else ("x", "y")
    places[line], places[other] = [float(at) for at in range(len(places["x"]))], [0.0] * len(places["x"])
    write_atlas(tmp_path / "atlas.duckdb", tables)
    quiet_page.set_viewport_size({"width": width, "height": 844})
    site = bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder
    quiet_page.goto((site / "index.html").as_uri() + "#/?tab=map")
    the_map(quiet_page).focus()
    places_seen = set[float]()
    for _ in places["y"]:
        quiet_page.keyboard.press("ArrowDown" if line == "y" else "ArrowRight")
        place = pointed(quiet_page)[1]
        places_seen.add(place["y"] if line == "y" else place["x"])
    own, tools = the_map(quiet_page).bounding_box(), quiet_page.get_by_role("group", name="Zoom").locator("..").bounding_box()
    assert own is not None and tools is not None
    clear = min(tools["y"], own["y"] + own["height"]) - own["y"] if line == "y" else tools["x"] - own["x"]
    assert len(places_seen) > 1 and max(places_seen) == pytest.approx(clear - 24, abs=3)


def test_a_dot_tells_how_far_its_clusters_name_holds(quiet_page: Page, tmp_path: Path) -> None:
    tables = synthetic_tables(size=Size(experts=8, points=4, windows=2))
    found = tables["overview_clusters"]
    tables["overview"]["cluster"] = [0] * len(tables["overview"]["expert"])
    tables["overview_clusters"] = {name: column[:1] for name, column in found.items()}
    said_of = {("title", "Letters", 5): "cluster Letters: 5 of 6 have this title"}
    said_of[("tokens", "“or” “and” “/”", 5)] = "cluster “or” “and” “/”: 5 of 6 fire on one of these"
    said_of[("tokens", "“or”", 1)] = "cluster “or”: 1 of 6 fires on one of these"
    said_of[("tokens", "No token stands out", 0)] = "cluster of 6: no token stands out"
    for at, ((basis, name, named), words) in enumerate(said_of.items()):
        tables["overview_clusters"] |= {"basis": [basis], "name": [name], "named": [named], "experts": [6]}
        write_atlas(tmp_path / f"{at}.duckdb", tables)
        site = bake(tmp_path / f"{at}.duckdb", tmp_path / f"site{at}").folder
        quiet_page.goto((site / "index.html").as_uri())
        the_map(quiet_page).focus()
        expect(said(quiet_page)).to_contain_text(words)


def test_an_entry_names_its_shape_where_one_is_claimed(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    shapes = {
        expert: shape
        for task, expert, shape in zip(*(TABLES["shapes"][name] for name in ("task", "expert", "class")), strict=True)
        if task == 0
    }
    unclear = next(expert for expert, shape in shapes.items() if shape == "unclear")
    ring = next(expert for expert, shape in shapes.items() if shape == "ring")
    entry = page.get_by_role("list", name="Experts").get_by_role("listitem")
    expect(entry.nth(ring).get_by_title("The shape of its cloud")).to_have_text("ring")
    expect(entry.nth(unclear).get_by_title("The shape of its cloud")).to_have_count(0)


def test_on_a_phone_one_finger_scrolls_two_zoom_and_a_tap_offers_the_expert(quiet_page: Page, open_at: Open) -> None:
    quiet_page.set_viewport_size({"width": 390, "height": 844})
    page = open_at("#/?tab=map")
    cdp = page.context.new_cdp_session(page)
    cdp.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    expect(page.get_by_role("status")).to_have_text("40 experts")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    the_map(page).focus()
    expert, place = pointed(page)
    page.keyboard.press("Escape")
    box = the_map(page).bounding_box()
    assert box is not None

    def touch(kind: str, *points: tuple[float, float]) -> None:
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    at = (box["x"] + place["x"], box["y"] + place["y"])
    touch("touchStart", at)
    touch("touchEnd")
    assert pointed(page)[0] == expert
    whole = pixels(page, BLUE, VERMILION, GREY)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch("touchStart", (x - 30, y), (x + 30, y))
    for apart in (50, 80, 120, 160):
        touch("touchMove", (x - apart, y), (x + apart, y))
    touch("touchEnd")
    assert pixels(page, BLUE, VERMILION, GREY) != whole
    assert page.evaluate("[scrollY, visualViewport.scale]") == [0, 1]
    touch("touchStart", (x, y))
    for step in range(1, 12):
        touch("touchMove", (x, y - 12 * step))
    touch("touchEnd")
    page.wait_for_function("() => scrollY > 50")


def test_an_atlas_without_a_map_has_its_list_all_the_same(quiet_page: Page, tmp_path: Path) -> None:
    tables = synthetic_tables(size=Size(experts=2, points=4, windows=2))
    for table in ("overview", "overview_clusters", "shapes", "shape_tests", "shape_classes"):
        del tables[table]
    write_atlas(tmp_path / "atlas.duckdb", tables)
    site = bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder
    quiet_page.goto((site / "index.html").as_uri())
    expect(quiet_page.get_by_role("status")).to_have_text("2 experts")
    expect(quiet_page.get_by_text("This atlas has no map")).to_be_visible()
    expect(quiet_page.get_by_role("group", name="Shape")).to_be_hidden()
