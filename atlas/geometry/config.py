"""How shapes are told and the map is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

from atlas.geometry.overview import OverviewConfig
from atlas.geometry.shape import ShapeConfig


@dataclass(frozen=True)
class GeometryConfig:
    """How shapes are told and the map is drawn."""

    shape: ShapeConfig = field(default_factory=ShapeConfig)
    """Its seed chooses the points of large clouds, too."""
    overview: OverviewConfig = field(default_factory=OverviewConfig)

    @classmethod
    def seeded(cls, seed: int) -> GeometryConfig:
        """Return how it is done by default, with one seed for all."""
        return cls(ShapeConfig(seed=seed), OverviewConfig(seed=seed))
