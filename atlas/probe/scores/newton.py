"""Logistic and multinomial regression of many units at once, each on many subsets of its rows, by Newton's method.

The objective is that of scikit-learn's LogisticRegression with C = 1: half the squared length of the weights, less the weighted
log-likelihood; features standardised over the rows that are fitted to, the constant free. Newton's method on it is iteratively
reweighted least squares (Bishop 2006, Pattern Recognition and Machine Learning, sections 4.3.3 and 4.3.4).

All fits of a unit share its rows. A fit is told by the group of rows that it does without, so that one product of matrices gives the
logits of all fits, and one their Hessians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int, Int64
from torch import Tensor

from atlas.probe.scores.batches import EPSILON

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


def fit(
    problems: Problems, n_fits: int, class_weight: Float64[np.ndarray, "unit fit class"], start: Fits | None = None
) -> Fits:
    """Return every unit's fits, run to convergence from zero, or from the unit's one fit in `start`.

    With two classes among a fit's rows this is logistic regression, with more multinomial; of one, that one is always told.
    """
    if not len(problems.feature):
        return Fits(np.zeros((0, n_fits, class_weight.shape[2], problems.feature.shape[2] + 1)), np.zeros(class_weight.shape, bool))
    given = _given(problems, n_fits, class_weight)
    fitted = torch.zeros((*given.basis.shape[:2], given.basis.shape[3], given.row.shape[2]), dtype=torch.float64)
    if start is not None:
        fitted = given.inner(torch.from_numpy(start.weight)).clone()
    _minimise(given, fitted)
    return Fits(given.outer(fitted).numpy(), given.present.numpy())


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

    row: Float64[Tensor, "unit row feature"]
    products: Float64[Tensor, "unit row product"]
    """Of features i ≥ j, each once."""
    weight: Float64[Tensor, "unit fit row"]
    """0 where the fit does without the row."""
    seen: Float64[Tensor, "unit fit class feature"]
    """Weighted sums of each class' features."""
    present: Bool[Tensor, "unit fit class"]
    scale: Float64[Tensor, "unit fit feature feature"]
    """From features to those standardised over the fit's rows: standardised = scale · feature."""
    basis: Float64[Tensor, "unit fit class direction"]
    """Orthonormal weights that sum to zero over the present classes; a direction too many is 0.

    Adding one vector to the weights of all classes changes nothing told, so the least weights sum to zero.
    """
    penalty: Float64[Tensor, "unit fit direction feature"]
    spare: Float64[Tensor, "unit fit direction"]
    """1 where the direction is one too many."""
    tolerance: Float64[Tensor, "unit fit"]

    def outer(self, fitted: Float64[Tensor, "unit fit direction feature"]) -> Float64[Tensor, "unit fit class feature"]:
        """Return weights per class, of the features as given."""
        return self.basis @ (fitted @ self.scale)

    def inner(self, weight: Float64[Tensor, "unit one class feature"]) -> Float64[Tensor, "unit fit direction feature"]:
        """Return what `outer` makes such weights of."""
        return self.basis.transpose(2, 3) @ weight @ torch.linalg.inv(self.scale)

    def take(self, chosen: Int[Tensor, "some"]) -> _Given:
        return _Given(*(value[chosen] for value in vars(self).values()))


class _At(NamedTuple):
    """Where a search stands."""

    value: Float64[Tensor, "unit fit"]
    chance: Float64[Tensor, "unit fit class row"]


def _given(problems: Problems, n_fits: int, class_weight: Float64[np.ndarray, "unit fit class"]) -> _Given:
    class_of, group = torch.from_numpy(problems.class_of), torch.from_numpy(problems.group)
    feature = torch.from_numpy(problems.feature)
    there = class_of >= 0
    used = (there[:, None] & (group[:, None] != torch.arange(n_fits)[:, None])).double()
    row = torch.cat([feature * there[..., None], there[..., None].double()], dim=2)
    n_features = row.shape[2]

    n = used.sum(dim=2)
    mean = used @ row[..., :-1] / n.clamp(min=1)[..., None]
    variance = torch.stack(
        [(used * (row[:, None, :, i] - mean[..., i, None]) ** 2).sum(dim=2) for i in range(n_features - 1)], dim=2
    ) / n.clamp(min=1)[..., None]
    far = mean + torch.from_numpy(problems.middle)[:, None]
    constant = variance <= n[..., None] * EPSILON * variance + (n[..., None] * far * EPSILON) ** 2
    width = torch.where(constant, 1.0, variance.sqrt())
    scale = torch.diag_embed(torch.cat([1 / width, torch.ones_like(n)[..., None]], dim=2))
    scale[..., :-1, -1] = -mean / width

    n_classes = class_weight.shape[2]
    one_hot = (class_of[..., None] == torch.arange(n_classes)).double()
    weight = used * (torch.from_numpy(class_weight) @ one_hot.transpose(1, 2))
    seen = torch.stack([(weight * one_hot[:, None, :, k]) @ row for k in range(n_classes)], dim=2)
    present = (used @ one_hot > 0) & torch.from_numpy(class_weight > 0)
    basis, spare = _basis(present)
    # Two classes share the weights of what is otherwise one logistic regression: w = w1 - w0 has half their penalty.
    strength = torch.where(present.sum(dim=2) == 2, 2.0, 1.0)
    penalty = (strength[..., None] * (1 - spare))[..., None].repeat(1, 1, 1, n_features)
    penalty[..., -1] = 0
    i, j = torch.tril_indices(n_features, n_features)
    return _Given(
        row=row,
        products=row[..., i] * row[..., j],
        weight=weight,
        seen=seen,
        present=present,
        scale=scale,
        basis=basis,
        penalty=penalty,
        spare=spare,
        tolerance=GRADIENT * (1 + weight.sum(dim=2)),
    )


def _basis(
    present: Bool[Tensor, "unit fit class"],
) -> tuple[Float64[Tensor, "unit fit class direction"], Float64[Tensor, "unit fit direction"]]:
    """Return Helmert's contrasts of the present classes: the j-th is the mean of the first j against the next one."""
    n_classes = present.shape[2]
    j = torch.arange(1, max(n_classes, 2), dtype=torch.float64)
    rank = torch.arange(n_classes, dtype=torch.float64)[:, None]
    contrast = torch.where(rank < j, 1.0, torch.where(rank == j, -j, 0.0)) / (j * (j + 1)).sqrt()
    place = (present.long().cumsum(dim=2) - 1).clamp(min=0)
    spare = (j >= present.sum(dim=2, keepdim=True)).double()
    return contrast[place] * present[..., None] * (1 - spare)[:, :, None], spare


def _minimise(given: _Given, fitted: Float64[Tensor, "unit fit direction feature"]) -> None:
    """Bring every fit to its minimum, in place. Units whose fits have all converged are dropped once they are many."""
    left = torch.arange(len(fitted))
    here = fitted.clone()
    at = _at(given, here)
    stuck = torch.zeros_like(at.value, dtype=torch.bool)
    for _ in range(MAX_STEPS):
        gradient = _gradient(given, here, at)
        done = stuck | (gradient.abs().amax(dim=(2, 3)) <= given.tolerance)
        going = ~done.all(dim=1)
        if not going.any():
            fitted[left] = here
            return
        if going.sum() <= len(left) * 0.7:
            fitted[left[~going]] = here[~going]
            chosen = going.nonzero()[:, 0]
            left, given, here, gradient = left[chosen], given.take(chosen), here[chosen], gradient[chosen]
            at, stuck, done = _At(*(value[chosen] for value in at)), stuck[chosen], done[chosen]
        step = _step(given, gradient, at) * ~done[..., None, None]
        here, at, failed = _descend(given, here, at, step, (gradient * step).sum(dim=(2, 3)))
        # No shorter step goes down either: the rest is rounding.
        stuck |= failed
    raise ArithmeticError(f"{int((~done).sum())} fits have not converged in {MAX_STEPS} steps: a code may be infinite.")


def _at(given: _Given, fitted: Float64[Tensor, "unit fit direction feature"]) -> _At:
    """Return the objective, and each row's probability of each class."""
    outer = given.outer(fitted)
    units, fits, classes, features = outer.shape
    logit = (outer.reshape(units, fits * classes, features) @ given.row.transpose(1, 2)).reshape(units, fits, classes, -1)
    logit.masked_fill_(~given.present[..., None], -torch.inf)
    # A fit that saw no class has no largest one; its rows weigh nothing.
    highest = logit.amax(dim=2, keepdim=True).clamp(min=-1e300)
    chance = logit.sub_(highest).exp_()
    total = chance.sum(dim=2, keepdim=True).clamp(min=1e-300)
    chance /= total
    likelihood = (given.weight * (highest + total.log())[:, :, 0]).sum(dim=2) - (outer * given.seen).sum(dim=(2, 3))
    return _At(likelihood + 0.5 * (given.penalty * fitted**2).sum(dim=(2, 3)), chance)


def _gradient(
    given: _Given, fitted: Float64[Tensor, "unit fit direction feature"], at: _At
) -> Float64[Tensor, "unit fit direction feature"]:
    units, fits, classes, rows = at.chance.shape
    expected = (at.chance * given.weight[:, :, None]).reshape(units, fits * classes, rows) @ given.row
    excess = expected.reshape(units, fits, classes, -1) - given.seen
    return given.basis.transpose(2, 3) @ excess @ given.scale.transpose(2, 3) + given.penalty * fitted


def _step(
    given: _Given, gradient: Float64[Tensor, "unit fit direction feature"], at: _At
) -> Float64[Tensor, "unit fit direction feature"]:
    """Return Newton's step.

    Of the Hessian over classes only the parts off the diagonal, -Σ s p_a p_b x x', are summed: its lines sum to zero.
    """
    units, fits, classes, rows = at.chance.shape
    n_features = given.row.shape[2]
    directions = gradient.shape[2]
    a, b = torch.tril_indices(classes, classes, offset=-1)
    pair = (at.chance * given.weight[:, :, None])[:, :, a] * at.chance[:, :, b]
    summed = (pair.reshape(units, -1, rows) @ given.products).reshape(units, fits, len(a), given.products.shape[2])
    i, j = torch.tril_indices(n_features, n_features)
    block = torch.empty((units, fits, len(a), n_features, n_features), dtype=torch.float64)
    block[..., i, j] = block[..., j, i] = summed
    block = given.scale[:, :, None] @ block @ given.scale[:, :, None].transpose(3, 4)
    # Σ_pairs h (e_a - e_b)(e_a - e_b)' is that Hessian, so in the basis each pair brings the difference of two of its rows.
    difference = given.basis[:, :, a] - given.basis[:, :, b]
    outer = difference[..., :, None] * difference[..., None, :]
    hessian = outer.flatten(3).transpose(2, 3) @ block.flatten(3)
    hessian = hessian.reshape(units, fits, directions, directions, n_features, n_features).transpose(3, 4)
    hessian = hessian.reshape(units, fits, directions * n_features, directions * n_features)
    # The constant is not penalised: where all rows are told beyond doubt its curvature may round to 0.
    floor = given.penalty + given.spare[..., None] + 1e-2 * given.tolerance[..., None, None]
    hessian.diagonal(dim1=2, dim2=3).add_(floor.flatten(2))
    solved = np.linalg.solve(hessian.numpy(), gradient.flatten(2)[..., None].numpy())
    return -torch.from_numpy(solved).reshape(gradient.shape)


def _descend(
    given: _Given,
    here: Float64[Tensor, "unit fit direction feature"],
    at: _At,
    step: Float64[Tensor, "unit fit direction feature"],
    slope: Float64[Tensor, "unit fit"],
) -> tuple[Float64[Tensor, "unit fit direction feature"], _At, Bool[Tensor, "unit fit"]]:
    """Return the place a step on, the step halved wherever it does not bring enough; and where no halving helps."""
    share = torch.ones_like(slope)
    slack = 1e-13 * (1 + at.value.abs())
    for _ in range(MAX_HALVINGS):
        there = here + share[..., None, None] * step
        tried = _at(given, there)
        short = ~(tried.value <= at.value + ARMIJO * share * slope + slack)
        if not short.any():
            return there, tried, short
        share = torch.where(short, share / 2, share)
    there = here + torch.where(short, 0.0, share)[..., None, None] * step
    return there, _at(given, there), short


def standard_weights(n: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the weight of each class, last axis of the numbers of rows, with which all classes weigh as much; 0 for none."""
    known = n > 0
    share = n.sum(axis=-1, keepdims=True) / np.maximum(known.sum(axis=-1, keepdims=True), 1)
    return np.divide(share, n, out=np.zeros(n.shape), where=known)
