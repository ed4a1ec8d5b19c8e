"""What several experts together tell of one hypothesis: a ring that is shattered over experts is read from all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from atlas.probe.scores.arrays import ALPHA, N_BOOTSTRAP, Fired, Rows
from atlas.probe.scores.regression import RIDGE

N_MOST = 4
"""Experts that are taken together at most."""

MIN_ADDED = 0.05
"""R² on the report set that each member of a listed group adds."""

BLOCK_NUMBERS = 4_000_000
"""Numbers of dense features that are held at once."""


class Joint(NamedTuple):
    """The experts that a greedy search took one after the other; one entry per step, with the experts of all steps up to it."""

    expert: Int64[np.ndarray, "step"]
    ranking: Float64[np.ndarray, "step"]
    """Joint R² on all ranking rows, cross-validated over their groups; the search takes the expert that makes it largest."""
    all_rows: Float64[np.ndarray, "step"]
    """Fitted on all ranking rows, measured on all report rows; so are the following."""
    all_rows_low: Float64[np.ndarray, "step"]
    """95 % interval, bootstrap over report templates."""
    all_rows_high: Float64[np.ndarray, "step"]
    added: Float64[np.ndarray, "step"]
    """What the step's expert adds to `all_rows`; of the first, all of it."""
    listed: Bool[np.ndarray, "step"]
    """The step's expert is one of a shattered group: the first two or more, or none."""


def jointly(
    rows: Rows,
    fired: Fired,
    n_experts: int,
    targets: Float[np.ndarray, "row target"],
    p_adjusted: Float[np.ndarray, "expert"],
    seed: int,
    n_most: int = N_MOST,
) -> Joint:
    """Return how well the best experts read `targets` together, for one expert, two, and up to `n_most`.

    Each step takes the expert that raises the cross-validated joint R² of ranking rows the most, the first where several do;
    what stands on the report set had no part in that choice. The features are one constant and, of each expert, [z, 1] where
    it fires and zeros elsewhere, so that one expert alone has its all-row score. `p_adjusted` is that of each expert's
    label-order null, NaN where it was not tested. The first experts are listed as a group if there are at least two, each adds
    `MIN_ADDED` and each has a p of at most `ALPHA`; of several such groups the largest is.
    """
    search = _Search(rows, fired, targets)
    chosen: list[int] = []
    found: list[tuple[float, float, float, float]] = []
    for _ in range(min(n_most, n_experts)):
        left = np.setdiff1d(np.arange(n_experts), chosen)
        ranking = search.ranking(chosen, left)
        # Equal experts differ in the last bits, by their place in a block.
        best = int(np.argmax(ranking.round(9)))
        chosen.append(int(left[best]))
        found.append((float(ranking[best]), *search.report(chosen, seed)))
    ranked, all_rows, low, high = np.array(found, dtype=np.float64).reshape(-1, 4).T
    expert = np.array(chosen, dtype=np.int64)
    added = np.diff(all_rows, prepend=0.0)
    passed = (added >= MIN_ADDED) & (np.nan_to_num(p_adjusted[expert], nan=1.0) <= ALPHA)
    listed = np.logical_and.accumulate(passed)
    return Joint(expert, ranked, all_rows, low, high, added, listed & (listed.sum() > 1))


class _Search:
    """Features and targets as the joint fits take them, rows sorted by fold with the report set last."""

    def __init__(self, rows: Rows, fired: Fired, targets: Float[np.ndarray, "row target"]) -> None:
        on_report = rows.report[rows.template]
        groups = np.unique(rows.fold[~rows.report])
        fold = np.where(on_report, len(groups), np.searchsorted(groups, rows.fold[rows.template]))
        order = np.argsort(fold, kind="stable")
        self._bounds = np.searchsorted(fold[order], np.arange(len(groups) + 2))
        self._n_ranking = int(self._bounds[-2])
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        self._template = rows.template[order]
        # The slight ridge shrinks towards zero, which should be the middle of the targets.
        self._targets = targets[order] - targets[order[: self._n_ranking]].mean(axis=0)
        by_expert = np.argsort(fired.expert, kind="stable")
        self._expert = fired.expert[by_expert]
        self._row = place[fired.row[by_expert]]
        self._code = fired.code[by_expert].astype(np.float64)
        self._variances = self._fold_variances()

    def ranking(self, chosen: list[int], candidates: Int[np.ndarray, "candidate"]) -> Float64[np.ndarray, "candidate"]:
        """Return the cross-validated R² of ranking rows with each candidate beside the chosen experts."""
        held, held_ridge = self._held(chosen)
        d, n_held, n_targets = self._code.shape[1], held.shape[1], self._targets.shape[1]
        folds = [slice(*bounds) for bounds in zip(self._bounds[:-2], self._bounds[1:-1], strict=True)]
        error = np.zeros(len(candidates))
        width = n_held + d + 1
        for at, block in self._blocks(candidates):
            features, ridge = self._features(block)
            flat = features.reshape(-1, features.shape[2])
            gram = np.empty((len(folds), len(block), width, width))
            toward = np.empty((len(folds), len(block), width, n_targets))
            for f, fold in enumerate(folds):
                own, known, truth = features[:, :, fold], held[fold], self._targets[fold]
                cross = (flat[:, fold] @ known).reshape(len(block), d + 1, n_held)
                gram[f, :, :n_held, :n_held] = known.T @ known
                gram[f, :, :n_held, n_held:] = cross.transpose(0, 2, 1)
                gram[f, :, n_held:, :n_held] = cross
                gram[f, :, n_held:, n_held:] = own @ own.transpose(0, 2, 1)
                toward[f, :, :n_held] = known.T @ truth
                toward[f, :, n_held:] = (flat[:, fold] @ truth).reshape(len(block), d + 1, n_targets)
            shrink = np.concatenate([np.broadcast_to(held_ridge, (len(block), n_held)), ridge], axis=1)
            whole_gram, whole_toward = gram.sum(axis=0), toward.sum(axis=0)
            for f, fold in enumerate(folds):
                fit = _solved(whole_gram - gram[f], whole_toward - toward[f], shrink)
                explained = 2 * np.einsum("cpt,cpt->c", fit, toward[f]) - np.einsum("cpt,cpt->c", fit, gram[f] @ fit)
                error[at : at + len(block)] += (self._targets[fold] ** 2).sum() - explained
        return 1 - error / self._variances

    def report(self, chosen: list[int], seed: int) -> tuple[float, float, float]:
        """Return R² of report rows, fitted on all ranking rows, with its interval."""
        features, ridge = self._held(chosen)
        n = self._n_ranking
        gram, toward = features[:n].T @ features[:n], features[:n].T @ self._targets[:n]
        fit = _solved(gram[None], toward[None], ridge[None])[0]
        truth = self._targets[n:]
        template = np.unique(self._template[n:], return_inverse=True)[1]
        error = np.bincount(template, weights=((truth - features[n:] @ fit) ** 2).sum(axis=1))
        # Targets are centred on the ranking rows, so their squares are distances from the mean of these.
        variance = np.bincount(template, weights=(truth**2).sum(axis=1))
        n_templates = len(variance)
        drawn = np.random.default_rng(seed).multinomial(n_templates, np.full(n_templates, 1 / n_templates), size=N_BOOTSTRAP)
        low, high = np.quantile(1 - (drawn @ error) / (drawn @ variance), [0.025, 0.975])
        return float(1 - error.sum() / variance.sum()), float(low), float(high)

    def _fold_variances(self) -> float:
        """Return the squared distance of each ranking fold from the mean of the others, summed."""
        ranking = self._targets[: self._n_ranking]
        total = 0.0
        for start, end in zip(self._bounds[:-2], self._bounds[1:-1], strict=True):
            others = np.concatenate([ranking[:start], ranking[end:]])
            total += float(((ranking[start:end] - others.mean(axis=0)) ** 2).sum())
        return total

    def _held(self, chosen: list[int]) -> tuple[Float64[np.ndarray, "row feature"], Float64[np.ndarray, "feature"]]:
        """Return the features that are in every fit, a constant first, and what is added to their normal equations.

        The constant is not shrunk: so it alone stands for rows where all are silent, even if in training there are none.
        """
        features, ridge = self._features(np.array(chosen, dtype=np.int64))
        n = features.shape[2]
        return np.concatenate([np.ones((1, n)), features.reshape(-1, n)]).T, np.concatenate([[0.0], ridge.ravel()])

    def _blocks(self, candidates: Int[np.ndarray, "candidate"]) -> Iterator[tuple[int, Int[np.ndarray, "some"]]]:
        """Yield candidates as many at a time as fit into memory, with the place of the first."""
        size = max(1, BLOCK_NUMBERS // (len(self._targets) * (self._code.shape[1] + 1)))
        for start in range(0, len(candidates), size):
            yield start, candidates[start : start + size]

    def _features(
        self, experts: Int[np.ndarray, "some"]
    ) -> tuple[Float64[np.ndarray, "some feature row"], Float64[np.ndarray, "some feature"]]:
        """Return [z, 1] where each expert fires, zeros elsewhere, and what is added to each one's normal equation.

        z is taken from its mean where the expert fires in ranking rows, which changes no fit but keeps it well conditioned.
        """
        d = self._code.shape[1]
        features = np.zeros((len(experts), d + 1, len(self._targets)))
        first, last = np.searchsorted(self._expert, experts), np.searchsorted(self._expert, experts, side="right")
        n_fired = last - first
        number = np.repeat(np.arange(len(experts)), n_fired)
        firing = np.arange(n_fired.sum()) + np.repeat(first - np.cumsum(n_fired) + n_fired, n_fired)
        row, code = self._row[firing], self._code[firing]
        ranking = row < self._n_ranking

        def summed(values: Float64[np.ndarray, "firing"]) -> Float64[np.ndarray, "some"]:
            # Without any firing bincount counts in integers.
            return np.bincount(number[ranking], weights=values[ranking], minlength=len(experts)).astype(np.float64)

        n = summed(np.ones(len(row)))
        mean = np.stack([summed(code[:, i]) for i in range(d)], axis=1) / np.maximum(n, 1)[:, None]
        code = code - mean[number]
        features[number, :d, row] = code
        features[number, d, row] = 1.0
        # As in regression: a share of the mean variance, and coefficients of zero for what does not vary.
        square = np.stack([summed(code[:, i] ** 2) for i in range(d)], axis=1).mean(axis=1, keepdims=True)
        squares = np.concatenate([np.repeat(square, d, axis=1), n[:, None]], axis=1)
        return features, np.where(squares > 0, RIDGE * squares, 1.0)


def _solved(
    gram: Float64[np.ndarray, "candidate feature feature"],
    toward: Float64[np.ndarray, "candidate feature target"],
    ridge: Float64[np.ndarray, "candidate feature"],
) -> Float64[np.ndarray, "candidate feature target"]:
    """Return the coefficients of the slightly ridged least-squares fits."""
    return np.linalg.solve(gram + ridge[:, :, None] * np.eye(gram.shape[1]), toward)
