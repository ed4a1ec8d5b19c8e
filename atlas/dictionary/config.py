"""The shape of a SMIXAE."""

from __future__ import annotations

from dataclasses import dataclass

from atlas.errors import ConfigError


@dataclass(frozen=True)
class SmixaeConfig:
    """The widths of a SMIXAE and how its codes are scaled."""

    d_in: int
    """Width of the residual stream."""
    n_experts: int
    """Experts in the dictionary."""
    d_expert: int
    """Encoder units of one expert."""
    d_code: int = 3
    """Numbers in one expert's code; `d_bottleneck` in a checkpoint."""
    rescale_by_decoder_norm: bool = True
    """Multiply each code by the Frobenius norm of its expert's decoder before the gate."""

    def __post_init__(self) -> None:
        for name in ("d_in", "n_experts", "d_expert", "d_code"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; a SMIXAE takes at least 1.")

    @property
    def d_hidden(self) -> int:
        """Encoder units of all experts; `d_sae` in a checkpoint."""
        return self.n_experts * self.d_expert
