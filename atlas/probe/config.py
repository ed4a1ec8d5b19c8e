"""How experts are probed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from atlas.activations.stream import StreamConfig


@dataclass(frozen=True)
class ProbeConfig:
    """How experts are probed."""

    n_permutations: int = 2000
    """Label orders tried where there are too many to try all."""
    seed: int = 0
    """Of permutations, bootstrap and random projections."""
    protocol: Literal["atlas", "reference"] = "atlas"
    """reference: by the reference's protocol too, beside our own."""
    stream: StreamConfig = field(default_factory=StreamConfig)
