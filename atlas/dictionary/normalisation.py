"""What is done to rows before a SMIXAE reads them, and undone in its reconstruction: `normalize_activations` of a checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from atlas.errors import ConfigError

Kind = Literal["none", "expected_average_only_in", "layer_norm", "constant_norm_rescale"]
KINDS: tuple[str, ...] = get_args(Kind)

EPSILON = 1e-5
"""Added to a row's standard deviation where it divides, not where it multiplies again; as SAELens has it."""


@dataclass(frozen=True)
class Normalisation:
    """How raw rows become what the encoder reads. The reconstruction is raw again: times `scale`, plus `shift`."""

    kind: Kind = "none"
    """
    - `none`: rows are read as they are.
    - `expected_average_only_in`: every row is multiplied by `factor`.
    - `layer_norm`: each row is centred and divided by its standard deviation.
    - `constant_norm_rescale`: each row is scaled to the norm √d_in.
    """
    factor: float = 1.0
    """What rows are multiplied by; 1 in every other kind than `expected_average_only_in`."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise ConfigError(f"Rows cannot be scaled by {self.factor}; a positive number is needed.")
        if self.kind != "expected_average_only_in" and self.factor != 1:
            raise ConfigError(f"Normalised by '{self.kind}', rows take no factor; {self.factor} was given.")

    @property
    def by_row(self) -> bool:
        """Whether each row is normalised by numbers of its own."""
        return self.kind in ("layer_norm", "constant_norm_rescale")

    def read(self, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token d_in"]:
        """Return what the encoder reads of raw rows.

        A row of zeros has no direction that could be scaled to a norm: `constant_norm_rescale` leaves it at zero.
        """
        match self.kind:
            case "none":
                return x
            case "expected_average_only_in":
                return x * self.factor
            case "layer_norm":
                return (x - self.shift(x)[:, None]) / (self.scale(x) + EPSILON)[:, None]
            case "constant_norm_rescale":
                norm = x.norm(dim=1, keepdim=True)
                return x * (math.sqrt(x.shape[1]) / norm.where(norm > 0, 1.0))

    def scale(self, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token"]:
        """Return what one unit of a row's reconstruction is in the residual stream, beside the factor: 1 unless `by_row`."""
        match self.kind:
            case "layer_norm":
                return x.std(dim=1)
            case "constant_norm_rescale":
                return x.norm(dim=1) / math.sqrt(x.shape[1])
            case _:
                return x.new_ones(len(x))

    def shift(self, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token"]:
        """Return what is added to every coordinate of a row's reconstruction: its mean in `layer_norm`, else 0."""
        return x.mean(dim=1) if self.kind == "layer_norm" else x.new_zeros(len(x))

    def empty(self, x: Float[Tensor, "token d_in"]) -> Tensor | None:
        """Return the mask of rows that cannot be normalised, which fire nothing; None where every row can be."""
        return x.norm(dim=1) == 0 if self.kind == "constant_norm_rescale" else None


RAW = Normalisation()
"""Rows are read as they are."""
