"""Logistic and multinomial regression of many units at once, each on many subsets of its rows, by Newton's method.

The objective is that of scikit-learn's LogisticRegression with C = 1: half the squared length of the weights, less the weighted
log-likelihood; features standardised over the rows that are fitted to, the constant free. Newton's method on it is iteratively
reweighted least squares (Bishop 2006, Pattern Recognition and Machine Learning, sections 4.3.3 and 4.3.4).

All fits of a unit share its rows. A fit is told by the group of rows that it does without, so that one product of matrices gives
the logits of all fits, and one their Hessians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from atlas.errors import TaskError
from atlas.probe.scores.batches import is_constant

MAX_CLASSES = 64
"""A fit solves for as many numbers as there are classes times features: its time grows with the cube of the classes."""

GRADIENT = 1e-10
"""Largest gradient of a fit that has converged, per unit of its rows' weight; Newton's next step would be about its square."""

MAX_STEPS = 200
MAX_HALVINGS = 40
ARMIJO = 1e-4
"""Share of the promised descent that a step must bring."""

TIE = 1e-9
"""Logits nearer than this are equal, and the first class is taken: what separates them is rounding."""


class Problems(NamedTuple):
    """Labelled rows of many units, padded to one length."""

    feature: Float64[np.ndarray, "unit row feature"]
    """Without the constant."""
    middle: Float64[np.ndarray, "unit feature"]
    """What was taken from each feature before: below its rounding, a feature is constant."""
    class_of: Int64[np.ndarray, "unit row"]
    """-1 is padding."""
    group: Int64[np.ndarray, "unit row"]
    """Fit f does without the rows of group f."""


class Fits(NamedTuple):
    """Linear functions of the features and a constant, one per class: the largest tells the class."""

    weight: Float64[np.ndarray, "unit fit class feature"]
    """The constant's last."""
    present: Bool[np.ndarray, "unit fit class"]
    """Classes that the fit has seen; no other is ever told."""


def fit(problems: Problems, n_fits: int, class_weight: Float64[np.ndarray, "unit fit class"], start: Fits | None = None) -> Fits:
    """Return every unit's fits, run to convergence from zero, or from the unit's one fit in `start`.

    With two classes among a fit's rows this is logistic regression, with more multinomial; of one, that one is always told.

    Raises:
        TaskError: there are more than `MAX_CLASSES` classes.
    """
    refuse_many(class_weight.shape[2])
    given = _given(problems, n_fits, class_weight)
    units, fits, classes, directions = given.basis.shape
    fitted = np.zeros((units, fits, directions, problems.feature.shape[2] + 1))
    if start is not None:
        fitted[:] = given.inner(start.weight)
    _minimise(given, fitted)
    return Fits(given.outer(fitted), given.present)


def refuse_many(n_classes: int) -> None:
    """Raise a TaskError if there are more classes than can be fitted in a reasonable time."""
    if n_classes > MAX_CLASSES:
        raise TaskError(f"{n_classes:,} classes are more than the {MAX_CLASSES} that a probe tells apart. Group them into fewer.")


def told(
    fits: Fits,
    unit: Int64[np.ndarray, "row"],
    number: Int64[np.ndarray, "row"],
    feature: Float64[np.ndarray, "row feature"],
) -> Int64[np.ndarray, "row"]:
    """Return the class that fit `number` of a row's unit tells of it, -1 if it has seen no class."""
    weight, present = fits.weight[unit, number], fits.present[unit, number]
    logit = (weight[:, :, :-1] * feature[:, None]).sum(axis=2) + weight[:, :, -1]
    logit = np.where(present, logit, -np.inf)
    first = (logit >= logit.max(axis=1, keepdims=True) - TIE).argmax(axis=1)
    return np.where(present.any(axis=1), first, -1)


@dataclass
class _Given:
    """What stays the same from step to step; features here are with the constant, which is last."""

    row: Float64[np.ndarray, "unit row feature"]
    products: Float64[np.ndarray, "unit row product"]
    """Of features i ≥ j, each once."""
    weight: Float64[np.ndarray, "unit fit row"]
    """0 where the fit does without the row."""
    seen: Float64[np.ndarray, "unit fit class feature"]
    """Weighted sums of each class' features."""
    present: Bool[np.ndarray, "unit fit class"]
    scale: Float64[np.ndarray, "unit fit feature feature"]
    """From features to those standardised over the fit's rows: standardised = scale · feature."""
    squared: Float64[np.ndarray, "unit fit product square"]
    """From sums of products of features to those of standardised features, all pairs."""
    basis: Float64[np.ndarray, "unit fit class direction"]
    """Orthonormal weights that sum to zero over the present classes; a direction too many is 0.

    Adding one vector to the weights of all classes changes nothing told, so the least weights sum to zero.
    """
    penalty: Float64[np.ndarray, "unit fit direction feature"]
    spare: Float64[np.ndarray, "unit fit direction"]
    """1 where the direction is one too many."""
    tolerance: Float64[np.ndarray, "unit fit"]

    def outer(self, fitted: Float64[np.ndarray, "unit fit direction feature"]) -> Float64[np.ndarray, "unit fit class feature"]:
        """Return weights per class, of the features as given."""
        return self.basis @ (fitted @ self.scale)

    def inner(self, weight: Float64[np.ndarray, "unit one class feature"]) -> Float64[np.ndarray, "unit fit direction feature"]:
        """Return what `outer` makes such weights of."""
        return _turned(self.basis) @ weight @ np.linalg.inv(self.scale)

    def take(self, chosen: Bool[np.ndarray, "unit"]) -> _Given:
        return _Given(*(value[chosen] for value in vars(self).values()))


class _At(NamedTuple):
    """Where a search stands."""

    value: Float64[np.ndarray, "unit fit"]
    chance: Float64[np.ndarray, "unit class fit row"]


def _given(problems: Problems, n_fits: int, class_weight: Float64[np.ndarray, "unit fit class"]) -> _Given:
    there = problems.class_of >= 0
    used = (there[:, None] & (problems.group[:, None] != np.arange(n_fits)[:, None])).astype(np.float64)
    row = np.concatenate([problems.feature * there[..., None], there[..., None]], axis=2)
    n_features, n_classes = row.shape[2], class_weight.shape[2]

    n = used.sum(axis=2)
    mean = used @ row[..., :-1] / np.maximum(n, 1)[..., None]
    square = [(used * (row[:, None, :, i] - mean[..., i, None]) ** 2).sum(axis=2) for i in range(n_features - 1)]
    variance = np.stack(square, axis=2) / np.maximum(n, 1)[..., None]
    constant = is_constant(variance, mean + problems.middle[:, None], n[..., None])
    width = np.sqrt(np.where(constant, 1.0, variance))
    scale = np.zeros((*n.shape, n_features, n_features))
    scale[..., np.arange(n_features), np.arange(n_features)] = np.concatenate([1 / width, np.ones_like(n)[..., None]], axis=2)
    scale[..., :-1, -1] = -mean / width
    i, j = np.tril_indices(n_features)
    squared = scale[..., :, None, i] * scale[..., None, :, j]
    squared += np.where(i == j, 0.0, scale[..., :, None, j] * scale[..., None, :, i])

    one_hot = (problems.class_of[..., None] == np.arange(n_classes)).astype(np.float64)
    weight = used * (class_weight @ _turned(one_hot))
    seen = weight @ (one_hot[..., None] * row[:, :, None]).reshape(*row.shape[:2], -1)
    present = (used @ one_hot > 0) & (class_weight > 0)
    basis, spare = _basis(present)
    # Two classes share the weights of what is otherwise one logistic regression: w = w1 - w0 has half their penalty.
    strength = np.where(present.sum(axis=2) == 2, 2.0, 1.0)
    penalty = np.repeat((strength[..., None] * (1 - spare))[..., None], n_features, axis=3)
    penalty[..., -1] = 0
    return _Given(
        row=row,
        products=row[..., i] * row[..., j],
        weight=weight,
        seen=seen.reshape(*n.shape, n_classes, n_features),
        present=present,
        scale=scale,
        squared=_turned(squared.reshape(*n.shape, -1, len(i))),
        basis=basis,
        penalty=penalty,
        spare=spare,
        tolerance=GRADIENT * (1 + weight.sum(axis=2)),
    )


def _basis(
    present: Bool[np.ndarray, "unit fit class"],
) -> tuple[Float64[np.ndarray, "unit fit class direction"], Float64[np.ndarray, "unit fit direction"]]:
    """Return Helmert's contrasts of the present classes: the j-th is the mean of the first j against the next one."""
    n_classes = present.shape[2]
    j = np.arange(1, n_classes)
    rank = np.arange(n_classes)[:, None]
    contrast = np.where(rank < j, 1.0, np.where(rank == j, -j, 0.0)) / np.sqrt(j * (j + 1))
    spare = (j >= present.sum(axis=2, keepdims=True)).astype(np.float64)
    basis = contrast[np.maximum(present.cumsum(axis=2) - 1, 0)] * present[..., None] * (1 - spare)[:, :, None]
    return basis, spare


def _minimise(given: _Given, fitted: Float64[np.ndarray, "unit fit direction feature"]) -> None:
    """Bring every fit to its minimum, in place. Units whose fits have all converged are dropped once they are many."""
    left = np.arange(len(fitted))
    here = fitted.copy()
    at = _at(given, here)
    stuck = np.zeros(at.value.shape, dtype=bool)
    for _ in range(MAX_STEPS):
        gradient = _gradient(given, here, at)
        done = stuck | (np.abs(gradient).max(axis=(2, 3), initial=0) <= given.tolerance)
        going = ~done.all(axis=1)
        if going.sum() <= len(left) * 0.7:
            fitted[left[~going]] = here[~going]
            left, given, here, gradient = left[going], given.take(going), here[going], gradient[going]
            at, stuck, done = _At(at.value[going], at.chance[going]), stuck[going], done[going]
        if not len(left):
            return
        step = np.where(done[..., None, None], 0.0, _step(given, gradient, at))
        here, at, failed = _descend(given, here, at, step, (gradient * step).sum(axis=(2, 3)))
        # No shorter step goes down either: the rest is rounding.
        stuck |= failed
    raise ArithmeticError(f"{int((~done).sum())} fits have not converged in {MAX_STEPS} steps: a code may be infinite.")


def _at(given: _Given, fitted: Float64[np.ndarray, "unit fit direction feature"]) -> _At:
    """Return the objective, and each row's probability of each class."""
    outer = given.outer(fitted)
    units, fits, classes, features = outer.shape
    weight = outer.transpose(0, 2, 1, 3).reshape(units, classes * fits, features)
    logit = (weight @ _turned(given.row)).reshape(units, classes, fits, -1)
    absent = ~given.present.transpose(0, 2, 1)
    if absent.any():
        logit[absent] = -np.inf
    # A fit that saw no class has no largest one; its rows weigh nothing.
    highest = np.maximum(logit.max(axis=1), -1e300)
    logit -= highest[:, None]
    chance = np.exp(logit, out=logit)
    total = np.maximum(chance.sum(axis=1), 1e-300)
    chance /= total[:, None]
    highest += np.log(total)
    likelihood = np.einsum("ufr,ufr->uf", given.weight, highest) - (outer * given.seen).sum(axis=(2, 3))
    return _At(likelihood + 0.5 * (given.penalty * fitted**2).sum(axis=(2, 3)), chance)


def _gradient(
    given: _Given, fitted: Float64[np.ndarray, "unit fit direction feature"], at: _At
) -> Float64[np.ndarray, "unit fit direction feature"]:
    units, classes, fits, rows = at.chance.shape
    expected = (at.chance * given.weight[:, None]).reshape(units, classes * fits, rows) @ given.row
    excess = expected.reshape(units, classes, fits, -1).transpose(0, 2, 1, 3) - given.seen
    return _turned(given.basis) @ excess @ _turned(given.scale) + given.penalty * fitted


def _step(
    given: _Given, gradient: Float64[np.ndarray, "unit fit direction feature"], at: _At
) -> Float64[np.ndarray, "unit fit direction feature"]:
    """Return Newton's step.

    Over classes, the Hessian is Σ h_ab (e_a - e_b)(e_a - e_b)' with one h_ab = Σ s p_a p_b x x' per pair of classes: its lines
    sum to zero, so nothing else is summed over rows.
    """
    units, classes, fits, rows = at.chance.shape
    directions, features = gradient.shape[2:]
    a, b = np.tril_indices(classes, -1)
    pair = np.empty((units, len(a), fits, rows))
    for k in range(len(a)):
        np.multiply(at.chance[:, a[k]], at.chance[:, b[k]], out=pair[:, k])
    pair *= given.weight[:, None]
    summed = pair.reshape(units, len(a) * fits, rows) @ given.products
    summed = summed.reshape(units, len(a), fits, given.products.shape[2]).transpose(0, 2, 1, 3)
    block = np.zeros((units, fits, classes, classes, features**2))
    block[:, :, a, b] = block[:, :, b, a] = -(summed @ given.squared)
    block[:, :, np.arange(classes), np.arange(classes)] = -block.sum(axis=3)
    inward = _turned(given.basis)
    half = inward @ block.reshape(units, fits, classes, classes * features**2)
    hessian = inward[:, :, None] @ half.reshape(units, fits, directions, classes, features**2)
    hessian = hessian.reshape(units, fits, directions, directions, features, features)
    hessian = hessian.transpose(0, 1, 2, 4, 3, 5).reshape(units, fits, directions * features, directions * features)
    # The constant is not penalised: where all rows are told beyond doubt its curvature may round to 0.
    floor = given.penalty + given.spare[..., None] + 0.01 * given.tolerance[..., None, None]
    index = np.arange(directions * features)
    hessian[..., index, index] += floor.reshape(units, fits, -1)
    return -np.linalg.solve(hessian, gradient.reshape(units, fits, -1, 1)).reshape(gradient.shape)


def _descend(
    given: _Given,
    here: Float64[np.ndarray, "unit fit direction feature"],
    at: _At,
    step: Float64[np.ndarray, "unit fit direction feature"],
    slope: Float64[np.ndarray, "unit fit"],
) -> tuple[Float64[np.ndarray, "unit fit direction feature"], _At, Bool[np.ndarray, "unit fit"]]:
    """Return the place a step on, the step halved wherever it does not bring enough; and where no halving helps."""
    share = np.ones(slope.shape)
    slack = 1e-13 * (1 + np.abs(at.value))
    for _ in range(MAX_HALVINGS):
        there = here + share[..., None, None] * step
        tried = _at(given, there)
        short = ~(tried.value <= at.value + ARMIJO * share * slope + slack)
        if not short.any():
            # A step that was halved and still descends by nothing is one that the slack alone let pass.
            return there, tried, (share < 1) & (tried.value >= at.value)
        share = np.where(short, share / 2, share)
    there = here + np.where(short, 0.0, share)[..., None, None] * step
    tried = _at(given, there)
    return there, tried, short | ((share < 1) & (tried.value >= at.value))


def _turned(stack: NDArray[Any]) -> NDArray[Any]:
    """Return the transposed matrices of a stack."""
    return stack.swapaxes(-1, -2)


def standard_weights(n: Int64[np.ndarray, "*any class"]) -> Float64[np.ndarray, "*any class"]:
    """Return the weight of each class, last axis of the numbers of rows, with which all classes weigh as much; 0 for none."""
    known = n > 0
    share = n.sum(axis=-1, keepdims=True) / np.maximum(known.sum(axis=-1, keepdims=True), 1)
    return np.divide(share, n, out=np.zeros(n.shape), where=known)
