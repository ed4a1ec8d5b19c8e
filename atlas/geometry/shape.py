"""Which shape a cloud of contributions has, beside the gated Gaussian clouds that would look like it by chance.

The order of calls: `measure_all` on every cloud, `tabulate` once over all that could be measured, `classify` on one source at a
time. The first two are what costs; what they return can be kept in a safetensors file (`arrays` and `measured_from`,
`Null.arrays` and `Null.from_arrays`). Nothing here imports torch: processes that measure start fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from atlas.geometry.cloud import MAX_POINTS, REASONS, Absent, Cloud, Measured, ShapeConfig, measure
from atlas.geometry.null import DRAWN, LEAST_P, Null, Reference, distances, features, tabulate, undone
from atlas.geometry.processes import spread

__all__ = [
    "CLASSES",
    "STATISTICS",
    "Absent",
    "Classified",
    "Cloud",
    "Measured",
    "Null",
    "Shape",
    "ShapeConfig",
    "Test",
    "arrays",
    "classify",
    "measure",
    "measure_all",
    "measured_from",
    "tabulate",
]

CLASSES = ("line or ray", "curve", "ring", "sheet", "clusters", "unclear")
STATISTICS = (*DRAWN, "thickness", "flatness")
LOCAL = np.array([STATISTICS.index("local_dimension"), STATISTICS.index("bend")])
"""They take the points for independent, which those of a clumped cloud are not: there they say nothing."""

ALPHA = 0.05
RING_RATIO = 3.0
"""Death over birth: how many times as wide as the widest gap in its rim a hole is."""
LEAST_LOOP = 2.0
"""Of a loop that is counted: the null's limit is of the largest one, and chance has spheres and tori close many at 1.8."""
RING_DIMENSION = 1.75
"""Of local and coarse dimension the lesser: noisy rings have 1.3, an annulus of 0.6 to 1 has 1.6, tubes and bands 1.75."""
MANY_PARTS = 6
"""So many may stand for a rim which is no line itself, and are clusters however near one another they are."""
LEAST_GAP = 0.5
"""Of rms: outskirts of a Gaussian of 200 points come off at up to 0.4, turns of a helix at 0.3, blobs at 0.8 and more."""
CURVE_DIMENSION = 1.6
"""Noisy curves have 1.45 and less, noisy sheets 1.74 and more, the lesser of local and coarse dimension."""
SHEET_DIMENSION = 2.1
"""Between the 2.05 of a noisy sheet and the 2.3 of a Gaussian, of 200 points and more in three dimensions."""
OFF_PLANE = 0.05
"""Noisy sheets have 0.03 and less; clouds of streaks and clumps, whose dimension is low too, 0.06 to 0.13, Gaussians 0.15."""
BOUNDARY = 0.2
"""Of thickness and flatness. Noise of a tenth of an axis in two directions gives 0.14, a Gaussian of axes 3 to 1 gives 0.33."""
LARGEST_ERROR = 0.25
"""Of the logarithm of thickness and flatness: more, and they rest on a few points far out."""
BENT = 0.5
"""Share of the variance off the first axis: more of it is a bow than is noise."""
LEAST_PLACES = 20
"""Distinct points: fewer are a set of places, which lines and curves join in many ways."""


class Test(NamedTuple):
    """A statistic beside its null."""

    statistic: str
    """One of `STATISTICS`."""
    value: float
    null_median: float
    """Of thickness and flatness the boundary."""
    null_limit: float
    """95 % of the null does not go beyond: upwards of loop, gap and bend, downwards of the others."""
    p: float
    p_adjusted: float


class Shape(NamedTuple):
    """What a cloud is called, and why."""

    name: str
    """One of `CLASSES`."""
    statistic: str | None
    """The one of `STATISTICS` that it rests on; None of what is unclear, and of a code of one number."""
    loops: int
    clusters: int
    tests: tuple[Test, ...]
    """Those that the cloud has: without a third axis there is no flatness."""


class Classified(NamedTuple):
    """The shapes of one source."""

    shapes: list[Shape | None]
    """In the order of the clouds; None where the cloud is `Absent`."""
    expected: dict[str, float]
    """Of each of `CLASSES`, how many clouds would be called so if all were gated Gaussians: see `_expected`."""


def measure_all(
    clouds: Sequence[Cloud], config: ShapeConfig, workers: int, told: Callable[[int, int], None]
) -> list[Measured | Absent]:
    """Return what `measure` says of each, in order, by as many processes; `told` hears how many of how many are done."""
    return spread(partial(measure, config=config), clouds, workers, told)


def arrays(measured: Sequence[Measured | Absent]) -> dict[str, NDArray[Any]]:
    """Return them as arrays over clouds, for a safetensors file. All have codes of one width."""
    present = [cloud for cloud in measured if isinstance(cloud, Measured)]
    reason = [REASONS.index(cloud.reason) if isinstance(cloud, Absent) else -1 for cloud in measured]
    return {
        "points": np.array([cloud.points for cloud in measured], dtype=np.int64),
        "reason": np.array(reason, dtype=np.int64),
        **{name: np.array([getattr(cloud, name) for cloud in present]) for name in Measured._fields if name != "points"},
    }


def measured_from(arrays: Mapping[str, NDArray[Any]]) -> list[Measured | Absent]:
    """Return what `arrays` were made of."""
    measured: list[Measured | Absent] = []
    row = 0
    for points, reason in zip(arrays["points"].tolist(), arrays["reason"].tolist(), strict=True):
        if reason >= 0:
            measured.append(Absent(points, REASONS[reason]))
            continue
        values = {name: arrays[name][row] for name in Measured._fields if name != "points"}
        measured.append(Measured(points=points, **{k: v if v.ndim else v.item() for k, v in values.items()}))
        row += 1
    return measured


class _Passed(NamedTuple):
    """Which statistics stand out from their null, of clouds or of draws."""

    loop: Bool[np.ndarray, "cloud"]
    gap: Bool[np.ndarray, "cloud"]
    local_dimension: Bool[np.ndarray, "cloud"]
    bend: Bool[np.ndarray, "cloud"]
    thickness: Bool[np.ndarray, "cloud"]
    flatness: Bool[np.ndarray, "cloud"]


def classify(measured: Sequence[Measured | Absent], null: Null, config: ShapeConfig) -> Classified:
    """Return the shapes of the clouds of one source; p-values are adjusted over these, by Benjamini and Hochberg."""
    clouds = [cloud for cloud in measured if isinstance(cloud, Measured)]
    if not clouds:
        return Classified([None] * len(measured), dict.fromkeys(CLASSES, 0.0))
    place = features(clouds, null.threshold)
    reference = null.looked_up(place)
    median, limit = reference.median, null.limit(reference)
    found = distances(clouds)
    thickness, flatness = (_below_boundary(clouds, name) for name in ("thickness", "flatness"))
    p = np.column_stack([null.p(found, reference), thickness, flatness])
    p[np.ix_(np.array([cloud.clumped for cloud in clouds]), LOCAL)] = 1
    adjusted = np.column_stack([_adjusted(column) for column in p.T])
    passed = _Passed(*(adjusted <= ALPHA).T)

    shapes = []
    for row, cloud in enumerate(clouds):
        medians, limits = undone(median[row]), undone(limit[row])
        loops = int((cloud.loops > max(limits[0], LEAST_LOOP)).sum()) if passed.loop[row] else 0
        clusters = 1 + int((cloud.gaps > limits[1]).sum()) if passed.gap[row] else 1
        name, statistic = _name(cloud, loops, clusters, [bool(column[row]) for column in passed])
        values = (*undone(found[row])[:2], cloud.local_dimension, cloud.bend, cloud.thickness, cloud.flatness)
        errors = (cloud.thickness_error, cloud.flatness_error)
        tests = []
        for i, (tested, value) in enumerate(zip(STATISTICS, values, strict=True)):
            if np.isnan(value) or (len(cloud.spectrum) == 1 and tested != "gap") or (cloud.clumped and i in LOCAL):
                continue
            drawn = i < len(DRAWN)
            middle = medians[i] if drawn else BOUNDARY
            far = limits[i] if drawn else BOUNDARY * float(np.exp(-1.645 * errors[i - len(DRAWN)]))
            tests.append(Test(tested, float(value), middle, far, float(p[row, i]), float(adjusted[row, i])))
        shapes.append(Shape(name, statistic, loops, clusters, tuple(tests)))
    in_order = iter(shapes)
    return Classified(
        [next(in_order) if isinstance(cloud, Measured) else None for cloud in measured],
        _expected(clouds, null, reference, limit, p, adjusted),
    )


def _name(cloud: Measured, loops: int, clusters: int, passed: Sequence[bool]) -> tuple[str, str | None]:
    """Return what a cloud is called whose statistics stand out from the null as `passed` says, and the statistic it rests on."""
    _, _, dimension_passed, bend_passed, thin, flat = passed
    n_axes = len(cloud.spectrum)
    dimension = min(cloud.local_dimension, cloud.coarse_dimension)
    rim = dimension < RING_DIMENSION or clusters >= MANY_PARTS
    if loops == 1 and cloud.loops[0] >= RING_RATIO and rim:
        return "ring", "loop"
    if clusters >= MANY_PARTS or (clusters > 1 and cloud.gaps[0] >= LEAST_GAP):
        return "clusters", "gap"
    if n_axes == 1:
        return "line or ray", None
    if cloud.places < LEAST_PLACES:
        return "unclear", None
    if thin:
        return ("curve", "bend") if bend_passed and cloud.bend >= BENT else ("line or ray", "thickness")
    if dimension_passed and dimension < CURVE_DIMENSION:
        return "curve", "local_dimension"
    if n_axes > 2 and flat:
        return "sheet", "flatness"
    if n_axes > 2 and dimension_passed and dimension < SHEET_DIMENSION and cloud.off_plane < OFF_PLANE:
        return "sheet", "local_dimension"
    return "unclear", None


def _below_boundary(clouds: Sequence[Measured], name: str) -> Float64[np.ndarray, "cloud"]:
    """Return how likely a cloud at the boundary is to seem as thin, or flat, as each; 1 where there is no such axis."""
    from scipy.special import ndtr

    value = np.array([getattr(cloud, name) for cloud in clouds])
    error = np.array([getattr(cloud, f"{name}_error") for cloud in clouds])
    deviations = (np.log(np.maximum(value, 1e-12)) - np.log(BOUNDARY)) / np.maximum(error, 1e-3)
    return np.where(error <= LARGEST_ERROR, np.maximum(np.nan_to_num(ndtr(deviations), nan=1.0), LEAST_P), 1.0)


def _adjusted(p: Float64[np.ndarray, "cloud"]) -> Float64[np.ndarray, "cloud"]:
    """Return the false discovery rate at which each would be called (Benjamini & Hochberg 1995)."""
    order = np.argsort(p, kind="stable")
    stepped = np.minimum.accumulate((p[order] * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return np.maximum(adjusted, p)  # p · n / n may round below p


def _expected(
    clouds: Sequence[Measured],
    null: Null,
    reference: Reference,
    limit: Float64[np.ndarray, "cloud 4"],
    p: Float64[np.ndarray, "cloud 6"],
    adjusted: Float64[np.ndarray, "cloud 6"],
) -> dict[str, float]:
    """Return how many clouds of each class there would be if all were gated Gaussians.

    The draws of each cloud's nearest anchor take its place: they are compared with what it was compared with, and pass at the p
    that the adjustment came down to. They share their cloud's thickness and flatness, so that for these the chance of a cloud at
    the boundary is added.
    """
    least = ALPHA / len(clouds)
    critical = np.array([max(p[adjusted[:, i] <= ALPHA, i].max(initial=0), least) for i in range(p.shape[1])])
    clumped = np.array([cloud.clumped for cloud in clouds])
    expected = dict.fromkeys(CLASSES, 0.0)
    n_axes, n_draws = len(clouds[0].spectrum), null.drawn.statistic.shape[1]
    for draw in range(n_draws):
        statistic = null.drawn.statistic[reference.anchor, draw]
        passed = null.p(statistic, reference) <= critical[: len(DRAWN)]
        passed[np.ix_(clumped, LOCAL)] = False
        for row, (cloud, anchor) in enumerate(zip(clouds, reference.anchor.tolist(), strict=True)):
            if not passed[row].any():
                expected["unclear" if n_axes > 1 else "line or ray"] += 1 / n_draws
                continue
            limits, (_, _, dimension, bend) = undone(limit[row]), undone(statistic[row])
            loops, gaps = null.drawn.loops[anchor, draw], null.drawn.gaps[anchor, draw]
            like = cloud._replace(
                places=MAX_POINTS,
                local_dimension=dimension,
                coarse_dimension=null.drawn.coarse_dimension[anchor, draw],
                off_plane=null.drawn.off_plane[anchor, draw],
                bend=bend,
                loops=loops,
                gaps=gaps,
            )
            n_loops = int((loops > max(limits[0], LEAST_LOOP)).sum()) if passed[row, 0] else 0
            n_clusters = 1 + int((gaps > limits[1]).sum()) if passed[row, 1] else 1
            name, _ = _name(like, n_loops, n_clusters, [*(bool(x) for x in passed[row]), False, False])
            expected[name] += 1 / n_draws
    at_boundary = {"line or ray": critical[4] if n_axes > 1 else 0.0, "sheet": critical[5] if n_axes > 2 else 0.0}
    for name, chance in at_boundary.items():
        expected[name] += float(chance) * expected["unclear"]
    expected["unclear"] *= 1 - sum(float(chance) for chance in at_boundary.values())
    return expected
