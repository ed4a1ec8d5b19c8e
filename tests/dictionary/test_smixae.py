"""Encoding, gating and decoding agree with the definition, written out in float64."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import tiny
from atlas.dictionary import Checkpoint, Smixae, SmixaeConfig, Weights
from atlas.dictionary.normalisation import KINDS, Normalisation
from atlas.dictionary.smixae import code_norms
from atlas.errors import ConfigError
from oracle import Oracle, assert_close, assert_same_dictionary

BLOCK = 256
BY_ROW = ("layer_norm", "constant_norm_rescale")


def rows(n: int = 6, d_in: int = tiny.D_MODEL) -> torch.Tensor:
    return torch.randn(n, d_in, generator=torch.Generator().manual_seed(7))


def normalised(kind: Any, threshold: float = 0.6, factor: float = 0.35, **shape: Any) -> Smixae:
    """A random dictionary of rows normalised in some way."""
    usual = tiny.dictionary(threshold=threshold, **shape)
    return Smixae(
        usual.config, usual.weights, threshold, Normalisation(kind, factor if kind == "expected_average_only_in" else 1.0)
    )


def oracle_of(smixae: Smixae) -> Oracle:
    tensors = {**smixae.weights._asdict(), "threshold": torch.tensor(smixae.threshold)}
    rule = smixae.normalisation
    return Oracle(tensors, smixae.config.rescale_by_decoder_norm, rule.kind, rule.factor)


def ruler(threshold: float) -> Smixae:
    """Two experts whose code is (x0, x1), exactly, and for the second one twice that."""
    one = torch.eye(2)
    config = SmixaeConfig(d_in=2, n_experts=2, d_expert=2, d_code=2, rescale_by_decoder_norm=False)
    weights = Weights(
        W_enc=torch.cat([one, 2 * one], dim=1),
        b_enc=torch.zeros(4),
        W_bottleneck=torch.stack([one, one]),
        W_latent_dec=torch.stack([one, one]),
        W_dec=torch.cat([one, one]),
        b_dec=torch.zeros(2),
    )
    return Smixae(config, weights, threshold)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
@pytest.mark.parametrize("d_code", [1, 2, 3, 4, 5])
def test_encode_and_decode_are_the_definition(d_code: int, rescale: bool, kind: str) -> None:
    smixae = normalised(kind, d_code=d_code, rescale=rescale)
    x = rows() * (1 if kind != "expected_average_only_in" else 1 / 0.35)

    assert_same_dictionary(smixae, oracle_of(smixae), x)

    assert 0 < smixae.encode(x).any(dim=2).float().mean() < 1, "the sample must hold codes on both sides of the gate"


@pytest.mark.parametrize("cached_units", [1, 40, 1024])
@pytest.mark.parametrize("n_experts", [1, 7, 12, 16, 300], ids="{} experts".format)
def test_experts_computed_in_groups_and_pieces_are_the_definition(
    n_experts: int, cached_units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups are of 1, 1, 4, 8 and 4 experts; a piece is one group, some of them or all."""
    monkeypatch.setattr("atlas.dictionary.smixae.CACHED_UNITS", cached_units)
    smixae = tiny.dictionary(n_experts=n_experts)

    assert_same_dictionary(smixae, oracle_of(smixae), rows(12))


@pytest.mark.parametrize("n_experts", [1, 5, 12, 16])
@pytest.mark.parametrize("d_code", [1, 2, 3, 5])
def test_norm_of_a_stored_code_is_the_one_that_passed_the_gate(d_code: int, n_experts: int) -> None:
    """To the bit: else a firing could be told to be weaker than the threshold."""
    smixae, x = tiny.dictionary(n_experts=n_experts, d_code=d_code), rows(60)
    norms, firings = smixae.norms(x), smixae.firings(x)

    stored = code_norms(firings.code, dim=1)

    assert 0 < len(stored) == int((norms > smixae.threshold).sum()) < norms.numel()
    assert torch.equal(stored, norms[firings.token, firings.expert])
    assert torch.equal(code_norms(smixae.encode(x), dim=2) > 0, norms > smixae.threshold)
    np.testing.assert_allclose(stored, np.linalg.norm(firings.code.double().numpy(), axis=1), rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 24), st.integers(1, 7), st.integers(1, 9), st.integers(1, 6)),
    rescale=st.booleans(),
    kind=st.sampled_from(KINDS),
    stored=st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
    factor=st.floats(0.01, 20),
    seed=st.integers(0, 2**32),
)
def test_any_stored_dictionary_is_read_as_the_definition(
    shape: tuple[int, int, int, int], rescale: bool, kind: str, stored: torch.dtype, factor: float, seed: int
) -> None:
    d_in, n, e, d = shape
    smixae = tiny.dictionary(d_in, n, e, d, rescale, seed=seed)
    tensors = {name: tensor.to(stored) for name, tensor in smixae.weights._asdict().items()}
    x = torch.randn(9, d_in, generator=torch.Generator().manual_seed(seed)) / factor
    oracle = Oracle({**tensors, "threshold": torch.zeros(())}, rescale, kind, factor)
    # About half the experts fire on a row.
    tensors["threshold"] = torch.tensor(np.median(oracle.norms(x.double().numpy())), dtype=torch.float64).to(stored)
    oracle.tensors = tensors
    with TemporaryDirectory() as name:
        folder = tiny.checkpoint(Path(name), {}, d_in=d_in, n_experts=n, d_expert=e, d_code=d, rescale=rescale)
        config = json.loads((folder / "cfg.json").read_text())
        (folder / "cfg.json").write_text(json.dumps({**config, "normalize_activations": kind}))
        (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": factor}))
        save_file(tensors, folder / "sae_weights.safetensors")
        loaded = Checkpoint.load(folder).smixae

    assert_same_dictionary(loaded, oracle, x)


@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
def test_decoder_facts_are_those_of_each_experts_own_map(rescale: bool) -> None:
    smixae = tiny.dictionary(rescale=rescale)
    maps = oracle_of(smixae).maps()

    assert_close(smixae.decoder, maps)
    assert_close(smixae.decoder_norm, np.sqrt((maps**2).sum(axis=(1, 2))))
    assert_close(smixae.decoder_gram, np.stack([m @ m.T for m in maps]))


@pytest.mark.parametrize("kind", KINDS)
def test_contributions_are_codes_times_decoder_times_the_scale_of_the_row(kind: str) -> None:
    smixae, x = normalised(kind), rows(30) * torch.linspace(0.5, 3, 30)[:, None]
    encoding = smixae.encode(x)
    without = encoding.clone()
    without[:, 4] = 0.0

    contribution = smixae.decode(encoding, x) - smixae.decode(without, x)

    assert 0 < int(encoding[:, 4].any(dim=1).sum())
    scale = smixae.row_scale(x)
    assert len(set(scale.tolist())) == (30 if kind in BY_ROW else 1)
    torch.testing.assert_close(contribution, scale[:, None] * (encoding[:, 4] @ smixae.decoder[4]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
@pytest.mark.parametrize("factor", [0.05, 0.4, 6.0])
def test_folded_dictionary_fires_and_rebuilds_the_same_from_raw_rows(factor: float, rescale: bool) -> None:
    smixae, x = normalised("expected_average_only_in", factor=factor, rescale=rescale), rows(50) / factor

    folded = smixae.folded()

    assert folded.normalisation == Normalisation()
    expected, found = smixae.firings(x), folded.firings(x)
    assert 0 < len(expected.token) < 50 * smixae.n_experts
    assert torch.equal(found.token, expected.token) and torch.equal(found.expert, expected.expert)
    assert_close(folded.reconstruct(x), smixae.reconstruct(x).double().numpy())
    # The threshold, as the codes, belongs to the decoder norm's scale, and only that.
    assert folded.threshold == pytest.approx(smixae.threshold / factor**0.5 if rescale else smixae.threshold)


@pytest.mark.parametrize("kind", ["none", *BY_ROW])
def test_folding_leaves_other_dictionaries_as_they_are(kind: str) -> None:
    smixae = normalised(kind)

    assert smixae.folded() is smixae


@pytest.mark.parametrize("kind", BY_ROW)
def test_codes_of_rows_normalised_one_by_one_are_decoded_beside_their_rows(kind: str) -> None:
    smixae = normalised(kind)

    with pytest.raises(ValueError, match=f"Normalised by '{kind}', codes are decoded beside the rows they are of: give x"):
        smixae.decode(smixae.encode(rows()))


@pytest.mark.parametrize("kind", KINDS)
def test_zero_rows_are_rebuilt_as_numbers(kind: str) -> None:
    smixae, x = normalised(kind, threshold=0.0), torch.zeros(3, tiny.D_MODEL)

    # SAELens divides zero by its norm, and no NaN passes the gate. In layer_norm, it encodes the zeros.
    assert (len(smixae.firings(x).token) == 0) == (kind == "constant_norm_rescale")
    assert torch.isfinite(smixae.encode(x)).all() and torch.isfinite(smixae.norms(x)).all()
    rebuilt = smixae.reconstruct(x)
    assert torch.isfinite(rebuilt).all()
    assert (rebuilt == 0).all() == (kind in BY_ROW)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_other_floating_types_are_read_as_float32(kind: str) -> None:
    smixae, x = normalised(kind), rows().bfloat16()

    assert torch.equal(smixae.encode(x), smixae.encode(x.float()))
    assert torch.equal(smixae.reconstruct(x), smixae.reconstruct(x.float()))
    assert torch.equal(smixae.row_scale(x.double()), smixae.row_scale(x.float()))


def test_moved_dictionary_normalises_as_before() -> None:
    smixae = normalised("layer_norm")

    assert smixae.to("cpu").normalisation == smixae.normalisation


def test_norm_at_the_threshold_does_not_fire() -> None:
    x = torch.tensor([[3.0, 4.0], [3.0, 4.000001]])

    firings = ruler(threshold=5.0).firings(x)

    # Row 0 has the norms 5 and 10, row 1 a little more.
    assert list(zip(firings.token.tolist(), firings.expert.tolist(), strict=True)) == [(0, 1), (1, 0), (1, 1)]
    assert ruler(threshold=5.0).encode(x)[0, 0].tolist() == [0.0, 0.0]


def test_silent_code_does_not_fire_at_a_threshold_of_zero() -> None:
    assert ruler(threshold=0.0).firings(torch.zeros(3, 2)).token.tolist() == []


@pytest.mark.parametrize("d_code", [1, 2, 3, 5])
def test_firings_are_the_non_zero_codes_in_order_of_token_then_expert(d_code: int) -> None:
    smixae, x = tiny.dictionary(d_code=d_code), rows(40)
    encoding = smixae.encode(x)
    expected = [(t, e) for t in range(40) for e in range(smixae.n_experts) if encoding[t, e].any()]

    firings = smixae.firings(x)

    assert list(zip(firings.token.tolist(), firings.expert.tolist(), strict=True)) == expected
    assert torch.equal(firings.code, torch.stack([encoding[pair] for pair in expected]))
    assert [column.dtype for column in firings] == [torch.int32, torch.int32, torch.float32]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d_in", [tiny.D_MODEL, 96])
def test_firings_of_a_row_do_not_depend_on_its_block(d_in: int, kind: str) -> None:
    smixae, x = normalised(kind, d_in=d_in, n_experts=24), rows(BLOCK, d_in)
    alone = torch.zeros_like(x)
    alone[17] = x[17]
    together = smixae.encode(x)

    assert together[17].any()
    assert torch.equal(smixae.encode(alone)[17], together[17])
    assert torch.equal(smixae.encode(x.flip(0)).flip(0), together), "nor on its place in the block"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d_code", [1, 3, 5])
def test_reconstruction_from_firings_is_the_decoded_encoding(d_code: int, kind: str) -> None:
    smixae, x = normalised(kind, d_code=d_code), rows(20)

    reconstruction = smixae.reconstruction(smixae.firings(x), x)

    assert torch.equal(reconstruction, smixae.decode(smixae.encode(x), x))
    assert torch.equal(reconstruction, smixae.reconstruct(x))


def test_rows_without_firings_are_rebuilt_as_the_bias() -> None:
    smixae = tiny.dictionary(threshold=1e6)

    x = rows(4)
    firings = smixae.firings(x)

    assert firings.code.shape == (0, 3)
    assert torch.equal(smixae.reconstruction(firings, x), smixae.weights.b_dec.expand(4, -1))


@pytest.mark.parametrize("name", ["d_in", "n_experts", "d_expert", "d_code"])
def test_config_refuses_a_width_below_one(name: str) -> None:
    widths = {"d_in": 4, "n_experts": 2, "d_expert": 2, "d_code": 1, name: 0}

    with pytest.raises(ConfigError, match=f"{name} is 0; a SMIXAE takes at least 1"):
        SmixaeConfig(**widths)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_rows_are_scaled_by_positive_numbers_only(factor: float) -> None:
    with pytest.raises(ConfigError, match=f"Rows cannot be scaled by {factor}; a positive number is needed"):
        Normalisation("expected_average_only_in", factor)


def test_factor_is_of_one_kind_only() -> None:
    with pytest.raises(ConfigError, match=r"Normalised by 'layer_norm', rows take no factor; 0\.5 was given"):
        Normalisation("layer_norm", 0.5)


@pytest.mark.parametrize("d_code", [1, 3])
def test_encoder_is_what_each_unit_reads_by_how_much_of_it_is_passed_on(d_code: int) -> None:
    smixae = tiny.dictionary(d_code=d_code)
    weights, d_expert = smixae.weights, smixae.config.d_expert

    found = smixae.encoder

    assert found.shape == (smixae.n_experts, d_expert, smixae.d_in)
    for expert in range(smixae.n_experts):
        for unit in range(d_expert):
            expected = weights.W_enc[:, expert * d_expert + unit] * weights.W_bottleneck[expert, unit].square().sum().sqrt()
            torch.testing.assert_close(found[expert, unit], expected)
