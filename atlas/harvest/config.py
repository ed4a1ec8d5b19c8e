"""What a harvest keeps, and what it is of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from atlas.activations.stream import StreamConfig
from atlas.errors import ConfigError


@dataclass(frozen=True)
class HarvestConfig:
    """What is kept of a corpus."""

    sample: int = 1000
    """Firings kept per expert, uniformly, with code and place."""
    fired_tokens: int = 4000
    """Firings per expert, chosen uniformly, whose tokens are counted."""
    top: int = 200
    """Strongest firings kept per expert, from windows of distinct content."""
    token_sample: int = 20_000
    """Tokens kept, uniformly, with every firing on them."""
    mentions: int = 100
    """Mentions kept of a label of a labelled task, with every firing on them."""
    seed: int = 0
    """Of the hash that chooses samples."""
    tokens: int | None = None
    """About how many tokens of each corpus are read, in whole chunks; None reads all."""
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens < 1:
            raise ConfigError(f"tokens is {self.tokens}; a harvest reads at least 1.")
        for name in ("sample", "fired_tokens", "top"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; a harvest keeps at least 1 firing per expert.")
        for name in ("token_sample", "mentions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; a harvest keeps at least 1 token.")


class Shape(NamedTuple):
    """The sizes of what is harvested."""

    n_experts: int
    d_in: int
    d_code: int
    threshold: float
    window_tokens: int
    """Tokens of a window, special tokens included."""
    window_width: int
    """Tokens of text in it."""
    n_vocabulary: int
    n_words: int
    """Labels of labelled tasks, whose mentions are kept."""
    unit: float
    """About the length of a contribution, a power of two: what rows are summed in units of."""
