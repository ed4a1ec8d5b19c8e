from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from atlas.bake import bake
from atlas.bake.fidelity import MEASURES, MOST_POINTS
from atlas.store import Store, write_atlas
from synthetic import HOSTILE, Size, synthetic_tables, with_cross_entropy

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
PHONE = {"width": 390, "height": 844}
SHORT = 7
"""Steps of the log whose metric has a hostile name."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked atlas of a causal model, one of whose training metrics has a name that tries to break the page."""
    root = tmp_path_factory.mktemp("fidelity")
    tables = with_cross_entropy(synthetic_tables(size=Size(points=20)))
    extra = {"step": [*range(1, SHORT + 1)], "metric": [HOSTILE[1]] * SHORT, "value": [float(step) for step in range(SHORT)]}
    tables["training_log"] = {name: [*column, *extra[name]] for name, column in tables["training_log"].items()}
    write_atlas(root / "atlas.duckdb", tables)
    return bake(root / "atlas.duckdb", root / "site").folder


@pytest.fixture(scope="module")
def bare_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked atlas that was never evaluated, of a checkpoint without a log."""
    root = tmp_path_factory.mktemp("bare")
    tables = synthetic_tables(size=Size(points=20))
    write_atlas(root / "atlas.duckdb", {name: tables[name] for name in tables if name not in ("evaluation", "training_log")})
    return bake(root / "atlas.duckdb", root / "site").folder


@pytest.fixture(scope="module")
def atlas_tables(site: Path) -> dict[str, pl.DataFrame]:
    """The tables that the view shows."""
    with Store(site.parent / "atlas.duckdb") as store:
        return {name: store[name] for name in ("evaluation", "training_log")} | {"experts": store.experts()}


def opened(page: Page) -> Page:
    expect(page.get_by_role("heading", name="Fidelity and training")).to_be_visible()
    expect(page.locator("[data-training]")).not_to_be_empty()
    return page


def cells(page: Page, table: str) -> list[list[str]]:
    """Return the texts of a section's table, row by row, without what explains a measure."""
    return page.locator(f"[data-section='{table}'] tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.cells].map((cell) => cell.childNodes[0].textContent))"
    )


def vertices(page: Page, title: str) -> list[list[float]]:
    path = page.get_by_role("img", name=re.compile(f"^{title}: from")).locator(".curve").get_attribute("d")
    assert path
    return [[float(number) for number in point.split()] for point in path.removeprefix("M").split("L")]


def shown(value: float | None) -> str:
    """Return a number as the page writes it where numbers stand under each other."""
    return "not measured" if value is None else f"{value:#.3g}".removesuffix(".")


def test_the_view_opens_from_the_page_about_the_atlas_and_back_returns(open_at: Open) -> None:
    page = open_at("#/?q=months&sort=number")
    about = page.get_by_role("link", name="About", exact=True)
    about.click()
    expect(page.get_by_role("heading", name="About this atlas")).to_be_focused()
    page.get_by_role("link", name="Fidelity and training").click()
    opened(page)
    expect(page.get_by_role("heading", name="Fidelity and training")).to_be_focused()
    expect(page).to_have_url(re.compile(r"#/fidelity\?q=months&sort=number$"))
    expect(page).to_have_title(re.compile("^Fidelity and training · "))
    expect(page.get_by_role("list", name="Experts")).to_be_hidden()
    page.go_back()
    expect(page.get_by_role("heading", name="About this atlas")).to_be_focused()
    page.go_back()
    expect(page.get_by_role("list", name="Experts")).to_be_visible()
    expect(page).to_have_url(re.compile(r"#/\?q=months&sort=number$"))
    expect(about).to_be_focused()
    page.go_forward()
    page.go_forward()
    opened(page).get_by_role("link", name=re.compile(r"^\d+ of 40 experts$")).click()
    expect(page).to_have_url(re.compile(r"#/\?q=months&sort=number$"))


def test_the_view_opens_by_its_address_and_leads_on_by_search(open_at: Open) -> None:
    page = opened(open_at("#/fidelity"))
    page.reload()
    opened(page)
    page.get_by_role("searchbox").fill("12")
    page.get_by_role("link", name="Expert 12:").click()
    expect(page.get_by_role("heading", name="Expert 12")).to_be_visible()
    expect(page.get_by_role("heading", name="Fidelity and training")).to_be_hidden()


def test_what_only_looks_like_its_address_is_none_of_the_atlas(open_at: Open) -> None:
    page = open_at("#/fidelity/2")
    expect(page.get_by_text("This atlas has no page “#/fidelity/2”.")).to_be_visible()
    expect(page.get_by_role("list", name="Experts")).to_be_visible()


def test_numbers_shown_are_the_atlas_own(open_at: Open, atlas_tables: dict[str, pl.DataFrame]) -> None:
    page = opened(open_at("#/fidelity"))
    value = {row[:3]: row[3] for row in atlas_tables["evaluation"].iter_rows()}

    def of(task: int, subject: str, metric: str) -> str:
        return shown(value[task, subject, metric]) if (task, subject, metric) in value else "–"

    assert cells(page, "corpus") == [
        [measure.title, of(0, "dictionary", measure.metric), of(0, "pca", measure.metric)] for measure in MEASURES
    ]
    assert cells(page, "tasks") == [
        [title, tokens, of(task, "dictionary", "fvu"), of(task, "pca", "fvu")]
        for task, title, tokens in ((1, "Months", "120"), (2, "Numbers 0–99", "600"))
    ]
    assert [row[1:] for row in cells(page, "cross-entropy")] == [
        [of(0, subject, "cross_entropy"), of(0, subject, "cross_entropy_score")]
        for subject in ("model", "dictionary", "pca", "mean", "zero")
    ]
    expect(page.get_by_text("On 104,551 held-out tokens of the corpus")).to_be_visible()
    expect(page.get_by_role("columnheader", name="PCA, 25 coordinates").first).to_be_visible()
    expect(page.get_by_text("PCA is closer by 4 of 4 measures.")).to_be_visible()


def test_bold_marks_the_better_value(open_at: Open) -> None:
    page = opened(open_at("#/fidelity"))
    assert page.locator("[data-section='tasks'] td b").all_text_contents() == ["0.412", "0.588"]


def test_silent_and_dense_experts_are_counted_and_marked(open_at: Open, atlas_tables: dict[str, pl.DataFrame]) -> None:
    page = opened(open_at("#/fidelity"))
    experts = atlas_tables["experts"]
    dense, silent = int(experts["dense"].sum()), int(experts["silent"].sum())
    expect(page.get_by_text(f"Of 40 experts {dense} are dense on the corpus")).to_contain_text(f"{silent} are silent")
    chart = page.get_by_role("img", name="Rate of each expert")
    expect(chart).to_have_attribute("aria-label", re.compile(rf"to 0\.\d+.*; {dense} dense, {silent} silent$"))
    assert chart.locator(".band-name").all_text_contents() == [f"{dense} dense", f"{silent} silent"]
    points = vertices(page, "Rate of each expert")
    assert len(points) == experts.filter(pl.col("rate") > 0).height
    heights = [y for _, y in points]
    assert heights == sorted(heights), "rates fall from left to right"
    bands = chart.locator(".band").evaluate_all(
        "bands => bands.map((band) => [band.x, band.width].map((one) => one.baseVal.value))"
    )
    assert bands[0][0] == points[0][0] and bands[1][0] > points[-1][0]


def test_curves_have_as_many_points_as_said(open_at: Open, atlas_tables: dict[str, pl.DataFrame]) -> None:
    page = opened(open_at("#/fidelity"))
    loss = atlas_tables["training_log"].filter(pl.col("metric") == "loss")
    points = vertices(page, "Loss")
    assert MOST_POINTS / 2 < len(points) <= MOST_POINTS
    said = page.locator("[data-training] > .note").inner_text()
    assert said.startswith("2,000 logged steps, of which at most 512 are drawn")
    highest = min(range(len(points)), key=lambda at: points[at][1])
    peak = loss["value"].arg_max()
    assert peak is not None
    share = (loss["step"][peak] - loss["step"][0]) / (loss["step"][-1] - loss["step"][0])
    across = (points[highest][0] - points[0][0]) / (points[-1][0] - points[0][0])
    assert across == pytest.approx(share, abs=0.002)
    first, last = loss["value"][0], loss["value"][-1]
    expect(page.get_by_role("img", name=re.compile("^Loss: from"))).to_have_attribute(
        "aria-label", f"Loss: from {first:.3g} at step 10 to {last:.3g} at step 20,000"
    )


def test_a_metric_of_any_name_is_text(open_at: Open) -> None:
    page = opened(open_at("#/fidelity"))
    chart = page.locator("figure").filter(has_text=HOSTILE[1])
    expect(chart.locator("figcaption b")).to_have_text(HOSTILE[1])
    assert page.locator("[data-training] img").count() == 0
    path = chart.locator(".curve").get_attribute("d")
    assert path and len(path.split("L")) == SHORT


def test_points_are_read_out_by_keys_and_by_pointer(open_at: Open) -> None:
    page = opened(open_at("#/fidelity"))
    figure = page.locator("figure").filter(has_text=HOSTILE[1])
    picture, says = figure.get_by_role("img"), figure.locator("output")
    expect(says).to_have_text(f"step {SHORT}: {SHORT - 1}")
    picture.focus()
    page.keyboard.press("Home")
    expect(says).to_have_text("step 1: 0")
    page.keyboard.press("ArrowRight")
    expect(says).to_have_text("step 2: 1")
    expect(figure.locator(".hair")).to_have_count(1)
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    expect(says).to_have_text(f"step {SHORT}: {SHORT - 1}")
    fourth = figure.locator(".curve").evaluate("path => Number(path.getAttribute('d').split('L')[3].split(' ')[0])")
    picture.hover(position={"x": fourth + 2, "y": 60})
    expect(says).to_have_text("step 4: 3")
    page.mouse.move(0, 0)
    expect(says).to_have_text(f"step {SHORT}: {SHORT - 1}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_glass(open_at: Open, quiet_page: Page, scheme: Any) -> None:
    quiet_page.set_viewport_size({"width": 1440, "height": 900})
    quiet_page.emulate_media(color_scheme=scheme)
    page = opened(open_at("#/fidelity"))
    page.set_viewport_size(PHONE)  # charts that were drawn for a wide window are drawn again
    page.wait_for_function(
        """width => [...document.querySelectorAll(".chart svg")].every((svg) => svg.getBoundingClientRect().width <= width)""",
        arg=PHONE["width"],
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for svg in page.locator(".chart svg").all():
        box = svg.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    outside = """svg => [...svg.querySelectorAll("text")].filter((text) => {
      const [inner, outer] = [text.getBoundingClientRect(), svg.getBoundingClientRect()];
      const across = inner.left < outer.left - 1 || inner.right > outer.right + 1;
      return across || inner.bottom > outer.bottom + 1 || inner.top < outer.top - 1;
    }).map((text) => text.textContent)"""
    assert [svg.evaluate(outside) for svg in page.locator(".chart svg").all()] == [[]] * page.locator(".chart svg").count()
    line = page.locator(".chart .curve").first.evaluate("path => getComputedStyle(path).stroke")
    assert line == {"light": "rgb(11, 95, 165)", "dark": "rgb(108, 178, 240)"}[scheme]


def test_an_atlas_that_was_never_evaluated_says_how_to(quiet_page: Page, bare_site: Path) -> None:
    quiet_page.goto((bare_site / "index.html").as_uri())
    quiet_page.get_by_role("link", name="About", exact=True).click()
    expect(quiet_page.get_by_text("Fidelity and training (not measured yet: run atlas evaluate)")).to_be_visible()
    quiet_page.get_by_role("link", name="Fidelity and training").click()
    page = opened(quiet_page)
    expect(page.locator("[data-corpus]")).to_have_text(
        "Not measured. Run atlas evaluate, then atlas assemble and atlas bake to have it here."
    )
    expect(page.get_by_text("This checkpoint holds no training log.")).to_be_visible()
    expect(page.get_by_role("img", name="Rate of each expert")).to_be_visible()
    for absent in ("Fidelity on each task", "What it costs the model"):
        expect(page.get_by_role("heading", name=absent)).to_be_hidden()


def test_a_model_without_a_head_has_its_line(quiet_page: Page, tmp_path: Path) -> None:
    write_atlas(tmp_path / "atlas.duckdb", synthetic_tables(size=Size(points=20)))
    quiet_page.goto((bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder / "index.html").as_uri() + "#/fidelity")
    expect(opened(quiet_page).locator("[data-cross-entropy]")).to_have_text(
        "Not measured: the model has no head that predicts the next token, so no cross-entropy can be compared."
    )


def test_a_missing_payload_is_named_and_the_list_still_works(context: BrowserContext, site: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(site, tmp_path / "broken")
    (gone,) = (broken / "data").glob("fidelity.*.js")
    gone.unlink()
    page = context.new_page()
    page.goto((broken / "index.html").as_uri() + "#/fidelity")
    expect(page.get_by_role("alert")).to_contain_text(f"data/{gone.name} could not be read. Bake the site again")
    page.get_by_role("link", name="All experts").click()
    expect(page.get_by_role("list", name="Experts")).to_be_visible()
