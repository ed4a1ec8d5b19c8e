"""Dictionaries that are known to rebuild their rows, folded by every rule that checkpoints were published with."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from atlas.dictionary import Smixae, SmixaeConfig, Weights

RULES = ("right", "rule 1", "rule 2", "no fold")
"""Where codes are rescaled by the decoder norm."""
RULES_UNSCALED = ("right", "threshold rule", "no fold")
"""Where they are not."""


class Planted(NamedTuple):
    """Experts that read their own subspace and write what they have read, where that is long enough."""

    basis: Tensor
    """Of each expert's subspace: (expert, d_code, d_in), orthonormal rows."""
    offset: Tensor
    """What is common to all rows, on the scale of training."""
    threshold: float
    rescale: bool
    written: float = 1.0
    """Share of what is read that is written."""

    @property
    def weights(self) -> Weights:
        """The tensors on the scale of training.

        A pair of units of opposite sign passes a number on whole: LeakyReLU(u) - LeakyReLU(-u) = (1 + slope) u.
        """
        n_experts, d_code, _ = self.basis.shape
        eye = torch.eye(d_code)
        both = torch.cat([self.basis, -self.basis], dim=1).flatten(0, 1)
        # The decoder's Frobenius norm is what is written times √d_code; it is taken out of the bottleneck.
        gain = (1 / (self.written * math.sqrt(d_code)) if self.rescale else 1.0) / (1 + 1e-4)
        return Weights(
            W_enc=both.T.contiguous(),
            b_enc=-both @ self.offset,
            W_bottleneck=(torch.cat([eye, -eye]) * gain).repeat(n_experts, 1, 1),
            W_latent_dec=torch.cat([eye, -eye], dim=1).repeat(n_experts, 1, 1) / 2,
            W_dec=self.written * both,
            b_dec=self.offset,
        )

    def folded(self, rule: str, s: float) -> Smixae:
        """Return the dictionary as a rule of the history folds it."""
        n_experts, d_code, d_in = self.basis.shape
        return folded(SmixaeConfig(d_in, n_experts, 2 * d_code, d_code, self.rescale), self.weights, self.threshold, rule, s)


def folded(config: SmixaeConfig, w: Weights, threshold: float, rule: str, s: float) -> Smixae:
    """Return a dictionary that was trained on rows times `s` as a rule folds it, written out as the history has it."""
    root = math.sqrt(s)
    moved = w._replace(W_enc=w.W_enc * s, b_dec=w.b_dec / s)
    match rule, config.rescale_by_decoder_norm:
        case "right", True:
            return Smixae(config, moved._replace(W_dec=w.W_dec / root), threshold / root)
        case ("right", False) | ("rule 1", True):
            return Smixae(config, moved._replace(W_dec=w.W_dec / s), threshold)
        case ("threshold rule", False) | ("rule 2", True):
            return Smixae(config, moved._replace(W_dec=w.W_dec / s), threshold / s)
        case "no fold", _:
            return Smixae(config, w, threshold)
    raise ValueError(rule)
