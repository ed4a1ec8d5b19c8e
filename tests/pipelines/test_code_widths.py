"""Dictionaries whose codes have one, two or five numbers, through the whole path: from text to a page with their points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from click.testing import CliRunner

import tiny
from atlas.activations.corpus import Corpus
from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig, blocks, chunk_windows
from atlas.dictionary import Checkpoint, Smixae, save
from atlas.stages import finished
from atlas.store import Store
from pipelines.cli import main
from templated import classes_of, only, order_of, ring_of, templated

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
N_TEMPLATES = 18
D_CODES = (1, 2, 5)


@pytest.fixture(scope="module", autouse=True)
def one_task() -> Iterator[None]:
    """Weekdays, as a ring, as an order and as two classes, in short sentences."""
    task = templated(
        DAYS,
        tuple(f"every expert fires on {{label}} in {i}" for i in range(N_TEMPLATES)),
        tuple(f"group {i // 3}" for i in range(N_TEMPLATES)),
        (ring_of(7), order_of(7), classes_of([0] * 5 + [1] * 2, ("workday", "weekend"))),
        cyclic=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        only(patch, task)
        yield


@dataclass(frozen=True)
class Mapped:
    """A dictionary and what was found of it."""

    d_code: int
    smixae: Smixae
    work: Path
    site: Path
    tables: dict[str, pl.DataFrame]

    def codes(self) -> np.ndarray:
        """Of all points, in the order of the atlas."""
        return np.concatenate([np.asarray(finished(self.work, stage).tables["codes"]["code"]) for stage in ("harvest", "probe")])


@pytest.fixture(scope="module", params=D_CODES, ids="{} numbers".format)
def mapped(
    request: pytest.FixtureRequest,
    bert: LanguageModel,
    models: dict[str, Path],
    corpus: Corpus,
    corpus_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapped:
    """An atlas of random experts, each firing on about half of what it reads."""
    root = tmp_path_factory.mktemp("width")
    stream = StreamConfig(window_tokens=48)
    windows = chunk_windows(corpus.read(), bert.tokenizer, stream)
    x = torch.cat([block.x[: len(block.tokens.document)] for block in blocks(windows, bert, stream)])
    wide = tiny.dictionary(n_experts=6, d_code=request.param, threshold=1.0)
    W_enc = wide.weights.W_enc / x.std()
    weights = wide.weights._replace(W_enc=W_enc, b_enc=wide.weights.b_enc - x.mean(dim=0) @ W_enc)
    middle = float(Smixae(wide.config, weights, 1.0).norms(x).median())
    about = {"model_name": str(models["bert"]), "hook_name": tiny.HOOKS["bert"], "context_size": 48}
    save(Smixae(wide.config, weights, middle), root / "checkpoint", about)

    options = {"checkpoint": root / "checkpoint", "corpus": corpus_file, "work": root / "work", "out": root / "site"}
    result = CliRunner().invoke(main, ["build", *(str(part) for name, value in options.items() for part in (f"--{name}", value))])
    assert result.exit_code == 0, (result.stderr, result.exception)
    with Store(root / "work" / "atlas.duckdb") as store:
        names = ("points", "label_stats", "expert_stats", "scores", "hypotheses", "code_axes")
        tables = {name: store.table(name) for name in names}
    return Mapped(request.param, Checkpoint.load(root / "checkpoint").smixae, root / "work", root / "site", tables)


def places(table: pl.DataFrame) -> np.ndarray:
    return table.select("x", "y", "z").to_numpy().astype(np.float64)


def test_points_lie_on_the_widest_of_their_experts_axes(mapped: Mapped) -> None:
    """Coordinates that there is no axis for are 0; lengths are those in the residual stream, as far as all axes are drawn."""
    points, codes, decoder = mapped.tables["points"], mapped.codes(), mapped.smixae.decoder.double().numpy()
    added = np.einsum("pc,pcd->pd", codes.astype(np.float64), decoder[points["expert"].to_numpy()])
    xyz = places(points)

    assert codes.shape == (points.height, mapped.d_code) and set(points["task"]) == {0, 1}
    assert not xyz[:, mapped.d_code :].any()
    lengths, shown = np.linalg.norm(added, axis=1), np.linalg.norm(xyz, axis=1)
    assert (shown <= lengths * (1 + 1e-4)).all()
    for expert in range(mapped.smixae.n_experts):
        own = points["expert"].to_numpy() == expert
        sampled = own & (points["task"].to_numpy() == 0)
        if mapped.d_code <= 3:
            np.testing.assert_allclose(shown[own], lengths[own], rtol=1e-4, atol=1e-5)
        widest = np.linalg.svd(added[sampled] - added[sampled].mean(axis=0))[1][:3] ** 2 / sampled.sum()
        n = min(3, mapped.d_code)
        np.testing.assert_allclose(xyz[sampled].var(axis=0)[:n], widest[:n], rtol=1e-3)


def test_label_means_are_the_means_of_their_points(mapped: Mapped) -> None:
    points = mapped.tables["points"].filter(pl.col("task") == 1)
    expected = points.group_by("label", "expert").agg(pl.col("x", "y", "z").cast(pl.Float64).mean(), pl.len().alias("n"))
    expected = expected.sort("label", "expert")

    found = mapped.tables["label_stats"].sort("label", "expert")

    assert found.select("label", "expert", "fired").rows() == expected.select("label", "expert", "n").rows()
    np.testing.assert_allclose(places(found), places(expected), rtol=1e-4, atol=1e-5)


def test_statistics_and_axes_have_as_many_numbers_as_a_code(mapped: Mapped) -> None:
    stats, axes = mapped.tables["expert_stats"], mapped.tables["code_axes"]

    assert set(stats["mean_code"].list.len()) == {mapped.d_code}
    assert set(stats["code_covariance"].list.len()) == {mapped.d_code**2}
    assert set(stats["importance_kept"].drop_nulls().list.len()) <= {mapped.d_code + 1}
    assert stats["dimensions_needed"].is_null().to_list() == (stats["importance"] <= 0).to_list()
    assert axes["axis"].to_list() == list(range(mapped.d_code)) * mapped.smixae.n_experts
    assert set(axes["code"].list.len()) == {mapped.d_code}


def test_every_hypothesis_is_scored(mapped: Mapped) -> None:
    scores = mapped.tables["scores"]

    assert set(scores["hypothesis"]) == {0, 1, 2}
    assert scores["all_rows"].is_finite().all() and (scores["all_rows"] <= 1).all()


def test_chance_is_of_so_many_numbers(mapped: Mapped) -> None:
    assert mapped.tables["hypotheses"]["chance"].to_list()[:2] == [min(1.0, mapped.d_code / 6)] * 2


def test_atlas_has_a_page(mapped: Mapped) -> None:
    assert (mapped.site / "index.html").is_file()
    assert list((mapped.site / "data" / "experts").iterdir())
