"""What one cloud of contributions looks like: its spectrum and the statistics that tell a shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Integer

from atlas.errors import ConfigError

MAX_POINTS = 1000
"""A larger cloud is represented by so many of its points, evenly chosen by the seed."""
MIN_POINTS = 50
"""Below, no statistic stands out from its null at any shape that was tried."""
N_LANDMARKS = 96
"""Of the Rips complex."""
OUTLIERS = 0.05
"""Share of points, those of least density, without which loops are looked for a second time: background hides a loop."""
DENSITY_NEIGHBOURS = 10
LINK_NEIGHBOURS = 5
"""Single linkage is of mutual reachability (Campello et al. 2013): a bridge has to be so many points thick."""
LEAST_PART = 0.04
"""Of the points, and at least 5 of them: smaller parts are outliers."""
LOCAL_RADIUS, COARSE_RADIUS = 0.25, 0.5
"""Of rms. Noise of a tenth makes a line fill its neighbourhoods at the first, not at the second."""
LOCAL_POINTS = 12
"""The median neighbourhood has so many points, else the radius grows for that cloud."""
N_CENTRES = 200
N_LOOPS, N_GAPS = 8, 25
"""Kept of a cloud. No more than 25 parts can have their share of the points."""
BEND_DEGREE = 5
"""Of the polynomial in the place along the first axis: an S needs three, what is wound up no degree would do."""
NO_SPREAD = 1e-6
"""Of the largest coordinate: a float32 code is no finer."""


@dataclass(frozen=True)
class ShapeConfig:
    """How shapes are told."""

    seed: int = 0
    """Of the points that stand for a large cloud and of the null's draws."""
    anchors: int = 640
    """Most clouds, of those that are measured, whose own null is drawn; the others look up the nearest. Of clouds that could be
    neither ring nor clusters a quarter as many do."""
    draws: int = 19
    """Drawn at each anchor."""
    least_draws: int = 199
    """In all: where there are few anchors, each is drawn more often."""

    def __post_init__(self) -> None:
        if self.anchors < 1 or self.draws < 1:
            raise ConfigError(f"anchors is {self.anchors} and draws is {self.draws}; each takes at least 1, or there is no null.")


class Cloud(NamedTuple):
    """An expert's firings on one source."""

    code: Float64[np.ndarray, "point d_code"]
    """As the gate sees them."""
    basis: Float64[np.ndarray, "d_code axis"]
    """code @ basis is the contribution in an orthonormal basis, residual-stream units."""
    clumped: bool = False
    """Many points are of one kind, as sentences of one label are: neighbourhoods are thin without being lines or sheets."""


class Absent(NamedTuple):
    """No shape can be told."""

    points: int
    reason: str
    """A sentence, one of `REASONS`."""


REASONS = (
    f"It has fewer than {MIN_POINTS} points.",
    "One of its codes is not a finite number.",
    "All of its contributions are the same.",
)
FEW, NOT_FINITE, SAME = REASONS


class Measured(NamedTuple):
    """What a cloud looks like, before anything is compared with it."""

    points: int
    places: int
    """Distinct points among those that were measured, at most `MAX_POINTS`."""
    spectrum: Float64[np.ndarray, "axis"]
    """Shares of variance along the cloud's own principal axes, widest first."""
    effective_dimension: float
    """(Σλ)² / Σλ² over the spectrum."""
    rms: float
    """Distance from the mean, residual-stream units."""
    local_dimension: float
    """The same ratio within neighbourhoods of `local_radius`, mean over them; 0 where none has an extent."""
    local_radius: float
    """In units of rms."""
    coarse_dimension: float
    """The local dimension at twice the radius or more: a noisy line is a line there, a sheet is none."""
    off_plane: float
    """Share of a neighbourhood's variance off its two widest axes, mean over them, the lesser of both radii."""
    clumped: bool
    """See `Cloud`."""
    loops: Float64[np.ndarray, "loop"]
    """Death over birth of the most persistent classes of H1, largest first, zeros behind."""
    gaps: Float64[np.ndarray, "gap"]
    """Distances at which single linkage joins two parts that both hold their share of points, in units of rms, largest first."""
    thickness: float
    """rms off the first principal axis over rms along it."""
    thickness_error: float
    """Standard error of its logarithm."""
    flatness: float
    """rms off the first two principal axes over rms along the second; nan where there are no more than two."""
    flatness_error: float
    bend: float
    """Share of the variance off the first axis that is a smooth function of the place along it; nan where there is only one."""
    mean: Float64[np.ndarray, "d_code"]
    """Of the code, turned to its own principal axes so that the null does not depend on the code's; so are the next two."""
    covariance: Float64[np.ndarray, "d_code d_code"]
    basis: Float64[np.ndarray, "d_code axis"]


def measure(cloud: Cloud, config: ShapeConfig) -> Measured | Absent:
    """Return the statistics of one cloud, or why it has none."""
    points = len(cloud.code)
    if points < MIN_POINTS:
        return Absent(points, FEW)
    if not (np.isfinite(cloud.code).all() and np.isfinite(cloud.basis).all()):
        return Absent(points, NOT_FINITE)
    code = cloud.code[_evenly(points, config.seed)]
    contribution = code @ cloud.basis
    largest = float(np.abs(contribution).max(initial=0))
    middle = contribution.mean(axis=0)
    rms = float(np.sqrt(np.square(contribution - middle).sum(axis=1).mean()))
    if not rms > NO_SPREAD * largest:
        return Absent(points, SAME)

    x = (contribution - middle) / rms
    variance, axes = np.linalg.eigh(x.T @ x / len(x))
    variance = np.maximum(variance[::-1], 0)
    x = x @ axes[:, ::-1]
    d_axes = len(variance)
    fine, coarse = (neighbourhoods(x, radius, config.seed) for radius in (LOCAL_RADIUS, COARSE_RADIUS))
    thickness, thickness_error = _ratio(x[:, 1:], x[:, 0])
    flatness, flatness_error = _ratio(x[:, 2:], x[:, 1]) if d_axes > 2 else (np.nan, np.nan)
    mean, covariance, basis = _canonical(code, cloud.basis, middle, axes[:, ::-1])
    return Measured(
        points=points,
        places=len(np.unique(np.round(x, 6), axis=0)),
        spectrum=variance / variance.sum(),
        effective_dimension=float(variance.sum() ** 2 / np.square(variance).sum()),
        rms=rms,
        local_dimension=fine.dimension,
        local_radius=fine.radius,
        coarse_dimension=coarse.dimension,
        off_plane=min(fine.off_plane, coarse.off_plane),
        clumped=cloud.clumped,
        loops=loops(x),
        gaps=gaps(x),
        thickness=thickness,
        thickness_error=thickness_error,
        flatness=flatness,
        flatness_error=flatness_error,
        bend=_bend(x) if d_axes > 1 else np.nan,
        mean=mean,
        covariance=covariance,
        basis=basis,
    )


class Neighbourhoods(NamedTuple):
    """What a cloud looks like up close."""

    dimension: float
    """Participation ratio of the neighbourhoods' covariances, mean over them; 0 where none has an extent."""
    radius: float
    off_plane: float
    """Share of their variance off their two widest axes, mean over them."""


def neighbourhoods(x: Float64[np.ndarray, "point axis"], least: float, seed: int) -> Neighbourhoods:
    """Return what neighbourhoods of points of rms 1 are like: of radius `least`, or wider for the median one to hold a dozen."""
    from scipy.spatial.distance import cdist

    centre = x[np.sort(np.random.default_rng(seed).permutation(len(x))[:N_CENTRES])]
    squared = cdist(centre, x, "sqeuclidean")
    needed = np.partition(squared, LOCAL_POINTS - 1, axis=1)[:, LOCAL_POINTS - 1]
    radius = max(least, float(np.sqrt(np.median(needed))))
    # A hair wider, so that points at exactly the radius are within whatever rounding did to them.
    within = (squared <= radius**2 * (1 + 1e-9)).astype(np.float64)
    n = within.sum(axis=1)
    mean = within @ x / n[:, None]
    second = within @ (x[:, :, None] * x[:, None, :]).reshape(len(x), -1) / n[:, None]
    covariance = second.reshape(-1, x.shape[1], x.shape[1]) - mean[:, :, None] * mean[:, None, :]
    trace = np.trace(covariance, axis1=1, axis2=2)
    told = (n >= LOCAL_POINTS / 2) & (trace > NO_SPREAD)
    if not told.any():
        return Neighbourhoods(0.0, radius, 0.0)
    covariance, trace = covariance[told], trace[told]
    off = np.maximum(np.linalg.eigvalsh(covariance)[:, :-2].sum(axis=1), 0) / trace
    return Neighbourhoods(float((trace**2 / np.square(covariance).sum(axis=(1, 2))).mean()), radius, float(off.mean()))


def gaps(x: Float64[np.ndarray, "point axis"]) -> Float64[np.ndarray, "gap"]:
    """Return at which distances single linkage of mutual reachability joins two parts of size, largest first, zeros behind."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    n = len(x)
    reach = pdist(x)
    core = _neighbour_distance(x, LINK_NEIGHBOURS)
    begin = 0
    for point in range(n - 1):
        others = reach[begin : begin + n - 1 - point]
        np.maximum(others, np.maximum(core[point + 1 :], core[point]), out=others)
        begin += len(others)
    tree = linkage(reach, "single")
    size = np.concatenate([np.ones(n), tree[:, 3]])
    smaller = np.minimum(size[tree[:, 0].astype(int)], size[tree[:, 1].astype(int)])
    joins = np.sort(tree[smaller >= max(LEAST_PART * n, 5), 2])[::-1]
    found = np.zeros(N_GAPS)
    found[: len(joins)] = joins[:N_GAPS]
    return found


def loops(x: Float64[np.ndarray, "point axis"]) -> Float64[np.ndarray, "loop"]:
    """Return death over birth of the most persistent loops, largest first, zeros behind.

    Of H1 of the Vietoris–Rips complex on maxmin landmarks, once of all points and once without those of least density: of the
    two, rank by rank, the larger. The first sees rings of uneven density, the second those with points in their hole.
    """
    density = _neighbour_distance(x, DENSITY_NEIGHBOURS)
    dense = np.sort(np.argsort(density, kind="stable")[: int(np.ceil(len(x) * (1 - OUTLIERS)))])
    return np.maximum(_persistence(x), _persistence(x[dense]))


def _persistence(x: Float64[np.ndarray, "point axis"]) -> Float64[np.ndarray, "loop"]:
    from gudhi.sklearn import RipsPersistence
    from scipy.spatial.distance import pdist, squareform

    chosen = x[landmarks(x, N_LANDMARKS)]
    rips = RipsPersistence(homology_dimensions=1, input_type="full distance matrix", homology_coeff_field=2)
    ratio = np.zeros(N_LOOPS)
    if len(chosen) > 3:
        birth, death = rips.fit_transform([squareform(pdist(chosen))])[0].reshape(-1, 2).T
        found = np.sort(death / birth)[::-1][:N_LOOPS]
        ratio[: len(found)] = found
    return ratio


def landmarks(x: Float64[np.ndarray, "point axis"], limit: int) -> Integer[np.ndarray, "landmark"]:
    """Return up to `limit` distinct points, each the farthest from those before; the first is the farthest from the mean."""
    column = np.ascontiguousarray(x.T)
    nearest = np.square(column - x.mean(axis=0)[:, None]).sum(axis=0)
    chosen = [int(nearest.argmax())]
    nearest[:] = np.inf
    while len(chosen) < limit:
        np.minimum(nearest, np.square(column - column[:, chosen[-1:]]).sum(axis=0), out=nearest)
        farthest = int(nearest.argmax())
        if nearest[farthest] <= NO_SPREAD**2:
            break
        chosen.append(farthest)
    return np.array(chosen)


def _canonical(
    code: Float64[np.ndarray, "point d_code"],
    basis: Float64[np.ndarray, "d_code axis"],
    middle: Float64[np.ndarray, "axis"],
    axes: Float64[np.ndarray, "axis axis"],
) -> tuple[Float64[np.ndarray, "d_code"], Float64[np.ndarray, "d_code d_code"], Float64[np.ndarray, "d_code axis"]]:
    """Return the code's mean, covariance and basis with both sides turned to principal axes, towards the mean."""
    mean = code.mean(axis=0)
    centred = code - mean
    covariance = centred.T @ centred / len(code)
    turn = np.linalg.eigh(covariance)[1]
    turn = turn * np.where(mean @ turn < 0, -1, 1)
    axes = axes * np.where(middle @ axes < 0, -1, 1)
    return mean @ turn, turn.T @ covariance @ turn, turn.T @ basis @ axes


def _evenly(n: int, seed: int) -> Integer[np.ndarray, "point"]:
    """Return which of `n` points are measured, in their order."""
    return np.arange(n) if n <= MAX_POINTS else np.sort(np.random.default_rng(seed).permutation(n)[:MAX_POINTS])


def _neighbour_distance(x: Float64[np.ndarray, "point axis"], k: int) -> Float64[np.ndarray, "point"]:
    """Return how far each point's k-th neighbour is."""
    from scipy.spatial import cKDTree

    return cKDTree(x).query(x, [k + 1])[0][:, 0]


def _ratio(off: Float64[np.ndarray, "point other"], along: Float64[np.ndarray, "point"]) -> tuple[float, float]:
    """Return the rms off an axis over that along it, and the standard error of its logarithm.

    The error is by the delta method from the points' own fourth moments: those of a ray are four times a Gaussian's.
    """
    across, squared = np.square(off).sum(axis=1), np.square(along)
    if not across.mean() > NO_SPREAD**2:
        return 0.0, 0.0
    influence = (across / across.mean() - squared / squared.mean()) / 2
    return float(np.sqrt(across.mean() / squared.mean())), float(influence.std() / np.sqrt(len(along)))


def _bend(x: Float64[np.ndarray, "point axis"]) -> float:
    """Return what share of the variance off the first axis a polynomial in the place along it explains; 0 if there is none."""
    off = x[:, 1:]
    if not np.square(off).sum() > NO_SPREAD**2 * len(x):
        return 0.0
    along = np.linalg.qr(np.vander(x[:, 0] / np.abs(x[:, 0]).max(), BEND_DEGREE + 1))[0]
    return float(np.square(along.T @ off).sum() / np.square(off).sum())
