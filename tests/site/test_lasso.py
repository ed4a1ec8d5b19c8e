"""An area of the map as a filter: drawn freely, as a rectangle, by keyboard and by finger, and brought back by a link."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from atlas.bake.arrays import Frame
from synthetic import synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
Place = tuple[float, float]
TABLES = synthetic_tables()


def places() -> dict[int, Place]:
    """Return where each expert's dot is, in the map's own steps, clusters' middles being part of the map."""
    found = [[*zip(TABLES[name]["x"], TABLES[name]["y"], strict=True)] for name in ("overview", "overview_clusters")]
    flat = np.array([(x, y, 0.0) for x, y in [*found[0], *found[1]]])
    steps = Frame.around(flat).stepped(flat)[: len(found[0]), :2].astype(float)
    return {int(expert): (x, y) for expert, (x, y) in zip(TABLES["overview"]["expert"], steps.tolist(), strict=True)}


PLACES = places()


def inside(place: Place, corners: list[Place]) -> bool:
    """Return whether an outline goes round a place: the angles under which its sides are seen add up to a whole turn."""
    turned = 0.0
    for (fx, fy), (tx, ty) in zip(corners, [*corners[1:], corners[0]], strict=True):
        one, other = (math.atan2(y - place[1], x - place[0]) for x, y in ((fx, fy), (tx, ty)))
        turned += (other - one + math.pi) % (2 * math.pi) - math.pi
    return abs(turned) > math.pi


def area(page: Page) -> list[Place]:
    """Return the corners that the address has, once it has some."""
    expect(page).to_have_url(re.compile(r"[?&]area="))
    text = re.findall(r"[?&]area=([^&]*)", page.url)[0]
    corners = [tuple(map(float, corner.split(","))) for corner in text.split("_")]
    return [(x, y) for x, y in corners]


def the_map(page: Page) -> Locator:
    return page.get_by_role("application", name=re.compile("^Map of the experts"))


def tool(page: Page, name: str) -> Locator:
    return page.get_by_role("radiogroup", name="What a drag on the map does").get_by_role("radio", name=name)


def chips(page: Page) -> Locator:
    return page.get_by_role("list", name="Active filters").get_by_role("button")


def listed(page: Page) -> set[int]:
    numbers = page.get_by_role("list", name="Experts").get_by_role("listitem").locator("b").all_inner_texts()
    return {int(number) for number in numbers}


def expect_area(page: Page, corners: list[Place]) -> set[int]:
    """The list holds what a slow look at every place finds inside; return it."""
    wanted = {expert for expert, place in PLACES.items() if inside(place, corners)}
    expect(page.get_by_role("status")).to_have_text(f"{len(wanted)} of 40 experts")
    expect(chips(page)).to_have_text(["in an area of the map\u00a0×"])
    assert listed(page) == wanted
    return wanted


def drawn(page: Page, points: Iterable[Place]) -> None:
    """Draw with the mouse held, through points of the canvas."""
    box = the_map(page).bounding_box()
    assert box is not None
    for at, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x, box["y"] + y)
        if at == 0:
            page.mouse.down()
    page.mouse.up()
    page.mouse.move(0, 0)


def middle(page: Page) -> Place:
    """Return the place on the canvas of the map's own middle, the whole map being in sight."""
    box = the_map(page).bounding_box()
    tools = page.get_by_role("group", name="Zoom").locator("..").bounding_box()
    assert box is not None and tools is not None
    return (tools["x"] - box["x"]) / 2, box["height"] / 2


def test_a_lasso_leaves_the_experts_inside_and_a_link_brings_them_back(open_at: Open) -> None:
    page = open_at("")
    tool(page, "Lasso").check()
    x, y = middle(page)
    # A circle to the left of the middle, with a hand that shakes.
    turn = [2 * math.pi * at / 90 for at in range(90)]
    circle = [(x - 60 + 70 * math.cos(t) + at % 2, y + 60 * math.sin(t)) for at, t in enumerate(turn)]
    drawn(page, circle)
    corners = area(page)
    assert 8 <= len(corners) <= 32
    found = expect_area(page, corners)
    assert 3 < len(found) < len(PLACES)
    link = page.url
    page.get_by_role("button", name="Remove filter: in an area of the map").click()
    expect(page.get_by_role("status")).to_have_text("40 experts")
    page.go_back()
    assert expect_area(page, area(page)) == found
    page.goto("about:blank")
    page.goto(link)
    assert expect_area(page, corners) == found
    # A click beside it, with whatever tool, takes nothing back.
    for name in ("Move", "Lasso", "Rectangle"):
        tool(page, name).check()
        the_map(page).click(position={"x": 6, "y": 6})
    assert page.url == link


def test_a_rectangle_is_drawn_with_its_tool_or_with_shift(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    tool(page, "Rectangle").check()
    x, y = middle(page)
    drawn(page, [(x - 90, y - 80), (x - 20, y + 10), (x + 30, y + 90)])
    corners = area(page)
    assert len(corners) == 4 and len({cx for cx, _ in corners}) == len({cy for _, cy in corners}) == 2
    first = expect_area(page, corners)
    tool(page, "Move").check()
    page.keyboard.down("Shift")
    drawn(page, [(x + 100, y - 100), (x, y + 40)])
    page.keyboard.up("Shift")
    expect(page.get_by_role("status")).not_to_have_text(f"{len(first)} of 40 experts")
    assert expect_area(page, area(page)) != first
    assert page.evaluate("atlas.route.state.place") is None
    page.go_back()
    expect_area(page, corners)


def test_esc_gives_up_an_outline(open_at: Open) -> None:
    page = open_at("#/?at=1")
    tool(page, "Lasso").check()
    box = the_map(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 140, box["y"] + 40, steps=4)
    page.mouse.move(box["x"] + 140, box["y"] + 140, steps=4)
    page.keyboard.press("Escape")
    page.mouse.move(box["x"] + 40, box["y"] + 140, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"#/\?at=1$"))
    expect(page.get_by_role("status")).to_have_text("40 experts")


def test_what_is_in_sight_is_selected_by_keyboard(open_at: Open) -> None:
    page = open_at("")
    every = page.get_by_role("button", name="Select what is in sight")
    expect(every).to_be_hidden()
    tool(page, "Move").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(tool(page, "Rectangle")).to_be_checked()
    expect(every).to_be_visible()
    the_map(page).focus()
    for _ in range(3):
        page.keyboard.press("+")
    every.focus()
    page.keyboard.press("Enter")
    found = expect_area(page, area(page))
    assert 0 < len(found) < len(PLACES)
    expect(every).to_be_focused()


def test_a_finger_draws_once_a_tool_is_chosen(quiet_page: Page, open_at: Open) -> None:
    quiet_page.set_viewport_size({"width": 390, "height": 844})
    page = open_at("#/?tab=map")
    cdp = page.context.new_cdp_session(page)
    cdp.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    tool(page, "Lasso").check()
    the_map(page).scroll_into_view_if_needed()
    scrolled = page.evaluate("scrollY")
    box = the_map(page).bounding_box()
    assert box is not None
    x, y, reach = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"] / 3
    square = [(x - reach, y - reach), (x + reach, y - reach), (x + reach, y + reach), (x - reach, y + reach)]
    for at, (px, py) in enumerate(square):
        points = [{"x": px, "y": py}]
        cdp.send("Input.dispatchTouchEvent", {"type": "touchStart" if at == 0 else "touchMove", "touchPoints": points})
    cdp.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    corners = area(page)
    wanted = {expert for expert, place in PLACES.items() if inside(place, corners)}
    expect(page.get_by_role("status")).to_have_text(f"{len(wanted)} of 40 experts")
    assert len(wanted) > 3 and page.evaluate("scrollY") == scrolled


def test_an_area_that_means_nothing_is_said_and_leaves_nothing(open_at: Open) -> None:
    for text in ("1,1_2,2", "round", "0,0_1,x_5,5", "_".join(["1,1"] * 400)):
        page = open_at(f"#/?area={text}")
        expect(page.get_by_role("status")).to_have_text("0 of 40 experts")
        expect(chips(page)).to_have_text(["in an area that this map has not\u00a0×"])
