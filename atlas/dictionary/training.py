"""Training a SMIXAE on residual-stream rows: BatchTopK over norms, an auxiliary loss for dead experts, a calibrated threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from atlas.dictionary.config import SmixaeConfig
from atlas.dictionary.smixae import Smixae, Weights, codes, decoder
from atlas.errors import ConfigError


@dataclass(frozen=True)
class TrainingConfig:
    """How a SMIXAE is trained. Rows are scaled to a mean norm of √d_in; every loss is on that scale."""

    n_experts: int = 256
    """Experts in the dictionary."""
    d_expert: int = 8
    """Encoder units of one expert."""
    d_code: int = 3
    """Numbers in one expert's code."""
    k: int = 12
    """Experts kept per row, on average over a batch."""
    steps: int = 400
    """Optimiser steps."""
    batch: int = 2048
    """Rows of one step."""
    learning_rate: float = 4e-3
    """Of Adam, after warm-up."""
    warmup_steps: int = 40
    """Steps of linear warm-up."""
    decay_share: float = 0.3
    """Share of the steps, at the end, over which the learning rate falls linearly to zero."""
    dead_after: int = 20
    """Steps without being kept after which an expert counts as dead."""
    k_aux: int = 12
    """Dead experts that a row's residual is offered to."""
    aux_coefficient: float = 1 / 32
    """Weight of the auxiliary loss."""
    decoder_init_norm: float = 0.1
    """Norm of each row of W_dec at the start."""
    seed: int = 0
    """Of the initial weights and the order of rows."""

    def __post_init__(self) -> None:
        if self.k > self.n_experts:
            raise ConfigError(f"k is {self.k}, but the dictionary has {self.n_experts} experts; choose a smaller k.")
        for name in ("n_experts", "d_expert", "d_code", "k", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; training takes at least 1.")


class Step(NamedTuple):
    """What one training step measured."""

    step: int
    fvu: float
    """Share of the batch's variance that is left unexplained."""
    auxiliary: float
    """The auxiliary loss, before its weight."""
    dead: int
    """Experts not kept for more than `dead_after` steps."""


def train(
    rows: Float[Tensor, "row d_in"],
    calibration: Float[Tensor, "calibration_row d_in"],
    config: TrainingConfig,
    report: Callable[[Step], None] = lambda _: None,
) -> Smixae:
    """Return a SMIXAE trained on `rows`, with the activation scale folded in and the threshold set to fire k experts a row.

    `calibration` holds rows that the weights were not fitted to; the threshold is the only number taken from them.

    Raises:
        ConfigError: there are fewer rows than one batch.
    """
    if len(rows) < config.batch:
        raise ConfigError(f"There are {len(rows)} rows to train on, fewer than one batch of {config.batch}.")
    d_in = rows.shape[1]
    scale = math.sqrt(d_in) / float(rows.norm(dim=1).mean())
    start = initial_weights(rows.mean(dim=0).cpu() * scale, config)
    weights = Weights(*(w.to(rows.device).requires_grad_() for w in start))
    optimiser = torch.optim.Adam(weights, lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, config))
    idle = torch.zeros(config.n_experts, dtype=torch.int64, device=rows.device)
    for step, batch in enumerate(_batches(len(rows), config)):
        x = rows[batch.to(rows.device)] * scale
        loss, auxiliary, kept = losses(x, weights, idle > config.dead_after, config)
        optimiser.zero_grad()
        (loss + config.aux_coefficient * auxiliary).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        idle = torch.where(kept.any(dim=0), 0, idle + 1)
        if step % 10 == 9 or step == config.steps - 1:
            variance = (x - x.mean(dim=0)).square().sum(dim=1).mean()
            dead = int((idle > config.dead_after).sum())
            report(Step(step + 1, float(loss.detach() / variance), float(auxiliary.detach()), dead))
    shape = SmixaeConfig(d_in, config.n_experts, config.d_expert, config.d_code)
    trained = Weights(*(w.detach() for w in weights))
    # The threshold is one scale for all rows, so it may be measured before folding and folded with the weights.
    return Smixae(shape, *folded(trained, calibrated_threshold(calibration * scale, trained, config.k), scale))


def initial_weights(mean: Float[Tensor, "d_in"], config: TrainingConfig) -> Weights:
    """Return weights to start from: encoder and bottleneck tied to the decoder's transpose, Kaiming-uniform, around `mean`.

    The reference draws W_latent_dec by itself and starts at a bias of zero; docs/benchmarks/training.md has what that costs.
    """
    d_in = len(mean)
    generator = torch.Generator().manual_seed(config.seed)
    n, e, d = config.n_experts, config.d_expert, config.d_code

    def uniform(bound: float, *shape: int) -> Tensor:
        return (torch.rand(*shape, generator=generator) * 2 - 1) * bound

    W_dec = uniform(1.0, n * e, d_in)
    W_dec *= config.decoder_init_norm / W_dec.norm(dim=1, keepdim=True)
    # torch takes the product of the last two axes for the fan-in of a three-dimensional tensor.
    W_bottleneck = uniform(math.sqrt(6 / (e * d)), n, e, d)
    return Weights(
        W_enc=W_dec.T.contiguous(),
        b_enc=torch.zeros(n * e),
        W_bottleneck=W_bottleneck,
        W_latent_dec=W_bottleneck.transpose(1, 2).clone(),
        W_dec=W_dec,
        b_dec=mean,
    )


def losses(
    x: Float[Tensor, "token d_in"], weights: Weights, dead: Bool[Tensor, "expert"], config: TrainingConfig
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Bool[Tensor, "token expert"]]:
    """Return (reconstruction loss, auxiliary loss, kept pairs) of one batch of scaled rows.

    The reconstruction loss is the squared error summed over d_in, mean over rows. The auxiliary loss is the same for the
    residual rebuilt by each row's `k_aux` strongest dead experts (Gao et al. 2024, section A.2), 0 where none is dead.
    """
    maps = decoder(weights)
    code = codes(x, weights, maps.flatten(1).norm(dim=1))
    norm = code.norm(dim=2)
    kept = batch_top_k(norm.detach(), config.k)
    flat = maps.flatten(0, 1)
    residual = x - weights.b_dec - (code * kept[:, :, None]).flatten(1) @ flat
    loss = residual.square().sum(dim=1).mean()
    n_dead = int(dead.sum())
    if n_dead == 0:
        return loss, torch.zeros((), device=x.device), kept
    strongest = norm.detach().masked_fill(~dead, -1.0).topk(min(config.k_aux, n_dead), dim=1).indices
    offered = torch.zeros_like(norm).scatter_(1, strongest, 1.0)
    rebuilt = (code * offered[:, :, None]).flatten(1) @ flat
    return loss, (residual.detach() - rebuilt).square().sum(dim=1).mean(), kept


def batch_top_k(norm: Float[Tensor, "token expert"], k: int) -> Bool[Tensor, "token expert"]:
    """Return the mask of the k · tokens largest norms of the batch, positive ones only."""
    kept = torch.zeros(norm.numel(), dtype=torch.bool, device=norm.device)
    kept[norm.flatten().topk(k * len(norm), sorted=False).indices] = True
    return kept.view_as(norm) & (norm > 0)


@torch.no_grad()
def calibrated_threshold(x: Float[Tensor, "token d_in"], weights: Weights, k: int) -> float:
    """Return the threshold that k experts a row pass on average over the rows `x`."""
    scale = decoder(weights).flatten(1).norm(dim=1)
    norms = torch.cat([codes(part, weights, scale).norm(dim=2).flatten() for part in torch.split(x, 4096)])
    below = norms.numel() - k * len(x)
    return float(norms.kthvalue(below).values) if below else 0.0


def folded(weights: Weights, threshold: float, scale: float) -> tuple[Weights, float]:
    """Return weights and threshold that do to raw rows what the given ones do to rows times `scale`.

    With codes rescaled by the decoder norm, W_dec enters the reconstruction twice, so it takes 1/√scale: codes and threshold
    shrink by √scale, contributions by scale.
    """
    root = math.sqrt(scale)
    moved = weights._replace(W_enc=weights.W_enc * scale, W_dec=weights.W_dec / root, b_dec=weights.b_dec / scale)
    return moved, threshold / root


def _rate(step: int, config: TrainingConfig) -> float:
    """Return the share of the learning rate at a step: linear warm-up, constant, linear decay to zero."""
    decay = max(1, round(config.steps * config.decay_share))
    return min(1.0, (step + 1) / max(1, config.warmup_steps), (config.steps - step) / decay)


def _batches(n_rows: int, config: TrainingConfig) -> Iterator[Int64[Tensor, "token"]]:
    """Yield the rows of each step: every row once in random order, then all again in another, never a short batch."""
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.randperm(n_rows, generator=generator)
    start = 0
    for _ in range(config.steps):
        if start + config.batch > n_rows:
            order, start = torch.randperm(n_rows, generator=generator), 0
        yield order[start : start + config.batch]
        start += config.batch
