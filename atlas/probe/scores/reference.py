"""The reference's protocol: Fisher ratio, continuity and four probes on an expert's active rows alone, in folds of rows.

It is offered so that its figures can be repeated. Its folds share templates and it has no null, so no claim rests on it. All
numbers equal those of the loops and scikit-learn pipelines that they stand for, but all experts are computed at once.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from numpy.typing import NDArray

from atlas.probe.scores.arrays import Fired
from atlas.probe.scores.batches import Block, Grouped, blocks, grouped, is_constant, means
from atlas.probe.scores.newton import Problems, fit, standard_weights, told

Probe = Literal["linear", "ridge", "logistic", "multinomial"]

KEPT_SHARE = 0.10
"""An expert is kept if it fires on this share of the rows."""

MAX_ROWS = 1000
"""Active rows of an expert that are used."""

N_FOLDS = 5
N_NEIGHBOURS = 10
WITHIN = 1e-6
"""Added to the diagonal of the scatter within classes."""

RIDGE_PENALTY = 1.0
RANK = 1e-6
"""Least singular value, as a share of the largest, that least squares uses: scikit-learn's LinearRegression since 1.9."""

CONTINUITY_NUMBERS = 4_000_000


class Folded(NamedTuple):
    """A probe's score on every expert: R², balanced accuracy (logistic) or macro F1 (multinomial); NaN where it has none."""

    mean: Float64[np.ndarray, "expert"]
    """Over folds."""
    std: Float64[np.ndarray, "expert"]
    """Over folds, of the population."""


def reference_firings(fired: Fired, n_rows: int, n_experts: int, seed: int) -> tuple[Fired, Bool[np.ndarray, "expert"]]:
    """Return the firings that the protocol looks at, by expert and row, and which experts it keeps.

    Kept is an expert that fires on at least max(1, int(0.10 · rows)) rows. Of more than 1,000, those of the smallest hash of
    (seed, row, expert) are taken.
    """
    row, expert = fired.row.astype(np.int64), fired.expert.astype(np.int64)
    kept = np.bincount(expert, minlength=n_experts) >= max(1, int(KEPT_SHARE * n_rows))
    index = np.flatnonzero(kept[expert])
    index = index[np.lexsort((_hashes(seed, row[index], expert[index]), expert[index]))]
    n = np.bincount(expert[index], minlength=n_experts)
    index = index[np.arange(len(index)) - np.repeat(np.cumsum(n) - n, n) < MAX_ROWS]
    index = index[np.lexsort((row[index], expert[index]))]
    return Fired(row[index], expert[index], fired.code[index]), kept


def fisher(codes: Float[np.ndarray, "point d_code"], labels: Int64[np.ndarray, "point"]) -> float:
    """Return tr(S_W⁻¹ S_B) of labelled codes; classes of one point are in neither, though in the mean of all.

    S_W = Σ_c Σ_j (x_j - μ_c)(x_j - μ_c)' + 1e-6 I and S_B = Σ_c n_c (μ_c - μ)(μ_c - μ)', sums and not averages. Where S_W is
    singular, tr S_B / tr S_W.
    """
    return float(fisher_ratios(_alone(codes), 1, labels)[0])


def adjusted_fisher(codes: Float[np.ndarray, "point d_code"], labels: Int64[np.ndarray, "point"], n_labels: int) -> float:
    """Return Fisher's ratio times the share of the task's labels that occur among the points."""
    return fisher(codes, labels) * len(np.unique(labels)) / n_labels


def fisher_ratios(fired: Fired, n_experts: int, label_of: Int64[np.ndarray, "row"]) -> Float64[np.ndarray, "expert"]:
    """Return every expert's `fisher` over the rows that it fires on; NaN where it fires on none."""
    expert, code = fired.expert.astype(np.int64), fired.code.astype(np.float64)
    d_code = code.shape[1]
    # One cell per (expert, label) that occurs: few of all that could.
    n_labels = int(label_of.max(initial=0)) + 1
    found, cell, size = np.unique(expert * n_labels + label_of[fired.row], return_inverse=True, return_counts=True)
    owner = found // n_labels
    n = np.bincount(expert, minlength=n_experts)

    mean = means(expert, code, n)
    centred = code - mean[expert]
    of_cell = means(cell, centred, size)
    inside = (centred - of_cell[cell]) * (size >= 2)[cell, None]
    between = of_cell * np.sqrt(np.where(size >= 2, size, 0))[:, None]

    def scatter(where: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
        whole = np.empty((n_experts, d_code, d_code))
        for i in range(d_code):
            for j in range(i + 1):
                whole[:, i, j] = whole[:, j, i] = np.bincount(where, weights=values[:, i] * values[:, j], minlength=n_experts)
        return whole

    s_w, s_b = scatter(expert, inside) + WITHIN * np.eye(d_code), scatter(owner, between)
    # Beside a very large scatter 1e-6 is lost to rounding.
    singular = np.linalg.matrix_rank(s_w, hermitian=True) < d_code
    solved = np.linalg.solve(np.where(singular[:, None, None], np.eye(d_code), s_w), s_b)
    ratio = np.where(singular, _trace(s_b) / _trace(s_w), _trace(solved))
    return np.where(n > 0, ratio, np.nan)


def continuity(codes: Float[np.ndarray, "point d_code"], activations: Float[np.ndarray, "point d_in"]) -> float:
    """Return the mean cosine between a point's activation and those of the 10 points with the nearest codes; NaN below 11 points.

    A point is not its own neighbour, whatever other points share its code. Of equally near points the first are taken.
    """
    return float(continuities(_alone(codes), 1, activations)[0])


def continuities(fired: Fired, n_experts: int, activations: Float[np.ndarray, "row d_in"]) -> Float64[np.ndarray, "expert"]:
    """Return every expert's `continuity` over the rows that it fires on."""
    length = np.linalg.norm(activations, axis=1, keepdims=True)
    unit = np.divide(activations, length, out=np.zeros_like(activations), where=length > 0)
    order = np.lexsort((fired.row, fired.expert))
    row, expert, code = fired.row[order].astype(np.int64), fired.expert[order].astype(np.int64), fired.code[order]
    n = np.bincount(expert, minlength=n_experts)
    first = (np.cumsum(n) - n)[expert]
    places = np.flatnonzero(n[expert] > N_NEIGHBOURS)
    total = np.zeros(len(row))
    width = max(int(n.max(initial=0)), N_NEIGHBOURS * unit.shape[1], 1)
    for chosen in np.array_split(places, max(1, -(-len(places) * width // CONTINUITY_NUMBERS))):
        if not len(chosen):
            continue
        longest = np.arange(n[expert[chosen]].max())
        other = first[chosen, None] + longest
        there = (longest < n[expert[chosen], None]) & (other != chosen[:, None])
        other = np.where(there, other, 0)
        apart = np.zeros(other.shape)
        for column in code.T.astype(np.float64):
            apart += (column[other] - column[chosen, None]) ** 2
        apart[~there] = np.inf
        # The tenth least distance, and of those that equal it the first.
        limit = np.partition(apart, N_NEIGHBOURS - 1, axis=1)[:, N_NEIGHBOURS - 1, None]
        nearer, equal = apart < limit, apart == limit
        near = nearer | (equal & (equal.cumsum(axis=1) <= N_NEIGHBOURS - nearer.sum(axis=1, keepdims=True)))
        neighbour = row[other[near]].reshape(-1, N_NEIGHBOURS)
        total[chosen] = np.einsum("pd,pnd->p", unit[row[chosen]], unit[neighbour]) / N_NEIGHBOURS
    summed = np.bincount(expert, weights=total, minlength=n_experts)
    return np.where(n > N_NEIGHBOURS, summed / np.maximum(n, 1), np.nan)


def reference_scores(fired: Fired, n_experts: int, targets: Float64[np.ndarray, "row target"], kind: Probe) -> Folded:
    """Return each expert's cross-validated probe on the rows that it fires on, in their order.

    `targets` are of the row; a missing one is 0. Of classes, the first column is the class' number. Features are the code,
    standardised over each fold's training rows.

    - linear, ridge (α = 1): five contiguous folds; R², the mean over targets.
    - logistic: stratified folds in the rows' order, as many as the smallest class has rows but 2 to 5; classes weigh the same;
      balanced accuracy.
    - multinomial: the same folds, no weights; macro F1.

    NaN where scikit-learn would have no score: one class, a training fold of one class, a class of one row beside no larger one,
    fewer than two test rows for R².
    """
    row, expert = fired.row.astype(np.int64), fired.expert.astype(np.int64)
    given = grouped(row, expert, fired.code, n_experts)
    wanted = np.nan_to_num(targets, nan=0.0)
    if kind == "linear" or kind == "ridge":
        return _regression(given, wanted[given.row], RIDGE_PENALTY if kind == "ridge" else 0.0)
    classes = np.unique(wanted[given.row, 0], return_inverse=True)[1]
    return _classification(given, classes, kind == "logistic")


def _regression(given: Grouped, target: Float64[np.ndarray, "firing target"], penalty: float) -> Folded:
    n_experts, n_targets = len(given.n), target.shape[1]
    place = np.arange(len(given.row)) - given.first[given.expert]
    size, longer = np.divmod(given.n, N_FOLDS)
    edge = longer * (size + 1)
    at, short = size[given.expert], edge[given.expert]
    fold = np.where(place < short, place // (at + 1), longer[given.expert] + (place - short) // np.maximum(at, 1))
    score = np.full((n_experts, N_FOLDS), np.nan)
    n_columns = given.code.shape[1] + n_targets
    for block in blocks(given, given.n, N_FOLDS * n_columns):
        score[block.expert] = _r2(given, block, np.where(block.there, fold[block.firing], -1), target, penalty)
    # R² of a single row is not defined.
    score[size < 2] = np.nan
    return Folded(score.mean(axis=1), score.std(axis=1))


def _r2(
    given: Grouped,
    block: Block,
    fold: Int64[np.ndarray, "unit place"],
    target: Float64[np.ndarray, "firing target"],
    penalty: float,
) -> Float64[np.ndarray, "unit fold"]:
    code, truth = given.code[block.firing] * block.there[..., None], target[block.firing] * block.there[..., None]
    d_code = code.shape[2]
    test = fold[:, None] == np.arange(N_FOLDS)[:, None]
    train = (block.there[:, None] & ~test).astype(np.float64)
    n = np.maximum(train.sum(axis=2), 1)[..., None]
    mean, middle = train @ code / n, train @ truth / n
    apart = (code[:, None] - mean[:, :, None]) * train[..., None]
    variance = (apart**2).sum(axis=2) / n
    width = np.sqrt(np.where(is_constant(variance, mean + given.middle[block.expert][:, None], n), 1.0, variance))
    known = (truth[:, None] - middle[:, :, None]) * train[..., None]
    # R of [X y] = QR holds R of X and Q'y, which is all that is needed of the rows.
    r: NDArray[Any] = np.asarray(np.linalg.qr(np.concatenate([apart / width[:, :, None], known], axis=3), mode="r"))
    u, s, v = np.linalg.svd(_first_lines(r[..., :d_code], d_code))
    along = np.swapaxes(u, -1, -2) @ _first_lines(r[..., d_code:], d_code)
    used = s > RANK * s[..., :1] if penalty == 0 else s > 0
    gain = np.divide(s, s**2 + penalty, out=np.zeros_like(s), where=used)
    weight = np.swapaxes(v, -1, -2) @ (gain[..., None] * along) / width[..., None]

    predicted = ((code[:, None] - mean[:, :, None]) @ weight + middle[:, :, None]) * test[..., None]
    held = truth[:, None] * test[..., None]
    count = np.maximum(test.sum(axis=2), 1)[..., None]
    around = held.sum(axis=2) / count
    spread = (((held - around[:, :, None]) * test[..., None]) ** 2).sum(axis=2)
    error = ((held - predicted) ** 2).sum(axis=2)
    # Equal numbers whose mean is rounded are still equal, and a residual of rounding alone is none.
    rounding = (count * np.finfo(np.float64).eps * np.abs(held).max(axis=2)) ** 2 * count
    flat, exact = spread <= rounding, error <= rounding
    score = 1 - np.divide(error, spread, out=np.ones_like(error), where=~flat)
    return np.where(exact, 1.0, np.where(flat, 0.0, score)).mean(axis=2)


def _first_lines(upper: Float64[np.ndarray, "unit fold line column"], n: int) -> Float64[np.ndarray, "unit fold n column"]:
    """Return the first lines, padded with zeros where there were fewer rows."""
    missing = max(0, n - upper.shape[2])
    return np.pad(upper[:, :, :n], ((0, 0), (0, 0), (0, missing), (0, 0)))


def _classification(given: Grouped, class_of: Int64[np.ndarray, "firing"], balanced: bool) -> Folded:
    n_experts, n_classes = len(given.n), int(class_of.max(initial=0)) + 1
    cell = given.expert * n_classes + class_of
    count = np.bincount(cell, minlength=n_experts * n_classes).reshape(n_experts, n_classes)
    least = np.where(count > 0, count, np.iinfo(np.int64).max).min(axis=1)
    n_folds = np.clip(least, 2, N_FOLDS)
    fold = _stratified(given, cell, count, n_folds)
    score = np.full((n_experts, N_FOLDS), np.nan)
    n_pairs = n_classes * (n_classes - 1) // 2
    n_features = given.code.shape[1] + 1
    for block in blocks(given, given.n, N_FOLDS * max(n_classes, n_pairs), N_FOLDS * n_pairs * n_features**2):
        score[block.expert] = _told_scores(given, block, fold, class_of, n_classes, balanced)
    used = np.arange(N_FOLDS) < n_folds[:, None]
    possible = ((count > 0).sum(axis=1) >= 2) & (count.max(axis=1) >= n_folds)
    score[~possible] = np.nan
    mean = np.where(used, score, 0).sum(axis=1) / n_folds
    std = np.sqrt(np.where(used, (score - mean[:, None]) ** 2, 0).sum(axis=1) / n_folds)
    return Folded(mean, std)


def _stratified(
    given: Grouped,
    cell: Int64[np.ndarray, "firing"],
    count: Int64[np.ndarray, "expert class"],
    n_folds: Int64[np.ndarray, "expert"],
) -> Int64[np.ndarray, "firing"]:
    """Return each firing's fold, as scikit-learn's StratifiedKFold deals them without shuffling.

    Classes stand one after another in the order of their first rows; place q of that line is of fold q mod n_folds. That says
    how many rows of a class go to each fold, and they go in runs, in the order of the rows.
    """
    n_experts, n_classes = count.shape
    order = np.argsort(cell, kind="stable")
    before = np.cumsum(count.ravel()) - count.ravel()
    place = np.empty(len(cell), dtype=np.int64)
    place[order] = np.arange(len(cell)) - before[cell[order]]
    first = np.full(n_experts * n_classes, len(cell))
    np.minimum.at(first, cell, np.arange(len(cell)))
    line = np.argsort(first.reshape(n_experts, n_classes), axis=1, kind="stable")
    sorted_count = np.take_along_axis(count, line, axis=1)
    start = np.empty_like(count)
    np.put_along_axis(start, line, sorted_count.cumsum(axis=1) - sorted_count, axis=1)
    fold = np.zeros(len(cell), dtype=np.int64)
    reached = np.zeros(n_experts * n_classes, dtype=np.int64)
    for number in range(N_FOLDS - 1):
        # Places q < x of the fold `number`: ceil((x - number) / n_folds).
        to, since = (-((number - x) // n_folds[:, None]) for x in (start + count, start))
        reached += np.where(number < n_folds[:, None], to - since, 0).ravel()
        fold += place >= reached[cell]
    return fold


def _told_scores(
    given: Grouped,
    block: Block,
    fold: Int64[np.ndarray, "firing"],
    class_of: Int64[np.ndarray, "firing"],
    n_classes: int,
    balanced: bool,
) -> Float64[np.ndarray, "unit fold"]:
    n_units = len(block.expert)
    unit, place = np.nonzero(block.there)
    firing = block.firing[unit, place]
    table = (n_units, N_FOLDS, n_classes)

    def tally(classes: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        cell = ((unit * N_FOLDS + fold[firing]) * n_classes + classes)[chosen]
        return np.bincount(cell, minlength=n_units * N_FOLDS * n_classes).reshape(table)

    truth = class_of[firing]
    everywhere = np.ones(len(firing), dtype=bool)
    held = tally(truth, everywhere)
    training = held.sum(axis=1, keepdims=True) - held
    weight = standard_weights(training) if balanced else np.ones(table)
    problems = Problems(
        given.code[block.firing],
        given.middle[block.expert],
        np.where(block.there, class_of[block.firing], -1),
        fold[block.firing],
    )
    guess = told(fit(problems, N_FOLDS, weight), unit, fold[firing], given.code[firing])
    right, said = tally(truth, guess == truth), tally(np.maximum(guess, 0), guess >= 0)
    of = held if balanced else held + said
    share = np.divide(right if balanced else 2 * right, of, out=np.zeros(table), where=of > 0)
    score = share.sum(axis=2) / np.maximum((of > 0).sum(axis=2), 1)
    # A single class cannot be fitted to.
    return np.where((training > 0).sum(axis=2) >= 2, score, np.nan)


def _alone(codes: Float[np.ndarray, "point d_code"]) -> Fired:
    """Return codes as the firings of one expert, on rows of their own."""
    return Fired(np.arange(len(codes)), np.zeros(len(codes), dtype=np.int64), codes)


def _trace(stack: NDArray[Any]) -> NDArray[Any]:
    return np.trace(stack, axis1=-2, axis2=-1)


def _hashes(seed: int, row: Int64[np.ndarray, "firing"], expert: Int64[np.ndarray, "firing"]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each firing, by splitmix64's finaliser (Steele, Lea and Flood 2014)."""
    found = np.full(len(row), seed % 2**64, dtype=np.uint64)
    for part in (row, expert):
        found = found + part.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found = found ^ (found >> np.uint64(31))
    return found
