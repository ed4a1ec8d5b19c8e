"""What a harvest writes down: shares, lifts, importance, contributions and evidence, each against a slower way to it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from atlas.activations.corpus import Corpus, load_corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, Tokens, Window, blocks, chunk_windows
from atlas.dictionary import Checkpoint, Firings, Smixae, save
from atlas.dictionary.trained_on import TrainedOn
from atlas.geometry.contribution import frames
from atlas.harvest.accumulated import Accumulated
from atlas.harvest.accumulators import BINS_PER_DOUBLING, FIXED_POINT, N_BINS
from atlas.harvest.config import HarvestConfig, Shape
from atlas.harvest.harvest import harvest
from atlas.harvest.parts import STAGE, Part, Shard, Subject
from atlas.harvest.tables import (
    BANDS,
    CONTEXT_TOKENS,
    QUANTILES,
    SAME_TOKENS,
    SHOWN_CONTEXTS,
    SHOWN_OF_BAND,
    Made,
    Windows,
    arrays,
    binomial_interval,
    code_moments,
    expert_stats,
    expert_tokens,
    norm_histogram,
    norm_quantiles,
    point_importance,
    position_rates,
    quantile_bands,
    tables,
)
from harvests import raw
from projections import spared

CONFIG = HarvestConfig(
    sample=60, fired_tokens=150, top=40, token_sample=50, mentions=5, stream=StreamConfig(window_tokens=48, model_batch=8)
)
WORDS = {"places": ["atlas", "sheet", "nowhere"], "days": ["Monday", "Tuesday"]}
RATES = (0.6, 0.09, 0.4, 0.05, 0.3, 0.2, 0.08, 0.0, 0.07, 0.15, 0.02, 0.06)
"""On which share of the tokens each expert fires: some are dense, one never does."""
SHARDS = [Shard(index, 2) for index in range(2)]
ONE_EXPERT = Shape(
    n_experts=1, d_in=2, d_code=2, threshold=1.0, window_tokens=12, window_width=10, n_vocabulary=3, n_words=0, unit=1.0
)


@dataclass(frozen=True)
class Run:
    """A small harvest with everything that went into its tables."""

    kept: Accumulated
    windows: list[Window]
    checkpoint: Checkpoint
    model: LanguageModel
    x: torch.Tensor
    """Every real row of the corpus."""
    tokens: Tokens
    made: Made
    """Tables of two corpora, which are two times the same under other names."""

    @cached_property
    def shown(self) -> dict[str, dict[str, Any]]:
        """The tables of the first corpus, as arrays and lists."""
        found: dict[str, dict[str, Any]] = {}
        for name, columns in self.made.tables.items():
            n = int((columns["task"] == 0).sum()) if "task" in columns else None
            found[name] = {key: column.rows()[:n] if hasattr(column, "rows") else column[:n] for key, column in columns.items()}
        return found

    @cached_property
    def firings(self) -> Firings:
        """Every firing of the corpus."""
        return self.checkpoint.smixae.firings(self.x)

    @property
    def gram(self) -> np.ndarray:
        """D·Dᵀ of each expert, in float64."""
        decoder = self.checkpoint.smixae.decoder.double()
        return (decoder @ decoder.transpose(1, 2)).numpy()

    @property
    def sample(self) -> dict[str, np.ndarray]:
        """The kept firings."""
        return arrays(self.kept.sample.firings())


def texts() -> list[str]:
    """Short documents, most of which end in one and the same sentence."""
    end = "the atlas reads the year 1969 and a ring of days turns round its neighbours and leaves out a sheet"
    return [f"{text} {end}" if i % 4 else text for i, text in enumerate(tiny.documents(24))]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[Corpus]:
    """Them, as two corpora."""
    folder = tmp_path_factory.mktemp("corpus")
    for name in ("texts", "more"):
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts()), encoding="utf-8")
    return [load_corpus(str(folder / f"{name}.jsonl")) for name in ("texts", "more")]


@pytest.fixture(scope="module")
def run_of(bert: LanguageModel, corpora: list[Corpus], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Runs the corpora through a dictionary of a given shape, which was trained on two thirds of the documents."""

    @cache
    def run(**shape: Any) -> Run:
        folder = tmp_path_factory.mktemp("checkpoint")
        documents = [document._replace(held_out=document.ordinal % 3 == 0) for document in corpora[0].read()]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("atlas.activations.corpus.CHUNK_CHARACTERS", 900)
            chunks = [[document.ordinal for document in chunk] for chunk in corpora[0].chunks()]
            assert len(chunks) > 4
            windows = [
                chunk_windows([documents[ordinal] for ordinal in chunk], bert.tokenizer, CONFIG.stream) for chunk in chunks
            ]
            every = [block for of_chunk in windows for block in blocks(of_chunk, bert, CONFIG.stream)]
            x = torch.cat([block.x[: len(block.tokens.document)] for block in every])
            tokens = Tokens(*(torch.cat(columns) for columns in zip(*(block.tokens for block in every), strict=True)))

            save(with_rates(tiny.dictionary(threshold=1.0, **shape), x), folder, {})
            read = np.sort(np.array([document.identity for document in documents if not document.held_out], dtype=np.uint64))
            smixae = Checkpoint.load(folder).smixae
            checkpoint = Checkpoint(smixae, folder, "0", "smixae", trained_on=TrainedOn(np.zeros(1, dtype=np.int64), read, "0"))
            for shard in SHARDS:
                harvest(checkpoint, bert, corpora, folder / "work", CONFIG, shard, WORDS)
        stage = folder / "work" / STAGE
        subject = Subject.load(stage)
        parts = [[Part(stage, number, shard) for shard in SHARDS] for number in range(2)]
        kept = []
        for of_corpus in parts:
            whole, other = (Accumulated(Shape(**subject.about["shape"]), CONFIG, torch.device("cpu")) for _ in SHARDS)
            for accumulated, part in zip((whole, other), of_corpus, strict=True):
                accumulated.restore(part.load())
            whole.merge(other)
            kept.append(whole)
        made = tables(subject, kept, parts)
        return Run(kept[0], [window for of_chunk in windows for window in of_chunk], checkpoint, bert, x, tokens, made)

    return run


def with_rates(smixae: Smixae, x: torch.Tensor) -> Smixae:
    """The dictionary with each expert's codes scaled so that it fires on its share of these rows, whatever they are."""
    norms = smixae.norms(x)
    wanted = [norms[:, expert].quantile(1 - rate) if rate else 2 * norms[:, expert].max() for expert, rate in enumerate(RATES)]
    bottleneck = smixae.weights.W_bottleneck * (smixae.threshold / torch.stack(wanted))[:, None, None]
    return Smixae(smixae.config, smixae.weights._replace(W_bottleneck=bottleneck), smixae.threshold)


@pytest.fixture(scope="module")
def run(run_of: Callable[..., Run]) -> Run:
    """A run of the usual dictionary."""
    return run_of(d_code=3)


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


def zipped(table: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    """Rows of a table."""
    columns = [table[name] for name in names]
    return list(zip(*(column.tolist() if isinstance(column, np.ndarray) else column for column in columns), strict=True))


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
        "share_low": [pytest.approx(0.3006, abs=5e-5)],
        "share_high": [pytest.approx(0.9544, abs=5e-5)],
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
    assert found["token"].tolist() == order == [1, 2, 0]
    assert found["lift"].tolist() == pytest.approx([lift[t] for t in order])


def test_at_most_24_tokens_are_given() -> None:
    found = expert_tokens(np.zeros(30, dtype=np.int64), np.arange(30), np.ones(1000, dtype=np.int64), 1)

    assert list(found["rank"]) == list(range(24))
    assert list(found["token"]) == list(range(24)), "ties stand in the order of the token's number"


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_interval_of_a_share_is_wilsons(count: int, n: int, low: float, high: float) -> None:
    """The last case is Newcombe's (1998, table I, method 3)."""
    found = binomial_interval(np.array([count]), np.array([n]))

    assert [float(end[0]) for end in found] == pytest.approx([low, high], abs=5e-5)


@given(st.integers(1, 4000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_ends_of_the_interval_are_the_shares_that_the_count_just_does_not_refuse(drawn: tuple[int, int]) -> None:
    count, n = drawn

    for end in binomial_interval(np.array([count]), np.array([n])):
        p = float(end[0])
        assert 0 <= p <= 1
        # |share - p| is 1.96 standard deviations of a share of p; at 0 and 1 there is none.
        assert abs(count / n - p) == pytest.approx(1.959964 * (p * (1 - p) / n) ** 0.5, rel=1e-5, abs=1e-8)


def test_tokens_of_a_run_are_those_of_its_sampled_firings(run: Run) -> None:
    fired = run.kept.fired_tokens.firings()
    token_ids = fired["firing"].numpy() & (2**31 - 1)
    shown = run.shown["expert_tokens"]
    names = ("expert", "token", "count", "sampled", "share", "share_low", "share_high", "lift")

    assert len(shown["token"]) > 20
    for expert, token, count, sampled, share, low, high, lift in zipped(shown, *names):
        own = token_ids[fired["expert"].numpy() == expert]
        base = float(run.kept.vocabulary.counts[token] / run.kept.vocabulary.counts.sum())
        assert (count, sampled) == (int((own == token).sum()), len(own))
        assert share == count / sampled
        assert low < share < high or (share == 1 and low < 1 and high == 1)
        assert lift == pytest.approx((count + 20 * base) / (sampled + 20) / base)


def test_of_few_firings_all_tokens_are_counted(run: Run) -> None:
    """An expert that fires less often than firings are sampled is told of exactly."""
    shown, firings = run.shown["expert_tokens"], run.firings
    rare = [e for e, n in enumerate(run.shown["expert_stats"]["firings"]) if 0 < n <= CONFIG.fired_tokens]
    assert set(rare) & set(shown["expert"].tolist())

    for expert, token, count in zipped(shown, "expert", "token", "count"):
        if expert in rare:
            on = run.tokens.token_id[firings.token[firings.expert == expert].long()]
            assert count == int((on == token).sum())


# Statistics


def totals_by_hand() -> dict[str, np.ndarray]:
    def fixed(*values: float) -> np.ndarray:
        return np.array([round(value * FIXED_POINT) for value in values])

    return {
        "tokens": np.array([100]),
        "held_out_tokens": np.array([20]),
        "firings": np.array([40, 0, 8]),
        "held_out_firings": np.array([3, 0, 0]),
        "documents_fired": np.array([7, 0, 1]),
        # In units of the threshold, 2: norm, the code's two numbers, their squares and product.
        "moments": np.stack([fixed(30, 20, 0, 50, -10, 40), fixed(0, 0, 0, 0, 0, 0), fixed(4, 4, 8, 2, 4, 8)]),
        "max_norm": np.array([2.5, 0.0, 3.0], dtype=np.float32),
    }


def errors_by_hand() -> dict[str, np.ndarray]:
    # Four rows around (2, 0): Σ‖x‖² = 24, so Σ‖x - x̄‖² = 24 - 64 / 4 = 8.
    return {
        "tokens": np.array([4]),
        "gain": np.array([4.0, 0.0, -1.0]),
        "x": np.array([8.0, 0.0]),
        "x_squared": np.array([24.0]),
        "residual_squared": np.array([2.0]),
        # Two firings with the codes (1, ½) and (-1, ½) in units of the threshold, on rows of scale 1 that are rebuilt exactly;
        # none; and one with (2, 1) that overshoots.
        "pairs": np.array(
            [
                [[2.0, 0, 1, 0, 0], [0, 2, 0, 0, 0], [1, 0, 0.5, 0, 0]],
                [[0.0] * 5] * 3,
                [[1.0, 2, 1, -2, -0.5], [2, 4, 2, -4, -1], [1, 2, 1, -2, -0.5]],
            ]
        ),
    }


def test_last_bin_of_norms_reaches_to_the_largest() -> None:
    histogram = np.zeros((2, N_BINS), dtype=np.int64)
    histogram[0, -1] = 100
    histogram[1, 0], histogram[1, -1] = 90, 10
    lower = 2.0 * 2 ** ((N_BINS - 1) / 8)

    q10, _, q50, _, q90, q99 = norm_quantiles(histogram, 2.0, np.array([16 * lower, 16 * lower], dtype=np.float32)).T

    np.testing.assert_allclose([q10[0], q50[0], q90[0]], [lower * 16**0.1, lower * 4, lower * 16**0.9])
    np.testing.assert_allclose([q90[1], q99[1]], [2.0 * 2 ** (1 / 8), lower * 16**0.9])


def test_norms_without_a_threshold_have_no_known_quantiles() -> None:
    assert np.isnan(norm_quantiles(np.full((1, N_BINS), 3), 0.0, np.array([5.0], dtype=np.float32))).all()


def test_statistics_of_a_case_worked_by_hand() -> None:
    histogram = np.zeros((3, N_BINS), dtype=np.int64)
    histogram[0, 0], histogram[2, 4] = 40, 8

    # Decoders of length ½ and 1 with orthogonal rows, so that codes in units of the threshold, 2, are 1 and 2 long.
    gram = np.tile(np.diag([0.5, 1.0]) ** 2, (3, 1, 1))
    found = expert_stats(totals_by_hand(), errors_by_hand(), histogram, gram, ONE_EXPERT._replace(n_experts=3, threshold=2.0))

    # Expert 0: mean norm 30/40 · 2. Code (20/40, 0) · 2; squares 50/40 · 4 - 1², product -10/40 · 4, squares 40/40 · 4.
    # Norms of expert 2 lie evenly in the bin from 2 · 2^(4/8) = 2.83 to 3.08, of which nothing is above 3.
    quantile = {
        f"norm_q{q}": [2 * 2 ** (q / 800), np.nan, min(2 * 2 ** ((4 + q / 100) / 8), 3.0)] for q in (10, 25, 50, 75, 90, 99)
    }
    mean_code, covariance = found.pop("mean_code"), found.pop("code_covariance")
    kept = found.pop("importance_kept")
    quantiles = {name: found.pop(name) for name in quantile}
    np.testing.assert_equal(
        {name: list(column) for name, column in found.items()},
        {
            "expert": [0, 1, 2],
            "firings": [40, 0, 8],
            "held_out_firings": [3, 0, 0],
            "rate": [0.4, 0.0, 0.08],
            "documents": [7, 0, 1],
            "importance": [0.5, 0.0, -0.125],
            "dimensions_needed": [1, np.nan, np.nan],
            "mean_norm": [1.5, np.nan, 1.0],
            "max_norm": [2.5, np.nan, 3.0],
            "silent": [False, True, True],
            "dense": [True, False, False],
        },
    )
    for name, expected in quantile.items():
        np.testing.assert_allclose(quantiles[name], expected, rtol=1e-12)
    # Contributions (1, 1) and (-1, 1): one half of their squared length is their mean's.
    assert kept.rows() == [pytest.approx([0.5, 1.0, 1.0]), [], []]
    assert mean_code.rows() == [[1.0, 0.0], [], [1.0, 2.0]]
    assert covariance.rows() == [[4.0, -1.0, -1.0, 4.0], [], [0.0, 0.0, 0.0, 0.0]]


def test_moments_of_a_run_are_those_of_all_codes(run_of: Callable[..., Run]) -> None:
    run = run_of(d_code=2)
    stats, firings = run.shown["expert_stats"], run.firings
    assert run.checkpoint.smixae.n_experts == len(stats["mean_code"])

    for expert in range(len(stats["mean_code"])):
        own = firings.code[firings.expert == expert].double().numpy()
        if not len(own):
            assert stats["mean_code"][expert] == stats["code_covariance"][expert] == []
            continue
        np.testing.assert_allclose(stats["mean_code"][expert], own.mean(axis=0), atol=1e-5)
        covariance = np.reshape(stats["code_covariance"][expert], (2, 2))
        np.testing.assert_allclose(covariance, np.cov(own.T, bias=True), atol=1e-4)
        assert covariance[0, 1] == covariance[1, 0]
        np.testing.assert_allclose(stats["mean_norm"][expert], np.linalg.norm(own, axis=1).mean(), rtol=1e-5)


@pytest.mark.parametrize("d_code", [1, 2, 3, 5])
def test_code_moments_are_put_together_in_the_order_they_were_summed(d_code: int) -> None:
    rng = np.random.default_rng(d_code)
    code = np.round(rng.normal(size=(50, d_code)) * 64) / 64
    row, column = np.triu_indices(d_code)
    sums = np.concatenate([np.linalg.norm(code, axis=1)[:, None], code, code[:, row] * code[:, column]], axis=1).sum(axis=0)
    shape = ONE_EXPERT._replace(n_experts=2, d_code=d_code, threshold=0.5)

    norm, mean, covariance = code_moments(np.stack([np.round(sums * FIXED_POINT).astype(np.int64)] * 2), np.array([50, 0]), shape)

    # Sums are in units of the threshold, one half.
    np.testing.assert_allclose(norm, [np.linalg.norm(code, axis=1).mean() / 2, np.nan], rtol=1e-6)
    np.testing.assert_allclose(mean[0], code.mean(axis=0) / 2, atol=1e-6)
    np.testing.assert_allclose(covariance[0], np.reshape(np.cov(code.T, bias=True), (d_code, d_code)) / 4, atol=1e-6)
    assert np.isnan(mean[1]).all() and np.isnan(covariance[1]).all()


@given(st.lists(st.floats(1.001, 255.0), min_size=1, max_size=60), st.sampled_from([0.3, 1.0, 7.0]))
def test_norm_quantiles_are_within_one_bin_of_the_exact_ones(over: list[float], threshold: float) -> None:
    norms = np.sort(np.array(over) * threshold)
    bins = np.floor(np.log2(norms / threshold) * BINS_PER_DOUBLING).astype(int)
    histogram = np.stack([np.bincount(bins, minlength=N_BINS), np.zeros(N_BINS, dtype=np.int64)])

    found = norm_quantiles(histogram, threshold, np.array([norms[-1], 0.0]))

    exact = np.quantile(norms, QUANTILES, method="inverted_cdf")
    assert (np.abs(np.log2(found[0] / exact)) <= 1 / BINS_PER_DOUBLING + 1e-9).all()
    assert (np.diff(found[0]) >= 0).all()
    assert (found[0] > threshold).all() and (found[0] <= norms[-1]).all()
    assert np.isnan(found[1]).all(), "it never fires"


def test_norm_quantiles_of_a_run_are_near_those_of_all_firings(run: Run) -> None:
    stats, firings = run.shown["expert_stats"], run.firings
    norms = firings.code.double().norm(dim=1).numpy()

    for expert in np.flatnonzero(stats["firings"]):
        exact = np.quantile(norms[firings.expert.numpy() == expert], QUANTILES, method="inverted_cdf")
        found = np.array([stats[f"norm_q{round(100 * q)}"][expert] for q in QUANTILES])
        assert (np.abs(np.log2(found / exact)) <= 1 / BINS_PER_DOUBLING + 1e-6).all()


def test_importance_is_the_growth_of_the_unexplained_variance(run: Run) -> None:
    smixae, x = run.checkpoint.smixae, run.x[run.tokens.held_out].double()
    code = smixae.encode(run.x)[run.tokens.held_out].double()
    decoder, bias = smixae.decoder.double(), smixae.weights.b_dec.double()
    variance = (x - x.mean(dim=0)).square().sum()

    def fvu(without: int | None) -> float:
        kept = [expert for expert in range(smixae.n_experts) if expert != without]
        rebuilt = sum((code[:, expert] @ decoder[expert] for expert in kept), bias)
        return float((x - rebuilt).square().sum() / variance)

    expected = [fvu(expert) - fvu(None) for expert in range(smixae.n_experts)]
    assert 0 < len(x) < len(run.x)
    np.testing.assert_allclose(run.shown["expert_stats"]["importance"], expected, rtol=1e-3, atol=1e-4)
    assert run.made.provenance["fidelity"]["fvu_held_out"] == pytest.approx(fvu(None), rel=1e-3)


def test_importance_of_a_point_is_what_its_firing_spares(run: Run) -> None:
    smixae, points, held_out = run.checkpoint.smixae, run.shown["points"], run.tokens.held_out
    x, code = run.x.double(), smixae.encode(run.x).double()
    decoder = smixae.decoder.double()
    residual = x - torch.einsum("tec,ecd->td", code, decoder) - smixae.weights.b_dec.double()
    mean_square = (x[held_out] - x[held_out].mean(dim=0)).square().sum(dim=1).mean()
    columns = (run.tokens.document, run.tokens.window, run.tokens.position)
    row_at = {at: row for row, at in enumerate(zip(*(column.tolist() for column in columns), strict=True))}

    expected = []
    for expert, window, position in zipped(points, "expert", "window", "position"):
        row = row_at[*place(run, window), position]
        without = residual[row] + code[row, expert] @ decoder[expert]
        spared = (without.square().sum() - residual[row].square().sum()) / mean_square
        expected.append(float(spared) if held_out[row] else np.nan)

    np.testing.assert_allclose(points["importance"], expected, rtol=1e-3, atol=1e-4)
    measured = np.isfinite(points["importance"])
    assert 0.2 < measured.mean() < 0.5, "a third of the documents are held out"
    # Of an expert all of whose firings are sampled, the points' are its whole importance.
    whole = [expert for expert in range(smixae.n_experts) if 0 < (points["expert"] == expert).sum() < CONFIG.sample]
    for expert in whole:
        own = points["importance"][measured & (points["expert"] == expert)].sum() / int(held_out.sum())
        assert own == pytest.approx(run.shown["expert_stats"]["importance"][expert], rel=1e-4, abs=1e-6)
    assert whole


def test_points_have_no_importance_where_rows_have_no_variance() -> None:
    errors = {**errors_by_hand(), "x_squared": np.array([16.0])}

    assert point_importance(np.array([4.0, np.nan]), errors_by_hand()).tolist()[0] == 4.0 / (8 / 4)
    assert np.isnan(point_importance(np.array([4.0, np.nan]), errors)).all()


@pytest.mark.parametrize("d_code", [1, 3])
def test_importance_that_few_axes_keep_is_what_projected_contributions_spare(d_code: int, run_of: Callable[..., Run]) -> None:
    run = run_of(d_code=d_code)
    stats, smixae, x = run.shown["expert_stats"], run.checkpoint.smixae, run.x[run.tokens.held_out]
    importance, kept, needed = stats["importance"], stats["importance_kept"], stats["dimensions_needed"]
    least = 1e-4 * np.abs(importance).max()

    for expert in range(smixae.n_experts):
        if importance[expert] <= 0:
            assert kept[expert] == [] and np.isnan(needed[expert])
        elif importance[expert] > least:
            whole, expected = spared(smixae, x, expert)
            np.testing.assert_allclose(kept[expert], expected / whole, rtol=1e-2, atol=1e-2)
            assert kept[expert][int(needed[expert])] >= 0.9 > max(kept[expert][: int(needed[expert])], default=0.0)
    assert (importance > least).any()


def test_counts_of_a_run_are_those_of_its_firings(run: Run) -> None:
    stats, firings = run.shown["expert_stats"], run.firings
    row = firings.token.long()
    for expert in range(run.checkpoint.smixae.n_experts):
        own = row[firings.expert == expert]
        assert stats["firings"][expert] == len(own)
        assert stats["held_out_firings"][expert] == int(run.tokens.held_out[own].sum())
        assert stats["documents"][expert] == len(run.tokens.document[own].unique())
        assert stats["rate"][expert] == len(own) / len(run.x)


def test_experts_of_the_run_fire_as_often_as_they_should(run: Run) -> None:
    """What other tests need."""
    stats = run.shown["expert_stats"]
    np.testing.assert_allclose(stats["rate"], RATES, atol=1.5 / len(run.x))
    assert stats["dense"].tolist() == [rate > 0.1 for rate in RATES]
    for name in ("mean_norm", "max_norm", *(f"norm_q{round(100 * q)}" for q in QUANTILES)):
        assert np.isnan(stats[name]).tolist() == (stats["firings"] == 0).tolist()


def test_neighbours_of_a_run_meet_on_as_many_tokens_as_is_said(run: Run) -> None:
    fired = torch.zeros(len(run.x), run.checkpoint.smixae.n_experts, dtype=torch.bool)
    fired[run.firings.token.long(), run.firings.expert.long()] = True
    dense = run.shown["expert_stats"]["dense"]

    found = {(expert, neighbour): n for expert, neighbour, n in zipped(run.shown["co_firing"], "expert", "neighbour", "tokens")}

    n_experts = len(dense)
    together = {(a, b): int((fired[:, a] & fired[:, b]).sum()) for a in range(n_experts) for b in range(n_experts) if a != b}
    assert found == {pair: n for pair, n in together.items() if n >= 2 and not dense[pair[0]] and not dense[pair[1]]}
    assert found
    assert run.made.provenance["corpus"]["co_firing"] == {"exact": True, "tokens": len(run.x)}


def test_task_row_counts_tokens_and_those_held_out(run: Run) -> None:
    lengths = {True: 0, False: 0}
    for window in run.windows:
        lengths[window.held_out] += len(window.token_ids)
    tasks = run.shown["tasks"]

    assert min(lengths.values()) > 0
    assert tasks["tokens"] == tasks["rows"] == [sum(lengths.values())]
    assert tasks["held_out_tokens"] == tasks["importance_tokens"] == [lengths[True]]
    assert tasks["documents"] == [len({window.document for window in run.windows})]
    assert run.made.provenance["fidelity"]["firings_per_token"] == pytest.approx(len(run.firings.token) / len(run.x))


def test_bins_start_at_the_smallest_norm_in_them() -> None:
    counts = np.zeros((2, N_BINS), dtype=np.int64)
    counts[1, 0], counts[1, 8], counts[0, 63] = 5, 2, 1

    found = norm_histogram(counts, 0.5)

    rows = zipped(found, "expert", "bin", "lower", "count")
    assert rows == [(0, 63, pytest.approx(0.5 * 2 ** (63 / 8)), 1), (1, 0, 0.5, 5), (1, 8, 1.0, 2)]


def test_histogram_of_a_run_holds_every_firing(run: Run) -> None:
    shown = run.shown["norm_histogram"]

    per_expert = np.bincount(shown["expert"], weights=shown["count"], minlength=run.checkpoint.smixae.n_experts)
    assert per_expert.tolist() == run.shown["expert_stats"]["firings"].tolist()


# Positions


def test_position_rates_of_a_case_worked_by_hand() -> None:
    """Windows of at most ten tokens; none had nine, so that nothing is known of the last range."""
    totals = {"position_tokens": np.array([8, 8, 12, 20, 0]), "positions_fired": np.array([[8, 2, 0, 5, 0]])}

    found = position_rates(totals, ONE_EXPERT)

    assert zipped(found, "expert", "lower", "upper", "firings", "rate") == [
        (0, 0, 0, 8, 1.0),
        (0, 1, 1, 2, 0.25),
        (0, 2, 3, 0, 0.0),
        (0, 4, 7, 5, 0.25),
    ]


def test_last_range_of_positions_ends_with_the_window() -> None:
    totals = {"position_tokens": np.array([1, 1, 2, 4, 2]), "positions_fired": np.zeros((1, 5), dtype=np.int64)}

    assert position_rates(totals, ONE_EXPERT)["upper"].tolist() == [0, 1, 3, 7, 9]


def test_position_rates_of_a_run_are_those_of_its_firings(run: Run) -> None:
    shown, firings = run.shown["position_rates"], run.firings
    at = run.tokens.position[firings.token.long()]

    for expert, lower, upper, count, rate in zipped(shown, "expert", "lower", "upper", "firings", "rate"):
        own = at[firings.expert == expert]
        assert count == int(((own >= lower) & (own <= upper)).sum())
        there = (run.tokens.position >= lower) & (run.tokens.position <= upper)
        assert rate == count / int(there.sum())
    assert shown["firings"].sum() == len(firings.token)
    own = shown["expert"] == 0
    assert shown["upper"][own][-1] == 45, "48 tokens less the two special ones"
    assert (shown["lower"][own][1:] == shown["upper"][own][:-1] + 1).all()


# Quantile bands


def sampled(norms: dict[int, list[float]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A sample of firings in the order of expert and key; `place` tells them apart."""
    expert = np.array([e for e, own in norms.items() for _ in own])
    key = np.concatenate([np.arange(len(own)) * 10 for own in norms.values()])
    return {"expert": expert, "key": key, "place": np.arange(len(expert))}, np.concatenate([*norms.values()])


def test_bands_are_quarters_by_norm_in_the_order_of_the_hash() -> None:
    sample, norm = sampled({0: [5.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0], 2: [1.0, 2.0, 3.0], 3: [2.0, 1.0, 4.0, 3.0]})

    found = quantile_bands(sample, norm, 4)

    assert [(name, band["place"].tolist(), of.tolist()) for name, band, of in found] == [
        ("q75", [2, 4, 13], [8.0, 7.0, 4.0]),
        ("q50", [0, 6, 14], [5.0, 6.0, 3.0]),
        ("q25", [5, 7, 11], [3.0, 4.0, 2.0]),
        ("q0", [1, 3, 12], [1.0, 2.0, 1.0]),
    ]


def test_equal_norms_are_dealt_to_bands_by_key() -> None:
    sample, norm = sampled({0: [1.0] * 8})

    found = {name: band["place"].tolist() for name, band, _ in quantile_bands(sample, norm, 1)}

    assert found == {"q0": [0, 1], "q25": [2, 3], "q50": [4, 5], "q75": [6, 7]}


def test_few_of_a_large_band_are_shown_and_they_are_the_first_by_hash() -> None:
    norms = np.random.default_rng(0).permutation(101).astype(float)
    sample, norm = sampled({0: norms.tolist()})

    found = {name: (band["place"].tolist(), of) for name, band, of in quantile_bands(sample, norm, 1)}

    rank = norms.argsort().argsort()
    for number, name in enumerate(BANDS):
        inside = [i for i in range(101) if rank[i] * 4 // 101 == number]
        assert found[name][0] == inside[:SHOWN_OF_BAND]


# Contexts


def contexts(windows: list[tuple[int, int, list[int]]], top: list[tuple[int, int, int]], n_experts: int = 1) -> list[int]:
    """Which of some firings (document, window, position), strongest first, are shown where windows hold these tokens."""
    document, window, position = (np.array(column) for column in zip(*top, strict=True))
    firings = {
        "expert": np.zeros(len(top), dtype=np.int64),
        "document": document,
        "window": window.astype(np.int32),
        "position": position.astype(np.int32),
        "place": np.arange(len(top)),
    }
    spool = [spooled([Window(d, w, ids, True)]) for d, w, ids in windows]
    return Windows(iter(spool), [firings]).distinct_contexts(firings, n_experts, WIDTH)["place"].tolist()


WIDTH = 40


def distinct(document: int, n: int = WIDTH) -> list[int]:
    """Tokens that occur nowhere else."""
    return list(range(1000 * document, 1000 * document + n))


def test_firings_with_the_same_tokens_around_them_are_one_context() -> None:
    same = [*range(7, 7 + 2 * SAME_TOKENS + 1)]
    first, second = [*distinct(1, 9), *same, *distinct(1, 9)], [*distinct(2, 3), *same, *distinct(2, 3)]
    other = [*same[:-1], 99]

    shown = contexts(
        [(1, 0, first), (2, 0, second), (3, 0, other)], [(1, 0, 9 + SAME_TOKENS), (2, 0, 3 + SAME_TOKENS), (3, 0, SAME_TOKENS)]
    )

    assert shown == [0, 2], "one other token five places away makes another context"


def test_the_end_of_a_window_is_no_token() -> None:
    """At a window's edge there are fewer neighbours; the same few are the same context, and more are another one."""
    shown = contexts([(1, 0, [5, 6]), (2, 0, [5, 6]), (3, 0, [5, 6, 7])], [(1, 0, 0), (2, 0, 0), (3, 0, 0)])

    assert shown == [0, 2]


@pytest.mark.parametrize(("apart", "shown"), [(1, [0]), (2 * CONTEXT_TOKENS, [0]), (2 * CONTEXT_TOKENS + 1, [0, 1])])
@pytest.mark.parametrize("turned", [False, True], ids=["the later one weaker", "the earlier one weaker"])
def test_firings_whose_spans_overlap_are_one_context(apart: int, shown: list[int], turned: bool) -> None:
    """Spans go on across windows of one document."""
    tokens = distinct(1, 2 * WIDTH)
    places = [30, 30 + apart]
    top = [(1, *divmod(place, WIDTH)) for place in (places[::-1] if turned else places)]

    assert contexts([(1, 0, tokens[:WIDTH]), (1, 1, tokens[WIDTH:])], top) == shown


def test_spans_of_different_documents_do_not_overlap() -> None:
    assert contexts([(1, 0, distinct(1)), (2, 0, distinct(2))], [(1, 0, 20), (2, 0, 20)]) == [0, 1]


def test_a_context_that_is_not_shown_does_not_hide_another() -> None:
    """The second overlaps with the first; the third with the second only."""
    assert contexts([(1, 0, distinct(1, 80))], [(1, 0, 20), (1, 0, 40), (1, 0, 60)]) == [0, 2]


def test_no_more_contexts_than_are_shown_are_kept() -> None:
    n = SHOWN_CONTEXTS + 6
    windows = [(document, 0, distinct(document)) for document in range(n)]

    assert contexts(windows, [(document, 0, 3) for document in range(n)]) == list(range(SHOWN_CONTEXTS))


def test_each_expert_has_contexts_of_its_own() -> None:
    firings = {
        "expert": np.array([0, 2, 2]),
        "document": np.array([1, 1, 1]),
        "window": np.zeros(3, dtype=np.int32),
        "position": np.array([3, 3, 4], dtype=np.int32),
    }
    windows = Windows(iter([spooled([Window(1, 0, distinct(1), True)])]), [firings])

    assert windows.distinct_contexts(firings, 4, WIDTH)["expert"].tolist() == [0, 2]


# Points


@pytest.mark.parametrize("d_code", [1, 2, 3])
def test_distances_between_points_are_distances_in_the_residual_stream(d_code: int, run_of: Callable[..., Run]) -> None:
    run = run_of(d_code=d_code)
    smixae, sample, points = run.checkpoint.smixae, run.sample, run.shown["points"]
    xyz = np.stack([points["x"], points["y"], points["z"]], axis=1)

    for expert in np.unique(points["expert"]):
        added = (torch.from_numpy(sample["code"][sample["expert"] == expert]) @ smixae.decoder[expert]).double()
        drawn = torch.from_numpy(xyz[points["expert"] == expert]).double()
        torch.testing.assert_close(drawn.norm(dim=1), added.norm(dim=1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(torch.cdist(drawn, drawn), torch.cdist(added, added), rtol=1e-3, atol=1e-3)
    assert (xyz[:, d_code:] == 0).all()
    assert len(xyz) > 100


def test_points_of_a_wide_code_are_its_contributions_widest_three_axes(run_of: Callable[..., Run]) -> None:
    run = run_of(d_code=5, d_expert=6)
    smixae, sample, points = run.checkpoint.smixae, run.sample, run.shown["points"]
    xyz = np.stack([points["x"], points["y"], points["z"]], axis=1).astype(np.float64)
    expert = int(np.bincount(points["expert"]).argmax())

    added = sample["code"][sample["expert"] == expert].astype(np.float64) @ smixae.decoder[expert].double().numpy()
    widest = np.linalg.svd(added - added.mean(axis=0))[1][:3] ** 2
    drawn = xyz[points["expert"] == expert]

    assert len(drawn) > 20
    np.testing.assert_allclose(((drawn - drawn.mean(axis=0)) ** 2).sum(axis=0), widest, rtol=1e-3)


def test_each_point_is_a_sampled_firing(run: Run) -> None:
    sample, points = run.sample, run.shown["points"]

    found = [
        (expert, *place(run, window), position) for expert, window, position in zipped(points, "expert", "window", "position")
    ]
    assert found == zipped(sample, "expert", "document", "window", "position")
    np.testing.assert_allclose(points["norm"], np.linalg.norm(sample["code"], axis=1), rtol=1e-6)


@pytest.mark.parametrize("d_code", [1, 3, 5])
def test_each_point_has_its_code(d_code: int, run_of: Callable[..., Run]) -> None:
    """Of all corpora, in the order of the points, as the gate saw them."""
    run = run_of(d_code=d_code)
    points, codes = run.made.tables["points"], np.asarray(run.made.tables["codes"]["code"])
    xyz = np.stack([np.asarray(points[axis]) for axis in "xyz"], axis=1)

    assert codes.dtype == np.float32 and codes.shape == (len(xyz), d_code)
    assert raw(codes[: len(run.sample["code"])]) == raw(run.sample["code"])
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), np.asarray(points["norm"]), rtol=1e-6)
    frame = np.asarray(run.made.tables["frames"]["frame"])[np.asarray(points["expert"])]
    np.testing.assert_allclose(np.einsum("pc,pcd->pd", codes, frame), xyz, rtol=1e-5, atol=1e-6)


# Evidence


def test_strongest_firings_of_a_run_have_distinct_contexts_strongest_first(run: Run) -> None:
    token_ids = {(window.document, window.ordinal): window.token_ids for window in run.windows}
    expected: list[tuple[Any, ...]] = []
    hidden = 0
    seen: dict[int, list[tuple[int, int]]] = defaultdict(list)
    around: set[tuple[Any, ...]] = set()
    for expert, document, window, position, norm in zipped(
        arrays(run.kept.top.firings()), "expert", "document", "window", "position", "norm"
    ):
        ids = token_ids[document, window]
        neighbours = (expert, *ids[max(0, position - 5) : position + 6])
        at = window * 46 + position
        overlaps = any(document == other and abs(at - there) <= 24 for other, there in seen[expert])
        if overlaps or neighbours in around:
            hidden += 1
        elif len(seen[expert]) < SHOWN_CONTEXTS:
            expected.append((expert, document, window, position, norm))
            seen[expert].append((document, at))
            around.add(neighbours)

    shown = run.shown["top_firings"]
    rows = zipped(shown, "stratum", "expert", "window", "position", "norm")
    assert hidden > 10, "the sentence that ends most documents should have been met again"
    assert [
        (e, *place(run, window), position, norm) for stratum, e, window, position, norm in rows if stratum == "top"
    ] == expected
    assert [norm for _, *_, norm in expected] == [norm for stratum, *_, norm in rows if stratum == "top"]


def test_firings_of_a_band_are_of_the_sample_and_numbered_from_zero(run: Run) -> None:
    shown, sample = run.shown["top_firings"], run.sample
    norm = dict(
        zip(
            zipped(sample, "expert", "document", "window", "position"),
            np.linalg.norm(sample["code"], axis=1).tolist(),
            strict=True,
        )
    )
    by_band = defaultdict(list)
    for stratum, expert, rank, window, position, strength in zipped(
        shown, "stratum", "expert", "rank", "window", "position", "norm"
    ):
        by_band[stratum, expert].append(rank)
        if stratum != "top":
            assert strength == pytest.approx(norm[expert, *place(run, window), position], rel=1e-6)

    assert {stratum for stratum, _ in by_band} == {"top", *BANDS}
    assert all(ranks == list(range(len(ranks))) for ranks in by_band.values())
    for expert in {expert for _, expert in by_band}:
        own = [(s, n) for s, e, n in zipped(shown, "stratum", "expert", "norm") if e == expert]
        for weaker, stronger in zip(BANDS, BANDS[1:], strict=False):
            assert max((n for s, n in own if s == weaker), default=0) <= min((n for s, n in own if s == stronger), default=np.inf)


def test_only_windows_that_something_points_into_are_written(run: Run) -> None:
    pointing = ("points", "top_firings", "token_sample", "mentions")
    pointed = {window for table in pointing for window in run.shown[table]["window"].tolist()}
    windows = run.shown["windows"]

    assert windows["window"].tolist() == list(range(len(windows["window"]))) == sorted(pointed)
    places = [place(run, window) for window in windows["window"]]
    token_ids = {(window.document, window.ordinal): window.token_ids for window in run.windows}
    assert places == sorted(places)
    assert [token_ids[at] for at in places] == windows["tokens"]


def test_every_token_that_is_shown_has_a_text_and_its_exact_count(run: Run) -> None:
    vocabulary = run.shown["vocabulary"]
    counts = dict(zipped(vocabulary, "token", "count"))
    ids = [token for window in run.windows for token in window.token_ids]

    assert set(counts) == set(ids)
    assert counts == {token: ids.count(token) for token in counts}
    atlas_token = run.model.tokenizer.convert_tokens_to_ids("atlas")
    assert dict(zipped(vocabulary, "token", "text"))[atlas_token].strip() == "atlas"


def codes_at(run: Run, window: int, position: int) -> list[tuple[int, list[float]]]:
    """Every firing on one token, from the rows themselves."""
    document, ordinal = place(run, window)
    tokens, firings = run.tokens, run.firings
    row = ((tokens.document == document) & (tokens.window == ordinal) & (tokens.position == position)).nonzero()[:, 0]
    assert len(row) == 1
    here = firings.token == row
    return list(zip(firings.expert[here].tolist(), firings.code[here].tolist(), strict=True))


@pytest.mark.parametrize(("table", "one"), [("token_sample", "token"), ("mentions", "mention")])
def test_all_firings_on_a_kept_token_are_given(run: Run, table: str, one: str) -> None:
    shown = run.shown[table]
    fired = defaultdict(list)
    firings = run.shown["token_sample_firings" if one == "token" else "mention_firings"]
    for number, expert, code in zipped(firings, one, "expert", "code"):
        fired[number].append((expert, code))

    assert shown[one].tolist() == list(range(len(shown[one])))
    for number, window, position, held_out in zipped(shown, one, "window", "position", "held_out"):
        assert fired[number] == codes_at(run, window, position)
        assert held_out == (place(run, window)[0] % 3 == 0)
    if one == "token":
        assert len(shown[one]) == CONFIG.token_sample


def test_mentions_are_of_the_words_that_the_corpus_has(run: Run) -> None:
    labels, mentions = run.shown["label_mentions"], run.shown["mentions"]
    tokens = run.shown["windows"]["tokens"]
    word = run.model.tokenizer.convert_tokens_to_ids

    named = {(task, number): name for task, names in WORDS.items() for number, name in enumerate(names)}
    assert dict(zip(zipped(labels, "labelled", "label"), labels["name"], strict=True)) == named
    lower = [text.split() for text in texts()]
    counted = dict(zip(labels["name"], zipped(labels, "mentions", "held_out", "documents"), strict=True))
    for name in ("atlas", "sheet"):
        of_document = [sum(part.strip(".") == name for part in words) for words in lower]
        assert counted[name] == (sum(of_document), sum(of_document[::3]), sum(n > 0 for n in of_document))
    assert counted["nowhere"] == (0, 0, 0)
    shown = Counter(named[at] for at in zipped(mentions, "labelled", "label"))
    assert shown == {name: min(n, CONFIG.mentions) for name, (n, _, _) in counted.items() if n}
    assert shown["atlas"] == shown["sheet"] == CONFIG.mentions
    for task, number, window, position in zipped(mentions, "labelled", "label", "window", "position"):
        if named[task, number] in ("atlas", "sheet"):
            assert tokens[window][position] == word(named[task, number])


# Several corpora


def test_equal_corpora_have_equal_tables_under_their_own_numbers(run: Run) -> None:
    """The hash chooses other firings of the second one, for it has another name; what is counted is the same."""
    made = run.made.tables

    assert made["tasks"]["name"] == ["texts.jsonl", "more.jsonl"]
    assert np.asarray(made["tasks"]["task"]).tolist() == [0, 1]
    for name in ("expert_stats", "norm_histogram", "position_rates", "co_firing", "vocabulary"):
        task = np.asarray(made[name]["task"])
        first, second = np.flatnonzero(task == 0), np.flatnonzero(task == 1)
        for column in made[name].values():
            values = column.rows() if hasattr(column, "rows") else list(column)
            if column is not made[name]["task"]:
                np.testing.assert_equal([values[i] for i in first], [values[i] for i in second])
    keys = [zipped(made["points"], "task", "window", "position")]
    assert {task for task, *_ in keys[0]} == {0, 1}


def test_all_corpora_are_drawn_in_the_frames_of_the_first(run: Run) -> None:
    points = {name: np.asarray(column) for name, column in run.made.tables["points"].items()}
    frame = np.asarray(run.made.tables["frames"]["frame"])
    windows = {name: np.asarray(run.made.tables["windows"][name]) for name in ("task", "window", "document", "ordinal")}
    sample, tokens, firings = run.sample, run.tokens, run.firings

    assert frame.tolist() == frames(run.gram, sample["expert"], sample["code"]).tolist()
    some = [i for task in (0, 1) for i in np.flatnonzero(points["task"] == task)[::50]]
    for i in some:
        (at,) = np.flatnonzero((windows["task"] == points["task"][i]) & (windows["window"] == points["window"][i]))
        row = (tokens.document == windows["document"][at]) & (tokens.window == windows["ordinal"][at])
        here = (row & (tokens.position == points["position"][i]))[firings.token.long()] & (firings.expert == points["expert"][i])
        code = firings.code[here].double().numpy()
        assert len(code) == 1
        drawn = (code @ frame[points["expert"][i]])[0]
        np.testing.assert_allclose([points[axis][i] for axis in "xyz"], drawn, rtol=1e-5, atol=1e-6)
    assert len(some) > 10
