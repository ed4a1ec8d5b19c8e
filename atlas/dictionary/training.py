"""Training a SMIXAE on residual-stream rows: BatchTopK over norms, an auxiliary loss for dead experts, a threshold, a schedule.

Everything here is on the scale of training: rows times `scale`, so that their mean norm is √d_in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from atlas.dictionary.config import SmixaeConfig
from atlas.dictionary.normalisation import Normalisation
from atlas.dictionary.smixae import Smixae, Weights, bottlenecks, codes, decoder, units
from atlas.errors import ConfigError, TrainingDiverged

Auxiliary = Literal["auxk", "residual", "shortfall"]
Start = Literal["tied", "reference"]

DIVERGED = 100.0
"""Times the loss of a reconstruction of zeros at which a training is given up."""

CALIBRATION_BLOCK = 4096
"""Rows of which all norms are held at once."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a SMIXAE is trained. The defaults are ours, by experiment (docs/benchmarks/training.md); `reference` has the others."""

    n_experts: int = 256
    """Experts in the dictionary."""
    d_expert: int = 8
    """Encoder units of one expert."""
    d_code: int = 3
    """Numbers in one expert's code."""
    k: int = 12
    """Experts kept per row, on average over a batch."""
    rescale_by_decoder_norm: bool = True
    """Multiply each code by the norm of its expert's decoder before the gate."""
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
    clip_norm: float = 1.0
    """Longest gradient, over all weights together."""
    start: Start = "tied"
    """Initial weights: `tied` has W_latent_dec = W_bottleneck transposed and b_dec = mean row, `reference` neither."""
    auxiliary: Auxiliary = "auxk"
    """What revives dead experts: see `auxiliary_loss`."""
    aux_coefficient: float = 1 / 32
    """Weight of the auxiliary loss."""
    k_aux: int = 12
    """`auxk` only: dead experts that a row's residual is offered to."""
    dead_after: int = 20
    """Steps without being kept after which an expert counts as dead."""
    threshold_rate: float = 0.1
    """Share of the threshold's moving average that each batch's smallest kept norm replaces."""
    decoder_init_norm: float = 0.1
    """Norm of each row of W_dec at the start."""
    seed: int = 0
    """Of the initial weights and the order of rows."""

    def __post_init__(self) -> None:
        for name in ("n_experts", "d_expert", "d_code", "k", "steps", "batch", "k_aux"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; training takes at least 1.")
        if self.k > self.n_experts:
            raise ConfigError(f"k is {self.k}, but the dictionary has {self.n_experts} experts; choose a smaller k.")
        for name in ("learning_rate", "clip_norm", "decoder_init_norm"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"{name} is {getattr(self, name)}; training takes a finite number above 0.")
        for name in ("decay_share", "threshold_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; give a share from 0 to 1.")
        for name in ("warmup_steps", "dead_after", "aux_coefficient"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it cannot be below 0.")
        for name, kind in (("start", Start), ("auxiliary", Auxiliary)):
            if getattr(self, name) not in get_args(kind):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; choose {', '.join(get_args(kind))}.")

    @classmethod
    def reference(cls, **changes: Any) -> TrainingConfig:
        """Return the recipe of the published dictionaries, apart from what is changed (Francel 2026, arXiv 2605.09224)."""
        published: dict[str, Any] = {
            "n_experts": 2048,
            "d_expert": 16,
            "k": 64,
            "steps": 61_035,
            "batch": 8192,
            "learning_rate": 5e-4,
            "warmup_steps": 500,
            "decay_share": 0.2,
            "start": "reference",
            "auxiliary": "shortfall",
            "aux_coefficient": 9e-6,
            "dead_after": 1000,
            "seed": 42,
        }
        return cls(**{**published, **changes})

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0: linear warm-up, constant, linear decay to zero."""
        decay = max(1, round(self.steps * self.decay_share))
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_steps), (self.steps - step) / decay)


class Counters(NamedTuple):
    """What a training keeps besides weights."""

    threshold: Float64[Tensor, ""]
    """Moving average of the smallest kept norm of each batch; 0 at the start."""
    idle: Int64[Tensor, "expert"]
    """Steps since the expert was last kept."""

    @classmethod
    def zero(cls, n_experts: int, device: torch.device | str = "cpu") -> Counters:
        """Return the counters that training starts with."""
        return cls(torch.zeros((), dtype=torch.float64, device=device), torch.zeros(n_experts, dtype=torch.int64, device=device))


class Forward(NamedTuple):
    """One batch on its way through the dictionary, before its gradient."""

    loss: Float[Tensor, ""]
    """What is minimised: the two below, added."""
    reconstruction: Float[Tensor, ""]
    """Squared error, summed over d_in, mean over rows."""
    auxiliary: Float[Tensor, ""]
    """The auxiliary loss with its weight."""
    positive_units: Float[Tensor, ""]
    """Encoder units above 0, mean over rows."""
    norm: Float[Tensor, "token expert"]
    """Of every code before the gate."""
    kept: Bool[Tensor, "token expert"]
    counters: Counters
    """After this batch."""


def forward(x: Float[Tensor, "token d_in"], weights: Weights, counters: Counters, config: TrainingConfig) -> Forward:
    """Return the losses of one batch of scaled rows, and the counters after it.

    Counters are brought up to date first, as in the reference: the auxiliary loss knows an expert that this batch woke.
    """
    maps = decoder(weights)
    scale = maps.flatten(1).norm(dim=1)
    hidden = units(x, weights)
    code = bottlenecks(hidden, weights, scale if config.rescale_by_decoder_norm else None)
    norm = code.norm(dim=2)
    kept = batch_top_k(norm.detach(), config.k)
    residual = x - weights.b_dec - (code * kept[:, :, None]).flatten(1) @ maps.flatten(0, 1)
    reconstruction = residual.square().sum(dim=1).mean()
    after = _counted(norm.detach(), kept, counters, config.threshold_rate)
    dead = after.idle > config.dead_after
    if bool(dead.any()):
        extra = config.aux_coefficient * auxiliary_loss(
            residual.detach(), code, norm, maps, weights.b_dec, scale.detach(), dead, after.threshold, config
        )
    else:
        extra = torch.zeros((), device=x.device)
    positive = (hidden.detach() > 0).sum(dim=1).float().mean()
    return Forward(reconstruction + extra, reconstruction, extra, positive, norm, kept, after)


def batch_top_k(norm: Float[Tensor, "token expert"], k: int) -> Bool[Tensor, "token expert"]:
    """Return the mask of the k · tokens largest norms of the batch, positive ones only; ties fall as `torch.topk` has them."""
    kept = torch.zeros(norm.numel(), dtype=torch.bool, device=norm.device)
    kept[norm.flatten().topk(k * len(norm)).indices] = True
    return kept.view_as(norm) & (norm > 0)


@torch.no_grad()
def _counted(
    norm: Float[Tensor, "token expert"], kept: Bool[Tensor, "token expert"], counters: Counters, rate: float
) -> Counters:
    """Return the counters after a batch; the threshold stays where nothing is kept."""
    smallest = torch.where(kept, norm, torch.inf).min().double()
    moved = (1 - rate) * counters.threshold + rate * smallest
    idle = torch.where(kept.any(dim=0), torch.zeros_like(counters.idle), counters.idle + 1)
    return Counters(torch.where(smallest.isinf(), counters.threshold, moved), idle)


def auxiliary_loss(
    residual: Float[Tensor, "token d_in"],
    code: Float[Tensor, "token expert d_code"],
    norm: Float[Tensor, "token expert"],
    maps: Float[Tensor, "expert d_code d_in"],
    b_dec: Float[Tensor, "d_in"],
    scale: Float[Tensor, "expert"],
    dead: Bool[Tensor, "expert"],
    threshold: Float64[Tensor, ""],
    config: TrainingConfig,
) -> Float[Tensor, ""]:
    """Return the loss that revives dead experts, before its weight; `residual` and `scale` carry no gradient.

    - `shortfall` (the reference's): how far the norms of dead experts stay below the threshold, times their decoder norms.
    - `residual` (the reference's earlier one): the squared error of the residual rebuilt by each row's k/2 strongest dead
      experts, the decoder bias included.
    - `auxk` (Gao et al. 2024, arXiv 2406.04093, section A.2): the same by `k_aux` experts, without the bias.
    """
    if config.auxiliary == "shortfall":
        below = torch.relu(threshold.float() - norm[:, dead])
        return (below * scale[dead]).sum(dim=1).mean()
    n_dead = int(dead.sum())
    wanted = config.k_aux if config.auxiliary == "auxk" else max(1, config.k // 2)
    strongest = norm.detach().masked_fill(~dead, -torch.inf).topk(min(wanted, n_dead), dim=1, sorted=False).indices
    offered = torch.zeros_like(norm).scatter_(1, strongest, 1.0)
    rebuilt = (code * offered[:, :, None]).flatten(1) @ maps.flatten(0, 1)
    if config.auxiliary == "auxk":
        return (residual - rebuilt).square().sum(dim=1).mean()
    return min(n_dead / wanted, 1.0) * (residual - rebuilt - b_dec).square().sum(dim=1).mean()


def initial_weights(mean: Float[Tensor, "d_in"], config: TrainingConfig) -> Weights:
    """Return weights to start from, on the CPU: encoder tied to the decoder's transpose, bottlenecks Kaiming-uniform.

    `mean` is the mean scaled row, where a `tied` start puts the decoder bias. docs/benchmarks/training.md has what each costs.
    """
    d_in = len(mean)
    generator = torch.Generator().manual_seed(config.seed)
    n, e, d = config.n_experts, config.d_expert, config.d_code

    def uniform(bound: float, *shape: int) -> Tensor:
        return (torch.rand(*shape, generator=generator) * 2 - 1) * bound

    W_dec = uniform(1.0, n * e, d_in)
    W_dec *= config.decoder_init_norm / W_dec.norm(dim=1, keepdim=True)
    # torch takes the product of the last two axes for the fan-in of a three-dimensional tensor.
    bound = math.sqrt(6 / (e * d))
    W_bottleneck = uniform(bound, n, e, d)
    tied = config.start == "tied"
    return Weights(
        W_enc=W_dec.T.contiguous(),
        b_enc=torch.zeros(n * e),
        W_bottleneck=W_bottleneck,
        W_latent_dec=W_bottleneck.transpose(1, 2).clone() if tied else uniform(bound, n, d, e),
        W_dec=W_dec,
        b_dec=mean.clone() if tied else torch.zeros(d_in),
    )


Metrics = dict[str, float]
"""What one step measured, by name."""


class Training:
    """A dictionary under training: weights, counters, optimiser, and how many steps they have taken."""

    def __init__(self, config: TrainingConfig, weights: Weights, scale: float, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.scale = scale
        """What rows are multiplied by: √d_in over their mean norm."""
        # Copies, since steps change them in place; of one layout, since bits depend on it and a file keeps none but this.
        copies = (w.detach().clone(memory_format=torch.contiguous_format) for w in weights)
        self.weights = Weights(*(w.to(device).requires_grad_() for w in copies))
        self.counters = Counters.zero(config.n_experts, device)
        self.steps = 0
        """Taken so far."""
        self._optimiser = torch.optim.Adam(self.weights, lr=config.learning_rate)

    @classmethod
    def begin(cls, rows: Float[Tensor, "row d_in"], config: TrainingConfig) -> Training:
        """Return a training at its start, with the scale of these rows."""
        scale = math.sqrt(rows.shape[1]) / float(rows.norm(dim=1).mean())
        return cls(config, initial_weights(rows.mean(dim=0).cpu() * scale, config), scale, rows.device)

    def step(self, rows: Float[Tensor, "row d_in"]) -> Step:
        """Take one optimiser step on raw rows."""
        rate = self.config.rate(self.steps)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        x = rows * self.scale
        found = forward(x, self.weights, self.counters, self.config)
        self._optimiser.zero_grad()
        found.loss.backward()  # type: ignore[no-untyped-call]
        gradient = torch.nn.utils.clip_grad_norm_(self.weights, self.config.clip_norm)
        self._optimiser.step()
        self.counters = found.counters
        self.steps += 1
        return Step(self.steps, x, found, gradient, rate)

    def require_sound(self, step: Step) -> None:
        """Raise TrainingDiverged where, after a step, the loss, gradient or a weight is no number, or the loss far too large."""
        loss, energy = float(step.found.loss.detach()), float(step.x.square().sum(dim=1).mean())
        numbers = [step.found.loss.detach(), step.gradient, *(w.detach() for w in self.weights)]
        # A loss that is no number compares as false with everything.
        if not (loss <= DIVERGED * energy and all(bool(torch.isfinite(tensor).all()) for tensor in numbers)):
            raise TrainingDiverged(
                f"The training diverged: at step {step.number} the loss is {loss:.3g}, where a reconstruction of zeros has "
                f"{energy:.3g}. Lower the learning rate (now {self.config.learning_rate:g}) or lengthen the warm-up (now "
                f"{self.config.warmup_steps} steps)."
            )

    @torch.no_grad()
    def metrics(self, step: Step) -> Metrics:
        """Return everything that is logged of a step. Losses are on the scale of training, where a row has mean square 1."""
        x, found = step.x, step.found
        strength = found.norm[found.kept]
        return {
            "loss": float(found.loss),
            "reconstruction_loss": float(found.reconstruction),
            "auxiliary_loss": float(found.auxiliary),
            "fvu": float(found.reconstruction / (x - x.mean(dim=0)).square().sum(dim=1).mean()),
            "dead": float((found.counters.idle > self.config.dead_after).sum()),
            "threshold": float(found.counters.threshold),
            "experts_above_threshold": float((found.norm > found.counters.threshold).sum(dim=1).double().mean()),
            "experts_above_1e-3": float((strength > 1e-3).sum()) / len(x),
            "experts_above_1e-1": float((strength > 1e-1).sum()) / len(x),
            "mean_norm": float(strength.mean()) if len(strength) else 0.0,
            "positive_units": float(found.positive_units),
            "gradient_norm": float(step.gradient),
            "learning_rate": step.learning_rate,
            "rows": float(step.number * len(x)),
        }

    def state(self) -> dict[str, Tensor]:
        """Return weights, counters and the optimiser's moments by name, from which `restored` goes on to the same bits."""
        held: dict[str, Tensor] = {name: w.detach() for name, w in self.weights._asdict().items()}
        held |= {"threshold": self.counters.threshold, "n_passes_since_fired": self.counters.idle}
        for name, weight in self.weights._asdict().items():
            for key, value in self._optimiser.state[weight].items():
                held[f"adam.{key}.{name}"] = value
        return held

    @classmethod
    def restored(
        cls, config: TrainingConfig, state: dict[str, Tensor], scale: float, steps: int, device: torch.device | str
    ) -> Training:
        """Return the training that `state` was taken from."""
        training = cls(config, Weights(*(state[name] for name in Weights._fields)), scale, device)
        training.counters = Counters(state["threshold"].to(device), state["n_passes_since_fired"].to(device))
        training.steps = steps
        moments = {
            index: {key: state[f"adam.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            for index, name in enumerate(Weights._fields)
            if f"adam.step.{name}" in state
        }
        described = training._optimiser.state_dict()
        training._optimiser.load_state_dict({**described, "state": moments})
        return training

    def smixae(self, threshold: float | None = None) -> Smixae:
        """Return the dictionary as it stands, for raw rows, with the moving average for its threshold unless another is given."""
        weights = Weights(*(w.detach() for w in self.weights))
        config = self.config
        return Smixae(
            SmixaeConfig(len(weights.b_dec), config.n_experts, config.d_expert, config.d_code, config.rescale_by_decoder_norm),
            weights,
            float(self.counters.threshold) if threshold is None else threshold,
            Normalisation("expected_average_only_in", self.scale),
        )

    def calibrated(self, rows: Float[Tensor, "calibration_row d_in"]) -> Smixae:
        """Return the dictionary with the threshold that lets k experts fire on a row of `rows` on average.

        They should be rows that the weights were not fitted to; the threshold is the only number that they give.
        """
        return self.smixae(calibrated_threshold(rows * self.scale, self.weights, self.config))


class Step(NamedTuple):
    """One optimiser step that was taken."""

    number: int
    """From 1."""
    x: Float[Tensor, "token d_in"]
    """Its scaled rows."""
    found: Forward
    gradient: Float[Tensor, ""]
    """Length of the gradient before it was clipped."""
    learning_rate: float


@torch.no_grad()
def calibrated_threshold(x: Float[Tensor, "token d_in"], weights: Weights, config: TrainingConfig) -> float:
    """Return the threshold that k experts a row pass on average over the scaled rows `x`.

    It lies midway between the last norm that passes and the first that does not: folding, which rounds, moves neither across.
    """
    scale = decoder(weights).flatten(1).norm(dim=1) if config.rescale_by_decoder_norm else None
    wanted = config.k * len(x)
    # Of each block only the largest norms can matter, and one more, which the threshold may fall on.
    largest = torch.zeros(0, device=x.device)
    for part in torch.split(x, CALIBRATION_BLOCK):
        norms = torch.cat([largest, codes(part, weights, scale).norm(dim=2).flatten()])
        largest = norms.topk(min(wanted + 1, norms.numel())).values
    return float(largest[wanted - 1 : wanted + 1].double().mean()) if len(largest) > wanted else 0.0
