"""What a harvest writes down: shares, lifts, importance, contributions and evidence, each against a slower way to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from atlas.activations.corpus import Corpus, load_corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, Window, blocks, chunk_windows
from atlas.dictionary import Checkpoint
from atlas.harvest.accumulators import FIXED_POINT, Accumulators, observe
from atlas.harvest.tables import CONTEXT_TOKENS, Made, expert_stats, expert_tokens, norm_histogram, tables

STREAM = StreamConfig(window_tokens=48, model_batch=8)
SAMPLE, TOP = 60, 40


@dataclass(frozen=True)
class Run:
    """A small pass with everything that went into its tables."""

    kept: Accumulators
    windows: list[Window]
    checkpoint: Checkpoint
    model: LanguageModel
    rows: torch.Tensor
    """Every real row of the corpus."""
    made: Made

    @property
    def shown(self) -> dict[str, dict[str, Any]]:
        return self.made.tables


def texts() -> list[str]:
    """Short documents, most of which end in one and the same sentence."""
    end = "the atlas reads the year 1969 and a ring of days turns round its neighbours and leaves out a sheet"
    return [f"{text} {end}" if i % 4 else text for i, text in enumerate(tiny.documents(24))]


@pytest.fixture(scope="module")
def text_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Them, as a corpus."""
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts()), encoding="utf-8")
    return load_corpus(str(path))


@pytest.fixture(scope="module")
def run_of(bert: LanguageModel, text_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Runs the corpus through a dictionary of a given shape."""

    def run(**shape: Any) -> Run:
        checkpoint = Checkpoint.load(tiny.checkpoint(tmp_path_factory.mktemp("checkpoint"), {}, **shape))
        kept = Accumulators.empty(checkpoint.smixae, len(bert.embeddings), SAMPLE, TOP)
        documents = [document._replace(held_out=document.ordinal % 3 == 0) for document in text_corpus.read()]
        windows = chunk_windows(documents, bert.tokenizer, STREAM)
        rows = []
        for x, tokens in blocks(windows, bert, STREAM):
            kept.update(observe(x, checkpoint.smixae.firings(x), tokens, checkpoint.smixae, 0, text_corpus.name))
            rows.append(x[: len(tokens.document)][tokens.held_out])
        spool = [spooled(windows[::2]), spooled(windows[1::2])]
        return Run(kept, windows, checkpoint, bert, torch.cat(rows), tables(kept, spool, checkpoint, bert, text_corpus))

    return run


@pytest.fixture(scope="module")
def run(run_of: Callable[..., Run]) -> Run:
    """A run of the usual dictionary."""
    return run_of(threshold=1.2)


def spooled(windows: list[Window]) -> dict[str, np.ndarray]:
    """Windows as a harvest spools them."""
    lengths = [len(window.token_ids) for window in windows]
    return {
        "document": np.array([window.document for window in windows], dtype=np.int64),
        "ordinal": np.array([window.ordinal for window in windows], dtype=np.int32),
        "token_ids": np.concatenate([window.token_ids for window in windows]).astype(np.int32),
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    }


def place(run: Run, window: int) -> tuple[int, int]:
    """Document and ordinal of a row of the table of windows."""
    return int(run.shown["windows"]["document"][window]), int(run.shown["windows"]["ordinal"][window])


# Tokens


def test_share_and_lift_of_a_case_worked_by_hand() -> None:
    """Expert 1 has four sampled firings, three on token 2 and one on token 0, of a corpus of 60, 30 and 10."""
    found = expert_tokens(np.array([1, 1, 1, 1]), np.array([2, 0, 2, 2]), np.array([60, 30, 10]), 2)

    # Token 2: (3 + 20 · 0.1) / 24 / 0.1. Token 0, with a lift of (1 + 20 · 0.6) / 24 / 0.6 = 0.9, is not about the expert.
    assert {name: list(column) for name, column in found.items()} == {
        "expert": [1],
        "rank": [0],
        "token": [2],
        "count": [3],
        "sampled": [4],
        "share": [0.75],
        "lift": [pytest.approx(5 / 24 / 0.1)],
    }


def test_tokens_stand_in_the_order_of_their_part_of_the_divergence() -> None:
    """A rare token has the larger lift, a common one the larger share; share · log(lift) decides."""
    counts = np.array([300, 20, 1, 679])
    token = np.array([0] * 60 + [1] * 30 + [2] * 10)

    found = expert_tokens(np.zeros(100, dtype=np.int64), token, counts, 1)

    lift = {t: (n + 20 * counts[t] / 1000) / 120 / (counts[t] / 1000) for t, n in ((0, 60), (1, 30), (2, 10))}
    order = sorted(lift, key=lambda t: -np.log(lift[t]) * np.bincount(token)[t] / 100)
    assert lift[2] > lift[1] > lift[0]
    assert list(found["token"]) == order == [1, 2, 0]
    assert list(found["lift"]) == pytest.approx([lift[t] for t in order])


def test_at_most_24_tokens_are_given() -> None:
    found = expert_tokens(np.zeros(30, dtype=np.int64), np.arange(30), np.ones(1000, dtype=np.int64), 1)

    assert list(found["rank"]) == list(range(24))
    assert list(found["token"]) == list(range(24)), "ties stand in the order of the token's number"


def test_tokens_of_a_run_are_those_of_its_sample(run: Run) -> None:
    sample = run.kept.sample.firings
    shown = run.shown["expert_tokens"]

    assert len(shown["token"]) > 20
    for expert, token, count, sampled, share, lift in zip(
        *(shown[name] for name in ("expert", "token", "count", "sampled", "share", "lift")), strict=True
    ):
        own = sample["token_id"][sample["expert"] == expert]
        base = float(run.kept.vocabulary.counts[token] / run.kept.vocabulary.counts.sum())
        assert (count, sampled) == (int((own == token).sum()), len(own))
        assert share == count / sampled
        assert lift == pytest.approx((count + 20 * base) / (sampled + 20) / base)


# Statistics


def totals_by_hand() -> dict[str, np.ndarray]:
    def fixed(*values: float) -> np.ndarray:
        return np.array([round(value * FIXED_POINT) for value in values])

    return {
        "tokens": np.array([100]),
        "held_out_tokens": np.array([4]),
        "firings": np.array([40, 0, 8]),
        "held_out_firings": np.array([3, 0, 0]),
        "norm": fixed(60.0, 0.0, 4.0),
        "gain": fixed(4.0, 0.0, -1.0),
        "x": fixed(8.0, 0.0),
        # Four rows around (2, 0): Σ‖x‖² = 24, so Σ‖x - x̄‖² = 24 - 64 / 4 = 8.
        "x_squared": fixed(24.0),
        "residual_squared": fixed(2.0),
        "max_norm": np.array([2.5, 0.0, 1.0], dtype=np.float32),
    }


def test_statistics_of_a_case_worked_by_hand() -> None:
    found = expert_stats(totals_by_hand())

    np.testing.assert_equal(
        {name: list(column) for name, column in found.items()},
        {
            "expert": [0, 1, 2],
            "firings": [40, 0, 8],
            "held_out_firings": [3, 0, 0],
            "rate": [0.4, 0.0, 0.08],
            "importance": [0.5, 0.0, -0.125],
            "mean_norm": [1.5, np.nan, 0.5],
            "max_norm": [2.5, np.nan, 1.0],
            "silent": [False, True, True],
            "dense": [True, False, False],
        },
    )


def test_importance_is_the_growth_of_the_unexplained_variance(run: Run) -> None:
    smixae, x = run.checkpoint.smixae, run.rows.double()
    code = smixae.encode(run.rows).double()
    decoder, bias = smixae.decoder.double(), smixae.weights.b_dec.double()
    variance = (x - x.mean(dim=0)).square().sum()

    def fvu(without: int | None) -> float:
        kept = [expert for expert in range(smixae.n_experts) if expert != without]
        rebuilt = sum((code[:, expert] @ decoder[expert] for expert in kept), bias)
        return float((x - rebuilt).square().sum() / variance)

    expected = [fvu(expert) - fvu(None) for expert in range(smixae.n_experts)]
    np.testing.assert_allclose(run.shown["expert_stats"]["importance"], expected, rtol=1e-3, atol=1e-4)
    assert run.made.provenance["fidelity"]["fvu_held_out"] == pytest.approx(fvu(None), rel=1e-3)


def test_task_row_counts_tokens_and_those_held_out(run: Run) -> None:
    lengths = {True: 0, False: 0}
    for window in run.windows:
        lengths[window.held_out] += len(window.token_ids)
    assert lengths[True] == len(run.rows) > 0

    tasks = run.shown["tasks"]

    assert (tasks["tokens"], tasks["rows"], tasks["held_out_tokens"]) == ([sum(lengths.values())],) * 2 + ([lengths[True]],)
    assert run.made.provenance["fidelity"]["firings_per_token"] == pytest.approx(
        run.shown["expert_stats"]["firings"].sum() / sum(lengths.values())
    )


def test_bins_start_at_the_smallest_norm_in_them() -> None:
    counts = np.zeros((2, 64), dtype=np.int64)
    counts[1, 0], counts[1, 8], counts[0, 63] = 5, 2, 1

    found = norm_histogram(counts, tiny.dictionary(n_experts=2, threshold=0.5))

    rows = list(zip(found["expert"], found["bin"], found["lower"], found["count"], strict=True))
    assert rows == [(0, 63, pytest.approx(0.5 * 2 ** (63 / 8)), 1), (1, 0, 0.5, 5), (1, 8, 1.0, 2)]


def test_histogram_of_a_run_holds_every_firing(run: Run) -> None:
    shown = run.shown["norm_histogram"]

    per_expert = np.bincount(shown["expert"], weights=shown["count"], minlength=run.checkpoint.smixae.n_experts)
    assert per_expert.tolist() == run.shown["expert_stats"]["firings"].tolist()


# Points


@pytest.mark.parametrize("d_code", [1, 2, 3])
def test_distances_between_points_are_distances_in_the_residual_stream(d_code: int, run_of: Callable[..., Run]) -> None:
    run = run_of(d_code=d_code, threshold=0.8)
    smixae, sample, points = run.checkpoint.smixae, run.kept.sample.firings, run.shown["points"]
    xyz = np.stack([points["x"], points["y"], points["z"]], axis=1)

    for expert in np.unique(points["expert"]):
        added = (sample["code"][sample["expert"] == expert] @ smixae.decoder[expert]).double()
        drawn = torch.from_numpy(xyz[points["expert"] == expert]).double()
        torch.testing.assert_close(drawn.norm(dim=1), added.norm(dim=1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(torch.cdist(drawn, drawn), torch.cdist(added, added), rtol=1e-3, atol=1e-3)
    assert (xyz[:, d_code:] == 0).all()
    assert len(xyz) > 100


def test_points_of_a_wide_code_are_its_contributions_widest_three_axes(run_of: Callable[..., Run]) -> None:
    run = run_of(d_code=5, d_expert=6, threshold=1.5)
    smixae, sample, points = run.checkpoint.smixae, run.kept.sample.firings, run.shown["points"]
    xyz = np.stack([points["x"], points["y"], points["z"]], axis=1).astype(np.float64)
    expert = int(np.bincount(points["expert"]).argmax())

    added = (sample["code"][sample["expert"] == expert] @ smixae.decoder[expert]).double().numpy()
    widest = np.linalg.svd(added - added.mean(axis=0))[1][:3] ** 2
    drawn = xyz[points["expert"] == expert]

    assert len(drawn) > 20
    np.testing.assert_allclose(((drawn - drawn.mean(axis=0)) ** 2).sum(axis=0), widest, rtol=1e-3)


def test_axes_are_the_samples_principal_ones_widest_first_and_skewed_forwards(run: Run) -> None:
    points = run.shown["points"]
    xyz = np.stack([points["x"], points["y"], points["z"]], axis=1).astype(np.float64)

    for expert in np.unique(points["expert"]):
        own = xyz[points["expert"] == expert]
        centred = own - own.mean(axis=0)
        covariance = centred.T @ centred
        assert (np.diff(covariance.diagonal()) <= 1e-6).all()
        np.testing.assert_allclose(covariance, np.diag(covariance.diagonal()), atol=1e-3 * covariance[0, 0])
        assert ((centred**3).sum(axis=0) >= -1e-3 * covariance[0, 0] ** 1.5).all()


def test_each_point_is_a_sampled_firing(run: Run) -> None:
    sample, points = run.kept.sample.firings, run.shown["points"]

    rows = zip(*(points[name].tolist() for name in ("expert", "window", "position", "norm")), strict=True)
    expected = zip(*(sample[name].tolist() for name in ("expert", "document", "window", "position", "norm")), strict=True)
    found = [(expert, *place(run, window), position, norm) for expert, window, position, norm in rows]
    assert found == list(expected)


# Evidence


def test_token_at_a_top_firing_is_the_token_that_fired(run: Run) -> None:
    top, shown = run.kept.top.firings, run.shown["top_firings"]
    names = ("expert", "document", "window", "position", "token_id")
    fired = {tuple(row[:4]): row[4] for row in zip(*(top[name].tolist() for name in names), strict=True)}
    tokens = run.shown["windows"]["tokens"].rows()

    assert len(shown["expert"]) > 50
    for expert, window, position in zip(shown["expert"], shown["window"], shown["position"], strict=True):
        assert tokens[window][position] == fired[(int(expert), *place(run, window), int(position))]


def test_top_firings_have_distinct_contexts_strongest_first(run: Run) -> None:
    token_ids = {(window.document, window.ordinal): window.token_ids for window in run.windows}
    top = run.kept.top.firings
    names = ("expert", "document", "window", "position", "norm")
    expected, dropped, seen = [], 0, set()
    for expert, document, window, position, norm in zip(*(top[name].tolist() for name in names), strict=True):
        ids = token_ids[document, window]
        around = (expert, *ids[max(0, position - CONTEXT_TOKENS) : position + CONTEXT_TOKENS + 1])
        if around in seen:
            dropped += 1
        elif sum(row[0] == expert for row in expected) < 24:
            expected.append((expert, document, window, position, norm))
        seen.add(around)

    shown = run.shown["top_firings"]
    found = zip(*(shown[name].tolist() for name in ("expert", "window", "position", "norm")), strict=True)
    assert dropped > 10, "the sentence that ends most documents should have been met again"
    assert [(expert, *place(run, window), position, norm) for expert, window, position, norm in found] == expected
    for expert in np.unique(shown["expert"]):
        own = shown["expert"] == expert
        assert shown["rank"][own].tolist() == list(range(own.sum()))
        assert (np.diff(shown["norm"][own]) <= 0).all()


def test_only_windows_that_something_points_into_are_written(run: Run) -> None:
    pointed = {*run.shown["points"]["window"].tolist(), *run.shown["top_firings"]["window"].tolist()}
    windows = run.shown["windows"]

    assert windows["window"].tolist() == list(range(len(windows["window"]))) == sorted(pointed)
    places = [place(run, window) for window in windows["window"]]
    token_ids = {(window.document, window.ordinal): window.token_ids for window in run.windows}
    assert places == sorted(places)
    assert [token_ids[at] for at in places] == windows["tokens"].rows()


def test_every_token_that_is_shown_has_a_text_and_its_exact_count(run: Run) -> None:
    vocabulary = run.shown["vocabulary"]
    counts = dict(zip(vocabulary["token"].tolist(), vocabulary["count"].tolist(), strict=True))
    ids = [token for window in run.windows for token in window.token_ids]

    assert set(counts) >= {token for row in run.shown["windows"]["tokens"].rows() for token in row}
    assert set(counts) >= set(run.shown["expert_tokens"]["token"].tolist())
    assert counts == {token: ids.count(token) for token in counts}
    texts = dict(zip(vocabulary["token"].tolist(), vocabulary["text"], strict=True))
    atlas_token = run.model.tokenizer.convert_tokens_to_ids("atlas")
    assert texts[atlas_token].strip() == "atlas"


def test_dictionary_that_never_fires_has_tables_all_the_same(run_of: Callable[..., Run]) -> None:
    run = run_of(threshold=1e6)

    assert run.shown["expert_stats"]["silent"].all()
    assert np.isnan(run.shown["expert_stats"]["mean_norm"]).all()
    for table in ("points", "top_firings", "windows", "expert_tokens", "norm_histogram"):
        assert {len(column) for name, column in run.shown[table].items() if name != "tokens"} == {0}
    assert run.shown["windows"]["tokens"].rows() == []
    assert run.shown["vocabulary"]["count"].sum() == run.shown["tasks"]["tokens"][0]
