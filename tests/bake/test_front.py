from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from atlas.bake.front import LISTED, SHOWN_ABSENCES, FirstExperts, FrontPage, first_experts, front_page
from atlas.bake.map import MapWords
from atlas.bake.overview import Counts, table
from atlas.bake.scores import best_scores, comparable
from atlas.store import Store, Task
from synthetic import Size, write_synthetic

NONE = pl.DataFrame(schema={name: pl.String for name in ("name", "title", "what", "reason")})


@pytest.fixture(scope="module")
def atlas_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic atlas with tasks of every kind."""
    return write_synthetic(tmp_path_factory.mktemp("front") / "atlas.duckdb", size=Size(more_tasks=True))


def front(path: Path, absences: pl.DataFrame = NONE, **changed: Any) -> FrontPage:
    """The front page of an atlas that lacks this."""
    with Store(path) as store:
        tasks = store.tasks()
        counts = Counts.of(store.experts(), store.table("scores"), tasks)
        given: dict[str, Any] = {
            "jointly": 0,
            "evaluated": True,
            "overview": MapWords(False, "No map.", ()),
            "shapes": None,
            "first": FirstExperts("All experts", ()),
        } | changed
        return front_page(store.provenance(), tasks, counts, absences, **given)


def lacking(what: str, n: int) -> pl.DataFrame:
    titles = [f"T{number}" for number in range(n)]
    return NONE.vstack(
        pl.DataFrame({"name": titles, "title": titles, "what": [what] * n, "reason": [f"No {title}." for title in titles]})
    )


def test_each_task_says_how_many_hypotheses_it_has_and_a_dash_where_no_order_is_tested(atlas_path: Path) -> None:
    facts = {task.title: (task.labels, task.hypotheses, task.supported) for task in front(atlas_path).tasks}
    assert facts["Months"] == ("12", "2 hypotheses", "8")
    assert facts["Body parts"] == ("16", "no hypothesis", "–")
    assert facts["Cell types"] == ("4", "2 hypotheses", "5")


def test_where_places_have_several_numbers_an_arrangement_is_supported_too(atlas_path: Path, tmp_path: Path) -> None:
    assert front(atlas_path).order == "order or arrangement"
    assert "13 with a supported order or arrangement (" in front(atlas_path).summary
    assert front(write_synthetic(tmp_path / "few.duckdb")).order == "order"


def test_absent_tasks_stand_first_and_many_are_folded(atlas_path: Path) -> None:
    few = front(atlas_path, pl.concat([lacking("mentions", 1), lacking("rows", 2), lacking("task", SHOWN_ABSENCES)])).absences
    assert [(one.title, one.is_folded) for one in few] == [
        *[("Tasks that are absent (3)", False), ("Rows left out (2)", True), ("No scores on running text (1)", True)]
    ]
    assert (few[0].rows[0].titles, few[0].rows[0].reason) == ("T0", "No T0.")
    (many,) = front(atlas_path, lacking("task", SHOWN_ABSENCES + 1)).absences
    assert many.is_folded
    assert front(atlas_path).absences == ()


def test_tasks_that_lack_the_same_for_the_same_reason_share_a_line(atlas_path: Path) -> None:
    (one,) = front(atlas_path, lacking("task", 5).with_columns(reason=pl.lit("Because."))).absences
    assert [(line.titles, line.reason) for line in one.rows] == [("T0, T1, T2, T3, T4", "Because.")]
    assert one.title == "Tasks that are absent (5)" and not one.is_folded


def test_what_was_assumed_of_data_is_not_said_to_be_left_out(atlas_path: Path) -> None:
    both = front(atlas_path, pl.concat([lacking("mentions", 1), lacking("assumed", 2), lacking("rows", 1)])).absences
    assert [(one.title, one.is_folded) for one in both] == [
        *[("Rows left out (1)", True), ("How labelled data were read (2)", True), ("No scores on running text (1)", True)]
    ]
    assert [line.reason for line in both[1].rows] == ["No T0.", "No T1."]


def test_reasons_of_the_same_tasks_share_a_line(atlas_path: Path) -> None:
    said = [("A", "Both."), ("A", "A alone."), ("B", "Both."), ("A", "A too.")]
    rows = pl.DataFrame([("name", title, "assumed", reason) for title, reason in said], schema=NONE.schema, orient="row")
    (one,) = front(atlas_path, rows).absences
    assert [(line.titles, line.reason) for line in one.rows] == [("A, B", "Both."), ("A", "A alone. A too.")]


@pytest.mark.parametrize(
    ("n", "said"), [(0, None), (1, "1 hypothesis is read better by several"), (3, "3 hypotheses are read better by several")]
)
def test_what_several_experts_read_together_is_counted(atlas_path: Path, n: int, said: str | None) -> None:
    jointly = front(atlas_path, jointly=n).jointly
    assert jointly is None if said is None else jointly is not None and jointly.startswith(said)


def overview(path: Path) -> tuple[pl.DataFrame, tuple[Task, ...]]:
    """What the first page knows of every expert, and the tasks."""
    with Store(path) as store:
        experts, tasks = store.experts(), store.tasks()
        best = best_scores(experts, comparable(store.table("scores"), tasks))
        return table(experts, best, store.table("shapes"), store.norms()), tasks


def test_without_scripts_the_most_important_experts_are_listed_in_words(tmp_path: Path) -> None:
    found, tasks = overview(write_synthetic(tmp_path / "atlas.duckdb", size=Size(experts=LISTED + 5, windows=3, points=4)))
    first = first_experts(found, tasks)
    assert first.caption == "The 100 most important of 105 experts"
    assert [one.number for one in first.experts] == found["expert"].to_list()[:LISTED]
    for one, row in zip(first.experts, found.iter_rows(named=True), strict=False):
        assert one.title == row["title"] and one.rests_on.startswith(f"{row['measure']} ")
        assert (one.score == "–") == (row["best_all_rows"] is None) == (one.read == "")
    read = {one.read for one in first.experts}
    assert "Months: 12-month ring" in read and all(one == "" or one.startswith(("Months: ", "Numbers 0–99: ")) for one in read)
    assert any(re.fullmatch(r"0\.\d\d \(0\.\d\d–[01]\.\d\d\)", one.score) for one in first.experts)


def test_a_small_atlas_lists_all_of_them(atlas_path: Path) -> None:
    first = first_experts(*overview(atlas_path))
    assert (first.caption, len(first.experts)) == ("All experts", 40)
