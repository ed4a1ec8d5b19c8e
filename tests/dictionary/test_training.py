"""Training: what is kept, what is lost, what is counted, what is logged, and that it learns planted subspaces."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import tiny
from atlas.dictionary import Smixae, Weights
from atlas.dictionary.training import (
    Counters,
    Metrics,
    Training,
    TrainingConfig,
    batch_top_k,
    calibrated_threshold,
    forward,
    initial_weights,
)
from atlas.errors import ConfigError, TrainingDiverged

CONFIG = TrainingConfig(n_experts=8, d_expert=8, k=2, k_aux=3, steps=45, batch=128, learning_rate=1e-2, warmup_steps=5)
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


class Run(NamedTuple):
    """A whole training on the planted rows."""

    training: Training
    smixae: Smixae
    metrics: list[Metrics]
    """Of each step."""


def trained(config: TrainingConfig = CONFIG, unit: float = 1.0) -> Run:
    training = Training.begin(ROWS[:768] * unit, config)
    metrics = []
    for _ in range(config.steps):
        first = training.steps * config.batch % 768
        metrics.append(training.metrics(training.step(ROWS[first : first + config.batch] * unit)))
    return Run(training, training.calibrated(ROWS[768:] * unit).folded(), metrics)


@pytest.fixture(scope="module")
def run() -> Run:
    return trained()


def unexplained(smixae: Smixae, x: torch.Tensor) -> float:
    return float((x - smixae.decode(smixae.encode(x))).square().sum() / (x - x.mean(dim=0)).square().sum())


class Reference:
    """One training step as the reference takes it, written once more from its formulas, in float64, expert by expert."""

    def __init__(self, weights: Weights, theta: float, counters: list[int], config: TrainingConfig):
        self.w = {name: w.detach().double().requires_grad_() for name, w in weights._asdict().items()}
        self.theta, self.counters, self.config = theta, list(counters), config

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        c, w, x = self.config, self.w, x.double()
        rows, n, e = len(x), c.n_experts, c.d_expert
        maps, codes = [], []
        for i in range(n):
            own = slice(i * e, (i + 1) * e)
            maps.append(w["W_latent_dec"][i] @ w["W_dec"][own])
            u = x @ w["W_enc"][:, own] + w["b_enc"][own]
            z = torch.where(u > 0, u, 1e-4 * u) @ w["W_bottleneck"][i]
            codes.append(z * maps[i].square().sum().sqrt() if c.rescale_by_decoder_norm else z)
        norms = torch.stack([code.square().sum(dim=1).sqrt() for code in codes], dim=1)
        by_length = sorted(((norms[t, i].item(), t, i) for t in range(rows) for i in range(n)), reverse=True)
        kept = {(t, i) for length, t, i in by_length[: c.k * rows] if length > 0}
        rebuilt = [w["b_dec"] + sum((codes[i][t] @ maps[i] for i in range(n) if (t, i) in kept), 0.0) for t in range(rows)]
        error = sum((rebuilt[t] - x[t]).square().sum() for t in range(rows)) / rows
        if kept:
            self.theta = (1 - c.threshold_rate) * self.theta + c.threshold_rate * min(norms[pair].item() for pair in kept)
        awake = {i for _, i in kept}
        self.counters = [0 if i in awake else count + 1 for i, count in enumerate(self.counters)]
        dead = [i for i in range(n) if self.counters[i] > c.dead_after]
        return error + c.aux_coefficient * self.auxiliary(x, codes, maps, norms, rebuilt, dead) if dead else error

    def auxiliary(self, x: Any, codes: Any, maps: Any, norms: Any, rebuilt: Any, dead: list[int]) -> Any:
        c, rows = self.config, len(x)
        if c.auxiliary == "shortfall":
            below = [max(self.theta - norms[t, i].item(), 0.0) and (self.theta - norms[t, i]) for t in range(rows) for i in dead]
            scales = [maps[i].detach().square().sum().sqrt() for _ in range(rows) for i in dead]
            return sum(b * s for b, s in zip(below, scales, strict=True)) / rows
        offered = max(1, c.k // 2) if c.auxiliary == "residual" else c.k_aux
        total: Any = 0.0
        for t in range(rows):
            best = sorted(dead, key=lambda i: -norms[t, i].item())[:offered]
            again = sum(codes[i][t] @ maps[i] for i in best)
            if c.auxiliary == "residual":
                again = again + self.w["b_dec"]
            total = total + (again - (x[t] - rebuilt[t]).detach()).square().sum()
        share = min(len(dead) / offered, 1.0) if c.auxiliary == "residual" else 1.0
        return share * total / rows


@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "not rescaled"])
@pytest.mark.parametrize("auxiliary", ["shortfall", "residual", "auxk"])
@pytest.mark.parametrize("idle", [[0] * 12, [0, 9] * 6, [9] * 11 + [0]], ids=["none dead", "half were dead", "all but one were"])
@pytest.mark.parametrize("d_code", [1, 3])
def test_step_is_the_references(rescale: bool, auxiliary: str, idle: list[int], d_code: int) -> None:
    start = tiny.dictionary(d_code=d_code, rescale=rescale).weights
    config = TrainingConfig(
        n_experts=12, d_expert=4, d_code=d_code, k=3, rescale_by_decoder_norm=rescale, auxiliary=auxiliary, k_aux=2,
        dead_after=5, aux_coefficient=0.3,
    )  # fmt: skip
    # Half of the experts lie so low that no row keeps them: those of them that are said to be idle stay so.
    start = start._replace(W_bottleneck=start.W_bottleneck * torch.where(torch.arange(12) < 6, 0.05, 1.0)[:, None, None])
    x = torch.randn(15, tiny.D_MODEL, generator=torch.Generator().manual_seed(3))
    weights = Weights(*(w.clone().requires_grad_() for w in start))
    counters = Counters(torch.tensor(0.7, dtype=torch.float64), torch.tensor(idle))
    reference = Reference(start, 0.7, idle, config)

    found = forward(x, weights, counters, config)
    found.loss.backward()
    expected = reference.loss(x)
    expected.backward()

    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (found.auxiliary.item() > 0) == any(idle)
    assert float(found.counters.threshold) == pytest.approx(reference.theta, rel=1e-6)
    assert found.counters.idle.tolist() == reference.counters
    for name, weight in weights._asdict().items():
        wanted = reference.w[name].grad
        assert wanted is not None and weight.grad is not None
        torch.testing.assert_close(weight.grad.double(), wanted, rtol=0, atol=1e-5 * float(wanted.abs().max() + 1e-12))


@pytest.mark.parametrize("k", [1, 3, 7])
def test_batch_top_k_keeps_what_sorting_keeps(k: int) -> None:
    norm = torch.rand(20, 7, generator=torch.Generator().manual_seed(k))

    kept = batch_top_k(norm, k)

    assert int(kept.sum()) == k * 20
    assert not (~kept).any() or norm[kept].min() > norm[~kept].max()


def test_batch_top_k_breaks_ties_as_topk_does() -> None:
    norm = torch.ones(6, 4)
    kept = torch.zeros(24, dtype=torch.bool)
    kept[norm.flatten().topk(12).indices] = True

    assert batch_top_k(norm, 2).flatten().tolist() == kept.tolist()


def test_batch_top_k_lets_one_row_have_more_than_another() -> None:
    norm = torch.tensor([[3.0, 2.0, 1.5], [1.0, 0.5, 0.1]])

    assert batch_top_k(norm, 1).tolist() == [[True, True, False], [False, False, False]]


def test_batch_top_k_keeps_positive_norms_only() -> None:
    norm = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 1.0]])

    assert batch_top_k(norm, 2).tolist() == [[False, True, False], [False, False, True]]


def test_threshold_stays_where_nothing_is_kept() -> None:
    weights = tiny.dictionary().weights
    silent = weights._replace(W_bottleneck=torch.zeros_like(weights.W_bottleneck))
    counters = Counters(torch.tensor(0.7, dtype=torch.float64), torch.zeros(12, dtype=torch.int64))

    found = forward(torch.ones(4, tiny.D_MODEL), silent, counters, replace(CONFIG, n_experts=12))

    assert float(found.counters.threshold) == 0.7 and found.counters.idle.tolist() == [1] * 12


@pytest.mark.parametrize("k", [1, 4, 11])
@pytest.mark.parametrize("block", [7, 4096], ids=["in blocks", "at once"])
def test_calibrated_threshold_fires_k_experts_a_row(k: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atlas.dictionary.training.CALIBRATION_BLOCK", block)
    smixae = tiny.dictionary()
    x = torch.randn(60, tiny.D_MODEL, generator=torch.Generator().manual_seed(3))

    threshold = calibrated_threshold(x, smixae.weights, replace(CONFIG, n_experts=12, k=k))

    assert len(Smixae(smixae.config, smixae.weights, threshold).firings(x).token) == k * 60


@pytest.mark.parametrize("factor", [0.05, 0.31, 7.3])
@pytest.mark.parametrize("seed", range(5))
def test_folding_moves_no_firing_across_the_calibrated_threshold(seed: int, factor: float) -> None:
    smixae = tiny.dictionary(n_experts=40, seed=seed)
    x = torch.randn(700, tiny.D_MODEL, generator=torch.Generator().manual_seed(seed)) / factor
    training = Training(replace(CONFIG, n_experts=40, d_expert=4, k=5), smixae.weights, factor)

    assert len(training.calibrated(x).firings(x).token) == 5 * 700
    assert len(training.calibrated(x).folded().firings(x).token) == 5 * 700


def test_dictionary_that_keeps_every_expert_fires_them_all() -> None:
    smixae = tiny.dictionary()
    x = torch.randn(60, tiny.D_MODEL, generator=torch.Generator().manual_seed(3))

    threshold = calibrated_threshold(x, smixae.weights, replace(CONFIG, n_experts=12, k=12))

    assert len(Smixae(smixae.config, smixae.weights, threshold).firings(x).token) == 12 * 60


def test_training_starts_around_the_mean_with_tied_weights() -> None:
    mean = torch.arange(float(WIDTH))

    weights = initial_weights(mean, CONFIG)

    torch.testing.assert_close(weights.W_dec.norm(dim=1), torch.full((64,), 0.1))
    assert torch.equal(weights.W_enc, weights.W_dec.T)
    assert torch.equal(weights.W_latent_dec, weights.W_bottleneck.transpose(1, 2))
    assert torch.equal(weights.b_dec, mean) and not weights.b_enc.any()


def test_reference_starts_at_zero_with_latent_decoders_of_their_own() -> None:
    config = TrainingConfig.reference(n_experts=40, k=8)

    weights = initial_weights(torch.arange(float(WIDTH)), config)

    bound = math.sqrt(6 / 48)
    assert not weights.b_dec.any() and not weights.b_enc.any()
    assert torch.equal(weights.W_enc, weights.W_dec.T)
    for drawn in (weights.W_bottleneck, weights.W_latent_dec):
        assert 0.99 * bound < float(drawn.abs().max()) <= bound
    assert abs(np.corrcoef(weights.W_bottleneck.transpose(1, 2).flatten(), weights.W_latent_dec.flatten())[0, 1]) < 0.1


def test_rate_warms_up_stays_and_falls_to_zero() -> None:
    config = TrainingConfig(steps=100, warmup_steps=10, decay_share=0.2, learning_rate=3.0)

    rates = [config.rate(step) for step in range(100)]

    assert rates[:10] == pytest.approx([0.3 * n for n in range(1, 11)])
    assert rates[9:81] == pytest.approx([3.0] * 72)
    assert rates[80:] == pytest.approx([3.0 * n / 20 for n in range(20, 0, -1)])
    assert config.rate(100) == 0


def test_gradients_are_clipped() -> None:
    one, other = (Training.begin(ROWS[:768], replace(CONFIG, clip_norm=clip)) for clip in (1e-4, 1e9))

    steps = [training.step(ROWS[:128]) for training in (one, other)]

    assert float(steps[0].gradient) == float(steps[1].gradient) > 0.5
    kept = math.sqrt(sum(float(w.grad.square().sum()) for w in one.weights if w.grad is not None))
    assert kept == pytest.approx(1e-4, rel=1e-3)


def test_training_learns_planted_subspaces(run: Run) -> None:
    assert run.metrics[-1]["fvu"] < 0.4 < run.metrics[9]["fvu"]
    assert unexplained(run.smixae, ROWS[:768]) < 0.4
    assert unexplained(run.smixae, ROWS[768:]) < 0.4


def test_trained_dictionary_fires_k_experts_a_row_of_its_calibration(run: Run) -> None:
    # The threshold is taken before folding, so that rounding may move single firings.
    assert len(run.smixae.firings(ROWS[768:]).token) / 256 == pytest.approx(CONFIG.k, abs=0.02)


def test_metrics_are_what_a_batch_shows(run: Run) -> None:
    training = Training.begin(ROWS[:768], CONFIG)
    step = training.step(ROWS[:128])
    x = ROWS[:128] * training.scale
    start = initial_weights(ROWS[:768].mean(dim=0) * training.scale, CONFIG)

    found = training.metrics(step)

    assert float(ROWS[:768].norm(dim=1).mean()) * training.scale == pytest.approx(math.sqrt(WIDTH))
    scaled = tiny_codes(x, start)
    strongest = sorted(scaled.norm(dim=2).flatten().tolist())[-CONFIG.k * 128 :]
    assert found["mean_norm"] == pytest.approx(sum(strongest) / len(strongest), rel=1e-5)
    assert found["threshold"] == pytest.approx(0.1 * strongest[0], rel=1e-5)
    assert found["experts_above_1e-3"] == sum(r > 1e-3 for r in strongest) / 128
    assert found["experts_above_1e-1"] == sum(r > 1e-1 for r in strongest) / 128
    assert found["experts_above_threshold"] == float((scaled.norm(dim=2) > 0.1 * strongest[0]).sum()) / 128
    assert found["learning_rate"] == CONFIG.rate(0) and found["rows"] == 128
    u = x @ start.W_enc + start.b_enc
    assert found["positive_units"] == pytest.approx(float((u > 0).sum()) / 128), "of the weights that the loss is of"
    assert found["loss"] == found["reconstruction_loss"] > 0 == found["auxiliary_loss"]
    assert found["fvu"] == pytest.approx(found["loss"] / float((x - x.mean(dim=0)).square().sum(dim=1).mean()), rel=1e-5)
    assert found["dead"] == 0 and run.metrics[-1]["rows"] == 45 * 128


def tiny_codes(x: torch.Tensor, weights: Weights) -> torch.Tensor:
    n, e, _ = weights.W_bottleneck.shape
    u = (x @ weights.W_enc + weights.b_enc).view(len(x), n, e)
    maps = torch.stack([weights.W_latent_dec[i] @ weights.W_dec[i * e : (i + 1) * e] for i in range(n)])
    z = torch.einsum("tne,ned->tnd", torch.where(u > 0, u, 1e-4 * u), weights.W_bottleneck)
    return z * maps.flatten(1).norm(dim=1)[:, None]


def test_training_does_not_depend_on_the_unit_of_the_rows() -> None:
    one, other = (trained(replace(CONFIG, steps=4), unit) for unit in (1, 64))

    # A power of two changes no bits, and a root of it (√64) none either.
    assert one.metrics == other.metrics
    assert torch.equal(one.smixae.weights.W_enc, other.smixae.weights.W_enc * 64)
    assert torch.equal(one.smixae.weights.b_dec * 64, other.smixae.weights.b_dec)


def test_same_seed_trains_the_same_bits() -> None:
    one, two, other = (trained(replace(CONFIG, steps=4, dead_after=0, seed=seed)).smixae for seed in (0, 0, 1))

    assert all(torch.equal(a, b) for a, b in zip(one.weights, two.weights, strict=True))
    assert one.threshold == two.threshold
    assert not torch.equal(one.weights.W_dec, other.weights.W_dec)


def test_restored_training_goes_on_to_the_same_bits(run: Run) -> None:
    half = Training.begin(ROWS[:768], CONFIG)
    for step in range(20):
        first = step * 128 % 768
        half.step(ROWS[first : first + 128])
    # As a file gives it back: every tensor in one piece.
    state = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in half.state().items()}

    again = Training.restored(CONFIG, state, half.scale, 20, "cpu")
    for step in range(20, 45):
        first = step * 128 % 768
        again.step(ROWS[first : first + 128])

    assert all(torch.equal(a, b) for a, b in zip(again.weights, run.training.weights, strict=True))
    assert torch.equal(again.counters.idle, run.training.counters.idle)
    assert torch.equal(again.counters.threshold, run.training.counters.threshold)


def test_weights_lie_in_memory_as_a_file_gives_them_back(run: Run) -> None:
    """Bits depend on strides, so a training must not begin with others than it goes on with."""
    assert all(w.is_contiguous() for w in run.training.weights)


def test_training_leaves_the_weights_alone_that_it_begins_with() -> None:
    weights = initial_weights(ROWS.mean(dim=0), CONFIG)
    before = [w.clone() for w in weights]

    Training(CONFIG, weights, 0.1).step(ROWS[:128])

    assert all(torch.equal(a, b) for a, b in zip(weights, before, strict=True))


@pytest.mark.parametrize("setting", ["start", "auxiliary"])
def test_config_refuses_names_it_does_not_know(setting: str) -> None:
    config = TrainingConfig()
    object.__setattr__(config, setting, "something")

    with pytest.raises(ConfigError, match=f"{setting} is 'something'; choose "):
        config.__post_init__()


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(torch.full((128, WIDTH), torch.nan), id="no number"),
        pytest.param(torch.full((128, WIDTH), 1e30), id="overflow"),
    ],
)
def test_training_that_is_no_number_any_more_is_given_up(rows: torch.Tensor) -> None:
    training = Training.begin(ROWS[:768], CONFIG)

    with pytest.raises(TrainingDiverged, match=r"diverged: at step 1 .* Lower the learning rate \(now 0\.01\)"):
        training.require_sound(training.step(rows))


def test_training_that_blows_up_is_given_up_before_it_overflows() -> None:
    training = Training.begin(ROWS[:768], replace(CONFIG, learning_rate=30.0, warmup_steps=0))
    training.require_sound(training.step(ROWS[:128]))

    step = training.step(ROWS[:128])

    assert torch.isfinite(step.found.loss)
    with pytest.raises(TrainingDiverged, match=r"at step 2 the loss is .* where a reconstruction of zeros has"):
        training.require_sound(step)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"n_experts": 8, "k": 9}, "k is 9, but the dictionary has 8 experts", id="k above the experts"),
        pytest.param({"steps": 0}, "steps is 0; training takes at least 1", id="no steps"),
        pytest.param({"k": 0}, "k is 0; training takes at least 1", id="nothing kept"),
        pytest.param({"batch": 0}, "batch is 0; training takes at least 1", id="empty batches"),
        pytest.param({"d_code": 0}, "d_code is 0; training takes at least 1", id="empty codes"),
        pytest.param({"learning_rate": math.nan}, "learning_rate is nan; training takes a finite number above 0", id="no rate"),
        pytest.param({"decay_share": 1.5}, "decay_share is 1.5; give a share from 0 to 1", id="decay"),
        pytest.param({"dead_after": -1}, "dead_after is -1; it cannot be below 0", id="dead"),
    ],
)
def test_config_refuses_what_makes_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**settings)
