"""What an expert's page is given beside its cloud and evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from atlas.bake.corpora import CONTEXT_TOKENS, HOVER_TOKENS, WINDOW_TOKENS
from atlas.bake.experts import GAIN, LEADING, ExpertPages
from atlas.bake.points import GRAIN, NOT_MEASURED, points_of
from atlas.bake.sentences import sentences_payload
from atlas.publish.manifest import array
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
    return pages.payload(points_of(store.points([expert]), [expert]))[str(expert)]


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


def drawn(store: Store, task: int) -> pl.DataFrame:
    """The ring's points on a task with their windows, in the order of the text."""
    windows = store.table("windows").filter(pl.col("task") == task)
    points = store.points([RING]).filter(pl.col("task") == task)
    return points.join(windows.drop("label", "position"), on="window", maintain_order="left").sort(
        "window", "position", maintain_order=True
    )


def test_points_on_a_corpus_have_their_place_document_and_importance(store: Store, pages: ExpertPages) -> None:
    shown, table = page(store, pages, RING)["tasks"][0], drawn(store, 0)
    assert shown["kept"] == len(table) == len(array(shown["x"]))
    for name in ("position", "document"):
        assert array(shown[name]).tolist() == table[name].to_list()
    words = dict(store.table("vocabulary").filter(pl.col("task") == 0).select("token", "text").iter_rows())
    around = array(shown["hover"]).reshape(len(table), 2 * HOVER_TOKENS + 1)
    for places, tokens, position in zip(around, table["tokens"], table["position"], strict=True):
        before = [words[token] for token in tokens[max(0, position - HOVER_TOKENS) : position]]
        assert [pages.texts[place] for place in places[:HOVER_TOKENS]] == [""] * (HOVER_TOKENS - len(before)) + before
        assert pages.texts[places[HOVER_TOKENS]] == words[tokens[position]]
    xyz = (
        np.stack([array(shown[axis]) - float(middle) for axis, middle in zip("xyz", shown["origin"], strict=True)], 1)
        * shown["unit"]
    )
    # Half a grain, and the roundings of point and origin to steps.
    assert np.abs(xyz - table.select("x", "y", "z").to_numpy()).max() <= (GRAIN / 2 + 1.1) * shown["unit"]
    steps, measured = array(shown["importance"]["steps"]), table["importance"].is_not_null().to_numpy()
    assert measured.any() and (steps[~measured] == NOT_MEASURED).all() and (~measured).any()
    importance = steps[measured] / 32_767 * shown["importance"]["most"]
    assert importance == pytest.approx(table["importance"].to_numpy()[measured], abs=shown["importance"]["most"] / 30_000)


def test_points_on_a_task_have_their_sentence(store: Store, pages: ExpertPages) -> None:
    shown, table = page(store, pages, RING)["tasks"][1], drawn(store, 1)
    assert np.cumsum(array(shown["window"])).tolist() == table["window"].to_list()
    months = store.tasks()[1]
    sentences = sentences_payload(store.table("windows"), store.table("vocabulary"), months)
    of_task = store.table("windows").filter(pl.col("task") == 1).sort("window")
    assert array(sentences["template"]).tolist() == of_task["template"].to_list()


def test_more_context_is_the_window_round_the_same_firing(store: Store, pages: ExpertPages) -> None:
    (corpus,), (wide,) = page(store, pages, RING)["corpora"], pages.windows([RING])[str(RING)]
    assert wide["task"] == corpus["task"] == 0
    assert [one["stratum"] for one in wide["contexts"]] == [one["stratum"] for one in corpus["contexts"]]
    cut = 2 * CONTEXT_TOKENS + 1
    for short, whole in zip(corpus["contexts"], wide["contexts"], strict=True):
        tokens, end = array(whole["tokens"]), 0
        for narrow, length, at, levels in zip(
            array(short["tokens"]).reshape(-1, cut), whole["length"], whole["at"], short["around"], strict=True
        ):
            window, end = tokens[end : end + length], end + length
            assert at <= WINDOW_TOKENS and length - at - 1 <= WINDOW_TOKENS
            inside = window[max(0, at - CONTEXT_TOKENS) : at + CONTEXT_TOKENS + 1]
            assert [place for place in narrow if place] == inside.tolist() and narrow[CONTEXT_TOKENS] == window[at]
            assert len(levels) == cut - 1 and set(levels) <= set("0123")
        assert end == len(tokens)
    levels = store.contexts(strongest=1, per_band=0).filter((pl.col("expert") == RING) & (pl.col("task") == 0))["around"][0]
    assert corpus["contexts"][0]["around"][0] == "".join(map(str, levels))


def test_importance_is_told_of_every_source_and_rates_of_every_place(store: Store, pages: ExpertPages) -> None:
    shown, tasks = page(store, pages, RING), store.tasks()
    measured = store.table("task_importance").filter(pl.col("expert") == RING)
    on = shown["importance_on"]
    assert on["task"] == [0, *measured["task"].sort()]
    assert on["rows"] == [tasks[0].importance_tokens, *measured.sort("task")["rows"]]
    assert on["importance"][0] == pytest.approx(store.experts().filter(pl.col("expert") == RING)["importance"][0], rel=1e-4)
    places = store.table("position_rates").filter(pl.col("expert") == RING)
    assert shown["corpora"][0]["positions"]["firings"] == places["firings"].to_list()


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
