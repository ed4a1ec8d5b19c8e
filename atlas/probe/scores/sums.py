"""Firings in the order of their experts, and sums over them for a block of experts at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int64

from atlas.probe.scores.arrays import Fired, Rows

BLOCK_NUMBERS = 2**24
"""Numbers that a block of experts may hold at once: 128 MiB of float64."""


@dataclass(frozen=True)
class Sums:
    """What every regression on every expert is computed from. Features are the code and a constant 1.

    Sums per expert, fold and label would not fit into memory for many experts and labels, so they are taken of a block of
    experts when they are needed. The folds are the groups of ranking templates, and last the whole report set.
    """

    rows: Rows
    fold: Int64[np.ndarray, "row"]
    n_folds: int
    """With the report set."""
    fired: Fired
    """In the order of the expert, then of the row."""
    start: Int64[np.ndarray, "boundary"]
    """Where each expert's firings begin, and last their number."""

    @property
    def n_experts(self) -> int:
        """Experts, those that never fire included."""
        return len(self.start) - 1

    @property
    def n_features(self) -> int:
        """Numbers of a code and the constant."""
        return self.fired.code.shape[1] + 1

    @property
    def features(self) -> Float64[np.ndarray, "firing feature"]:
        """The code and a constant 1 of every firing."""
        return np.concatenate([self.fired.code.astype(np.float64), np.ones((len(self.fired.row), 1))], axis=1)

    def of(self, experts: Int[np.ndarray, "chosen"]) -> Sums:
        """Return the same of some experts only, numbered anew in the order given."""
        sizes = np.diff(self.start)[experts]
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        at = np.repeat(self.start[experts] - start[:-1], sizes) + np.arange(start[-1])
        expert = np.repeat(np.arange(len(experts)), sizes)
        return Sums(self.rows, self.fold, self.n_folds, Fired(self.fired.row[at], expert, self.fired.code[at]), start)

    def blocks(self, numbers_per_expert: int) -> Iterator[Sums]:
        """Return all experts in blocks of no more than `BLOCK_NUMBERS` numbers, in order; at least one block, if an empty one."""
        width = max(1, BLOCK_NUMBERS // max(1, numbers_per_expert))
        for first in range(0, max(1, self.n_experts), width):
            yield self.of(np.arange(first, min(first + width, self.n_experts)))

    def by_fold(self) -> Float64[np.ndarray, "expert fold feature feature"]:
        """Return the Gram matrix of each expert and fold; its last entry is the number of active rows."""
        cell = self.fired.expert * self.n_folds + self.fold[self.fired.row]
        features = self.features
        gram = cell_sums(cell, self.n_experts * self.n_folds, features, features)
        return gram.reshape(self.n_experts, self.n_folds, *gram.shape[1:])

    def by_label(self) -> Float64[np.ndarray, "expert fold label feature"]:
        """Return the sums of the features of each expert, fold and label; the last is the number of active rows."""
        row, n_labels = self.fired.row, self.rows.n_labels
        cell = (self.fired.expert * self.n_folds + self.fold[row]) * n_labels + self.rows.label[row]
        size = self.n_experts * self.n_folds * n_labels
        total = cell_sums(cell, size, self.features, np.ones((len(row), 1)))
        return total.reshape(self.n_experts, self.n_folds, n_labels, self.n_features)

    def label_rows(self) -> Float64[np.ndarray, "fold label"]:
        """Return the rows of each fold and label, active or not."""
        cell = self.fold * self.rows.n_labels + self.rows.label
        counts = np.bincount(cell, minlength=self.n_folds * self.rows.n_labels)
        return counts.reshape(self.n_folds, self.rows.n_labels).astype(np.float64)


def sums(rows: Rows, fired: Fired, n_experts: int) -> Sums:
    """Return what every score of every hypothesis is computed from."""
    ranking = np.unique(rows.fold[~rows.report])
    fold = np.where(rows.report, len(ranking), np.searchsorted(ranking, rows.fold)).astype(np.int64)
    order = np.lexsort((fired.row, fired.expert))
    expert = fired.expert[order].astype(np.int64)
    start = np.searchsorted(expert, np.arange(n_experts + 1)).astype(np.int64)
    ordered = Fired(fired.row[order].astype(np.int64), expert, fired.code[order])
    return Sums(rows, fold[rows.template], len(ranking) + 1, ordered, start)


def totals(
    cell: Int64[np.ndarray, "firing"], weights: Float64[np.ndarray, "firing"], n_cells: int
) -> Float64[np.ndarray, "cell"]:
    """Return the sum of the weights of each cell; unlike `numpy.bincount` it is a float where there is nothing to sum, too."""
    return np.bincount(cell, weights=weights, minlength=n_cells).astype(np.float64, copy=False)


def cell_sums(
    cell: Int64[np.ndarray, "firing"],
    n_cells: int,
    left: Float64[np.ndarray, "firing left"],
    right: Float64[np.ndarray, "firing right"],
) -> Float64[np.ndarray, "cell left right"]:
    """Return the sum of left ⊗ right over the firings of each cell."""
    total = np.empty((n_cells, left.shape[1], right.shape[1]))
    for i in range(left.shape[1]):
        for j in range(right.shape[1]):
            if left is right and j < i:
                total[:, i, j] = total[:, j, i]
            else:
                total[:, i, j] = totals(cell, left[:, i] * right[:, j], n_cells)
    return total


def others(parts: Float64[np.ndarray, "..."], axis: int) -> Float64[np.ndarray, "..."]:
    """Return for each part along `axis` the sum of all other parts.

    They are added, not subtracted from the whole: what is left of a whole less its only part must be exactly 0, since a
    singular fit to a rounding error would predict anything.
    """
    moved = np.moveaxis(parts, axis, 0)
    total = np.zeros_like(moved)
    np.cumsum(moved[:-1], axis=0, out=total[1:])
    total[:-1] += np.cumsum(moved[:0:-1], axis=0)[::-1]
    return np.moveaxis(total, 0, axis)
