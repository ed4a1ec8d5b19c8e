from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from frames import painted
from playwright.sync_api import Locator, Page, expect

from atlas.bake import bake
from atlas.store import write_atlas
from synthetic import Size, kind, synthetic_tables, write_synthetic

pytestmark = pytest.mark.browser
MANY = 420
Open = Callable[[str], Page]
DRAWN = """canvas => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let painted = 0;
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] < 100) continue;
    painted += 1;
    colours.add([data[at] >> 5, data[at + 1] >> 5, data[at + 2] >> 5].join());
  }
  return [painted, colours.size];
}"""


def numbers(page: Page) -> list[int]:
    # Rows out of view are not laid out, and only what is laid out has an inner text.
    names = page.get_by_role("list", name="Experts").get_by_role("link").all_text_contents()
    return [int(re.search(r"\d+", name).group()) for name in names]  # type: ignore[union-attr]


def expect_numbers(page: Page, experts: list[int]) -> None:
    """Wait until the list holds these experts in this order."""
    names = [re.compile(rf"^{expert}\b") for expert in experts]
    expect(page.get_by_role("list", name="Experts").get_by_role("link")).to_have_text(names)


def cloud(page: Page, expert: int) -> Locator:
    return page.get_by_role("link", name=f"Expert {expert}:").locator("canvas")


def drawn(canvas: Locator) -> list[int]:
    """Wait until a cloud is painted, some frames after the words beside it, and return how many pixels and colours it has."""
    canvas.page.wait_for_function(f"canvas => ({DRAWN})(canvas)[0] > 0", arg=canvas.element_handle())
    return canvas.evaluate(DRAWN)


def test_the_list_holds_every_expert_and_says_how_many(open_at: Open) -> None:
    page = open_at("")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    expect(page.get_by_role("list", name="Experts").get_by_role("listitem")).to_have_count(40)
    expect(page.get_by_role("heading", level=1)).to_contain_text("tiny-synthetic")


@pytest.fixture(scope="module")
def long_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked atlas of 420 experts, most of which are far below what is in sight."""
    root = tmp_path_factory.mktemp("many")
    size = Size(experts=MANY, points=2, windows=1, month_templates=5, number_templates=1)
    return bake(write_synthetic(root / "atlas.duckdb", size=size), root / "site").folder


def open_long(page: Page, site: Path, route: str) -> Page:
    page.goto((site / "index.html").as_uri() + route)
    expect(page.get_by_role("listitem").filter(has=page.get_by_role("link", name="Expert 0:"))).to_be_attached()
    return page


@pytest.mark.parametrize(
    ("width", "scrolls"), [(1280, "[data-pane]"), (390, "html")], ids=["the pane scrolls", "the page scrolls"]
)
def test_a_long_list_is_walked_through_by_scrolling(quiet_page: Page, long_list: Path, width: int, scrolls: str) -> None:
    quiet_page.set_viewport_size({"width": width, "height": 800})
    page = open_long(quiet_page, long_list, "#/?sort=number")
    met: dict[int, int] = {}
    most = 0
    # Half a screen at a time, as a wheel does; every stretch says where in the list it stands.
    steps = page.evaluate(f"""async () => {{
      const pane = document.querySelector("{scrolls}");
      const seen = [];
      for (let last = -1; pane.scrollTop !== last;) {{
        last = pane.scrollTop;
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        seen.push([...document.querySelectorAll("[data-experts] li")].map((item) => {{
          const {{ top, bottom }} = item.getBoundingClientRect();
          const inSight = bottom > 0 && top < innerHeight;
          const size = item.getAttribute("aria-setsize");
          const place = item.getAttribute("aria-posinset");
          return [item.querySelector("a").getAttribute("href"), Number(place), Number(size), inSight];
        }}));
        pane.scrollBy({{ top: 400, behavior: "instant" }});
      }}
      return seen;
    }}""")
    for step in steps:
        most = max(most, len(step))
        assert any(is_in_sight for *_, is_in_sight in step)
        for href, place, size, _ in step:
            met[place] = int(re.search(r"expert/(\d+)", href).group(1))  # type: ignore[union-attr]
            assert size == MANY
    assert [met[place] for place in range(1, MANY + 1)] == list(range(MANY))
    assert most < 200


def test_another_view_of_a_long_list_begins_at_its_top(quiet_page: Page, long_list: Path) -> None:
    page = open_long(quiet_page, long_list, "#/?sort=number")
    pane = page.locator("[data-pane]")
    pane.evaluate("pane => pane.scrollTo(0, 5000)")
    link = page.get_by_role("link", name=re.compile(r"^Expert 1[3-7]\d:"))
    expect(link.first).to_be_attached()
    page.get_by_role("combobox", name="Sort by").select_option("importance")
    expect(page.locator("[data-experts] li").first).to_have_attribute("aria-posinset", "1")
    assert pane.evaluate("pane => pane.scrollTop") == 0
    supported = [expert for expert in range(MANY) if kind(expert) in ("ring", "line")]
    page.goto(page.url.split("#")[0] + "#/?order=1&sort=number")
    expect(page.get_by_role("status").first).to_have_text(f"{len(supported)} of {MANY} experts")
    shown = numbers(page)
    assert shown == supported[: len(shown)]
    # What stands in the page fills what is in sight, and goes on below.
    expect(page.locator("[data-experts] li").first).to_be_in_viewport()
    expect(page.locator("[data-experts] li").last).not_to_be_in_viewport()


@pytest.mark.parametrize("view", ["gallery", "table"])
@pytest.mark.parametrize("width", [1280, 390], ids=["in its pane", "on the page"])
def test_who_comes_by_a_link_sees_the_chosen_expert(quiet_page: Page, long_list: Path, width: int, view: str) -> None:
    quiet_page.set_viewport_size({"width": width, "height": 800})
    page = quiet_page

    def of(expert: int) -> Locator:
        return page.locator("[data-pane]").get_by_role("link", name=f"Expert {expert}:")

    page.goto((long_list / "index.html").as_uri() + f"#/?sort=number&view={view}&at=300")
    expect(of(300)).to_be_in_viewport(ratio=0.9)
    page.evaluate("location.hash = location.hash.replace('at=300', 'at=40')")
    expect(of(40)).to_be_in_viewport(ratio=0.9)
    page.go_back()
    expect(of(300)).to_be_in_viewport(ratio=0.9)
    # Where none is chosen the list stands where it was left.
    page.evaluate("atlas.route.adjust({ at: null })")
    first = page.evaluate(
        """() => {
          const tops = [document.querySelector("[data-pane]").getBoundingClientRect().top,
            document.querySelector("[data-table] thead").getBoundingClientRect().bottom];
          const top = Math.max(0, ...tops);
          const items = [...document.querySelectorAll("[data-pane] [data-row]")].filter((item) => item.checkVisibility());
          const inSight = items.filter((item) => item.getBoundingClientRect().top >= top - 2);
          return Number(/expert\\/(\\d+)/.exec(inSight[0].querySelector("a").getAttribute("href"))[1]);
        }"""
    )
    page.evaluate("atlas.route.set({ marked: true })")
    expect(of(300)).to_have_count(0)
    page.go_back()
    expect(of(first)).to_be_in_viewport(ratio=0.9)


def test_a_star_taken_off_leaves_the_keyboard_in_the_list(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    page.evaluate("for (const expert of [2, 5, 9]) atlas.marks.toggle(expert)")
    page.evaluate("atlas.route.set({ marked: true })")

    def star(expert: int) -> Locator:
        return page.locator("[data-pane]").get_by_role("button", name=f"Bookmark expert {expert}", exact=True)

    expect(star(0)).to_have_count(0)
    for gone, follower in ((5, 9), (9, 2)):
        star(gone).press("Enter")
        expect(star(gone)).to_have_count(0)
        expect(star(follower)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="List")).to_be_focused()


def test_what_scrolls_by_under_a_resting_pointer_is_not_pointed_at(quiet_page: Page, long_list: Path) -> None:
    page = open_long(quiet_page, long_list, "#/?sort=number")
    page.get_by_role("link", name="Expert 1:").hover()
    hovered = "atlas.pointed.row === Number(document.querySelector('[data-experts] li:hover')?.dataset.row)"
    page.wait_for_function(f"() => {hovered}")
    page.evaluate(
        """() => {
          window.met = [];
          let scrolled = 0;
          addEventListener("scroll", () => { scrolled = performance.now(); }, true);
          atlas.pointed.changes.addEventListener("change", () => {
            if (atlas.pointed.row !== null) window.met.push(performance.now() - scrolled);
          });
        }"""
    )
    for _ in range(8):
        page.mouse.wheel(0, 300)
        page.wait_for_timeout(40)  # as a hand turns it: too soon for the list to have come to rest
    page.wait_for_function(f"() => window.met.length > 0 && {hovered}")
    assert min(page.evaluate("window.met")) > 95  # ms for which the list has been still


def test_a_list_left_for_an_expert_is_found_again_where_it_was(quiet_page: Page, long_list: Path) -> None:
    page = open_long(quiet_page, long_list, "#/?sort=number")
    page.locator("[data-pane]").evaluate("pane => pane.scrollTo(0, 5000)")
    link = page.get_by_role("list", name="Experts").get_by_role("link", name=re.compile(r"^Expert 1[3-7]\d:")).first
    name = link.get_attribute("aria-label")
    assert name
    link.click()
    expect(page.get_by_role("heading", level=2).filter(has_text=name.split(":")[0])).to_be_visible()
    page.go_back()
    expect(page.get_by_role("link", name=name)).to_be_focused()
    expect(page.get_by_role("link", name=name)).to_be_in_viewport()


def test_the_choice_is_moved_by_the_keyboard_and_stands_in_the_address(quiet_page: Page, long_list: Path) -> None:
    page = open_long(quiet_page, long_list, "#/?sort=number")
    for key in ("j", "j", "j", "k"):
        page.keyboard.press(key)
    expect(page.get_by_role("link", name="Expert 1:")).to_be_focused()
    expect(page.get_by_role("link", name="Expert 1:")).to_have_attribute("aria-current", "true")
    expect(page).to_have_url(re.compile("at=1$"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    # As many on as stand in a line.
    tops = page.locator("[data-experts] li").evaluate_all("items => items.map((item) => item.getBoundingClientRect().top)")
    columns = tops.count(tops[0])
    expect(page.get_by_role("link", name=f"Expert {2 + columns}:")).to_be_focused()
    for _ in range(30):
        page.keyboard.press("ArrowDown")
    last = page.get_by_role("link", name=f"Expert {2 + 31 * columns}:")
    expect(last).to_be_focused()
    expect(last).to_be_in_viewport()
    expect(page.locator("[aria-current]")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(rf"#/expert/{2 + 31 * columns}\?sort=number"))


def test_the_keyboard_stays_in_the_list_when_its_expert_is_scrolled_away(quiet_page: Page, long_list: Path) -> None:
    page = open_long(quiet_page, long_list, "#/?sort=number")
    page.get_by_role("link", name="Expert 3:").focus()
    page.locator("[data-pane]").evaluate("pane => pane.scrollTo(0, 7000)")
    expect(page.get_by_role("link", name="Expert 3:")).to_have_count(0)
    expect(page.locator("[data-pane]")).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate("Number(document.activeElement.closest('[data-row]').getAttribute('aria-posinset'))") > 50


def test_sorting_stands_in_the_address_and_survives_a_reload(open_at: Open) -> None:
    page = open_at("")
    page.get_by_role("combobox", name="Sort by").select_option("expert number")
    expect(page).to_have_url(re.compile(r"#/\?sort=number$"))
    expect_numbers(page, list(range(40)))
    page.reload()
    expect_numbers(page, list(range(40)))
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("number")


def test_an_unknown_sort_is_the_default(open_at: Open) -> None:
    stats = synthetic_tables()["expert_stats"]
    rows = zip(stats["task"], stats["expert"], stats["importance"], strict=True)
    importance = {expert: value for task, expert, value in rows if task == 0}
    page = open_at("#/?sort=constructor")
    expect_numbers(page, sorted(importance, key=lambda expert: (-importance[expert], expert)))
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("importance")


def test_clouds_are_drawn_and_coloured_by_their_titles_task(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    assert (kind(0), kind(5), kind(3)) == ("ring", "ray", "silent")
    ring, ray = drawn(cloud(page, 0)), drawn(cloud(page, 5))
    silent = cloud(page, 3).evaluate(DRAWN)  # painted before a later one, if at all
    assert ring[0] > 100 and ray[0] > 100 and silent[0] == 0
    assert ring[1] > 3 * ray[1]


def test_a_cloud_turns_under_the_pointer_unless_motion_is_reduced(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    canvas = cloud(page, 0)
    drawn(canvas)
    pixels = "canvas => canvas.toDataURL()"
    first = [canvas.element_handle(), canvas.evaluate(pixels)]
    canvas.hover()
    page.wait_for_function("([canvas, first]) => canvas.toDataURL() !== first", arg=first)
    page.get_by_role("heading", level=1).hover()
    page.wait_for_function("([canvas, first]) => atlas.pointed.row === null && canvas.toDataURL() === first", arg=first)
    page.emulate_media(reduced_motion="reduce")
    canvas.hover()
    page.wait_for_function("() => atlas.pointed.row !== null")
    painted(page, frames=10)  # in which a cloud that turns would have moved
    assert canvas.evaluate(pixels) == first[1]


def test_a_star_bookmarks_an_expert_wherever_it_stands(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    star = page.get_by_role("list", name="Experts").get_by_role("button", name="Bookmark expert 12", exact=True)
    expect(star).to_have_attribute("aria-pressed", "false")
    star.press("Enter")
    expect(star).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Table").click()
    of = page.get_by_role("row").filter(has=page.get_by_role("link", name="Expert 12:"))
    expect(of.get_by_role("button", name="Bookmark expert 12")).to_have_attribute("aria-pressed", "true")
    of.get_by_role("cell").first.click()  # chooses it: the pointer may leave
    expect(page).to_have_url(re.compile("at=12"))
    preview = page.get_by_role("complementary", name="Expert in sight")
    preview.get_by_role("button", name="Bookmark expert 12").click()
    expect(of.get_by_role("button", name="Bookmark expert 12")).to_have_attribute("aria-pressed", "false")


def test_what_is_pointed_at_is_previewed_else_what_was_chosen_else_the_first(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    preview = page.get_by_role("complementary", name="Expert in sight")
    link = preview.get_by_role("link")
    before = preview.bounding_box()
    expect(link).to_have_text(re.compile("^0 "))
    page.get_by_role("link", name="Expert 1:").hover()
    expect(link).to_have_text(re.compile("^1 "))
    expect(link).to_have_attribute("href", "#/expert/1?sort=number")
    expect(preview.get_by_role("img")).to_have_accessible_name(re.compile("best random projection"))
    expect(preview.locator("mark")).not_to_be_empty()
    assert drawn(preview.locator("canvas"))[0] > 100
    page.get_by_role("heading", level=1).hover()
    expect(link).to_have_text(re.compile("^0 "))
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.get_by_role("heading", level=1).hover()
    page.evaluate("document.activeElement.blur()")
    expect(link).to_have_text(re.compile("^1 "))
    page.get_by_role("link", name="Expert 3:").hover()
    expect(preview).to_contain_text("Never fires on held-out text")
    assert preview.bounding_box() == before
    # Nothing of it is cut: a name and its number have a line each, and in a low window it scrolls.
    page.get_by_role("link", name="Expert 0:").hover()
    expect(link).to_have_text(re.compile("^0 "))
    read = preview.locator(".read")
    assert read.evaluate(
        """part => [part, ...part.children].every((one) => one.scrollWidth <= one.clientWidth)
          && part.scrollHeight <= part.clientHeight"""
    )
    page.set_viewport_size({"width": 1280, "height": 600})
    page.mouse.move(0, 0)
    expect(preview).to_have_attribute("tabindex", "0")
    preview.focus()
    page.keyboard.press("End")
    expect(preview.locator("mark")).to_be_in_viewport()
    page.evaluate("atlas.route.set({ q: 'no expert has this', at: null })")
    colour = "node => getComputedStyle(node).color"
    nobody = preview.get_by_text("No expert in sight")
    assert nobody.evaluate(colour) == preview.locator("canvas").evaluate(colour)
    page.set_viewport_size({"width": 900, "height": 800})
    expect(preview).to_be_hidden()


def test_a_strip_says_its_score_and_references(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    item = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="Expert 0:"))
    strip = item.get_by_role("img")
    expect(strip).to_have_accessible_name(
        re.compile(r"Months, 12-month ring: R² 0\.55, 95 % interval .* best random projection 0\.58")
    )
    assert "hollow" in (strip.locator("circle").get_attribute("class") or "")


def test_a_claimed_tasks_scores_take_the_place_of_the_best_ones(quiet_page: Page, tmp_path: Path) -> None:
    tables = synthetic_tables()
    scores = tables["scores"]
    of = {row: at for at, row in enumerate(zip(scores["task"], scores["hypothesis"], scores["expert"], strict=True))}
    # Two experts of months, in whose codes numbers can be read too: 7 better than 0.
    for expert, value in ((0, 0.15), (7, 0.21)):
        changed = {"ranking": value, "all_rows": value, "all_rows_low": value - 0.1, "all_rows_high": value + 0.1}
        for column, put in (changed | {"testable": True, "order_supported": True}).items():
            scores[column][of[2, 0, expert]] = put
    write_atlas(tmp_path / "atlas.duckdb", tables)
    site = bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder
    quiet_page.goto((site / "index.html").as_uri() + "#/?task=months&sort=score")
    strip = quiet_page.get_by_role("listitem").filter(has=quiet_page.get_by_role("link", name="Expert 7:")).get_by_role("img")
    expect(strip).to_have_accessible_name(re.compile(r"^Months, 12-month ring: R² 0\.\d+"))
    quiet_page.get_by_role("radio", name="Numbers 0–99").check()
    expect(strip).to_have_accessible_name(re.compile(r"^Numbers 0–99, linear: R² 0\.21, 95 % interval 0\.11 to 0\.31"))
    lines = [expert for expert in range(40) if kind(expert) == "line"]
    value = {
        scores["expert"][at]: scores["all_rows"][at] for (task, hypothesis, _), at in of.items() if (task, hypothesis) == (2, 0)
    }
    wanted = sorted([*lines, 0, 7], key=lambda expert: -value[expert])
    assert wanted[-2:] == [7, 0] and len(set(value[expert] for expert in wanted)) == len(wanted)
    expect(quiet_page.get_by_role("status")).to_have_text(f"{len(wanted)} of 40 experts")
    assert numbers(quiet_page) == wanted
    quiet_page.get_by_role("slider", name=re.compile("Best score.*at least")).fill("4")
    expect(quiet_page).to_have_url(re.compile("score=0.2"))
    expect(quiet_page.get_by_role("status")).to_have_text(f"{len(wanted) - 1} of 40 experts")
    quiet_page.get_by_role("radio", name=re.compile("^anything")).check()
    expect(strip).to_have_accessible_name(re.compile("^Months, 12-month ring"))


def test_the_whole_list_can_be_walked_by_keyboard(open_at: Open) -> None:
    page = open_at("")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the experts")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Sort by")).to_be_focused()
    for name in ("Order: largest first", "Gallery", "Table", "Download as CSV", "Download as JSON", "How to read it"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=name)).to_be_focused()
    for item in page.get_by_role("list", name="Experts").get_by_role("listitem").all()[:3]:
        page.keyboard.press("Tab")
        expect(item.get_by_role("link")).to_be_focused()
        page.keyboard.press("Tab")
        expect(item.get_by_role("button")).to_be_focused()


def test_the_scheme_toggle_lasts(open_at: Open) -> None:
    page = open_at("")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(251, 250, 247)"
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate(ground) == "rgb(20, 23, 26)"
    page.reload()
    assert page.evaluate(ground) == "rgb(20, 23, 26)"


def test_nothing_is_wider_than_a_phone(open_at: Open) -> None:
    page = open_at("")
    page.set_viewport_size({"width": 390, "height": 844})
    for expert in (0, 5):
        page = open_at(f"#/expert/{expert}")
        scene = page.get_by_role("group", name=re.compile(f"^Cloud of expert {expert},"))
        expect(scene).to_have_attribute("data-ready", "", timeout=20_000)
        painted(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, expert
    page = open_at("#/")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 700})
        page.wait_for_function("width => innerWidth === width", arg=width)
        painted(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_skip_link_leaves_the_address_alone(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Sort by")).to_be_focused()
    expect(page).to_have_url(re.compile(r"#/\?sort=number$"))
    page = open_at("#/expert/0")
    page.get_by_role("link", name="Skip to the experts").press("Enter")
    expect(page.get_by_role("heading", name="Expert 0")).to_be_focused()
    expect(page).to_have_url(re.compile(r"#/expert/0$"))


def test_a_button_that_goes_leaves_the_keyboard_where_it_was(open_at: Open) -> None:
    page = open_at("#/?label=months:May&order=1")
    page.get_by_role("button", name="Remove filter: fires on May").press("Enter")
    expect(page.get_by_role("button", name="Remove filter: order supported")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    expect(page.get_by_role("status")).to_be_focused()


def test_to_fire_on_no_row_is_no_bound(open_at: Open) -> None:
    page = open_at("#/?label=months:May")
    expect(page.get_by_role("status")).to_have_text(re.compile("of 40 experts"))
    usual = numbers(page)
    page = open_at("#/?label=months:May&fires=0.05")
    expect(page.get_by_role("button", name="Remove filter: fires on May ≥ 5")).to_be_visible()
    assert len(numbers(page)) > len(usual) > 0
    page = open_at("#/?label=months:May&fires=0")
    expect(page.get_by_role("button", name="Remove filter: fires on May", exact=True)).to_be_visible()
    assert numbers(page) == usual


def test_the_title_leads_to_the_whole_list(open_at: Open) -> None:
    page = open_at("#/expert/0?label=months:May&sort=number")
    expect(page.get_by_role("heading", name="Expert 0")).to_be_visible()
    page.get_by_role("heading", level=1).get_by_role("link").click()
    expect(page.get_by_role("status")).to_have_text("40 experts")
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("importance")
