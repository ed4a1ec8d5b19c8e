"""What an expert's page is given beside its cloud and evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from atlas.bake.arrays import narrow
from atlas.bake.corpora import CONTEXT_TOKENS, HOVER_TOKENS, WINDOW_TOKENS
from atlas.bake.experts import GAIN, LEADING, ExpertPages
from atlas.bake.points import points_of
from atlas.bake.sentences import sentences_payload
from atlas.store import Store, write_atlas
from synthetic import Size, kind, synthetic_tables

SIZE = Size(more_tasks=True, experts=80)
RING, LINE, RAY, SILENT = 0, 1, 5, 3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A synthetic atlas with tasks of every kind."""
    path = tmp_path_factory.mktemp("pages") / "atlas.duckdb"
    write_atlas(path, synthetic_tables(size=SIZE))
    with Store(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(store: Store) -> ExpertPages:
    """Its pages."""
    return ExpertPages(store, {task.task: task for task in store.tasks()}, store.experts())


def page(store: Store, pages: ExpertPages, expert: int) -> dict[str, Any]:
    return pages.payload(points_of(store.points([expert]), [expert]))["experts"][str(expert)]


def test_scores_of_classes_are_there_and_mentions_stand_with_the_score_they_are_of(store: Store, pages: ExpertPages) -> None:
    scores = pl.DataFrame(page(store, pages, RING)["scores"], strict=False).filter(pl.col("task") == 1).sort("hypothesis")
    assert scores["hypothesis"].to_list() == [0, 1]
    ((_, words, _, report_words, report_documents),) = store.table("mention_sets").rows()
    counts = scores.select("mention_words", "mention_documents", "mention_others").row(0)
    assert counts == (report_words, report_documents, words - report_words)
    assert scores.select("mention_rows", "mention_low", "mention_high").row(0) == (0.41, 0.2, 0.6)
    assert scores.select("mention_rows", "mention_words").row(1) == (None, None)


def test_a_listed_group_is_on_the_page_of_each_of_its_experts(store: Store, pages: ExpertPages) -> None:
    listed = store.table("shattered").filter("listed")
    assert pages.read_jointly == 1 and set(store.table("shattered")["task"]) == {1, 2}
    for expert in listed["expert"]:
        (group,) = page(store, pages, expert)["groups"]
        assert (group["task"], group["hypothesis"], group["experts"]) == (2, 0, listed["expert"].to_list())
        assert (group["alone"], group["all_rows"]) == (listed["all_rows"][0], listed["all_rows"][-1])
    # A path that is not listed is no group.
    assert page(store, pages, RING)["groups"] == []


def test_a_place_in_a_line_is_said_of_those_that_lead_or_gain_much(store: Store, pages: ExpertPages) -> None:
    table = store.table("newline_scores")
    for expert, rank, gain in table.select("expert", "rank", "held_out_gain").iter_rows():
        shown = page(store, pages, expert)["newline"]["held_out_gain"]
        assert shown == ([pytest.approx(gain, rel=1e-4)] if gain > GAIN or (rank < LEADING and gain > 0) else []), expert
    assert any(rank >= LEADING and gain > 0 for rank, gain in table.select("rank", "held_out_gain").iter_rows())


def test_labels_have_a_preference_and_tasks_a_band(store: Store, pages: ExpertPages) -> None:
    shown = page(store, pages, RING)
    wanted = store.table("label_stats").filter(pl.col("expert") == RING)["preference"].round_sig_figs(5).to_list()
    assert shown["labels"]["preference"] == wanted
    band = store.table("task_stats").filter((pl.col("expert") == RING) & (pl.col("task") == 1))["preference_band"][0]
    assert shown["task_stats"]["preference_band"][shown["task_stats"]["task"].index(1)] == band


def test_a_silent_expert_has_none_of_it(store: Store, pages: ExpertPages) -> None:
    assert kind(SILENT) == "silent"
    shown = page(store, pages, SILENT)
    assert shown["groups"] == [] and shown["task_stats"]["task"] == shown["newline"]["task"] == shown["scores"]["task"] == []


def test_rows_that_are_no_text_have_labels_and_no_tokens(store: Store) -> None:
    cells = next(task for task in store.tasks() if task.name == "cells")
    payload = sentences_payload(store.table("windows"), store.table("vocabulary"), cells)
    assert payload["texts"] == [""]


def test_axes_have_their_shares_and_a_corpus_what_few_of_them_keep(store: Store, pages: ExpertPages) -> None:
    shown = page(store, pages, RING)
    axes = store.table("code_axes").filter(pl.col("expert") == RING)["share"].to_list()
    assert shown["axes"] == pytest.approx(axes, rel=1e-3) and sum(shown["axes"]) == pytest.approx(1, rel=1e-3)
    (corpus,) = shown["corpora"]
    assert corpus["kept"] == {
        "said": "The mean and 2 axes keep 90\u202f% of its importance.",
        "shares": store.table("expert_stats").filter(pl.col("expert") == RING)["importance_kept"][0].to_list(),
    }
    assert page(store, pages, SILENT)["axes"] == [0.0] * 3


def test_an_atlas_without_axes_still_knows_how_many_there_are(tmp_path: Path) -> None:
    tables = synthetic_tables(size=Size(experts=2, points=20, d_code=5))
    del tables["code_axes"]
    write_atlas(tmp_path / "a.duckdb", tables)
    with Store(tmp_path / "a.duckdb") as opened:
        shown = page(opened, ExpertPages(opened, {task.task: task for task in opened.tasks()}, opened.experts()), RING)
    assert shown["axes"] == [0.0] * 5
