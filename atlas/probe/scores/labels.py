"""How each label and each expert go together: how often it fires, how hard, and whether its codes depend on the label at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from atlas.probe.scores.arrays import COVERED_RATE, Fired, Rows
from atlas.probe.scores.regression import ROUNDING
from atlas.probe.scores.sums import Sums, cell_sums, sums, totals

N_SHUFFLES = 200
"""Permutations of labels among the rows of each template."""

BAND = 0.95
"""Share of the permutations that lie within a band."""

TIE = 1e-9
"""Statistics no further apart are the same."""


class Preference(NamedTuple):
    """Whether an expert's norm is larger on one label than on the others."""

    auroc: Float64[np.ndarray, "expert label"]
    """Chance that a row of the label has the larger norm than a row of another: ½ is none. NaN without rows of either kind."""
    band: Float64[np.ndarray, "expert"]
    """How far from ½ the most extreme label comes in 95 % of the permutations, which is what the labels by chance reach."""


def fires(rows: Rows, fired: Fired, n_experts: int) -> Float64[np.ndarray, "expert label"]:
    """Return P(fires | label); 0 for a label without rows."""
    cell = fired.expert.astype(np.int64) * rows.n_labels + rows.label[fired.row]
    counts = np.bincount(cell, minlength=n_experts * rows.n_labels).reshape(n_experts, rows.n_labels)
    return counts / np.maximum(np.bincount(rows.label, minlength=rows.n_labels), 1)


def coverage(fires: Float[np.ndarray, "expert label"]) -> tuple[Int64[np.ndarray, "expert"], Float64[np.ndarray, "expert"]]:
    """Return how many labels each expert covers, and the smallest rate among those (NaN where it covers none)."""
    covered = fires >= COVERED_RATE
    least = np.where(covered, fires, np.inf).min(axis=1)
    return covered.sum(axis=1), np.where(covered.any(axis=1), least, np.nan)


def smoothed_lift(
    fired: Float[np.ndarray, "*any"], rows: Float[np.ndarray, "*any"], rate: Float[np.ndarray, "*any"], prior_weight: float
) -> Float[np.ndarray, "*any"]:
    """Return the rate fired / rows over the corpus `rate`, with `prior_weight` rows at the corpus rate added."""
    return (fired + prior_weight * rate) / (rows + prior_weight) / rate


def preference(
    rows: Rows,
    fired: Fired,
    norm: Float[np.ndarray, "firing"],
    n_experts: int,
    seed: int,
    n_permutations: int = N_SHUFFLES,
) -> Preference:
    """Return the area under the ROC curve of each expert's norm for each label against all other rows.

    A silent row has norm 0 and ties count one half, so the area is Mann and Whitney's statistic over its largest value
    (Hanley & McNeil 1982). The band is common to all labels of an expert: labels are permuted among the rows of each template,
    the same way for all experts, and of each permutation the label furthest from ½ counts.
    """
    loud = norm > 0
    row, expert = fired.row[loud].astype(np.int64), fired.expert[loud].astype(np.int64)
    weight = _ranks_above_silent(expert, norm[loud].astype(np.float64), n_experts, len(rows.label))
    of_label = np.bincount(rows.label, minlength=rows.n_labels)
    pairs = np.where((of_label > 0) & (of_label < len(rows.label)), of_label * (len(rows.label) - of_label), np.nan)
    silent = len(rows.label) - np.bincount(expert, minlength=n_experts)
    # U = Σ ranks − n (n + 1) / 2, where every row has at least the middle rank of the silent ones.
    least = of_label * ((silent[:, None] + 1) / 2 - (of_label + 1) / 2)
    first_cell = expert * rows.n_labels

    def area(label: Int64[np.ndarray, "row"]) -> Float64[np.ndarray, "expert label"]:
        ranks = totals(first_cell + label[row], weight, n_experts * rows.n_labels)
        return (ranks.reshape(n_experts, rows.n_labels) + least) / pairs

    known = ~np.isnan(pairs)
    rng = np.random.default_rng(seed)
    furthest = np.zeros((n_permutations, n_experts))
    for one in furthest:
        one[:] = np.abs(area(_shuffled(rows, rng))[:, known] - 0.5).max(axis=1, initial=0.0)
    return Preference(area(rows.label), np.quantile(furthest, BAND, axis=0))


def label_dependence(
    rows: Rows, fired: Fired, n_experts: int, seed: int, n_permutations: int = N_SHUFFLES
) -> Float64[np.ndarray, "expert"]:
    """Return p of the hypothesis that an expert's codes do not depend on the label at all.

    The statistic is the share of the variance of the label indicators over ranking rows that a linear fit on [z, fires], 0
    where silent, explains; labels are permuted among the rows of each template, the same way for all experts. p counts the
    true labels in, so it is never below 1 / (1 + n_permutations), and it is 1 for an expert that is silent on ranking rows.
    Nearly every expert that fires on a task at all is at that floor, so it says little.
    """
    given = sums(rows, fired, n_experts)
    rng = np.random.default_rng(seed)
    labels = [rows.label, *(_shuffled(rows, rng) for _ in range(n_permutations))]
    firings = -(-len(fired.row) // max(1, n_experts))
    width = 3 * given.n_features * (rows.n_labels + given.n_features) + 4 * firings * given.n_features
    p = []
    for part in given.blocks(width):
        explained = _explained(part, labels)
        p.append((explained >= explained[0] - TIE).sum(axis=0) / len(labels))
    return np.concatenate(p)


def _ranks_above_silent(
    expert: Int64[np.ndarray, "firing"], norm: Float64[np.ndarray, "firing"], n_experts: int, n_rows: int
) -> Float64[np.ndarray, "firing"]:
    """Return by how much each firing's rank among all rows lies above the middle rank of the silent ones; ties share ranks."""
    order = np.lexsort((norm, expert))
    sorted_expert, sorted_norm = expert[order], norm[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(sorted_expert) != 0) | (np.diff(sorted_norm) != 0)
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(order)) - 1
    middle = ((first + last) / 2)[np.cumsum(new) - 1]
    active = np.bincount(expert, minlength=n_experts)
    begin, silent = np.cumsum(active) - active, n_rows - active
    above = np.empty(len(order))
    above[order] = middle - begin[sorted_expert] + 1 + silent[sorted_expert] - (silent[sorted_expert] + 1) / 2
    return above


def _shuffled(rows: Rows, rng: np.random.Generator) -> Int64[np.ndarray, "row"]:
    """Return the labels permuted among the rows of each template."""
    label = np.empty_like(rows.label)
    label[np.argsort(rows.template, kind="stable")] = rows.label[np.lexsort((rng.random(len(rows.label)), rows.template))]
    return label


def _explained(given: Sums, labels: list[Int64[np.ndarray, "row"]]) -> Float64[np.ndarray, "labelling expert"]:
    """Return the squares that are explained by a fit of the label indicators, for each labelling of the ranking rows."""
    n_labels = given.rows.n_labels
    is_ranking = given.fold < given.n_folds - 1
    here = is_ranking[given.fired.row]
    row, expert = given.fired.row[here], given.fired.expert[here]
    features, n = given.features[here], float(is_ranking.sum())
    gram = cell_sums(expert, given.n_experts, features, features)
    mean = cell_sums(expert, given.n_experts, features, np.ones((len(row), 1)))[..., 0] / n
    whiten = _inverse_root(gram - n * mean[:, :, None] * mean[:, None, :], gram)
    columns = np.ascontiguousarray(np.einsum("fp,fpq->qf", features, whiten[expert]))
    means = np.einsum("ep,epq->qe", mean, whiten)
    of_label = np.bincount(given.rows.label[is_ranking], minlength=n_labels)
    explained = np.zeros((len(labels), given.n_experts))
    for one, label in zip(explained, labels, strict=True):
        cell = expert * n_labels + label[row]
        for column, mean_of in zip(columns, means, strict=True):
            total = totals(cell, column, given.n_experts * n_labels).reshape(given.n_experts, n_labels)
            total -= mean_of[:, None] * of_label
            one += np.einsum("el,el->e", total, total)
    variance = n - (of_label**2).sum() / n
    return explained / max(variance, 1.0)


def _inverse_root(
    covariance: Float64[np.ndarray, "expert feature feature"], gram: Float64[np.ndarray, "expert feature feature"]
) -> Float64[np.ndarray, "expert feature feature"]:
    """Return W with W W' the inverse of each covariance, in the directions in which there is any variance at all."""
    size = np.sqrt(np.einsum("epp->ep", gram))
    scale = 1 / np.where(size > 0, size, 1.0)
    value, vector = np.linalg.eigh(covariance * scale[:, :, None] * scale[:, None, :])
    some = value > ROUNDING
    root = np.where(some, 1 / np.sqrt(np.where(some, value, 1.0)), 0.0)
    return scale[:, :, None] * vector * root[:, None, :]
