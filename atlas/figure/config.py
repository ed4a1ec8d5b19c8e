"""What a figure is to look like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from atlas.errors import ConfigError

POINTS_PER = {"mm": 72 / 25.4, "cm": 72 / 2.54, "in": 72.0, "pt": 1.0}
"""Points, 72 to an inch, in each unit of length."""
LEAST, MOST = 20 * POINTS_PER["mm"], 1000 * POINTS_PER["mm"]
"""Of a side, in points."""
FONT = "DejaVu Sans"
"""Comes with Matplotlib, so that a figure has the same bytes on every machine."""
DRAWN_POINTS = 1_000

View = Literal["model", "gate"]


@dataclass(frozen=True)
class FigureConfig:
    """How one expert's cloud is drawn."""

    colour: str | None = None
    """The task or corpus whose firings are drawn, as in an address: 'months' by label, 'months:norm' by norm. [default: what the
    expert's page shows first]"""
    view: View = "model"
    """'model': what each firing adds to the residual stream; 'gate': its code, with the sphere of the threshold."""
    camera: str | None = None
    """As an address has it. [default: the page's first one]"""
    only: tuple[str, ...] = ()
    """Labels that alone are coloured."""
    without: tuple[str, ...] = ()
    """Labels that are not."""
    width: str = "85mm"
    """With its unit."""
    height: str | None = None
    """[default: the width]"""
    font_size: float = 7.0
    """In points."""
    font: str = FONT
    points: int = DRAWN_POINTS
    """Most points drawn, evenly over the labels."""
    join: bool = False
    """Join class means in label order even where the order is not supported."""
    names: bool = True
    """Name class means and axes."""
    transparent: bool = False
    """No ground below the cloud."""

    def __post_init__(self) -> None:
        if not 4 <= self.font_size <= 24:
            raise ConfigError(f"--font-size is {self.font_size:g}; it takes 4 to 24 points.")

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in points."""
        width = length("--width", self.width)
        return width, width if self.height is None else length("--height", self.height)


def length(option: str, text: str) -> float:
    """Return a length such as '85mm' in points.

    Raises:
        ConfigError: it has no unit, or no figure has such a side.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(mm|cm|in|pt)\s*", text)
    if not found:
        raise ConfigError(f"{option} is {text!r}; give a length with its unit, as 85mm, 8.5cm, 3.35in or 241pt.")
    points = float(found[1]) * POINTS_PER[found[2]]
    if not LEAST <= points <= MOST:
        raise ConfigError(f"{option} is {text!r}; it takes 20mm to 1000mm.")
    return points
