"""What a few axes keep of an expert's importance: projecting the sums says what projecting every contribution says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import tiny
from atlas.dictionary import Firings, Smixae, Weights
from atlas.dictionary.normalisation import KINDS, Normalisation
from atlas.harvest.accumulators import FIXED_POINT, Errors
from atlas.harvest.dimensions import dimensions_needed, importance_kept
from projections import spared

CPU = torch.device("cpu")
N_EXPERTS = 5
FACTORS = {"expected_average_only_in": 0.4}
"""What rows are multiplied by; the rows here are as much longer."""


def rows(kind: str, n: int = 90) -> torch.Tensor:
    """Rows of very different lengths."""
    x = torch.randn(n, tiny.D_MODEL, generator=torch.Generator().manual_seed(3)) * (torch.arange(n) % 5 + 1)[:, None]
    return x / FACTORS.get(kind, 1.0)


def dictionary(d_code: int, kind: Any = "none", dependent: bool = False, **shape: Any) -> Smixae:
    """A dictionary whose experts each write as much of what they write as explains most of the rows.

    Where its decoders' rows are dependent, the last is half the first.
    """
    plain = tiny.dictionary(n_experts=N_EXPERTS, d_expert=6, d_code=d_code, threshold=1.0, **shape)
    weights, rule, x = plain.weights, Normalisation(kind, FACTORS.get(kind, 1.0)), rows(kind)
    if dependent:
        latent = weights.W_latent_dec.clone()
        latent[:, -1] = latent[:, 0] / 2
        weights = weights._replace(W_latent_dec=latent)
    smixae = Smixae(plain.config, weights, plain.threshold, rule)
    alone = torch.einsum("tec,ecd->ted", smixae.encode(x), smixae.decoder) * smixae.row_scale(x)[:, None, None]
    best = (torch.einsum("ted,td->e", alone, x) / alone.square().sum(dim=(0, 2))).nan_to_num(1.0)[:, None, None]
    # Codes stay what they are: where they are scaled by the decoder's norm, that is taken out of the bottleneck.
    read = weights.W_bottleneck / (best.abs() if plain.config.rescale_by_decoder_norm else 1.0)
    weights = weights._replace(W_bottleneck=read, W_latent_dec=weights.W_latent_dec * best)
    return Smixae(plain.config, weights, plain.threshold, rule)


def summed(smixae: Smixae, x: torch.Tensor, n_shards: int = 1, unit: float = 1.0) -> dict[str, np.ndarray]:
    """The errors of the rows, each shard's added by itself."""
    whole, *others = (Errors(smixae.n_experts, smixae.d_in, smixae.d_code, CPU, smixae.threshold, unit) for _ in range(n_shards))
    for number, shard in enumerate((whole, *others)):
        part = x[number::n_shards]
        shard.update(part, smixae.firings(part), torch.ones(len(part), dtype=torch.bool), smixae)
    for other in others:
        whole.merge(other)
    return Errors.values({name: value.numpy() for name, value in whole.sums.items()})


def kept_of(smixae: Smixae, errors: dict[str, np.ndarray], unit: float = 1.0) -> np.ndarray:
    gram = smixae.decoder_gram.double().numpy() * (smixae.threshold / unit) ** 2
    return importance_kept(gram, errors["pairs"], errors["gain"])


def assert_as_projected(smixae: Smixae, x: torch.Tensor, n_shards: int = 1, unit: float = 1.0) -> None:
    """What is spared with each number of axes is what rebuilding the rows with so many says."""
    errors = summed(smixae, x, n_shards, unit)
    gain = errors["gain"] * unit**2
    found = kept_of(smixae, errors, unit) * gain[:, None]
    # Rounded to float32, and to fixed point.
    tolerance = 2e-7 * float(x.double().square().sum()) + len(x) * unit**2 / FIXED_POINT
    for expert in np.unique(smixae.firings(x).expert.numpy()):
        whole, expected = spared(smixae, x, int(expert))
        np.testing.assert_allclose(gain[expert], whole, rtol=1e-4, atol=tolerance)
        if gain[expert] > 0:
            np.testing.assert_allclose(found[expert], expected, rtol=1e-4, atol=tolerance)
    assert (gain > 100 * tolerance).sum() >= 2, "some have something to be kept"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d_code", [1, 2, 3, 5])
def test_sums_say_what_projected_contributions_spare(d_code: int, kind: str) -> None:
    smixae = dictionary(d_code, kind)

    assert_as_projected(smixae, rows(kind))


@pytest.mark.parametrize("unit", [2.0**-4, 8.0])
@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "plain"])
def test_shards_and_units_make_no_difference(rescale: bool, unit: float) -> None:
    smixae = dictionary(3, "constant_norm_rescale", rescale=rescale)

    assert_as_projected(smixae, rows("constant_norm_rescale"), n_shards=3, unit=unit)


@pytest.mark.parametrize("d_code", [2, 3, 5])
def test_decoder_whose_rows_depend_on_each_other_has_fewer_axes(d_code: int) -> None:
    smixae, x = dictionary(d_code, dependent=True), rows("none")

    assert_as_projected(smixae, x)

    kept = kept_of(smixae, summed(smixae, x))
    np.testing.assert_allclose(kept[:, -2], kept[:, -1], atol=1e-5)


def cloud(codes: np.ndarray, left: float = 0.0) -> tuple[Smixae, torch.Tensor]:
    """One expert that writes its code into the first coordinates; rows are these codes, and beside them what it never writes."""
    n, d_code = codes.shape
    plus_minus = torch.cat([torch.eye(d_code), -torch.eye(d_code)])
    shape = tiny.dictionary(d_in=d_code + 1, n_experts=1, d_expert=2 * d_code, d_code=d_code, rescale=False).config
    reads = torch.cat([plus_minus, torch.zeros(2 * d_code, 1)], dim=1)
    weights = Weights(
        W_enc=reads.T.contiguous(),
        b_enc=torch.zeros(2 * d_code),
        W_bottleneck=plus_minus[None],
        W_latent_dec=plus_minus.T[None] / 2,
        W_dec=reads.contiguous(),
        b_dec=torch.zeros(d_code + 1),
    )
    x = np.concatenate([codes, np.full((n, 1), left)], axis=1).astype(np.float32)
    return Smixae(shape, weights, 0.01), torch.from_numpy(x)


CLOUDS = {
    "a point": (np.tile([2.0, -1.0, 0.5], (50, 1)), 0),
    "a far blob": (np.array([9.0, 0.0, 0.0]) + np.random.default_rng(0).normal(size=(200, 3)), 0),
    "a ray": (np.linspace(1, 9, 50)[:, None] * np.array([[0.6, 0.0, 0.8]]), 1),
    "a circle": (np.stack([np.cos(np.arange(60)), np.sin(np.arange(60)), np.zeros(60)], axis=1), 2),
    "a ball": (np.random.default_rng(1).normal(size=(400, 3)), 3),
}


@pytest.mark.parametrize("name", CLOUDS)
def test_axes_that_a_plain_cloud_needs(name: str) -> None:
    """Where nothing else is explained, a cloud keeps its mean and its widest variances."""
    codes, needed = CLOUDS[name]
    smixae, x = cloud(codes, left=3.0)

    kept = kept_of(smixae, summed(smixae, x))

    variance = np.sort(np.linalg.eigvalsh(np.cov(codes.T, bias=True)))[::-1]
    expected = (np.square(codes.mean(axis=0)).sum() + np.concatenate([[0], np.cumsum(variance)])) / np.square(codes).sum(1).mean()
    np.testing.assert_allclose(kept[0], expected, atol=1e-3)
    assert kept[0, -1] == 1
    assert dimensions_needed(kept).tolist() == [needed]


def test_axis_that_spoils_what_another_mends_is_shown_as_it_is() -> None:
    """The second coordinate is written with the wrong sign: more is kept without it than with it."""
    codes = np.random.default_rng(2).normal(size=(300, 2)) * [3.0, 1.0]
    smixae, x = cloud(codes)
    x = x * torch.tensor([1.0, -1.0, 1.0])
    fired = smixae.firings(torch.from_numpy(np.concatenate([codes, np.zeros((300, 1))], axis=1).astype(np.float32)))
    errors = Errors(1, 3, 2, CPU, smixae.threshold)
    errors.update(x, fired, torch.ones(300, dtype=torch.bool), smixae)

    (kept,) = kept_of(smixae, Errors.values({name: value.numpy() for name, value in errors.sums.items()}))

    # Of the wide axis' 9, the narrow one takes away 3.
    assert kept[1] == pytest.approx(9 / 6, rel=0.1) and kept[2] == 1
    assert kept[0] < 0.1
    assert dimensions_needed(kept[None]).tolist() == [1]


def test_nothing_is_kept_where_there_is_no_importance() -> None:
    """An expert that does harm, one that never fires, one that writes nothing."""
    smixae = tiny.dictionary(n_experts=N_EXPERTS, threshold=1.0, rescale=False)
    latent = smixae.weights.W_latent_dec.clone()
    latent[2] = 0
    smixae = Smixae(smixae.config, smixae.weights._replace(W_latent_dec=latent), 1.0)
    x = rows("none")
    fired = smixae.firings(x)
    fired = Firings(*(column[fired.expert != 1] for column in fired))
    errors = Errors(N_EXPERTS, tiny.D_MODEL, 3, CPU)
    errors.update(x, fired, torch.ones(len(x), dtype=torch.bool), smixae)

    values = Errors.values({name: value.numpy() for name, value in errors.sums.items()})
    kept = kept_of(smixae, values)

    assert (values["gain"][1], values["gain"][2]) == (0, 0) and values["gain"].min() < 0
    assert np.isnan(kept[values["gain"] <= 0]).all()
    assert np.isnan(dimensions_needed(kept)).tolist() == (values["gain"] <= 0).tolist()
