"""Training: what is kept, what is lost, what is folded, and that it learns planted subspaces."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from atlas.dictionary import Smixae, Weights
from atlas.dictionary.training import (
    Step,
    TrainingConfig,
    batch_top_k,
    calibrated_threshold,
    folded,
    initial_weights,
    losses,
    train,
)
from atlas.errors import ConfigError

CONFIG = TrainingConfig(n_experts=8, d_expert=8, k=2, steps=45, batch=128, learning_rate=1e-2, warmup_steps=5)
WIDTH = 16


def planted(n: int) -> torch.Tensor:
    """Rows that are sums of two of four 3-D subspaces, far from the origin and from unit scale."""
    generator = torch.Generator().manual_seed(0)
    subspaces = torch.randn(4, 3, WIDTH, generator=generator)
    chosen = torch.rand(n, 4, generator=generator).topk(2).indices
    codes = torch.randn(n, 2, 3, generator=generator)
    return 20 * torch.einsum("rkc,rkcd->rd", codes, subspaces[chosen]) + 10


ROWS = planted(1024)
"""The first 768 to train on."""


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    """What training reported."""
    return []


@pytest.fixture(scope="module")
def trained(steps: list[Step]) -> Smixae:
    """A dictionary of the planted rows."""
    return train(ROWS[:768], ROWS[768:], CONFIG, steps.append)


def unexplained(smixae: Smixae, x: torch.Tensor) -> float:
    return float((x - smixae.decode(smixae.encode(x))).square().sum() / (x - x.mean(dim=0)).square().sum())


def naive_top_k(norm: np.ndarray, k: int) -> np.ndarray:
    """Keep pairs one by one, longest first."""
    order = sorted(((value, pair) for pair, value in np.ndenumerate(norm)), reverse=True)
    kept = np.zeros(norm.shape, dtype=bool)
    for value, pair in order[: k * len(norm)]:
        kept[pair] = value > 0
    return kept


def naive_codes(x: torch.Tensor, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Every expert's rescaled code of every row, before any gate, and the decoders."""
    W_enc, b_enc, W_bottleneck, W_latent_dec, W_dec, _ = (w.double().numpy() for w in weights)
    n, e, d = W_bottleneck.shape
    codes, maps = np.zeros((len(x), n, d)), np.zeros((n, d, x.shape[1]))
    for i in range(n):
        own = slice(i * e, (i + 1) * e)
        maps[i] = W_latent_dec[i] @ W_dec[own]
        u = x.double().numpy() @ W_enc[:, own] + b_enc[own]
        codes[:, i] = np.where(u > 0, u, 1e-4 * u) @ W_bottleneck[i] * math.sqrt((maps[i] ** 2).sum())
    return codes, maps


def naive_losses(x: torch.Tensor, weights: Weights, dead: list[int], config: TrainingConfig) -> tuple[float, float]:
    """The two losses, row by row and expert by expert."""
    codes, maps = naive_codes(x, weights)
    norm = np.linalg.norm(codes, axis=2)
    kept = naive_top_k(norm, config.k)
    loss = auxiliary = 0.0
    for t, row in enumerate(x.double().numpy()):
        rebuilt = weights.b_dec.double().numpy() + sum(codes[t, i] @ maps[i] for i in range(len(maps)) if kept[t, i])
        loss += ((row - rebuilt) ** 2).sum() / len(x)
        offered = sorted(dead, key=lambda i: -norm[t, i])[: config.k_aux]
        if dead:
            auxiliary += ((row - rebuilt - sum(codes[t, i] @ maps[i] for i in offered)) ** 2).sum() / len(x)
    return loss, auxiliary


@pytest.mark.parametrize("k", [1, 3, 7])
def test_batch_top_k_keeps_what_sorting_keeps(k: int) -> None:
    norm = torch.rand(20, 7, generator=torch.Generator().manual_seed(k))

    assert batch_top_k(norm, k).numpy().tolist() == naive_top_k(norm.numpy(), k).tolist()


def test_batch_top_k_lets_one_row_have_more_than_another() -> None:
    norm = torch.tensor([[3.0, 2.0, 1.5], [1.0, 0.5, 0.1]])

    assert batch_top_k(norm, 1).tolist() == [[True, True, False], [False, False, False]]


def test_batch_top_k_keeps_positive_norms_only() -> None:
    norm = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 1.0]])

    assert batch_top_k(norm, 2).tolist() == [[False, True, False], [False, False, True]]


@pytest.mark.parametrize(
    ("dead", "k_aux"),
    [
        pytest.param([], 2, id="none dead"),
        pytest.param([1, 4, 7, 10], 2, id="more dead than offered"),
        pytest.param([3], 5, id="fewer dead than offered"),
    ],
)
def test_losses_are_their_definition(dead: list[int], k_aux: int) -> None:
    smixae = tiny.dictionary()
    x = torch.randn(15, tiny.D_MODEL, generator=torch.Generator().manual_seed(3))
    config = replace(CONFIG, n_experts=12, k=3, k_aux=k_aux)
    mask = torch.tensor([i in dead for i in range(12)])

    loss, auxiliary, kept = losses(x, smixae.weights, mask, config)

    expected = naive_losses(x, smixae.weights, dead, config)
    assert (float(loss), float(auxiliary)) == pytest.approx(expected, rel=1e-5)
    norm = np.linalg.norm(naive_codes(x, smixae.weights)[0], axis=2)
    assert kept.numpy().tolist() == naive_top_k(norm, 3).tolist()


def test_auxiliary_loss_moves_dead_experts_only() -> None:
    weights = Weights(*(w.clone().requires_grad_() for w in tiny.dictionary().weights))
    x = torch.randn(15, tiny.D_MODEL, generator=torch.Generator().manual_seed(3))
    dead = torch.arange(12) == 5

    _, auxiliary, _ = losses(x, weights, dead, replace(CONFIG, n_experts=12, k=3))
    auxiliary.backward()

    assert weights.W_bottleneck.grad is not None and weights.b_dec.grad is None
    assert weights.W_bottleneck.grad.flatten(1).any(dim=1).nonzero().flatten().tolist() == [5]


@pytest.mark.parametrize("scale", [0.05, 0.4, 6.0])
@pytest.mark.parametrize("d_code", [1, 3])
def test_folded_dictionary_does_to_raw_rows_what_the_other_does_to_scaled_ones(d_code: int, scale: float) -> None:
    before = tiny.dictionary(d_code=d_code)
    scaled = torch.randn(50, tiny.D_MODEL, generator=torch.Generator().manual_seed(3))
    expected = before.firings(scaled)

    after = Smixae(before.config, *folded(before.weights, before.threshold, scale))
    found = after.firings(scaled / scale)

    assert 0 < len(expected.token) < 50 * 12
    assert torch.equal(found.token, expected.token) and torch.equal(found.expert, expected.expert)
    reconstruction = after.reconstruction(found, 50) * scale
    torch.testing.assert_close(reconstruction, before.reconstruction(expected, 50), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 4, 11])
def test_calibrated_threshold_fires_k_experts_a_row(k: int) -> None:
    smixae = tiny.dictionary()
    x = torch.randn(60, tiny.D_MODEL, generator=torch.Generator().manual_seed(3))

    threshold = calibrated_threshold(x, smixae.weights, k)

    assert len(Smixae(smixae.config, smixae.weights, threshold).firings(x).token) == k * 60


def test_dictionary_that_keeps_every_expert_fires_them_all() -> None:
    smixae = tiny.dictionary()
    x = torch.randn(60, tiny.D_MODEL, generator=torch.Generator().manual_seed(3))

    threshold = calibrated_threshold(x, smixae.weights, k=12)

    assert len(Smixae(smixae.config, smixae.weights, threshold).firings(x).token) == 12 * 60


def test_training_starts_around_the_mean_with_tied_weights() -> None:
    mean = torch.arange(float(WIDTH))

    weights = initial_weights(mean, CONFIG)

    torch.testing.assert_close(weights.W_dec.norm(dim=1), torch.full((64,), 0.1))
    assert torch.equal(weights.W_enc, weights.W_dec.T)
    assert torch.equal(weights.W_latent_dec, weights.W_bottleneck.transpose(1, 2))
    assert torch.equal(weights.b_dec, mean) and not weights.b_enc.any()


def test_training_learns_planted_subspaces(trained: Smixae, steps: list[Step]) -> None:
    assert [step.step for step in steps] == [10, 20, 30, 40, 45]
    assert steps[-1].fvu < 0.4 < steps[0].fvu
    assert unexplained(trained, ROWS[:768]) < 0.4
    assert unexplained(trained, ROWS[768:]) < 0.4


def test_trained_dictionary_fires_k_experts_a_row_of_its_calibration(trained: Smixae) -> None:
    # The threshold is taken before folding, so that rounding may move single firings.
    assert len(trained.firings(ROWS[768:]).token) / 256 == pytest.approx(CONFIG.k, abs=0.02)


def test_training_does_not_depend_on_the_unit_of_the_rows() -> None:
    config = replace(CONFIG, steps=4)
    steps: list[Step] = []

    one, other = (train(ROWS[:768] * unit, ROWS[768:] * unit, config, steps.append) for unit in (1, 64))

    # A power of two changes no bits.
    assert steps[0] == steps[1]
    assert torch.equal(one.weights.W_enc, other.weights.W_enc * 64)
    assert torch.equal(one.weights.b_dec * 64, other.weights.b_dec)


def test_same_seed_trains_the_same_bits() -> None:
    config = replace(CONFIG, steps=4, dead_after=0)

    one, two, other = (train(ROWS[:768], ROWS[768:], replace(config, seed=seed)) for seed in (0, 0, 1))

    assert all(torch.equal(a, b) for a, b in zip(one.weights, two.weights, strict=True))
    assert one.threshold == two.threshold
    assert not torch.equal(one.weights.W_dec, other.weights.W_dec)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"n_experts": 8, "k": 9}, "k is 9, but the dictionary has 8 experts", id="k above the experts"),
        pytest.param({"steps": 0}, "steps is 0; training takes at least 1", id="no steps"),
        pytest.param({"k": 0}, "k is 0; training takes at least 1", id="nothing kept"),
        pytest.param({"batch": 0}, "batch is 0; training takes at least 1", id="empty batches"),
        pytest.param({"d_code": 0}, "d_code is 0; training takes at least 1", id="empty codes"),
    ],
)
def test_config_refuses_what_makes_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**settings)


def test_fewer_rows_than_a_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match="There are 127 rows to train on, fewer than one batch of 128"):
        train(ROWS[:127], ROWS[768:], CONFIG)
