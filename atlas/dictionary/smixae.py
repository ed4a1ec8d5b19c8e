"""A trained SMIXAE: encode, gate, decode."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int32
from torch import Tensor
from torch.nn.functional import leaky_relu, leaky_relu_

from atlas.dictionary.config import SmixaeConfig
from atlas.dictionary.normalisation import RAW, Normalisation

LEAK = 1e-4
"""Slope of the encoder's LeakyReLU below zero."""

LANES = 8
"""Most experts whose bottlenecks are one small product."""

CACHED_UNITS = 1024
"""Encoder units that a CPU computes at once, so that what is made of them is still in its cache."""


class Firings(NamedTuple):
    """Which experts fired on which rows of a batch, sorted by (token, expert)."""

    token: Int32[Tensor, "firing"]
    """Row in the batch."""
    expert: Int32[Tensor, "firing"]
    """From 0 to n_experts - 1."""
    code: Float[Tensor, "firing d_code"]
    """Bottleneck vector as the gate saw it, in units of the rescaled bottleneck."""


class Weights(NamedTuple):
    """The tensors of a SMIXAE; expert i owns columns i·d_expert … (i+1)·d_expert - 1 of `W_enc`, and these rows of `W_dec`."""

    W_enc: Float[Tensor, "d_in d_hidden"]
    b_enc: Float[Tensor, "d_hidden"]
    W_bottleneck: Float[Tensor, "expert d_expert d_code"]
    W_latent_dec: Float[Tensor, "expert d_code d_expert"]
    W_dec: Float[Tensor, "d_hidden d_in"]
    b_dec: Float[Tensor, "d_in"]


def decoder(weights: Weights) -> Float[Tensor, "expert d_code d_in"]:
    """Return each expert's linear map from its code to the residual stream, W_latent_dec · W_dec."""
    n_experts, _, d_expert = weights.W_latent_dec.shape
    return weights.W_latent_dec @ weights.W_dec.view(n_experts, d_expert, -1)


def units(x: Float[Tensor, "token d_in"], weights: Weights) -> Float[Tensor, "token d_hidden"]:
    """Return the encoder units of every expert, after their nonlinearity."""
    return leaky_relu(torch.addmm(weights.b_enc, x, weights.W_enc), LEAK)


def bottlenecks(
    hidden: Float[Tensor, "token d_hidden"], weights: Weights, scale: Float[Tensor, "expert"] | None
) -> Float[Tensor, "token expert d_code"]:
    """Return every expert's code before the gate, times `scale` (the decoder norms, where codes are rescaled)."""
    n_experts, d_expert, _ = weights.W_bottleneck.shape
    # Batched over experts: (expert, token, d_expert) · (expert, d_expert, d_code).
    code = torch.bmm(hidden.view(-1, n_experts, d_expert).transpose(0, 1), weights.W_bottleneck).transpose(0, 1)
    return code if scale is None else code * scale[:, None]


def codes(
    x: Float[Tensor, "token d_in"], weights: Weights, scale: Float[Tensor, "expert"] | None
) -> Float[Tensor, "token expert d_code"]:
    """Return every expert's code before the gate of rows as the encoder reads them: `bottlenecks` of their `units`."""
    return bottlenecks(units(x, weights), weights, scale)


def fold(weights: Weights, threshold: float, factor: float, rescaled: bool) -> tuple[Weights, float]:
    """Return weights and threshold that do to raw rows what the given ones do to rows times `factor`.

    With codes rescaled by the decoder norm, W_dec enters the reconstruction twice, so it takes 1/√factor: codes and threshold
    shrink by √factor, contributions by the factor. Without, W_dec takes the whole of it, and codes and threshold stay.
    """
    root = math.sqrt(factor) if rescaled else 1.0
    moved = weights._replace(W_enc=weights.W_enc * factor, W_dec=weights.W_dec / (factor / root), b_dec=weights.b_dec / factor)
    return moved, threshold / root


class Smixae:
    """A SMIXAE at inference: codes gated by one scalar threshold on their norm, raw rows in and raw rows out.

    Rows of any floating type are read as float32; codes and rebuilt rows are float32. Whether a row fires an expert depends
    on that row alone, never on its batch. What is constant at inference (decoders, their norms) is computed once.
    """

    def __init__(self, config: SmixaeConfig, weights: Weights, threshold: float, normalisation: Normalisation = RAW) -> None:
        self.config = config
        self.weights = weights
        """As they were trained: of rows normalised as `normalisation` says."""
        self.threshold = threshold
        self.normalisation = normalisation
        maps = decoder(weights)
        # The codes of an unfolded dictionary are those that its own weights give, so their scale is of the stored maps.
        scale = (
            maps.flatten(1).norm(dim=1) if config.rescale_by_decoder_norm else torch.ones(config.n_experts, device=maps.device)
        )
        self._bottleneck = _lanes(weights.W_bottleneck * scale[:, None, None])
        self.decoder: Float[Tensor, "expert d_code d_in"] = maps / normalisation.factor
        """Each expert's linear map from code to residual stream; times `row_scale` where rows are normalised one by one.

        It is W_latent_dec · W_dec, over the factor of an unfolded dictionary: its codes are of scaled rows, its rows raw.
        """
        self.bias: Float[Tensor, "d_in"] = weights.b_dec / normalisation.factor
        """What is added to the contributions, in the units of `decoder`."""
        self.decoder_norm: Float[Tensor, "expert"] = self.decoder.flatten(1).norm(dim=1)
        """Frobenius norm of each decoder."""
        self.decoder_gram: Float[Tensor, "expert d_code d_code"] = self.decoder @ self.decoder.transpose(1, 2)
        """Inner products of each decoder's rows: z · gram · z is a contribution's squared length."""

    @property
    def d_in(self) -> int:
        """Width of the residual stream."""
        return self.config.d_in

    @property
    def n_experts(self) -> int:
        """Experts in the dictionary."""
        return self.config.n_experts

    @property
    def d_code(self) -> int:
        """Numbers in one code."""
        return self.config.d_code

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.weights.W_enc.device

    @property
    def encoder(self) -> Float[Tensor, "expert d_expert d_in"]:
        """The direction that each unit reads rows along, its column of W_enc, times the length of its row of W_bottleneck.

        It is computed anew each time; rows are meant as the encoder reads them, normalised.
        """
        n_experts, d_expert, _ = self.weights.W_bottleneck.shape
        return self.weights.W_enc.T.view(n_experts, d_expert, -1) * self.weights.W_bottleneck.norm(dim=2)[:, :, None]

    def to(self, device: torch.device | str) -> Smixae:
        """Return the same dictionary with its weights on `device`."""
        return Smixae(self.config, Weights(*(w.to(device) for w in self.weights)), self.threshold, self.normalisation)

    def folded(self) -> Smixae:
        """Return a dictionary that reads raw rows as they are and fires and rebuilds the same; itself where it does so already.

        Rows normalised one by one have no factor that could be folded; they stay so.
        """
        if self.normalisation.kind != "expected_average_only_in":
            return self
        rescaled = self.config.rescale_by_decoder_norm
        return Smixae(self.config, *fold(self.weights, self.threshold, self.normalisation.factor, rescaled))

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token expert d_code"]:
        """Return gated codes: zero vectors where the norm does not pass the threshold (strictly)."""
        code = self._codes(x)
        gated = code * (code_norms(code, dim=2) > self.threshold)[:, :, None]
        return gated.permute(1, 0, 3, 2).reshape(len(x), self.n_experts, self.d_code)

    @torch.no_grad()
    def norms(self, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token expert"]:
        """Return the norm of every expert's code before the gate: what is compared with the threshold."""
        return self._norms(self._codes(x))

    @torch.no_grad()
    def firings(self, x: Float[Tensor, "token d_in"]) -> Firings:
        """Return the (token, expert) pairs whose norm passes the threshold, with their codes, sorted by token, then expert."""
        code = self._codes(x)
        token, expert = (self._norms(code) > self.threshold).nonzero(as_tuple=True)
        lanes = code.shape[3]
        return Firings(token.int(), expert.int(), code[expert // lanes, token, :, expert % lanes])

    @torch.no_grad()
    def decode(
        self, codes: Float[Tensor, "token expert d_code"], x: Float[Tensor, "token d_in"] | None = None
    ) -> Float[Tensor, "token d_in"]:
        """Return the reconstruction, raw rows: the sum of every expert's contribution, and the decoder bias.

        `x` are the raw rows that the codes are of; they are needed where rows are normalised one by one.

        Raises:
            ValueError: they are needed and not given.
        """
        rebuilt = codes.flatten(1) @ self.decoder.flatten(0, 1) + self.bias
        if not self.normalisation.by_row:
            return rebuilt
        if x is None:
            raise ValueError(f"Normalised by '{self.normalisation.kind}', codes are decoded beside the rows they are of: give x.")
        x = x.float()
        return rebuilt * self.normalisation.scale(x)[:, None] + self.normalisation.shift(x)[:, None]

    @torch.no_grad()
    def reconstruct(self, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token d_in"]:
        """Return the reconstruction of raw rows."""
        return self.decode(self.encode(x), x)

    @torch.no_grad()
    def reconstruction(self, firings: Firings, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token d_in"]:
        """Return the reconstruction of the rows `x` from their firings."""
        dense = torch.zeros(len(x), self.n_experts, self.d_code, device=self.device)
        dense[firings.token, firings.expert] = firings.code
        return self.decode(dense, x)

    @torch.no_grad()
    def row_scale(self, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token"]:
        """Return what one unit of `code · decoder` is in the residual stream: 1, but where rows are normalised one by one."""
        return self.normalisation.scale(x.float())

    def _codes(self, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "group token d_code lane"]:
        """Return every expert's code for raw rows before the gate; expert i is lane i mod lanes of its group."""
        x = x.float()
        read = self.normalisation.read(x)
        n_groups, width, _ = self._bottleneck.shape
        lanes = self.n_experts // n_groups
        code = torch.empty(n_groups, len(x), self.d_code * lanes, device=x.device)
        step = max(1, CACHED_UNITS // width) if x.device.type == "cpu" else n_groups
        for first in range(0, n_groups, step):
            columns = slice(first * width, (first + step) * width)
            hidden = leaky_relu_(torch.addmm(self.weights.b_enc[columns], read, self.weights.W_enc[:, columns]), LEAK)
            groups = hidden.view(len(x), -1, width).transpose(0, 1)
            torch.bmm(groups, self._bottleneck[first : first + step], out=code[first : first + step])
        empty = self.normalisation.empty(x)
        if empty is not None:
            code.masked_fill_(empty[:, None], 0.0)
        return code.view(n_groups, len(x), self.d_code, lanes)

    def _norms(self, code: Float[Tensor, "group token d_code lane"]) -> Float[Tensor, "token expert"]:
        return code_norms(code, dim=2).transpose(0, 1).reshape(code.shape[1], self.n_experts)


def code_norms(code: Float[Tensor, "*any"], dim: int) -> Float[Tensor, "*rest"]:
    """Return the L2 norm of codes that lie along `dim`, added up in one order: the same bits wherever it is taken."""
    squares = [part * part for part in code.unbind(dim)]
    return functools.reduce(torch.add, squares).sqrt()


def _lanes(bottleneck: Float[Tensor, "expert d_expert d_code"]) -> Float[Tensor, "group d_units d_codes"]:
    """Return the bottlenecks of neighbouring experts as one block-diagonal matrix per group, columns by code number, then expert.

    Products of 8 by 3 leave a processor idle; eight of them as one, most of it zeros, are faster.
    """
    n_experts, d_expert, d_code = bottleneck.shape
    lanes = math.gcd(n_experts, LANES)
    grouped = torch.zeros(n_experts // lanes, lanes, d_expert, d_code, lanes, device=bottleneck.device)
    for lane in range(lanes):
        grouped[:, lane, :, :, lane] = bottleneck[lane::lanes]
    return grouped.flatten(3).flatten(1, 2)
