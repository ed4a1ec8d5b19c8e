"""Encoding, gating and decoding agree with the definition, written out number by number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import tiny
from atlas.dictionary import Smixae, SmixaeConfig, Weights
from atlas.errors import ConfigError

BLOCK = 256


def rows(n: int = 6, d_in: int = tiny.D_MODEL) -> torch.Tensor:
    return torch.randn(n, d_in, generator=torch.Generator().manual_seed(7))


def plain_decoder(smixae: Smixae, expert: int) -> np.ndarray:
    """D = W_latent_dec of the expert times its own rows of W_dec."""
    width = smixae.config.d_expert
    own = smixae.weights.W_dec.double().numpy()[expert * width : (expert + 1) * width]
    return smixae.weights.W_latent_dec.double().numpy()[expert] @ own


def plain_code(smixae: Smixae, row: torch.Tensor, expert: int) -> list[float]:
    """One expert's code for one row, before the gate."""
    W_enc, b_enc, W_bottleneck, *_ = (tensor.double().numpy() for tensor in smixae.weights)
    hidden = []
    for unit in range(smixae.config.d_expert):
        column = expert * smixae.config.d_expert + unit
        u = sum(float(row[j]) * W_enc[j, column] for j in range(smixae.d_in)) + b_enc[column]
        hidden.append(u if u > 0 else 1e-4 * u)
    code = [sum(h * W_bottleneck[expert, unit, c] for unit, h in enumerate(hidden)) for c in range(smixae.d_code)]
    scale = math.sqrt((plain_decoder(smixae, expert) ** 2).sum()) if smixae.config.rescale_by_decoder_norm else 1.0
    return [scale * number for number in code]


def plain_encoding(smixae: Smixae, x: torch.Tensor) -> np.ndarray:
    """Every expert's code for every row, zero where its length does not pass the threshold."""
    gated = np.zeros((len(x), smixae.n_experts, smixae.d_code))
    for token, row in enumerate(x):
        for expert in range(smixae.n_experts):
            code = plain_code(smixae, row, expert)
            if math.hypot(*code) > smixae.threshold:
                gated[token, expert] = code
    return gated


def plain_decoding(smixae: Smixae, encoding: np.ndarray) -> np.ndarray:
    x = np.tile(smixae.weights.b_dec.double().numpy(), (len(encoding), 1))
    for token, codes in enumerate(encoding):
        for expert, code in enumerate(codes):
            x[token] += code @ plain_decoder(smixae, expert)
    return x


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


@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
@pytest.mark.parametrize("d_code", [1, 2, 3, 5])
def test_encode_and_decode_are_the_definition(d_code: int, rescale: bool) -> None:
    smixae, x = tiny.dictionary(d_code=d_code, rescale=rescale), rows()
    expected = plain_encoding(smixae, x)

    encoding = smixae.encode(x)

    assert 0 < (expected != 0).any(axis=2).mean() < 1, "the sample must hold codes on both sides of the gate"
    np.testing.assert_allclose(encoding.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(smixae.decode(encoding).numpy(), plain_decoding(smixae, expected), atol=1e-5)


@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "as it is"])
def test_decoder_facts_are_those_of_each_experts_own_map(rescale: bool) -> None:
    smixae = tiny.dictionary(rescale=rescale)
    maps = np.stack([plain_decoder(smixae, expert) for expert in range(smixae.n_experts)])

    np.testing.assert_allclose(smixae.decoder.numpy(), maps, atol=1e-6)
    np.testing.assert_allclose(smixae.decoder_norm.numpy(), [math.sqrt((m**2).sum()) for m in maps], atol=1e-6)
    np.testing.assert_allclose(smixae.decoder_gram.numpy(), [m @ m.T for m in maps], atol=1e-5)


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


@pytest.mark.parametrize("d_in", [tiny.D_MODEL, 96])
def test_firings_of_a_row_do_not_depend_on_its_block(d_in: int) -> None:
    smixae, x = tiny.dictionary(d_in=d_in, n_experts=24), rows(BLOCK, d_in)
    alone = torch.zeros_like(x)
    alone[17] = x[17]
    together = smixae.encode(x)

    assert together[17].any()
    assert torch.equal(smixae.encode(alone)[17], together[17])
    assert torch.equal(smixae.encode(x.flip(0)).flip(0), together), "nor on its place in the block"


@pytest.mark.parametrize("d_code", [1, 3, 5])
def test_reconstruction_from_firings_is_the_decoded_encoding(d_code: int) -> None:
    smixae, x = tiny.dictionary(d_code=d_code), rows(20)

    reconstruction = smixae.reconstruction(smixae.firings(x), len(x))

    assert torch.equal(reconstruction, smixae.decode(smixae.encode(x)))


def test_rows_without_firings_are_rebuilt_as_the_bias() -> None:
    smixae = tiny.dictionary(threshold=1e6)

    firings = smixae.firings(rows(4))

    assert firings.code.shape == (0, 3)
    assert torch.equal(smixae.reconstruction(firings, 4), smixae.weights.b_dec.expand(4, -1))


@pytest.mark.parametrize("name", ["d_in", "n_experts", "d_expert", "d_code"])
def test_config_refuses_a_width_below_one(name: str) -> None:
    widths = {"d_in": 4, "n_experts": 2, "d_expert": 2, "d_code": 1, name: 0}

    with pytest.raises(ConfigError, match=f"{name} is 0; a SMIXAE takes at least 1"):
        SmixaeConfig(**widths)
