"""Whether it is the order of the labels that is read from an expert: the label-order null, and when an order is supported.

The targets are a function of the label, so the cross-validated squared error is a quadratic form T' Q T in the label ► target
map T, with one Q per expert. Another order of the labels costs a matrix product and no new fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from math import factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from atlas.probe.scores.arrays import (
    ALPHA,
    MIN_ACTIVE_ROWS,
    MIN_COVERED,
    MIN_LABEL_ROWS,
    MIN_LABELS,
    N_PERMUTATIONS,
    Scores,
)
from atlas.probe.scores.regression import fit
from atlas.probe.scores.sums import BLOCK_NUMBERS, Sums, others

ORDERED_SHAPES = ("ring", "ordinal", "map")
"""Shapes of a hypothesis whose labels have an order or a place, rather than a class."""

TIE = 1e-9
"""Scores no further apart are the same: rotations of a ring differ by rounding."""

CACHED_NUMBERS = 2**16
"""Numbers of permuted targets held at once: 512 KiB, which a processor reads far faster than what lies outside its cache."""


class Order(NamedTuple):
    """The label-order null of one hypothesis."""

    testable: Bool[np.ndarray, "expert"]
    p: Float64[np.ndarray, "expert"]
    """NaN where not testable."""
    p_adjusted: Float64[np.ndarray, "expert"]
    """Westfall-Young max-T over the testable experts."""


class _Form(NamedTuple):
    """Q = diag(diagonal) + left' right + right' left, with a few rows in `left` and `right` for each fold."""

    left: Float64[np.ndarray, "expert part label"]
    right: Float64[np.ndarray, "expert part label"]
    diagonal: Float64[np.ndarray, "*expert label"]


def label_order(
    given: Sums,
    targets: Float[np.ndarray, "label target"],
    seed: int,
    n_permutations: int = N_PERMUTATIONS,
    penalty: float = 0.0,
) -> Order:
    """Return how often labels in another order are read as well as in their own, for each expert alone and for the best of all.

    The statistic is the ranking score. The label ► target map is permuted among the labels that an expert has `MIN_LABEL_ROWS`
    active ranking rows of. One ranking of the labels by a common random number gives every expert's permutation, so that max-T
    sees their dependence: p_adjusted is the share of permutations whose best expert, each in deviations from its own null, is
    as far out (Westfall & Young 1993, §2.3). All orders of up to seven labels are tried, else `n_permutations`; p counts the
    true order in, so it is never 0.
    """
    truth = targets - targets.mean(axis=0)
    truth[:, np.ptp(targets, axis=0) == 0] = 0.0
    present = label_counts(given) >= MIN_LABEL_ROWS
    testable = (np.diff(given.start) >= MIN_ACTIVE_ROWS) & (present.sum(axis=1) >= MIN_LABELS) & bool(truth.any())
    orders = _orders(given.rows.n_labels, seed, n_permutations)
    p, statistic = np.full(given.n_experts, np.nan), np.full(given.n_experts, np.nan)
    best = np.full(len(orders) - 1, -np.inf)
    for experts in _alike(given, present, testable, len(orders)):
        scored = _scores_of_orders(given.of(experts), present[experts], truth, orders, penalty)
        observed, null = scored[:, 0], scored[:, 1:]
        p[experts] = (1 + (null >= observed[:, None] - TIE).sum(axis=1)) / len(orders)
        mean, deviation = null.mean(axis=1), null.std(axis=1)
        # An expert that scores all orders alike is never far out.
        scale = np.where(deviation > TIE, deviation, np.inf)
        statistic[experts] = (observed - mean) / scale
        best = np.maximum(best, ((null - mean[:, None]) / scale[:, None]).max(axis=0))
    below = np.searchsorted(np.sort(best), statistic[testable] - TIE)
    p_adjusted = np.full(given.n_experts, np.nan)
    p_adjusted[testable] = (1 + len(best) - below) / len(orders)
    # Ties are told apart to TIE in each one's own units.
    return Order(testable, p, np.maximum(p_adjusted, p))


def untestable(n_experts: int) -> Order:
    """Return the null of a hypothesis whose targets are no function of the label, so that there is no order to test."""
    unknown = np.full(n_experts, np.nan)
    return Order(np.zeros(n_experts, dtype=bool), unknown, unknown)


def ranking_forms(
    given: Sums, penalty: float = 0.0
) -> tuple[Float64[np.ndarray, "expert label label"], Float64[np.ndarray, "label label"]]:
    """Return the quadratic forms of the squared error and of the variance around the training mean, summed over ranking folds.

    The first takes label² numbers of every expert: give a block of them, by `Sums.blocks` or `Sums.of`.
    """
    error, variance = (_dense(form) for form in (_error_form(given, penalty), _variance_form(given)))
    return error, variance[0]


def benjamini_hochberg(p: Float[np.ndarray, "hypothesis"]) -> Float64[np.ndarray, "hypothesis"]:
    """Return the false discovery rate at which each hypothesis would be called; NaN stays NaN and is not counted.

    It is the least of p · m / rank over the ranks from its own upwards (Benjamini & Hochberg 1995).
    """
    q = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(-p[known], kind="stable")]
    rank = np.arange(len(order), 0, -1)
    q[order] = np.minimum.accumulate(np.minimum(p[order] * len(order) / rank, 1.0))
    return np.maximum(q, p)  # p · n / n may round below p


def supported(
    order: Order,
    found: Scores,
    left_out_direction: Float[np.ndarray, "expert"],
    p_within_halves: Float[np.ndarray, "expert"],
    covered: Int[np.ndarray, "expert"],
    q: float,
    shape: str,
) -> Bool[np.ndarray, "expert"]:
    """Return which experts may be called by the hypothesis' order.

    They cover `MIN_COVERED` labels; the adjusted p and the hypothesis' q (NaN: not tested) are at most `ALPHA`; the
    left-out-label score and the low end of the interval of the all-row score are above 0. Classes have no order.
    """
    return (
        order.testable
        & (covered >= MIN_COVERED)
        # NaN compares as false.
        & (order.p_adjusted <= ALPHA)
        & (found.left_out_label > 0)
        & (left_out_direction > 0)
        & ~(p_within_halves > ALPHA)
        & (found.all_rows_low > 0)
        & (q <= ALPHA)
        & (shape in ORDERED_SHAPES)
    )


def label_counts(given: Sums) -> Int64[np.ndarray, "expert label"]:
    """Return the active ranking rows of each expert and label."""
    ranking = given.fold[given.fired.row] < given.n_folds - 1
    cell = given.fired.expert[ranking] * given.rows.n_labels + given.rows.label[given.fired.row[ranking]]
    counts = np.bincount(cell, minlength=given.n_experts * given.rows.n_labels)
    return counts.reshape(given.n_experts, given.rows.n_labels).astype(np.int64)


def _orders(n_labels: int, seed: int, n_permutations: int) -> Int64[np.ndarray, "order label"]:
    """Return the true order and then others: all where there are few."""
    true = np.arange(n_labels)
    if factorial(n_labels) <= factorial(7):
        return np.array(list(permutations(true.tolist())), dtype=np.int64).reshape(-1, n_labels)
    drawn = np.argsort(np.random.default_rng(seed).random((n_permutations, n_labels)), axis=1)
    return np.concatenate([true[None], drawn]).astype(np.int64)


def _alike(
    given: Sums, present: Bool[np.ndarray, "expert label"], testable: Bool[np.ndarray, "expert"], n_orders: int
) -> Iterator[Int64[np.ndarray, "chosen"]]:
    """Return the testable experts in blocks that have equally many labels present, and whose forms and scores fit into memory."""
    counts = present.sum(axis=1)
    for n_present in np.unique(counts[testable]).tolist():
        experts = np.flatnonzero(testable & (counts == n_present))
        # With the copies that are made on the way.
        numbers = 6 * _form_parts(given) * given.rows.n_labels + 3 * n_present**2 + 3 * n_orders
        width = max(1, BLOCK_NUMBERS // numbers)
        for first in range(0, len(experts), width):
            yield experts[first : first + width]


def _form_parts(given: Sums) -> int:
    return (given.n_folds - 1) * (given.n_features + 1)


def _scores_of_orders(
    given: Sums,
    present: Bool[np.ndarray, "expert label"],
    truth: Float64[np.ndarray, "label target"],
    orders: Int64[np.ndarray, "order label"],
    penalty: float,
) -> Float64[np.ndarray, "expert order"]:
    """Return every expert's ranking score in each order of its labels present, of which all experts have equally many."""
    n_present, n_targets = int(present[0].sum()), truth.shape[1]
    labels = np.nonzero(present)[1].reshape(len(present), n_present)
    # Absent labels keep their targets and enter as constants.
    absent = np.where(present[:, :, None], 0.0, truth)
    error = _within(_error_form(given, penalty), labels, absent)
    variance = _variance_form(given)
    rows = given.label_rows()[:-1]
    # Where every fold has equally many rows of all labels, no order changes the variance.
    spread = None if (rows == rows[:, :1]).all() else _within(variance, labels, absent)
    unchanged = float(_values(variance, truth[None])[0])
    scored = np.empty((len(present), len(orders)))
    experts_at_once = max(1, min(16, CACHED_NUMBERS // (4 * n_present**2)))
    orders_at_once = max(1, CACHED_NUMBERS // (experts_at_once * n_targets * n_present))
    for first in range(0, len(present), experts_at_once):
        few = slice(first, first + experts_at_once)
        for start in range(0, len(orders), orders_at_once):
            some = slice(start, start + orders_at_once)
            permuted = _permuted(present[few], truth, orders[some])
            squared = error.values(few, permuted)
            scored[few, some] = 1 - squared / (unchanged if spread is None else spread.values(few, permuted))
    return scored


class _Within(NamedTuple):
    """A form in the targets of the labels present; what the others add is a linear part and a constant."""

    form: Float64[np.ndarray, "expert present present"]
    linear: Float64[np.ndarray, "expert target present"]
    constant: Float64[np.ndarray, "expert"]

    def values(
        self, experts: slice, permuted: Float64[np.ndarray, "chosen target order present"]
    ) -> Float64[np.ndarray, "chosen order"]:
        """Return T' Q T summed over targets, for many T of each of some experts."""
        product = permuted @ self.form[experts, None]
        product += 2 * self.linear[experts, :, None]
        return np.asarray(np.einsum("etop,etop->eo", product, permuted)) + self.constant[experts, None]


def _within(
    form: _Form, labels: Int64[np.ndarray, "expert present"], absent: Float64[np.ndarray, "expert label target"]
) -> _Within:
    """Return the form among each expert's labels present, the others having the targets `absent`."""
    left, right = (
        np.take_along_axis(np.broadcast_to(part, (len(labels), *part.shape[1:])), labels[:, None], axis=2)
        for part in (form.left, form.right)
    )
    dense = _dense(_Form(left, right, form.diagonal[labels]))
    linear = left.swapaxes(1, 2) @ (form.right @ absent) + right.swapaxes(1, 2) @ (form.left @ absent)
    return _Within(dense, linear.swapaxes(1, 2), _values(form, absent))


def _permuted(
    present: Bool[np.ndarray, "expert label"],
    truth: Float64[np.ndarray, "label target"],
    orders: Int64[np.ndarray, "order label"],
) -> Float64[np.ndarray, "expert target order present"]:
    """Return the targets of the labels present in each of the orders.

    What is left of a common order, without the labels that an expert lacks, is a random order of those that it has.
    """
    in_order = truth.T[:, orders]
    if present.all():
        return np.broadcast_to(in_order, (len(present), *in_order.shape))
    kept = np.flatnonzero(present[:, orders]).reshape(len(present), -1)
    kept -= orders.size * np.arange(len(present))[:, None]
    chosen = np.take(in_order.reshape(len(in_order), -1), kept, axis=1)
    return chosen.reshape(len(in_order), len(present), len(orders), -1).swapaxes(0, 1)


def _error_form(given: Sums, penalty: float) -> _Form:
    """Return the squared error of cross-validated fits as a form in the targets of the labels, for every expert."""
    test_gram, test = given.by_fold()[:, :-1], given.by_label()[:, :-1]
    train_gram, train = others(test_gram, axis=1), others(test, axis=1)
    rows = given.label_rows()[:-1]
    fitted = fit(train_gram, train.swapaxes(2, 3), penalty)
    silent, silent_train = rows - test[..., -1], others(rows, axis=0) - train[..., -1]
    some = silent_train.sum(axis=2, keepdims=True) > 0
    weights = np.where(some, silent_train, others(rows, axis=0))
    weights = weights / weights.sum(axis=2, keepdims=True)
    left = np.concatenate([fitted, weights[:, :, None]], axis=2)
    of_active = test_gram @ fitted / 2 - test.swapaxes(2, 3)
    of_silent = silent.sum(axis=2, keepdims=True) * weights / 2 - silent
    right = np.concatenate([of_active, of_silent[:, :, None]], axis=2)
    shape = (given.n_experts, _form_parts(given), given.rows.n_labels)
    return _Form(left.reshape(shape), right.reshape(shape), rows.sum(axis=0))


def _variance_form(given: Sums) -> _Form:
    """Return the variance of all test rows around the mean of the training rows as a form, the same for all experts."""
    rows = given.label_rows()[:-1]
    train = others(rows, axis=0)
    weights = train / train.sum(axis=1, keepdims=True)
    return _Form(weights[None], (rows.sum(axis=1, keepdims=True) * weights / 2 - rows)[None], rows.sum(axis=0))


def _dense(form: _Form) -> Float64[np.ndarray, "expert label label"]:
    """Return Q itself."""
    dense = form.left.swapaxes(1, 2) @ form.right
    dense = dense + dense.swapaxes(1, 2)
    index = np.arange(dense.shape[1])
    dense[:, index, index] += form.diagonal
    return dense


def _values(form: _Form, targets: Float64[np.ndarray, "expert label target"]) -> Float64[np.ndarray, "expert"]:
    """Return T' Q T summed over targets."""
    crossed = (form.left @ targets) * (form.right @ targets)
    return 2 * crossed.sum(axis=(1, 2)) + (targets**2).sum(axis=2) @ form.diagonal
