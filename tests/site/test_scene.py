from __future__ import annotations

import base64
import re
from collections.abc import Callable
from math import hypot
from pathlib import Path
from typing import Any

import pytest
from frames import painted
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]

CHROMA = """async ([png, places]) => {
  const picture = new Image();
  picture.src = `data:image/png;base64,${png}`;
  await picture.decode();
  const pen = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
  pen.drawImage(picture, 0, 0);
  return places.map(([x, y]) => {
    const [red, green, blue] = pen.getImageData(Math.round(x), Math.round(y), 1, 1).data;
    return Math.max(red, green, blue) - Math.min(red, green, blue);
  });
}"""
RING = """(kind) => {
  const ring = document.querySelector(`[data-page=expert] [data-scene] .ring.${kind}`);
  const place = /translate\\(([-\\d.]+) ([-\\d.]+)\\)/.exec(ring.getAttribute("transform") ?? "");
  return ring.getAttribute("visibility") === "visible" && place ? [Number(place[1]), Number(place[2])] : null;
}"""
NAMES = """() => [...document.querySelectorAll("[data-page=expert] [data-scene] .name")]
  .map((name) => name.getAttribute("transform")).join()"""

WITHOUT_NAMES = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(".scene .name { display: none; }");
  document.adoptedStyleSheets.push(sheet);
}"""
"""As the page's policy lets a script do, and no style element."""


def drawn(page: Page) -> Locator:
    """Wait for the scene, and return its box."""
    scene = page.locator("[data-page=expert] [data-scene]")
    expect(scene).to_have_attribute("data-ready", "", timeout=20_000)
    return scene


def ring(page: Page, kind: str = "pointed") -> list[float]:
    """Return where the ring round a point lies, in px from the scene's left and top."""
    place: list[float] = page.wait_for_function(RING, arg=kind).json_value()
    return place


def walked(page: Page, count: int) -> list[list[float]]:
    """Go from point to point, and return where they lie."""
    places = []
    for _ in range(count):
        page.keyboard.press(".")
        painted(page)
        places.append(ring(page))
    return places


@pytest.mark.parametrize("camera", ["", "&camera=2", "&camera=0.39_0.55_1.6_0.2_-0.1_0_-0.08_0.95_-0.31_2.5"])
def test_points_are_where_they_are_pointed_at(open_at: Open, camera: str) -> None:
    page = open_at(f"#/expert/0?colour=months{camera}")
    scene = drawn(page)
    scene.focus()
    places = walked(page, 12)
    assert len({tuple(place) for place in places}) == 12
    size = scene.bounding_box()
    assert size
    inside = [(x, y) for x, y in places if 6 < x < size["width"] - 6 and 6 < y < size["height"] - 6]
    page.keyboard.press("Escape")
    expect(page.locator("[data-tip]")).to_be_hidden()
    page.evaluate(WITHOUT_NAMES)
    painted(page, 4)
    png = base64.b64encode(scene.screenshot()).decode()
    seen = page.evaluate(CHROMA, [png, inside])
    # A class mean's ring may lie over one of them.
    assert len(inside) > 4 and sum(chroma > 20 for chroma in seen) >= len(inside) - 2


def test_a_point_is_told_pinned_and_let_go(open_at: Open) -> None:
    page = open_at("#/expert/0")
    scene = drawn(page)
    box = scene.bounding_box()
    assert box
    scene.focus()
    x, y = walked(page, 3)[-1]
    told = page.locator("[data-tip]").inner_text()
    page.keyboard.press("Escape")
    expect(page.locator("[data-tip]")).to_be_hidden()
    page.mouse.move(box["x"] + x, box["y"] + y)
    expect(page.locator("[data-tip]")).to_have_text(told, use_inner_text=True)
    page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"pin=\d+"))
    pinned = ring(page, "pinned")
    assert hypot(pinned[0] - x, pinned[1] - y) < 1
    page.reload()
    drawn(page)
    assert ring(page, "pinned") == pinned
    page.mouse.click(box["x"] + 8, box["y"] + 8)
    expect(page).not_to_have_url(re.compile("pin="))


def test_a_rectangle_chooses_what_lies_in_it(open_at: Open) -> None:
    page = open_at("#/expert/0?colour=months")
    scene = drawn(page)
    box = scene.bounding_box()
    assert box
    scene.focus()
    x, y = walked(page, 1)[0]
    told = page.locator("[data-tip] mark").inner_text()
    page.keyboard.press("Escape")
    chosen = page.locator("[data-chosen]")

    def drag(release: bool) -> None:
        page.mouse.move(box["x"] + x - 4, box["y"] + y - 4)
        page.mouse.down()
        page.mouse.move(box["x"] + x + 4, box["y"] + y + 4, steps=3)
        expect(page.locator("[data-page=expert] [data-scene] .outline")).to_be_visible()
        if release:
            page.mouse.up()

    page.keyboard.down("Shift")
    drag(release=False)
    page.keyboard.press("Escape")
    expect(page.locator("[data-page=expert] [data-scene] .outline")).to_be_hidden()
    page.mouse.up()
    expect(chosen).to_be_hidden()
    drag(release=True)
    page.keyboard.up("Shift")
    expect(chosen).to_be_visible()
    expect(chosen).to_contain_text(told)
    page.get_by_role("button", name="Select", exact=True).click()
    drag(release=True)
    expect(chosen).to_be_visible()
    page.get_by_role("button", name="Select all in sight").click()
    count = page.evaluate("document.querySelector('[data-page=expert] [data-scene] .space').data[0].x.length")
    expect(chosen).to_contain_text(f"{count}")
    before = page.url
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.up()
    assert page.url == before  # a drag of the tool is no turn


def test_it_spins_until_it_is_touched(open_at: Open) -> None:
    page = open_at("#/expert/0")
    scene = drawn(page)
    button = page.get_by_role("button", name="Spin")
    button.click()
    for _ in range(2):
        before = page.evaluate(NAMES)
        page.wait_for_function(f"before => ({NAMES})() !== before", arg=before)
    scene.press("ArrowUp")
    expect(page).to_have_url(re.compile("camera="))
    expect(button).to_have_attribute("aria-pressed", "false")
    painted(page, 4)
    before = page.evaluate(NAMES)
    painted(page, 8)
    assert page.evaluate(NAMES) == before
    # A turn that settles while the reader is on the way to another expert is not that one's.
    page.evaluate(
        """() => {
          const { open } = atlas.records;
          atlas.records.open = async (...asked) => {
            await new Promise((go) => { globalThis.release = go; });
            return open(...asked);
          };
        }"""
    )
    scene.press("ArrowUp")
    page.evaluate("() => { atlas.route.set({ expert: 1 }); return new Promise((later) => setTimeout(later, 250)); }")
    assert page.evaluate("atlas.route.state.expert") == 1 and page.evaluate("atlas.route.state.camera") is None
    page.evaluate("release()")
    expect(scene).to_have_attribute("aria-label", re.compile("Cloud of expert 1,"))


def test_one_context_serves_every_expert_and_a_lost_one_is_drawn_again(quiet_page: Page, open_at: Open) -> None:
    quiet_page.add_init_script(
        """globalThis.contexts = new Set();
        const real = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
          const made = real.call(this, kind, ...rest);
          if (kind.startsWith("webgl") && this.isConnected) contexts.add(made);
          return made;
        };"""
    )
    page = open_at("#/expert/0?sort=number")
    drawn(page)
    for expert in (1, 2, 4, 5, 0):
        page.locator("[data-page=expert] [data-scene]").evaluate("scene => scene.removeAttribute('data-ready')")
        page.evaluate("expert => atlas.route.set({ expert })", expert)
        drawn(page)
    assert page.evaluate("contexts.size") == 1
    page.evaluate("[...contexts][0].getExtension('WEBGL_lose_context').loseContext()")
    expect(page.locator("[data-page=expert] [data-scene]").get_by_role("alert")).to_contain_text(
        "took the graphics memory of this picture away"
    )
    # What was asked for last is drawn.
    page.evaluate("atlas.route.set({ expert: 9 })")
    expect(page.locator("[data-page=expert] [data-drawn]")).to_contain_text("575")
    page.locator("[data-page=expert] [data-scene]").get_by_role("button", name="Draw again").click()
    drawn(page)
    expect(page.locator("[data-page=expert] [data-scene]").get_by_role("alert")).to_have_count(0)
    assert page.evaluate("contexts.size") == 2
    assert page.evaluate("document.querySelector('[data-page=expert] [data-scene] .space').data[0].x.length") == 575


def test_the_threshold_lies_inside_of_what_fires(open_at: Open) -> None:
    page = open_at("#/expert/0?seen=gate")
    drawn(page)
    radii, far = page.evaluate(
        """() => {
          const [points, , , , axes, circles, surface] = document.querySelector("[data-page=expert] [data-scene] .space").data;
          const origin = ["x", "y", "z"].map((axis, at) => axes[axis][3 * ((at + 1) % 3)]);
          const away = ({ x, y, z }) => Array.from(x, (value, at) => value === null ? null : Math.hypot(value - origin[0], y[at] - origin[1], z[at] - origin[2])).filter((one) => one !== null);
          return [[...away(circles), ...away(surface)], away(points)];
        }"""  # noqa: E501
    )
    assert len(radii) > 300 and max(radii) - min(radii) < 0.001 * max(radii)
    assert 0 < max(radii) <= min(far) + 2  # points are whole steps
    page.set_viewport_size({"width": 320, "height": 700})
    names = page.locator("[data-page=expert] [data-scene] .name.axis")
    for at in range(3):
        expect(names.nth(at)).to_be_visible()


def test_a_view_is_a_text_and_stays_upright(open_at: Open) -> None:
    page = open_at("#/about")
    told: dict[str, Any] = page.evaluate(
        """() => {
          const { camera } = atlas;
          const text = "0.39_0.55_1.6_0.2_-0.1_0_-0.08_0.95_-0.31_2.5";
          let view = camera.read("front", 3, 1.6);
          const heights = [];
          for (let at = 0; at < 60; at += 1) { view = camera.turned(view, 0.3, 0.1); heights.push(view.up[1]); }
          const place = (view) => camera.projection(view, 3, 600, 400)(9000, -4000, 2000).slice(0, 2);
          const [x, y] = place(camera.read("front", 3, 1.6));
          const nearer = camera.zoomed(camera.read("front", 3, 1.6), 2, 1.6, (2 * x - 600) / 400, (2 * y - 400) / 400);
          // At first all of a cloud is in sight, however it is turned, and the farthest comes near the edge.
          const [means, origin] = [{ x: [0], y: [0], z: [25000] }, [-32000, 20000, -25000]];
          const cloud = { x: [32000, -9000], y: [20000, -32000], z: [0, 3000], means, origin, sphere: null, axes: [1, 2, 3] };
          const zoom = camera.whole(camera.reach(cloud));
          const shares = [];
          let seen = camera.read("front", 3, zoom);
          for (let at = 0; at < 200; at += 1) {
            seen = camera.turned(seen, 0.3, 0.1 * Math.sin(at));
            const [left, top] = camera.projection(seen, 3, 320, 400)(...origin);
            shares.push(Math.hypot(left - 160, top - 200) / 160);
          }
          return {
            most: Math.max(...shares),
            again: camera.write(camera.read(text, 3, 1.2)) === text,
            names: ["front", "1", "2", "3"].map((name) => camera.named(camera.read(name, 3, 1.2), 1.2)),
            none: ["", null, "4", "1_2", "0_0_0_0_0_0_0_1_0_1", "a_b_c_d_e_f_g_h_i_j"].map((text) => camera.read(text, 3, 1.2)),
            flat: camera.named(camera.read("1", 2, 1.2), 1.2),
            least: Math.min(...heights),
            under: Math.hypot(place(nearer)[0] - x, place(nearer)[1] - y),
            whole: camera.zoomed(nearer, 0.1, 1.6).center,
          };
        }"""
    )
    assert 0.9 < told["most"] < 0.95
    assert told["again"] and told["names"] == ["front", "1", "2", "3"]
    assert told["none"] == [None] * 6
    assert told["flat"] == "3"
    assert told["least"] > -1e-6
    assert told["under"] < 1e-6
    assert told["whole"] == [0, 0, 0]


def test_names_find_places_that_are_free(open_at: Open) -> None:
    page = open_at("#/about")
    placed: list[list[dict[str, Any] | None]] = page.evaluate(
        """() => {
          let seed = 1;
          const next = () => (seed = seed * 16807 % 2147483647) / 2147483647;
          return Array.from({ length: 20 }, () => {
            const name = () => ({ left: next() * 420 - 10, top: next() * 400, radius: 5, width: 20 + 60 * next(), before: null });
            const names = Array.from({ length: 30 }, name);
            const placed = atlas.names.place(names, 400, 400);
            return placed.map((place, own) => place && { ...place, width: names[own].width, marks: names, own });
          });
        }"""
    )
    for names in placed:
        shown = [name for name in names if name]
        assert len(shown) > 15
        astray = 0
        for at, one in enumerate(shown):
            # Every mark stays in sight, and a name is nearest to its own where it can be.
            gaps = [
                hypot(max(0, abs(mark["left"] - one["left"]) - one["width"] / 2), max(0, abs(mark["top"] - one["top"]) - 7.5))
                for mark in one["marks"]
            ]
            assert min(gaps) >= 5
            astray += gaps[one["own"]] > min(gaps) + 1e-6
            assert one["width"] / 2 <= one["left"] <= 400 - one["width"] / 2
            for other in shown[at + 1 :]:
                apart = abs(one["left"] - other["left"]) - (one["width"] + other["width"]) / 2
                assert apart >= 0 or abs(one["top"] - other["top"]) >= 15
        assert astray <= 3


def test_a_picture_has_what_is_seen(open_at: Open, tmp_path: Path) -> None:
    page = open_at("#/expert/0")
    drawn(page)
    with page.expect_download() as given:
        page.get_by_role("button", name="PNG").click()
    given.value.save_as(tmp_path / "picture.png")
    png = base64.b64encode((tmp_path / "picture.png").read_bytes()).decode()
    places = [(x, y) for x in range(0, 1000, 5) for y in range(0, 1000, 5)]
    seen = page.evaluate(CHROMA, [png, places])
    assert 60 < sum(chroma > 40 for chroma in seen) < len(places) / 10
