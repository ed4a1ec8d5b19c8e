"""Gaussians in code space that a gate cuts a ball out of: fitted by their moments outside the ball, and drawn from.

The gate lets through ‖z‖ > θ, which makes holes, caps and shells of what has no structure. Of all distributions outside the ball
with a given mean and covariance the Gaussian restricted to it has the largest entropy, so that it is the null of "nothing but
these". Integrals are taken in polar coordinates: along a direction the density is r^(d−1)·exp(−a·r²/2 + b·r), log-concave, so
that a few Gauss–Legendre nodes on the interval that holds it suffice, however deep the gate cuts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

N_DIRECTIONS = 1024
N_RADII = 16
N_STEPS = 60
INFLATED = 2.0
"""Directions are proposed from a Gaussian of the sample's mean and so many times its deviations."""
PRIOR = 0.003
"""Weight of the pull towards the sample's own covariance. A tail heavier than any Gaussian's would else be matched by one that is
infinitely wide and all but cut away."""
REJECTED = 100
"""At most so many directions are tried for one that is taken: what would need more is drawn less often than it should be."""
FAR = 4
"""One direction in so many is proposed on the far side of the origin."""
THINNEST = 0.02
"""Of the widest axis: deviations below are raised to it, since a Gaussian on a line has no density."""


class Gated(NamedTuple):
    """The density exp(−zᵀPz/2 + hᵀz) outside the ball of radius `threshold`, and the directions it is drawn by."""

    precision: Float64[np.ndarray, "d_code d_code"]
    linear: Float64[np.ndarray, "d_code"]
    threshold: float
    mean: Float64[np.ndarray, "d_code"]
    """That it has outside the ball; so is the covariance."""
    covariance: Float64[np.ndarray, "d_code d_code"]
    misfit: float
    """Largest difference of mean or covariance from what was asked for, in the sample's deviations; 0 is a perfect match."""


def fit(
    mean: Float64[np.ndarray, "d_code"], covariance: Float64[np.ndarray, "d_code d_code"], threshold: float, seed: int
) -> Gated:
    """Return the gated Gaussian that has this mean and covariance outside the ball, or the nearest.

    By Newton's method on the likelihood, concave in (P, h), in coordinates where the sample is white. `covariance` has an extent.
    """
    from scipy.special import ndtri
    from scipy.stats.qmc import Sobol

    strength, axes = np.linalg.eigh(covariance)
    deviation = np.sqrt(np.maximum(strength, 0))
    deviation = np.maximum(deviation, THINNEST * deviation[-1])
    colour, white = (axes * deviation).T, axes / deviation
    d = len(mean)
    normal = ndtri(np.clip(Sobol(d, rng=np.random.default_rng(seed)).random(N_DIRECTIONS), 1e-9, 1 - 1e-9))
    # A run of Sobol's points is spread evenly; every fourth of them is not.
    directions, log_proposed = _proposed(mean, colour, normal, np.arange(N_DIRECTIONS) < N_DIRECTIONS // FAR)
    upper = np.triu_indices(d)
    # T = (y, −yᵢyⱼ) so that the parameters are g and the upper triangle of Q; off the diagonal an entry of Q counts twice.
    half = np.where(upper[0] == upper[1], 0.5, 1.0)

    def unpacked(parameter: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        q = np.zeros((d, d))
        q[upper] = parameter[d:]
        return parameter[:d], q + np.triu(q, 1).T

    def natural(parameter: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        g, q = unpacked(parameter)
        precision = white @ q @ white.T
        return precision, white @ g + precision @ mean

    def weighed(parameter: NDArray[Any]) -> tuple[float, NDArray[Any], NDArray[Any]]:
        """Return the loss at `parameter`, and its nodes in white coordinates with their weights, which sum to 1."""
        precision, linear = natural(parameter)
        radius, log_weight = _radial(directions, precision, linear, threshold)
        log_weight -= log_proposed[:, None]
        largest = log_weight.max()
        weight = np.exp(log_weight - largest)
        total = weight.sum()
        g, q = unpacked(parameter)
        # The density above is in z; relative to the sample's mean it has another constant, which the target term needs.
        constant = 0.5 * mean @ precision @ mean - linear @ mean
        sign, log_det = np.linalg.slogdet(q)
        loss = largest + np.log(total) + constant + 0.5 * np.trace(q) * (1 + PRIOR) - 0.5 * PRIOR * log_det
        y = (radius[:, :, None] * directions[:, None, :] - mean) @ white
        return (float(loss) if sign > 0 else np.inf), y.reshape(-1, d), weight.ravel() / total

    parameter = np.concatenate([np.zeros(d), np.eye(d)[upper]])
    loss, y, weight = weighed(parameter)
    for _ in range(N_STEPS):
        statistic = np.concatenate([y, -half * y[:, upper[0]] * y[:, upper[1]]], axis=1)
        expected = weight @ statistic
        hessian = (statistic * weight[:, None]).T @ statistic - np.outer(expected, expected)
        inverse = np.linalg.inv(unpacked(parameter)[1])
        gradient = expected.copy()
        gradient[d:] += half * ((1 + PRIOR) * np.eye(d) - PRIOR * inverse)[upper]
        # Second derivative of −½·log det Q, for entries that stand twice in Q.
        pairs = (
            inverse[upper[0]][:, upper[0]] * inverse[upper[1]][:, upper[1]]
            + inverse[upper[0]][:, upper[1]] * inverse[upper[1]][:, upper[0]]
        )
        hessian[d:, d:] += PRIOR * np.outer(half, half) * pairs
        step = -np.linalg.solve(hessian + 1e-12 * np.trace(hessian) * np.eye(len(hessian)), gradient)
        decrease = -float(gradient @ step)
        if decrease < 1e-10:
            break
        size = 1.0
        while size > 1e-6:
            tried = parameter + size * step
            if np.linalg.eigvalsh(unpacked(tried)[1])[0] > 0:
                there = weighed(tried)
                if there[0] <= loss - 0.1 * size * decrease:
                    break
            size /= 2
        else:
            break
        parameter, (loss, y, weight) = tried, there
    precision, linear = natural(parameter)
    centre = weight @ y
    spread = (y * weight[:, None]).T @ y - np.outer(centre, centre)
    return Gated(
        precision=precision,
        linear=linear,
        threshold=threshold,
        mean=mean + centre @ colour,
        covariance=colour.T @ spread @ colour,
        misfit=float(max(np.abs(centre).max(), np.abs(spread - np.eye(d)).max())),
    )


def draw(gated: Gated, n: int, rng: np.random.Generator) -> Float64[np.ndarray, "point d_code"]:
    """Return `n` independent points: directions by rejection, the radius along each by its inverse distribution function."""
    strength, axes = np.linalg.eigh(gated.covariance)
    colour = (axes * np.sqrt(np.maximum(strength, strength[-1] * THINNEST**2))).T
    n_code = len(gated.mean)
    found: list[NDArray[Any]] = []
    missing, bound = n, np.nan
    while missing > 0:
        tried = 3 * missing + 64
        far = rng.uniform(size=tried) < 1 / FAR
        directions, log_proposed = _proposed(gated.mean, colour, rng.standard_normal((tried, n_code)), far)
        log_mass = _log_mass(directions, gated.precision, gated.linear, gated.threshold) - log_proposed
        if np.isnan(bound):
            bound = min(
                float(log_mass.max()), float(np.log(np.exp(log_mass - log_mass.max()).mean()) + log_mass.max() + np.log(REJECTED))
            )
        taken = np.flatnonzero(np.log(rng.uniform(size=len(log_mass))) < log_mass - bound)[:missing]
        found.append(directions[taken] * _along(directions[taken], gated, rng)[:, None])
        missing -= len(taken)
    return np.concatenate(found)


def _along(
    directions: Float64[np.ndarray, "point d_code"], gated: Gated, rng: np.random.Generator
) -> Float64[np.ndarray, "point"]:
    """Return a radius along each direction."""
    a, b, low, high = _interval(directions, gated.precision, gated.linear, gated.threshold)
    place = np.linspace(0, 1, 64)
    radius = low[:, None] + (high - low)[:, None] * place
    log_density = _log_density(radius, a, b, directions.shape[1])
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    mass = np.concatenate([np.zeros((len(a), 1)), np.cumsum((density[:, 1:] + density[:, :-1]) / 2, axis=1)], axis=1)
    aim = rng.uniform(size=len(a)) * mass[:, -1]
    cell = np.clip((mass <= aim[:, None]).sum(axis=1) - 1, 0, len(place) - 2)
    row = np.arange(len(a))
    part = (aim - mass[row, cell]) / np.maximum(mass[row, cell + 1] - mass[row, cell], 1e-300)
    return low + (high - low) * (cell + part) / (len(place) - 1)


def _proposed(
    mean: Float64[np.ndarray, "d_code"],
    colour: Float64[np.ndarray, "d_code d_code"],
    normal: Float64[np.ndarray, "direction d_code"],
    far: Bool[np.ndarray, "direction"],
) -> tuple[Float64[np.ndarray, "direction d_code"], Float64[np.ndarray, "direction"]]:
    """Return the directions of a wide Gaussian about `mean`, some turned to the far side, and the logarithm of their density.

    `normal` are standard normal points to make it of. Of a narrow ray a Gaussian may leave something on the far side of the ball.
    """
    wide = INFLATED * colour
    point = (mean + normal @ wide) * np.where(far, -1, 1)[:, None]
    directions = point / np.linalg.norm(point, axis=1, keepdims=True)
    precision = np.linalg.inv(wide.T @ wide)
    here, there = (_log_mass(directions, precision, side * (precision @ mean), 0.0) for side in (1, -1))
    return directions, np.logaddexp(np.log(1 - 1 / FAR) + here, np.log(1 / FAR) + there)


def _log_mass(
    directions: Float64[np.ndarray, "direction d_code"],
    precision: Float64[np.ndarray, "d_code d_code"],
    linear: Float64[np.ndarray, "d_code"],
    threshold: float,
) -> Float64[np.ndarray, "direction"]:
    """Return the logarithm of the density's integral along each direction."""
    _, log_weight = _radial(directions, precision, linear, threshold)
    peak = log_weight.max(axis=1)
    return peak + np.log(np.exp(log_weight - peak[:, None]).sum(axis=1))


def _radial(
    directions: Float64[np.ndarray, "direction d_code"],
    precision: Float64[np.ndarray, "d_code d_code"],
    linear: Float64[np.ndarray, "d_code"],
    threshold: float,
) -> tuple[Float64[np.ndarray, "direction radius"], Float64[np.ndarray, "direction radius"]]:
    """Return nodes along each direction and log-weights: the sum of exp(log-weight)·f(r) is the integral of density times f."""
    a, b, low, high = _interval(directions, precision, linear, threshold)
    node, weight = np.polynomial.legendre.leggauss(N_RADII)
    half = (high - low)[:, None] / 2
    radius = low[:, None] + half * (1 + node)
    return radius, _log_density(radius, a, b, directions.shape[1]) + np.log(half * weight)


def _log_density(
    radius: Float64[np.ndarray, "direction radius"],
    a: Float64[np.ndarray, "direction"],
    b: Float64[np.ndarray, "direction"],
    d_code: int,
) -> Float64[np.ndarray, "direction radius"]:
    return (d_code - 1) * np.log(np.maximum(radius, 1e-300)) - radius**2 * a[:, None] / 2 + b[:, None] * radius


def _interval(
    directions: Float64[np.ndarray, "direction d_code"],
    precision: Float64[np.ndarray, "d_code d_code"],
    linear: Float64[np.ndarray, "d_code"],
    threshold: float,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return a and b of the density along each direction, and the radii between which all but exp(−20) of it lies."""
    a = np.einsum("ui,ij,uj->u", directions, precision, directions)
    b = directions @ linear
    power = directions.shape[1] - 1
    mode = np.maximum((b + np.sqrt(b**2 + 4 * a * power)) / (2 * a), threshold)
    # How fast the logarithm falls at the mode: 0 unless the gate is there. Beyond, it falls by at least slope·L + a·L²/2.
    slope = np.maximum(a * mode - b - power / np.maximum(mode, 1e-300), 0)
    fall = 20.0
    high = mode + 2 * fall / (np.sqrt(slope**2 + 2 * a * fall) + slope)
    low = np.maximum(mode - np.sqrt(2 * fall / a), threshold)
    return a, b, low, high
