from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from atlas.bake import bake
from synthetic import MONTHS, Size, synthetic_tables, write_synthetic

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
Tables = dict[str, dict[str, list[Any]]]
SHADES = """() => {
  const cells = document.querySelector(".heat-cells");
  const pen = cells.getContext("2d");
  const ratio = cells.width / cells.clientWidth;
  const wide = cells.clientWidth / 12;
  return Array.from({ length: Math.round(cells.clientHeight / 16) }, (_, row) => Array.from({ length: 12 }, (_, label) =>
    pen.getImageData((label + 0.4) * wide * ratio, (row + 0.4) * 16 * ratio, 1, 1).data[3] / 255));
}"""


@pytest.fixture(scope="module")
def tables() -> Tables:
    """What the synthetic atlas holds, column by column."""
    return {table: {name: list(column) for name, column in columns.items()} for table, columns in synthetic_tables().items()}


def of_months(tables: Tables, table: str, *names: str) -> list[tuple[Any, ...]]:
    """Return columns of the months' rows of a table."""
    columns = tables[table]
    return [row[1:] for row in zip(columns["task"], *(columns[name] for name in names), strict=True) if row[0] == 1]


def test_a_task_tells_what_it_is_and_which_experts_it_can_be_read_from(open_at: Open, tables: Tables) -> None:
    page = open_at("#/task/months")
    expect(page.get_by_role("heading", name="Months", exact=True, level=2)).to_be_visible()
    facts = page.locator("[data-task-facts]")
    expect(facts).to_contain_text("12, which close a cycle")
    expect(facts).to_contain_text("120 sentences from 10 templates; scores are from 48 of them")
    expect(facts).to_contain_text("Nothing that only some models have.")

    supported = {
        expert
        for expert, hypothesis, is_it in of_months(tables, "scores", "expert", "hypothesis", "order_supported")
        if hypothesis == 0 and is_it
    }
    ring = page.locator("[data-task-leaders] > section").first
    expect(ring).to_contain_text(f"its order is supported in {len(supported)}, which stand first. Without any")
    shown = ring.locator("tbody tr:visible")
    expect(shown).to_have_count(5)
    ring.get_by_role("button", name="5 more").click()
    expect(shown).to_have_count(10)
    numbers = [int(number) for number in shown.locator("th b").all_inner_texts()]
    assert set(numbers[: len(supported)]) <= supported
    expect(shown.first.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("^Months, 12-month ring: R² .* word embedding")
    )
    expect(shown.first).to_contain_text("order supported")

    important = page.locator("[data-task-leaders] > section").last
    most = max(of_months(tables, "task_importance", "importance", "expert"))
    expect(important.locator("tbody tr").first).to_contain_text(str(most[1]))


def test_the_heat_map_is_what_the_table_holds_and_is_read_by_keys(open_at: Open, tables: Tables) -> None:
    page = open_at("#/task/months")
    names = page.locator(".heat-names a")
    expect(names.first).to_be_visible()
    fires = {(expert, label): share for expert, label, share in of_months(tables, "label_stats", "expert", "label", "fires")}
    experts = [int(number) for number in names.locator("b").all_inner_texts()]
    assert set(experts) == {expert for expert, _ in fires}
    drawn = np.array(page.evaluate(SHADES))
    held = np.array([[fires.get((expert, label), 0.0) for label in range(12)] for expert in experts])
    assert np.abs(drawn - held).max() < 0.02
    # Those that cover all labels, then a staircase by the label where each fires most, then one of those that cover none.
    steps = [-1 if (row >= 0.5).all() else int(row.argmax()) + 12 * (not (row >= 0.5).any()) for row in held]
    assert steps == sorted(steps)

    says = page.locator("[data-task-says]")
    page.locator(".heat-cells").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(says).to_contain_text(f"Expert {experts[1]}, ")
    expect(says).to_contain_text("rows of March")
    page.keyboard.press("End")
    expect(says).to_contain_text("rows of December")
    page.get_by_role("combobox", name="Shown").select_option("lift")
    expect(page.locator("[data-task-legend]")).to_contain_text("1× or less")
    page.locator("[data-task-sort]").select_option("number")
    expect(names.first).to_contain_text(str(min(experts)))

    page.get_by_text("The same as a table").click()
    rows = page.locator("[data-task-table] tbody tr")
    expect(rows).to_have_count(len(experts))
    assert [int(number) for number in rows.locator("th b").all_inner_texts()] == sorted(experts)
    page.locator(".heat-cells").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2, name=f"Expert {min(experts)} ")).to_be_visible()


def test_its_rows_are_read_by_label_or_template(open_at: Open) -> None:
    page = open_at("#/task/months")
    rows = page.get_by_role("listitem").filter(has=page.locator(".passage"))
    expect(rows).to_have_count(20)
    page.get_by_role("button", name="100 more").click()
    expect(rows).to_have_count(120)
    page.get_by_role("combobox", name="Which").select_option("September")
    expect(rows).to_have_count(10)
    for mark in rows.locator("mark").all_inner_texts():
        assert mark.strip() == "September"
    page.get_by_role("combobox", name="Rows by").select_option("template")
    expect(rows).to_have_count(12)
    assert [mark.strip() for mark in rows.locator("mark").all_inner_texts()] == list(MONTHS)
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_every_task_has_a_page_and_one_that_is_not_there_is_said(quiet_page: Page, tmp_path: Path) -> None:
    site = bake(
        write_synthetic(tmp_path / "atlas.duckdb", size=Size(experts=20, points=40, more_tasks=True)), tmp_path / "site"
    ).folder
    page = quiet_page
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto((site / "index.html").as_uri() + "#/task/weekdays")
    expect(page.get_by_role("alert")).to_contain_text("no labelled task of that name. It has Months, Numbers 0–99,")
    choice = page.get_by_role("combobox", name="Task", exact=True)
    for name, told in {
        "cells": "120 rows, given as numbers: there is no text to show.",
        "newline_80": "It needs a tokenizer that keeps newlines.",
        "body_parts": "No hypothesis is tested on it.",
    }.items():
        choice.select_option(name)
        expect(page.locator("section[data-page=task]")).to_contain_text(told)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto((site / "index.html").as_uri() + "#/about")
    page.get_by_role("link", name="Months").click()
    expect(page.get_by_role("heading", name="Months", exact=True, level=2)).to_be_visible()
    page.goto((site / "index.html").as_uri() + "#/?task=months&cluster=0")
    expect(page.get_by_role("link", name="The page of Months")).to_have_count(0)  # filters are in a drawer on a phone
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("link", name="The page of Months").first.click()
    expect(page.get_by_role("heading", name="Months", exact=True, level=2)).to_be_visible()
    page.goto((site / "index.html").as_uri() + "#/expert/0")
    expect(page.locator("[data-places]").get_by_role("link")).to_have_text(["Months", "Months"])
