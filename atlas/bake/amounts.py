"""Amounts that experts are narrowed by: round edges, and the bin that each expert falls into."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from atlas.bake.arrays import typed

Array = npt.NDArray[Any]
Edges = tuple[float, ...]
Scale = Literal["linear", "log", "whole"]

UNKNOWN = 255
"""Bin of an expert whose amount is not known."""
MOST_BINS = 32
"""Bars that a narrow column has room for."""
TAIL = 0.02
"""Share of the least amounts above 0 that share the first bar, so that a few of them do not squeeze all others together."""
ROUND = (
    *(1.0, 1.06, 1.12, 1.18, 1.25, 1.32, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.12, 2.24, 2.36, 2.5, 2.65, 2.8, 3.0),
    *(3.15, 3.35, 3.55, 3.75, 4.0, 4.25, 4.5, 4.75, 5.0, 5.3, 5.6, 6.0, 6.3, 6.7, 7.1, 7.5, 8.0, 8.5, 9.0, 9.5),
)
"""Renard's series of forty round numbers to a power of ten, evenly spaced by ratio."""
UNIT = tuple(round(step / 20, 2) for step in range(21))
"""Edges of what lies between 0 and 1."""
STRIDES = (1, 2, 4, 8, 20, 40)
"""Every how many of these are taken, the finest first that gives few enough bars."""


@dataclass(frozen=True)
class Amount:
    """A number of every expert, sorted into bins."""

    key: str
    title: str
    scale: Scale
    is_share: bool
    """Whether it is read as a percentage."""
    edges: Edges
    """Bin i covers edges[i] to below edges[i + 1], the last one its end too."""
    values: Array
    """By row; NaN where it is not known."""

    @property
    def bins(self) -> Array:
        """Bins by row, uint8; UNKNOWN where the amount is."""
        return binned(self.values, self.edges)

    def payload(self) -> dict[str, Any]:
        """Return it as the manifest has it."""
        return {
            "key": self.key,
            "title": self.title,
            "scale": self.scale,
            "percent": self.is_share,
            "edges": self.edges,
            **({} if self.key in OF_A_QUERY else {"bin": typed(self.bins)}),
        }


def amounts(values: Mapping[str, Array], d_code: int) -> list[Amount]:
    """Return the amounts in the order of the page, from what experts have of each by key, NaN where nothing is known.

    One that no expert has is left out.
    """
    found = []
    for key, (title, scale, is_share) in _SAID.items():
        known = values[key][~np.isnan(values[key])].astype(np.float64)
        edges = _edges(key, known, d_code) if len(known) else ()
        if edges:
            found.append(Amount(key, title, scale, is_share, edges, values[key]))
    return found


_SAID: Mapping[str, tuple[str, Scale, bool]] = {
    "score": ("best score", "linear", False),
    "coverage": ("coverage", "linear", True),
    "importance": ("importance", "log", True),
    "rate": ("firing rate", "log", True),
    "mean_norm": ("mean norm", "log", False),
    "effective_dimension": ("effective dimension", "linear", False),
    "dimensions_needed": ("dimensions needed", "whole", False),
}
KEYS = tuple(_SAID)
OF_A_QUERY = ("score", "coverage")
"""Whose they are depends on what is asked, so the page bins them itself."""


def _edges(key: str, known: Array, d_code: int) -> Edges:
    if _SAID[key][1] == "log":
        return log_edges(known)
    if key == "effective_dimension":
        return dimension_edges(d_code)
    return whole_edges(d_code) if key == "dimensions_needed" else UNIT


def binned(values: Array, edges: Edges) -> Array:
    """Return the bin of each value, uint8; what lies beyond the edges, as a rounding may, falls into the outermost bins."""
    bins = len(edges) - 1
    assert bins < UNKNOWN, "a bin is one byte"
    inside = (np.searchsorted(np.array(edges), values.astype(np.float64), side="right") - 1).clip(0, bins - 1)
    return np.where(np.isnan(values), UNKNOWN, inside).astype(np.uint8)


def dimension_edges(d_code: int) -> Edges:
    """Return edges from 1 to at least `d_code`, a tenth apart or as much more as keeps them few."""
    steps = (scale * factor for scale in (0.1, 1.0, 10.0, 100.0) for factor in (1, 2, 5))
    step, bins = next((step, bins) for step in steps if (bins := max(1, math.ceil(round((d_code - 1) / step, 6)))) <= MOST_BINS)
    return tuple(round(1 + step * place, 1) for place in range(bins + 1))


def whole_edges(most: int) -> Edges:
    """Return edges between the whole numbers from 0 to `most`, one to a bin or as many more as keeps them few."""
    widths = (scale * factor for scale in (1, 10, 100, 1_000) for factor in (1, 2, 5))
    width = next(width for width in widths if (most + 1) / width <= MOST_BINS)
    return tuple(map(float, (*range(0, most + 1, width), most + 1)))


def log_edges(known: Array) -> Edges:
    """Return round edges, evenly spaced by ratio, of which the first bin takes the least fiftieth and whatever is not above 0.

    None at all where nothing is above 0.
    """
    above = known[known > 0]
    if not len(above):
        return ()
    low, high = float(np.quantile(above, TAIL, method="lower")), float(above.max())
    found = (_marks(low, high, stride) for stride in STRIDES)
    # Beyond thirty powers of ten even the coarsest are too many: the lowest go.
    marks = next((few for few in found if len(few) <= MOST_BINS), _marks(low, high, STRIDES[-1])[-MOST_BINS:])
    least = float(known.min())
    return marks if least >= marks[0] else (_floor(least), *marks)


def _marks(low: float, high: float, stride: int) -> Edges:
    """Return the round numbers from the last one not above `low` to the first one not below `high`; two at least."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    every = [float(f"{mark}e{power}") for power in powers for mark in ROUND[::stride]]
    first = max(place for place, mark in enumerate(every) if mark <= low)
    last = min(place for place, mark in enumerate(every) if mark >= high and place > first)
    return tuple(every[first : last + 1])


def _floor(least: float) -> float:
    """Return a round number that is not above the least of all."""
    if least == 0:
        return 0.0
    return _marks(least, least, 4)[0] if least > 0 else -_marks(-least, -least, 4)[1]
