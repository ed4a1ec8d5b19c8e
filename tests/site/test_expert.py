from __future__ import annotations

import base64
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from frames import point_out
from playwright.sync_api import Browser, BrowserContext, Page, expect

from atlas.bake import bake
from atlas.store import write_atlas
from synthetic import Size, synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]


COLOURED = """async png => {
  const picture = new Image();
  picture.src = `data:image/png;base64,${png}`;
  await picture.decode();
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
  const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  let coloured = 0;
  for (let at = 0; at < data.length; at += 4) {
    coloured += Math.max(data[at], data[at + 1], data[at + 2]) - Math.min(data[at], data[at + 1], data[at + 2]) > 40;
  }
  return coloured;
}"""


def expect_coloured(page: Page, least: int = 200) -> None:
    """Wait until so many pixels of the scene have a colour: its axes, names and ground are grey. It says that it is ready before
    the browser has painted it.
    """
    scene = page.locator("[data-page=expert] [data-scene]")
    expect(scene).to_have_attribute("data-ready", "", timeout=20_000)
    end = time.monotonic() + 10
    while (seen := page.evaluate(COLOURED, base64.b64encode(scene.screenshot()).decode())) < least and time.monotonic() < end:
        page.wait_for_timeout(50)
    assert seen >= least


def test_an_expert_opens_from_the_list_and_back_returns_to_it(open_at: Open) -> None:
    page = open_at("#/?sort=number")
    page.get_by_role("link", name="Expert 12:").click()
    expect(page.get_by_role("heading", name="Expert 12")).to_be_visible()
    expect(page.get_by_role("heading", name="Expert 12")).to_be_focused()
    expect(page).to_have_url(re.compile(r"#/expert/12\?sort=number$"))
    page.go_back()
    expect(page.get_by_role("list", name="Experts")).to_be_visible()
    expect(page.get_by_role("link", name="Expert 12:")).to_be_focused()
    expect(page).to_have_url(re.compile(r"#/\?sort=number$"))


def test_webgl_draws_the_cloud(open_at: Open) -> None:
    page = open_at("#/expert/0")
    expect_coloured(page, 500)
    for month in ("January", "June", "December"):
        expect(page.locator("[data-page=expert] [data-scene]").get_by_text(month, exact=True)).to_be_visible()
    expect(page.get_by_text("large marks are class means, joined in label order.")).to_be_visible()


def test_colour_and_address_go_together(open_at: Open) -> None:
    page = open_at("#/expert/1")
    expect_coloured(page)
    page.get_by_label("Colour by").select_option("Months")
    expect(page).to_have_url(re.compile("colour=months"))
    expect(page.get_by_text(re.compile(r"firings at the labels of Months"))).to_be_visible()
    page.reload()
    expect(page.get_by_label("Colour by")).to_have_value("months")
    expect(page.get_by_text(re.compile(r"firings at the labels of Months"))).to_be_visible()


def test_class_means_are_not_joined_without_a_supported_order(open_at: Open) -> None:
    page = open_at("#/expert/2")
    expect(page.get_by_text("Order not supported, so they are not joined.")).to_be_visible()
    expect(page.get_by_text("order not supported").first).to_be_visible()


def test_the_camera_survives_a_reload(open_at: Open) -> None:
    page = open_at("#/expert/0")
    expect_coloured(page)
    scene = page.locator("[data-page=expert] [data-scene]")
    box = scene.bounding_box()
    assert box
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 340, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile("camera="))
    turned, end = page.url, scene.get_by_text(re.compile("^axis 3"))
    place = end.bounding_box()
    page.reload()
    expect_coloured(page)
    again = end.bounding_box()
    assert place and again and abs(place["x"] - again["x"]) < 4 and abs(place["y"] - again["y"]) < 4
    assert page.url == turned
    page.get_by_role("button", name="Reset view").click()
    expect(page).not_to_have_url(re.compile("camera="))
    moved = "([name, x]) => Math.abs(name.getBoundingClientRect().x - x) > 20"
    page.wait_for_function(moved, arg=[end.element_handle(), place["x"]])


def test_a_point_shows_its_context(open_at: Open) -> None:
    page = open_at("#/expert/0")
    expect_coloured(page)
    box = page.locator("[data-page=expert] [data-scene]").bounding_box()
    assert box
    across = [box["x"] + 5 + step * (box["width"] - 10) / 80 for step in range(80)]
    point_out(page, [(x, box["y"] + box["height"] * 0.42) for x in across])
    tip = page.locator("[data-tip]")
    expect(tip).to_contain_text("norm")
    expect(tip.locator("mark")).to_have_text(re.compile("January|February|March|June|July|August"))
    page.mouse.move(5, 5)
    expect(tip).to_be_hidden()


def test_previous_and_next_follow_the_sort(open_at: Open) -> None:
    page = open_at("#/expert/12?sort=number")
    page.get_by_role("link", name="Next: expert 13").click()
    expect(page.get_by_role("heading", name="Expert 13")).to_be_visible()
    page.get_by_role("link", name="Previous: expert 12").click()
    page.get_by_role("link", name="Previous: expert 11").click()
    expect(page.get_by_role("heading", name="Expert 11")).to_be_visible()
    page.get_by_role("link", name="All experts").click()
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("number")


def test_the_ends_of_the_list_have_no_step_beyond(open_at: Open) -> None:
    page = open_at("#/expert/0?sort=number")
    expect(page.get_by_role("link", name="Next: expert 1", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("Previous"))).to_have_count(0)


def test_numbers_stand_with_what_they_rest_on(open_at: Open) -> None:
    page = open_at("#/expert/0")
    expect(page.get_by_role("heading", name="What can be said")).to_be_visible()
    expect(page.get_by_text(re.compile(r"can be read from its code: R² 0\.55 \(0\.48–0\.61\) on 48 sentences"))).to_be_visible()
    expect(
        page.get_by_text(re.compile(r"n 48 sentences.*covers 12 of 12 labels.*adjusted p 0\.002 over 14 experts"))
    ).to_be_visible()
    strip = page.locator("section[data-page=expert]").get_by_text("best random projection 0.58", exact=True)
    expect(strip).to_be_visible()


def test_evidence_is_shown(open_at: Open) -> None:
    page = open_at("#/expert/0")
    expect(page.get_by_role("group", name="Strongest").locator("li")).to_have_count(20)
    expect(page.get_by_role("group", name="Strongest").get_by_role("listitem")).to_have_count(10)
    for quarter in ("Highest quarter by norm", "Second quarter", "Third quarter", "Lowest quarter"):
        expect(page.get_by_role("group", name=quarter).get_by_role("listitem")).to_have_count(5)
    expect(page.locator("[data-contexts] mark[data-middle]")).to_have_count(40)
    tokens = page.get_by_role("table").filter(has=page.get_by_role("columnheader", name="Token", exact=True))
    expect(tokens.get_by_role("row")).to_have_count(13)
    # 5 of 120: Wilson's interval is 1.79 to 9.39 %.
    expect(tokens.get_by_role("row").nth(1)).to_contain_text(re.compile(r"4\.2\s%\s\(1\.8–9\.4\)\s*5"))
    labels = page.get_by_role("region", name="Months, label by label")
    expect(labels.get_by_role("row")).to_have_count(13)
    expect(page.get_by_role("img", name=re.compile("^Norms from"))).to_be_visible()


def test_a_silent_expert_has_a_page_without_pictures(open_at: Open) -> None:
    page = open_at("#/expert/3")
    expect(page.get_by_text("It fired on none of the 104,551 held-out tokens.")).to_be_visible()
    expect(page.locator("[data-page=expert] [data-scene]")).to_be_hidden()
    expect(page.get_by_role("heading", level=3)).to_have_text(["What can be said", "Neighbours"])


def test_an_expert_that_is_not_there_is_said_in_place(open_at: Open) -> None:
    page = open_at("#/expert/999")
    expect(page.get_by_role("alert")).to_contain_text("no expert of that number")
    page.get_by_role("link", name="All experts").click()
    expect(page.get_by_role("list", name="Experts")).to_be_visible()


def test_text_from_a_corpus_stays_text(open_at: Open) -> None:
    page = open_at("#/expert/0")
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    expect(page.locator("[data-contexts]")).to_contain_text("</script><script>alert(1)</script>")
    expect(page.locator("[data-contexts]")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("main script, main img, [data-contexts] b").count() == 0
    assert "\u202e" not in page.locator("[data-contexts]").inner_text()
    expect(page.locator("[data-contexts]").get_by_text("⏎", exact=True).first).to_be_visible()
    expect(page.locator("[data-contexts]").get_by_text("U+202E", exact=True).first).to_be_visible()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" the", " the"),
        ("\n", "⏎"),
        ("\n\n", "⏎⏎"),
        ("\t" * 5, "⇥×5"),
        (" ", "space"),
        (" " * 8, "space×8"),
        (" \n", "space⏎"),
        ("a\x00\x1bb\x7f", "aU+0000U+001BbU+007F"),
        ("\x85", "U+0085"),
        ("\u202eevil", "U+202Eevil"),
        ("a\u200bb", "aU+200Bb"),
        ("\u3164", "U+3164"),
        ("\U000e0041", "U+E0041"),
        (" 👩\u200d🔬", " 👩\u200d🔬"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("\ufe0f", "U+FE0F"),
        ("\\xE2\\x80", "\\xE2\\x80"),
        ("<b>", "<b>"),
        ("", ""),
    ],
)
def test_what_cannot_be_seen_of_a_token_is_named(text: str, shown: str, open_at: Open) -> None:
    page = open_at()
    made = page.evaluate(
        "text => { const p = document.createElement('p'); p.append(...atlas.words.token(text)); return p.textContent; }", text
    )
    assert made == shown


def test_one_word_from_right_to_left_does_not_turn_a_context_around(open_at: Open) -> None:
    page = open_at("#/expert/0")
    foreign = page.locator("[data-contexts] .context").filter(has_text=re.compile("[\u05d0-\u05ea\u0621-\u064a]"))
    assert foreign.count() > 0
    for at in range(foreign.count()):
        expect(foreign.nth(at)).to_have_attribute("dir", "ltr")
        assert (
            foreign.nth(at).locator(".side").evaluate_all("sides => sides.map(side => getComputedStyle(side).direction)")
            == ["ltr"] * 2
        )


def test_a_context_from_right_to_left_is_read_so(quiet_page: Page, tmp_path: Path) -> None:
    tables = synthetic_tables(size=Size(experts=2, points=20))
    tables["vocabulary"]["text"] = [" שלום"] * len(tables["vocabulary"]["text"])
    write_atlas(tmp_path / "atlas.duckdb", tables)
    folder = bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder
    quiet_page.goto((folder / "index.html").as_uri() + "#/expert/0")
    context = quiet_page.locator("[data-contexts] .context").first
    expect(context).to_have_attribute("dir", "rtl")
    before, after = (context.locator(f".{side}").bounding_box() for side in ("before", "after"))
    assert before and after and before["x"] > after["x"]


def test_a_second_corpus_has_a_cloud_and_evidence_of_its_own(quiet_page: Page, two_corpora: Path) -> None:
    page = quiet_page
    page.goto((two_corpora / "index.html").as_uri() + "#/expert/0")
    expect_coloured(page)
    expect(page.get_by_label("Colour by")).to_have_value("months")
    first = page.get_by_role("group", name="Strongest").get_by_role("listitem").first.inner_text()
    expect(page.locator("[data-norms] figcaption")).to_contain_text(
        re.compile(r"^2,290 firings, on 0\.72\s% of the tokens, in 30 of 30 documents\.")
    )
    page.get_by_label("Contexts, tokens, norms and positions on").select_option("More words at random")
    expect(page).to_have_url(re.compile("corpus=second"))
    expect(page.locator("[data-norms] figcaption")).to_contain_text(
        re.compile(r"^691 firings, on 0\.72\s% of the tokens, in 30 of 30 documents\.")
    )
    assert page.get_by_role("group", name="Strongest").get_by_role("listitem").first.inner_text() != first
    page.locator("[data-page=expert] [data-scene]").evaluate(
        "scene => scene.removeAttribute('data-ready')"
    )  # which is of the first cloud
    page.get_by_label("Colour by").select_option("norm, on More words at random")
    expect(page.get_by_text("120 firings on More words at random, coloured by norm.")).to_be_visible()
    expect_coloured(page)
    page.reload()
    expect(page.get_by_label("Contexts, tokens, norms and positions on")).to_have_value("second")
    expect(page.get_by_label("Colour by")).to_have_value("second")


def test_one_corpus_leaves_nothing_to_choose(open_at: Open) -> None:
    page = open_at("#/expert/0")
    expect(page.get_by_role("group", name="Strongest")).to_be_visible()
    expect(page.get_by_label("Contexts, tokens, norms and positions on")).to_be_hidden()


def test_hostile_titles_stay_text(open_at: Open) -> None:
    page = open_at("#/expert/30")
    expect(page.get_by_role("heading", name="Expert 30")).to_contain_text("</script><script>alert(1)</script>")


def test_the_scheme_reaches_the_scene(open_at: Open) -> None:
    page = open_at("#/expert/0")
    expect_coloured(page)
    page.get_by_role("button", name="Switch between light and dark").click()
    page.wait_for_function("() => document.querySelector('[data-page=expert] .space')._fullLayout.font.color === '#e6e8ea'")


def test_without_scripts_the_page_says_what_it_is(browser: Browser, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    expect(page.get_by_text("40 experts: 2 silent on 104,551 held-out tokens")).to_be_visible()
    expect(page.locator("noscript p")).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    context.close()


def test_a_missing_payload_is_said_in_place(context: BrowserContext, site: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(site, tmp_path / "broken")
    shutil.rmtree(broken / "data" / "experts")
    page = context.new_page()
    page.goto((broken / "index.html").as_uri() + "#/expert/0")
    expect(page.get_by_role("alert")).to_contain_text(
        re.compile(r"data/experts/\d+\..*\.js could not be read. Bake the site again")
    )
    shutil.rmtree(broken / "data")
    page.goto((broken / "index.html").as_uri() + "?")
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"data/atlas\.[0-9a-f]{12}\.js could not be read"))


def test_arrow_keys_turn_the_scene(open_at: Open) -> None:
    page = open_at("#/expert/0")
    expect_coloured(page)
    page.get_by_role("group", name=re.compile("Cloud of expert 0")).focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("camera="))


@pytest.mark.parametrize(
    ("query", "task"), [("", "months"), ("?label=numbers:7", "numbers"), ("?label=numbers:7&colour=months", "months")]
)
def test_an_expert_found_by_a_label_is_coloured_by_its_task(query: str, task: str, open_at: Open) -> None:
    page = open_at(f"#/expert/2{query}")
    expect_coloured(page)
    expect(page.get_by_label("Colour by")).to_have_value(task)
