"""Whether an order is more than two clusters: labels are permuted within the two halves that an expert tells apart.

An expert that only tells AM from PM scores well on the order of the hours, since no shuffled order of all hours keeps the halves
together. Shuffled within its halves it loses nothing.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from atlas.probe.scores.arrays import MIN_LABEL_ROWS
from atlas.probe.scores.order import TIE, label_counts, ranking_forms
from atlas.probe.scores.sums import Sums

N_WITHIN = 999
"""Permutations within halves."""

MIN_IN_HALVES = 7
"""Labels that are needed: a ring of six in halves of three has too few permutations for any p below 0.05."""


def within_halves(
    given: Sums,
    targets: Float[np.ndarray, "label target"],
    experts: Int[np.ndarray, "chosen"],
    seed: int,
    penalty: float = 0.0,
    n_permutations: int = N_WITHIN,
) -> Float64[np.ndarray, "expert"]:
    """Return how often labels permuted within two halves are read as well as in their own order; NaN of experts not chosen.

    The halves are those of an expert's mean codes per label: the cut across their first principal axis that leaves the least
    variance on its two sides, on ranking rows, so that the targets have no part in it. Labels with fewer than `MIN_LABEL_ROWS`
    active ranking rows stay where they are; NaN, too, where fewer than `MIN_IN_HALVES` are left. The statistic is the ranking
    score.
    """
    truth = (targets - targets.mean(axis=0)).astype(np.float64)
    n_labels, n_targets = truth.shape
    draws = np.random.default_rng(seed).random((n_permutations, n_labels))
    p = np.full(given.n_experts, np.nan)
    if not len(experts):
        return p
    found = []
    for part in given.of(experts).blocks(8 * n_labels * (n_labels + n_permutations * n_targets)):
        present = label_counts(part) >= MIN_LABEL_ROWS
        error, variance = ranking_forms(part, penalty)
        permuted = truth[_within(_halves(part, present), present, draws)].transpose(0, 3, 1, 2)
        observed = 1 - _values(error[:, None], truth.T[None, :, None])[:, 0] / _values(variance, truth.T[:, None])[0]
        null = 1 - _values(error[:, None], permuted) / _values(variance, permuted)
        below = (1 + (null >= observed[:, None] - TIE).sum(axis=1)) / (1 + n_permutations)
        found.append(np.where(present.sum(axis=1) >= MIN_IN_HALVES, below, np.nan))
    p[experts] = np.concatenate(found)
    return p


def _halves(given: Sums, present: Bool[np.ndarray, "expert label"]) -> Bool[np.ndarray, "expert label"]:
    """Return which of each expert's present labels are on the one side of the cut."""
    ranking = given.by_label()[:, :-1].sum(axis=1)
    mean = ranking[..., :-1] / np.maximum(ranking[..., -1:], 1)
    n = np.maximum(present.sum(axis=1), 1)[:, None]
    centred = np.where(present[..., None], mean - (mean * present[..., None]).sum(axis=1, keepdims=True) / n[..., None], 0.0)
    axis = np.linalg.eigh(centred.swapaxes(1, 2) @ centred)[1][..., -1]
    place = np.where(present, np.einsum("eld,ed->el", centred, axis), np.inf)
    order = np.argsort(place, axis=1)
    ranked = np.take_along_axis(place, order, axis=1)
    is_label = np.isfinite(ranked)
    total = np.cumsum(np.where(is_label, ranked, 0.0), axis=1)
    below = np.arange(1, place.shape[1] + 1)
    above = n - below
    # What a cut explains; the places sum to 0.
    explained = np.where(above > 0, total**2 * (1 / below + 1 / np.maximum(above, 1)), -1.0)
    cut = explained.argmax(axis=1)
    rank = np.argsort(order, axis=1)
    return rank <= cut[:, None]


def _within(
    half: Bool[np.ndarray, "expert label"], present: Bool[np.ndarray, "expert label"], draws: Float64[np.ndarray, "draw label"]
) -> Int64[np.ndarray, "expert draw label"]:
    """Return in each draw whose target every label gets: another's of its half; an absent label keeps its own."""
    n_labels = half.shape[1]
    group = np.where(present, half.astype(np.float64), 2.0 + np.arange(n_labels))
    place = np.argsort(group, axis=1, kind="stable")
    shuffled = np.argsort(group[:, None] + draws, axis=2)
    found = np.empty_like(shuffled)
    np.put_along_axis(found, np.broadcast_to(place[:, None], shuffled.shape), shuffled, axis=2)
    return found


def _values(
    form: Float64[np.ndarray, "*many label label"], permuted: Float64[np.ndarray, "*some target draw label"]
) -> Float64[np.ndarray, "*any draw"]:
    """Return T' Q T summed over targets, for each draw."""
    return ((permuted @ form) * permuted).sum(axis=-1).sum(axis=-2)
