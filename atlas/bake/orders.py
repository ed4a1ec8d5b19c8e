"""The experts sorted by what the list can be sorted by: places in the list's first order, which is by importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atlas.bake.arrays import narrow, typed

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Order:
    """A sort of all experts."""

    rows: Array
    """Equal ones stand as in the list's first order, those whose value is not known behind all others too."""
    known: int
    """How many have a value."""

    @classmethod
    def of(cls, values: Array, *, largest_first: bool) -> Order:
        """Sort by one number an expert, NaN where it is not known."""
        known = np.flatnonzero(~np.isnan(values))
        keys = -values[known] if largest_first else values[known]
        rows = known[np.argsort(keys, kind="stable")]
        return cls(np.concatenate([rows, np.flatnonzero(np.isnan(values))]), len(rows))

    def payload(self) -> dict[str, Any]:
        """Return it as the page reads it."""
        return {"rows": typed(narrow(self.rows)), "known": self.known}


LARGEST_FIRST = ("rate", "mean_norm", "effective_dimension", "dimensions_needed", "score", "coverage")


def orders(
    amounts: Mapping[str, Array], *, numbers: Array, titles: Sequence[str], clusters: Array, shapes: Array
) -> dict[str, Order]:
    """Return every sort of the list but its first, by name: the largest amount first, of all else the least.

    `clusters` and `shapes` are places among the clusters and the classes, -1 where an expert has none.
    """
    places = {"number": numbers, "title": _ranks(titles)} | {
        name: np.where(found < 0, np.nan, found) for name, found in (("cluster", clusters), ("shape", shapes))
    }
    return {name: Order.of(amounts[name], largest_first=True) for name in LARGEST_FIRST} | {
        name: Order.of(found.astype(np.float64), largest_first=False) for name, found in places.items()
    }


def _ranks(titles: Sequence[str]) -> Array:
    """Return where each title stands among all: letter case folded, then as it is."""
    rank = {title: place for place, title in enumerate(sorted(set(titles), key=lambda title: (title.casefold(), title)))}
    return np.array([rank[title] for title in titles], np.float64)
