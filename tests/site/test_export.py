"""The list as a file: what the tables hold of the experts that are in it, in its order."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from atlas.bake import bake
from atlas.store import write_atlas
from synthetic import Size, kind, synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
FORMULA = '=HYPERLINK("x"), or\nso'
NAMES = {1: "months", 2: "numbers"}
ROUNDED = 6e-7
"""To seven digits, from single precision."""


@pytest.fixture(scope="module")
def tables() -> dict[str, dict[str, Any]]:
    """An atlas in which two titles would be computed by a spreadsheet."""
    tables = synthetic_tables(size=Size(experts=24, points=60))
    titles = tables["titles"]
    for expert, title in ((2, FORMULA), (4, "-1"), (5, ' "quoted"'), (6, "a; \uff1d1"), (7, "a-b")):
        titles["title"][expert], titles["basis"][expert], titles["task"][expert] = title, "tokens", None
    return tables


@pytest.fixture(scope="module")
def exported(tables: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that atlas, baked."""
    root = tmp_path_factory.mktemp("exported")
    write_atlas(root / "atlas.duckdb", tables)
    return bake(root / "atlas.duckdb", root / "site").folder


@pytest.fixture
def download(quiet_page: Page, exported: Path) -> Callable[[str, str], str]:
    """Opens that atlas at an address, and returns the file that a button gives."""

    def of(kind: str, route: str) -> str:
        quiet_page.goto((exported / "index.html").as_uri() + route)
        with quiet_page.expect_download() as download:
            quiet_page.get_by_role("button", name=f"Download as {kind.upper()}").click()
        assert download.value.suggested_filename == f"experts.{kind}"
        return Path(download.value.path()).read_bytes().decode()

    return of


def by_expert(tables: dict[str, dict[str, Any]], name: str, **where: int) -> dict[int, dict[str, Any]]:
    """A table's rows by expert, of one value of other columns."""
    table = tables[name]
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return {int(row["expert"]): row for row in rows if all(row[key] == value for key, value in where.items())}


def check(records: list[dict[str, Any]], tables: dict[str, dict[str, Any]]) -> None:
    titles, stats, shapes = (
        by_expert(tables, "titles"),
        by_expert(tables, "expert_stats", task=0),
        by_expert(tables, "shapes", task=0),
    )
    places = by_expert(tables, "overview")
    clusters = dict(zip(tables["overview_clusters"]["cluster"], tables["overview_clusters"]["name"], strict=True))
    for record in records:
        expert = record["expert"]
        assert record["title"] == titles[expert]["title"]
        assert record["basis"] == titles[expert]["basis"]
        assert record["title_task"] == NAMES.get(titles[expert]["task"])
        cluster = places[expert]["cluster"] if expert in places else None
        assert record["cluster"] == (None if cluster is None else clusters[cluster])
        assert record["activity"] == (kind(expert) if kind(expert) in ("silent", "dense") else "neither")
        for name in ("firings", "rate", "importance", "mean_norm", "dimensions_needed"):
            said, wanted = record[name], stats[expert][name]
            assert said is None if wanted is None else math.isclose(said, wanted, rel_tol=ROUNDED), (expert, name)
        wanted = shapes[expert]["effective_dimension"] if expert in shapes else None
        assert (
            record["effective_dimension"] is None
            if wanted is None
            else math.isclose(record["effective_dimension"], wanted, rel_tol=ROUNDED)
        )
        if record["score"] is not None:
            task = next(number for number, name in NAMES.items() if name == record["score_task"])
            hypotheses = tables["hypotheses"]
            hypothesis = next(
                number
                for of, number, title in zip(hypotheses["task"], hypotheses["hypothesis"], hypotheses["title"], strict=True)
                if of == task and title == record["score_hypothesis"]
            )
            score = by_expert(tables, "scores", task=task, hypothesis=hypothesis)[expert]
            for said, name in (("score", "all_rows"), ("score_low", "all_rows_low"), ("score_high", "all_rows_high")):
                assert math.isclose(record[said], score[name], rel_tol=ROUNDED)
            assert record["labels_covered"] == score["covered"]
            assert record["labels"] == (12 if task == 1 else 100)


def test_the_json_holds_every_expert_as_the_tables_do(
    download: Callable[[str, str], str], tables: dict[str, dict[str, Any]]
) -> None:
    file = json.loads(download("json", "#/?sort=number"))
    assert list(file) == ["atlas", "title", "address", "experts"]
    assert file["address"] == "#/?sort=number"
    assert [record["expert"] for record in file["experts"]] == list(range(24))
    check(file["experts"], tables)
    assert any(record["score"] is not None for record in file["experts"])
    assert {record["expert"] for record in file["experts"] if record["rate"] == 0} >= {3, 23}
    supported = {record["expert"]: record["orders"] for record in file["experts"] if record["orders"]}
    wanted: dict[int, list[str]] = {}
    scores = tables["scores"]
    for task, expert, is_supported in zip(scores["task"], scores["expert"], scores["order_supported"], strict=True):
        if is_supported:
            wanted.setdefault(int(expert), []).append(NAMES[task])
    assert {expert: sorted(names) for expert, names in supported.items()} == {
        at: sorted(set(names)) for at, names in wanted.items()
    }


def test_the_csv_is_the_list_as_it_is_filtered_and_sorted(
    download: Callable[[str, str], str], tables: dict[str, dict[str, Any]], quiet_page: Page
) -> None:
    text = download("csv", "#/?order=1&sort=-rate")
    assert text.endswith("\r\n") and not text.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    experts = [int(row["expert"]) for row in rows]
    rates = by_expert(tables, "expert_stats", task=0)
    supported = [expert for expert in range(24) if kind(expert) in ("ring", "line")]
    assert experts == sorted(supported, key=lambda expert: rates[expert]["rate"])
    expect(quiet_page.get_by_role("status").first).to_have_text(f"{len(supported)} of 24 experts")
    assert [float(row["rate"]) for row in rows] == pytest.approx([rates[expert]["rate"] for expert in experts], rel=ROUNDED)
    assert all(re.fullmatch(r"-?\d+(\.\d+)?(e-\d+)?", row["importance"]) for row in rows)


def test_no_text_is_a_formula_to_a_spreadsheet(download: Callable[[str, str], str]) -> None:
    text = download("csv", "#/?sort=number")
    titles = [row["title"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert (titles[2], titles[4], titles[5]) == (f"'{FORMULA}", "'-1", ' "quoted"')
    assert (titles[6], titles[7]) == ("a;' \uff1d1", "a-b")
    assert not any(title[0] in "=+-@\t\r" for title in titles)
    assert "".join(download("json", "#/?sort=number")).count(json.dumps(FORMULA)) == 1


def test_bookmarks_are_in_the_file_and_an_empty_list_gives_none(quiet_page: Page, exported: Path) -> None:
    quiet_page.goto((exported / "index.html").as_uri() + "#/?sort=number")
    quiet_page.get_by_role("list", name="Experts").get_by_role("button", name="Bookmark expert 7").press("Enter")
    with quiet_page.expect_download() as download:
        quiet_page.get_by_role("button", name="Download as CSV").press("Enter")
    with Path(download.value.path()).open(newline="", encoding="utf-8") as file:
        marked = [row["expert"] for row in csv.DictReader(file) if row["bookmarked"] == "true"]
    assert marked == ["7"]
    quiet_page.goto((exported / "index.html").as_uri() + "#/?q=nosuchthing")
    expect(quiet_page.get_by_role("button", name="Download as CSV")).to_be_disabled()
